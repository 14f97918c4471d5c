//! The family against doubles of what it asks.

use super::COMMANDS;
use crate::Context;
use crate::acl::Acl;
use crate::blocking::Meanwhile;
use crate::client::{Client, ClientShared};
use crate::cluster::change::{Change, Range, Verdict};
use crate::cluster::map::{Former, Holders, Map};
use crate::cluster::meta::{Later, Meta, Status, Unsettled};
use crate::cluster::node::{Endpoint, Member, NodeId};
use crate::cluster::operations::{
    Admin, LinkState, Move, Moves, Operations, Spread, Stage, Traffic,
};
use crate::cluster::slot::SLOTS;
use crate::cluster::{Cluster, slot};
use crate::commands::table::table;
use crate::config::Config;
use crate::overload::sentinel::Allowance;
use crate::runtime::container::Limits as Machine;
use crate::runtime::logging::Log;
use crate::server::Server;
use crate::session::{Session, Turn};
use bytes::BufMut;
use dunlin_protocol::Limits;
use dunlin_storage::{Options, SlotOf};
use std::io::IoSlice;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::runtime::Runtime;
use tokio::sync::watch;

const ALL: Allowance = Allowance { commands: usize::MAX, nanos: u64::MAX };
const ID_1: &str = "0000000000000000000000000000000000000001";
const ID_2: &str = "0000000000000000000000000000000000000002";
const ID_3: &str = "0000000000000000000000000000000000000003";
/// It was a member once.
const ID_9: &str = "0000000000000000000000000000000000000009";

/// A process has one.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    Log::start(&Config::defaults(1 << 30).settings()).expect("nobody else logs in these tests")
});

/// Everything that the commands ask, noted.
#[derive(Default)]
struct Double {
    asked: Mutex<Vec<String>>,
    moves: Mutex<Vec<Move>>,
    /// Why everything fails; empty: nothing does.
    failure: Mutex<String>,
}

impl Double {
    fn note(&self, what: String) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fail(&self, why: &str) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why.to_owned();
    }

    fn outcome<T: Send + 'static>(&self, value: T) -> Later<'_, Result<T, String>> {
        let why = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outcome = if why.is_empty() { Ok(value) } else { Err(why) };
        // Not at once: the command has to wait.
        Box::pin(async move {
            tokio::task::yield_now().await;
            outcome
        })
    }
}

impl Meta for Double {
    fn me(&self) -> NodeId {
        NodeId::from(1)
    }

    fn map(&self) -> watch::Receiver<Arc<Map>> {
        watch::channel(Arc::default()).1
    }

    fn propose(&self, change: Change) -> Later<'_, Result<Verdict, Unsettled>> {
        self.note(format!("{change:?}"));
        let outcome = self.outcome(Verdict::Done);
        Box::pin(async move {
            match outcome.await {
                Err(why) if why == "nobody leads" => Err(Unsettled::NotProposed(why)),
                Err(why) if why == "lost" => Err(Unsettled::Unknown(why)),
                Err(why) => Ok(Verdict::Void(why)),
                Ok(done) => Ok(done),
            }
        })
    }

    fn status(&self) -> Status {
        let leader = Some(NodeId::from(3));
        Status { role: "follower", term: 5, applied: 40, committed: 41, leader }
    }
}

impl Admin for Double {
    fn meet(&self, host: String, port: u16, bus: Option<u16>) -> Later<'_, Result<(), String>> {
        self.note(format!("meet {host} {port} {bus:?}"));
        self.outcome(())
    }

    fn forget(&self, node: NodeId) -> Later<'_, Result<(), String>> {
        self.note(format!("forget {node}"));
        self.outcome(())
    }

    fn reset(&self, hard: bool) -> Later<'_, Result<(), String>> {
        self.note(format!("reset {hard}"));
        self.outcome(())
    }

    fn links(&self) -> Vec<LinkState> {
        let node = NodeId::from(2);
        let link =
            LinkState { outgoing: true, node, created: 7, writes: true, allocated: 9, used: 8 };
        vec![link]
    }

    fn traffic(&self) -> Vec<Traffic> {
        vec![
            Traffic { kind: "raft", sent: 3, received: 0 },
            Traffic { kind: "publish", sent: 1, received: 2 },
        ]
    }
}

impl Moves for Double {
    fn start(&self, slots: Vec<Range>, to: NodeId) -> Later<'_, Result<String, String>> {
        self.note(format!("start {slots:?} {to}"));
        self.outcome("a".repeat(40))
    }

    fn cancel(&self, name: Option<String>) -> Later<'_, Result<usize, String>> {
        self.note(format!("cancel {name:?}"));
        self.outcome(2)
    }

    fn status(&self) -> Vec<Move> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Spread for Double {
    fn publish(&self, channel: &[u8], message: &[u8]) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.note(format!("publish {} {}", text(channel), text(message)));
    }
}

fn member(number: u8) -> Member {
    let port = 7000 + u16::from(number);
    let endpoint = Endpoint {
        ip: [10, 0, 0, number].into(),
        hostname: String::new(),
        port,
        tls_port: 0,
        bus_port: port + 10_000,
    };
    Member {
        endpoint,
        incarnation: 1,
        weight: 100 * u32::from(number),
        zone: String::new(),
        leaving: false,
    }
}

/// Three members: 1 has 0-99, 2 has 100-8191, 3 has the rest but for the last slot, which is nobody's.
fn map() -> Map {
    let mut map = Map { epoch: 12, ..Map::default() };
    for number in 1..=3 {
        map.members.insert(NodeId::from(u32::from(number)), member(number));
    }
    for (first, last, owner) in [(0, 99, 1), (100, 8191, 2), (8192, SLOTS - 2, 3)] {
        let owner = Some(NodeId::from(owner));
        map.slots.set(first, last, Holders { owner, ..Holders::default() });
    }
    let why = crate::cluster::change::Gone::Left;
    map.former.insert(NodeId::from(9), Former { incarnation: 1, epoch: 3, why });
    map
}

/// A server and one connection to it, without sockets.
struct Bench {
    server: Server,
    session: Session,
    double: Arc<Double>,
    runtime: Runtime,
}

impl Bench {
    fn new(cluster: Option<Arc<Cluster>>) -> Bench {
        let config = Config::defaults(1 << 30);
        let log = LOG.clone();
        let acl = Acl::start(&config).expect("users");
        let slot_of = cluster.as_ref().map(|_| slot::of as SlotOf);
        let store = Options { slot_of, ..Options::default() };
        let server = Server::new(config, acl, log, store, cluster, &Machine::detect(1, 100));
        let shared = Arc::new(ClientShared::new(1, "a:1".into(), String::new(), 0, 0, 0));
        let subscriptions = server.pubsub.open(Arc::clone(&shared));
        let client = Client::new(shared, subscriptions, &server.acl);
        let session = Session::new(client, Limits::AUTHENTICATED);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Bench { server, session, double: Arc::default(), runtime }
    }

    /// The first of three nodes, which holds a lease.
    fn one_of_three() -> Bench {
        let cluster = Arc::new(Cluster::new(NodeId::from(1)));
        let bench = Bench::new(Some(Arc::clone(&cluster)));
        cluster.lease.extend(u64::MAX);
        cluster.adopt(Arc::new(map()), |_| true);
        let double = &bench.double;
        assert!(cluster.set_operations(Operations {
            meta: Arc::clone(double) as _,
            admin: Arc::clone(double) as _,
            moves: Arc::clone(double) as _,
            spread: Arc::clone(double) as _,
            thread: bench.runtime.handle().clone(),
        }));
        bench
    }

    fn cluster(&self) -> &Cluster {
        self.server.cluster.as_deref().expect("a node of a cluster")
    }

    /// The reply to a command line, ends of lines as spaces.
    fn run(&mut self, line: &str) -> String {
        self.session.decoder.read_buf().put_slice(format!("{line}\r\n").as_bytes());
        let epoch = self.server.keyspace.handle();
        loop {
            let guard = epoch.pin();
            let stats = self.server.stats.worker(0);
            let reading = self.server.clock.read();
            let (now, began) = (reading.now, reading.monotonic_ns);
            let server = &self.server;
            let ctx = Context { server, stats, guard: &guard, now, began, pooled: false };
            if !matches!(self.session.turn(&ctx, ALL, &mut None), Turn::Block) {
                break;
            }
            let wait = self.session.client.wait.as_ref().expect("it waits");
            let Some(Meanwhile::Answer(answer)) = wait.meanwhile.clone() else {
                panic!("it waits for something else")
            };
            self.runtime.block_on(answer.came());
        }
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        self.session.reply.slices(&mut slices, usize::MAX);
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        drop(slices);
        self.session.reply.advance(bytes.len());
        String::from_utf8(bytes).expect("text").replace("\r\n", " ").trim_end().to_owned()
    }

    /// What the doubles were asked by a command line that is answered with OK.
    fn asked(&mut self, line: &str) -> Vec<String> {
        assert_eq!(self.run(line), "+OK", "{line}");
        self.double.taken()
    }

    fn set_moves(&self, moves: Vec<Move>) {
        *self.double.moves.lock().unwrap_or_else(PoisonError::into_inner) = moves;
    }
}

fn job(from: u32, to: u32, slots: Range, stage: Stage) -> Move {
    Move {
        name: "b".repeat(40),
        slots: vec![slots, (7, 7)],
        from: NodeId::from(from),
        to: NodeId::from(to),
        stage,
        message: "so so".into(),
        retries: 1,
        created: 1_000,
        started: 2_000,
        ended: 3_000,
        updated: 4_000,
        heard: 5_000,
        paused: 6,
        left: 70,
    }
}

#[test]
fn without_a_cluster_every_command_says_so() {
    let mut bench = Bench::new(None);
    let arguments = |entry: &crate::commands::table::Entry| {
        let count = entry.command.arity.code().unsigned_abs() as usize;
        " 1".repeat(count - entry.full_name.split('|').count())
    };
    let ours = |entry: &&crate::commands::table::Entry| {
        entry.container == Some("cluster")
            || COMMANDS.iter().any(|row| row.name == entry.command.name && row.name != "cluster")
    };
    let lines = table().entries().iter().filter(ours);
    let lines: Vec<String> =
        lines.map(|entry| entry.full_name.replace('|', " ") + &arguments(entry)).collect();
    assert_eq!(lines.len(), 39);
    for line in lines {
        let wanted = "-ERR This instance has cluster support disabled";
        assert_eq!(bench.run(&line), wanted, "{line}");
    }
}

#[test]
fn what_shows_the_map() {
    let mut bench = Bench::one_of_three();
    assert_eq!(bench.run("cluster myid"), format!("$40 {ID_1}"));
    assert_eq!(bench.run("cluster myshardid"), format!("$40 {ID_1}"));
    assert_eq!(bench.run("cluster epoch"), ":12");
    assert!(bench.run("cluster slots").starts_with("*3 *3 :0 :99 *4 $8 10.0.0.1 :7001 $40"));
    assert!(bench.run("cluster shards").starts_with("*3 *4 $5 slots *2 :0 :99"));
    let nodes = bench.run("cluster nodes");
    assert!(nodes.contains(" myself,master - 0 0 12 connected 0-99\n"), "{nodes}");
    assert_eq!(bench.run(&format!("cluster replicas {ID_2}")), "*0");
    assert_eq!(bench.run(&format!("cluster slaves {ID_2}")), "*0");
    assert_eq!(bench.run("cluster replicas x"), "-ERR Unknown node x");
    assert_eq!(bench.run(&format!("cluster count-failure-reports {ID_3}")), ":0");
    let links = format!(
        "*1 *12 $9 direction $2 to $4 node $40 {ID_2} $11 create-time :7 $6 events $2 rw \
         $21 send-buffer-allocated :9 $16 send-buffer-used :8"
    );
    assert_eq!(bench.run("cluster links"), links);
}

#[test]
fn info() {
    let mut bench = Bench::one_of_three();
    let text = bench.run("cluster info");
    let text = text.split_once(' ').map_or("", |(_, lines)| lines);
    assert_eq!(
        text,
        format!(
            "cluster_state:fail cluster_slots_assigned:16383 cluster_slots_ok:16383 \
             cluster_slots_pfail:0 cluster_slots_fail:0 cluster_known_nodes:3 cluster_size:3 \
             cluster_current_epoch:12 cluster_my_epoch:12 cluster_stats_messages_raft_sent:3 \
             cluster_stats_messages_publish_sent:1 cluster_stats_messages_sent:4 \
             cluster_stats_messages_publish_received:2 cluster_stats_messages_received:2 \
             total_cluster_links_buffer_limit_exceeded:0 cluster_links_refused:0 \
             cluster_links_truncated:0 cluster_links_malformed:0 cluster_raft_role:follower \
             cluster_raft_term:5 cluster_raft_applied_index:40 cluster_raft_commit_index:41 \
             cluster_raft_leader:{ID_3} cluster_replicas:0 cluster_slots_to_move:0 \
             cluster_slots_without_backup:16384 cluster_fences:0 cluster_fences_in_vain:0 \
             cluster_fence_last_ms:0 cluster_fence_longest_ms:0 cluster_stream_lag:0"
        )
    );
    let mut whole = map();
    let holders = Holders { owner: Some(NodeId::from(3)), ..Holders::default() };
    whole.slots.set(SLOTS - 1, SLOTS - 1, holders);
    bench.cluster().adopt(Arc::new(Map { epoch: 13, ..whole }), |_| true);
    assert!(bench.run("cluster info").contains("cluster_state:ok "));
    assert!(bench.run("info server").contains("redis_mode:cluster"));
    assert!(bench.run("info cluster").contains("cluster_enabled:1"));
    assert!(bench.run("hello 2").contains("$4 mode $7 cluster"));
}

#[test]
fn without_a_lease_clients_are_sent_to_others_and_operators_are_answered() {
    let mut bench = Bench::one_of_three();
    bench.cluster().lease.end();
    for line in ["cluster slots", "cluster shards", "get {06S}"] {
        assert_eq!(bench.run(line), "-CLUSTERDOWN The cluster is down", "{line}");
    }
    assert!(bench.run("cluster info").contains("cluster_state:fail"));
    assert!(bench.run("cluster nodes").contains("myself"));
}

#[test]
fn slots_and_their_keys() {
    let mut bench = Bench::one_of_three();
    let key = (0..).map(|n| format!("k{n}")).find(|key| slot::of(key.as_bytes()) == 5);
    let key = key.expect("a key of every slot");
    assert_eq!(bench.run(&format!("set {{{key}}}1 v")), "+OK");
    assert_eq!(bench.run(&format!("set {{{key}}}2 v")), "+OK");
    assert_eq!(bench.run("cluster keyslot foo{hash_tag}"), ":2515");
    assert_eq!(bench.run("cluster countkeysinslot 5"), ":2");
    assert_eq!(bench.run("cluster countkeysinslot 100"), ":0");
    assert_eq!(bench.run("cluster getkeysinslot 5 0"), "*0");
    assert!(bench.run("cluster getkeysinslot 5 1").starts_with("*1 "));
    let both = bench.run("cluster getkeysinslot 5 10");
    assert!(both.starts_with("*2 ") && both.contains(&format!("{{{key}}}1")), "{both}");
    let stats = "cluster slot-stats";
    let of = |slot: u16, keys: u16| format!("*2 :{slot} *2 $9 key-count :{keys}");
    assert_eq!(
        bench.run(&format!("{stats} slotsrange 4 5")),
        format!("*2 {} {}", of(4, 0), of(5, 2))
    );
    assert_eq!(bench.run(&format!("{stats} slotsrange 99 200")), format!("*1 {}", of(99, 0)));
    let first = format!("*1 {}", of(5, 2));
    assert_eq!(bench.run(&format!("{stats} orderby key-count limit 1")), first);
    let first = format!("*2 {} {}", of(0, 0), of(1, 0));
    assert_eq!(bench.run(&format!("{stats} orderby key-count asc limit 2")), first);
    assert!(bench.run(&format!("{stats} orderby key-count")).starts_with("*100 "));
    for (line, error) in [
        ("cluster countkeysinslot x", "value is not an integer or out of range"),
        ("cluster countkeysinslot 16384", "Invalid slot"),
        ("cluster getkeysinslot 16384 1", "Invalid slot or number of keys"),
        ("cluster getkeysinslot 1 -1", "Invalid slot or number of keys"),
        ("cluster getkeysinslot 1 x", "value is not an integer or out of range"),
        ("cluster slot-stats slotsrange 1 x", "Invalid or out of range slot"),
        (
            "cluster slot-stats slotsrange 2 1",
            "Start slot number 2 is greater than end slot number 1",
        ),
        ("cluster slot-stats orderby cpu-usec", "Unrecognized sort metric for ORDERBY."),
        (
            "cluster slot-stats orderby key-count asc desc",
            "Multiple filters of the same type are disallowed.",
        ),
        (
            "cluster slot-stats orderby key-count limit 0",
            "Limit has to lie in between 1 and 16384 (maximum number of slots).",
        ),
        ("cluster slot-stats orderby key-count x", "syntax error"),
        (
            "cluster slot-stats slotsrange 1",
            "unknown subcommand or wrong number of arguments for 'slot-stats'. Try CLUSTER HELP.",
        ),
    ] {
        assert_eq!(bench.run(line), format!("-ERR {error}"), "{line}");
    }
}

#[test]
fn what_operators_want_is_asked_for_and_answered_when_it_is_done() {
    let mut bench = Bench::one_of_three();
    for (line, asked) in [
        ("cluster meet 10.0.0.4 7004", "meet 10.0.0.4 7004 None".to_owned()),
        ("cluster meet ::1 7004 9", "meet ::1 7004 Some(9)".to_owned()),
        (&format!("cluster forget {ID_2}"), format!("forget {ID_2}")),
        (&format!("cluster weight {ID_2} 7"), format!("Weight {{ node: {ID_2}, weight: 7 }}")),
        ("cluster leave", format!("Leave {{ node: {ID_1}, leaving: true }}")),
        ("cluster leave cancel", format!("Leave {{ node: {ID_1}, leaving: false }}")),
        ("cluster failover takeover", format!("Leave {{ node: {ID_1}, leaving: true }}")),
        ("cluster reset", "reset false".to_owned()),
        ("cluster reset hard", "reset true".to_owned()),
    ] {
        assert_eq!(bench.asked(line), [asked], "{line}");
    }
    assert_eq!(bench.run(&format!("cluster weight {ID_3}")), ":300");
    assert_eq!(bench.run(&format!("cluster forget {ID_9}")), "+OK");
    assert_eq!(bench.run("cluster bumpepoch"), "+STILL 12");
    assert_eq!(bench.run("cluster saveconfig"), "+OK");
    assert_eq!(bench.run("cluster set-config-epoch 3"), "+OK");
    for line in ["asking", "readonly", "readwrite"] {
        assert_eq!(bench.run(line), "+OK");
    }
    assert!(bench.double.taken().is_empty());
}

#[test]
fn what_cannot_be_wanted_is_refused() {
    let mut bench = Bench::one_of_three();
    let placed = "Slots are placed by the cluster: use CLUSTER WEIGHT or CLUSTER MIGRATION IMPORT";
    let copies = "Copies are placed by the cluster: there are no replicas (see cluster-replicas)";
    let arity = |name: &str| {
        format!("unknown subcommand or wrong number of arguments for '{name}'. Try CLUSTER HELP.")
    };
    for (line, error) in [
        ("cluster meet 1.2.3.4 x", "Invalid TCP base port specified: x"),
        ("cluster meet 1.2.3.4 7000 x", "Invalid TCP bus port specified: x"),
        ("cluster meet 1.2.3.4 99999", "Invalid node address specified: 1.2.3.4:99999"),
        ("cluster meet 1.2.3.4 7000 1 1", &arity("meet")),
        ("cluster forget x", "Unknown node x"),
        (&format!("cluster forget {ID_1}"), "I tried hard but I can't forget myself..."),
        (&format!("cluster weight {ID_2} 10001"), "A weight is between 0 and 10000"),
        (&format!("cluster weight {ID_2} x"), "value is not an integer or out of range"),
        ("cluster weight x 1", "Unknown node x"),
        ("cluster leave now", "syntax error"),
        ("cluster failover x", "syntax error"),
        ("cluster reset x", "syntax error"),
        ("cluster set-config-epoch -1", "Invalid config epoch specified: -1"),
        ("cluster addslots 1", placed),
        ("cluster addslotsrange 1 2", placed),
        ("cluster delslots 1", placed),
        ("cluster delslotsrange 1 2", placed),
        ("cluster flushslots", placed),
        ("cluster setslot 1 stable", placed),
        (&format!("cluster replicate {ID_2}"), copies),
        ("select 1", "SELECT is not allowed in cluster mode"),
        ("swapdb 0 0", "SWAPDB is not allowed in cluster mode"),
        ("move {06S} 1", "MOVE is not allowed in cluster mode"),
        ("copy {06S} {06S}1 db 1", "Copying to another database is not allowed in cluster mode"),
    ] {
        assert_eq!(bench.run(line), format!("-ERR {error}"), "{line}");
    }
    assert_eq!(bench.run("select 0"), "+OK");
    assert_eq!(bench.run("set {06S} 1"), "+OK");
    let keys = "-ERR CLUSTER RESET can't be called with master nodes containing keys";
    assert_eq!(bench.run("cluster reset"), keys);
    assert!(bench.double.taken().is_empty());
}

#[test]
fn failures_reach_the_operator() {
    let mut bench = Bench::one_of_three();
    for (why, error) in [
        ("no such member", "-ERR no such member"),
        ("nobody leads", "-CLUSTERDOWN nobody leads"),
        ("lost", "-ERR It is not known whether that was done: lost"),
    ] {
        bench.double.fail(why);
        assert_eq!(bench.run("cluster leave"), error);
    }
    bench.double.fail("it has keys");
    assert_eq!(bench.run("cluster meet 10.0.0.4 7004"), "-ERR it has keys");
    bench.double.fail("");
    let waits = "-ERR This is not allowed in a transaction or a script: it waits for other nodes";
    assert_eq!(bench.run("multi"), "+OK");
    assert_eq!(bench.run("cluster leave"), "+QUEUED");
    assert_eq!(bench.run("exec"), format!("*1 {waits}"));
    let mut down = Bench::new(Some(Arc::new(Cluster::new(NodeId::from(1)))));
    assert_eq!(down.run("cluster leave"), "-CLUSTERDOWN The node is not up yet");
    assert!(down.run("cluster info").contains("cluster_known_nodes:1"));
    assert_eq!(down.run("cluster slots"), "-CLUSTERDOWN The cluster is down");
}

#[test]
fn moves_in_the_words_of_redis() {
    let mut bench = Bench::one_of_three();
    let name = format!("$40 {}", "a".repeat(40));
    assert_eq!(bench.run("cluster migration import 100 200 300 300"), name);
    assert_eq!(bench.double.taken(), [format!("start [(100, 200), (300, 300)] {ID_1}")]);
    assert_eq!(bench.run("cluster migration cancel all"), ":2");
    assert_eq!(bench.run("cluster migration cancel id x"), ":2");
    assert_eq!(bench.double.taken(), ["cancel None", "cancel Some(\"x\")"]);
    let arity = "wrong number of arguments for 'cluster|migration' command";
    for (line, error) in [
        ("import 100", arity),
        ("import 100 200 300", arity),
        ("import 200 100", "start slot number 200 is greater than end slot number 100"),
        ("import 14000 18000", "Invalid or out of range slot"),
        ("import -1 0", "Invalid or out of range slot"),
        ("import 700 800 790 900", "Slot 790 specified multiple times"),
        ("import 16383 16383", "slot has no owner: 16383"),
        ("import 700 15000", "slots belong to different source nodes"),
        ("import 0 5", "this node is already the owner of the slot range"),
        ("cancel x", "unknown argument"),
        ("cancel all x", arity),
        ("status id", arity),
        ("what ever", "unknown argument"),
    ] {
        assert_eq!(
            bench.run(&format!("cluster migration {line}")),
            format!("-ERR {error}"),
            "{line}"
        );
    }
    bench.set_moves(vec![job(2, 1, (150, 160), Stage::Copying), job(1, 3, (5, 6), Stage::Done)]);
    let exists = "-ERR overlapping import exists for slot range: 155-155";
    assert_eq!(bench.run("cluster migration import 155 155"), exists);
    let b = "b".repeat(40);
    let of = |slots: &str, from: &str, to: &str, operation: &str, state: &str, pause: u8| {
        format!(
            "*24 $2 id $40 {b} $5 slots {slots} $6 source $40 {from} $4 dest $40 {to} \
             $9 operation {operation} $5 state {state} $10 last_error $5 so so $7 retries :1 \
             $11 create_time :1000 $10 start_time :2000 $8 end_time :3000 $14 write_pause_ms :{pause}"
        )
    };
    let one = of("$11 150-160 7-7", ID_2, ID_1, "$6 import", "$17 accumulate-buffer", 0);
    let two = of("$7 5-6 7-7", ID_1, ID_3, "$7 migrate", "$9 completed", 6);
    assert_eq!(bench.run("cluster migration status all"), format!("*2 {one} {two}"));
    assert_eq!(bench.run(&format!("cluster migration status id {b}")), format!("*2 {one} {two}"));
    assert_eq!(bench.run("cluster migration status id other"), "*0");
}

#[test]
fn moves_in_the_words_of_valkey() {
    let mut bench = Bench::one_of_three();
    let line = format!(
        "cluster migrateslots slotsrange 0 9 20 29 node {ID_2} slotsrange 40 40 node {ID_3}"
    );
    let asked = [format!("start [(0, 9), (20, 29)] {ID_2}"), format!("start [(40, 40)] {ID_3}")];
    assert_eq!(bench.asked(&line), asked);
    bench.set_moves(vec![job(1, 3, (50, 60), Stage::HandingOver)]);
    for (line, error) in [
        ("range 0 1", "syntax error"),
        ("slotsrange 0 1 node", "syntax error"),
        ("slotsrange 0 1 2", "No end slot for final slot range"),
        (&format!("slotsrange node {ID_2}"), "No slot ranges specified"),
        (
            &format!("slotsrange 9 1 node {ID_2}"),
            "Start slot number 9 is greater than end slot number 1.",
        ),
        (&format!("slotsrange 0 99999 node {ID_2}"), "Invalid or out of range slot"),
        (&format!("slotsrange 0 200 node {ID_2}"), "Requested slots span multiple shards"),
        (&format!("slotsrange 16383 16383 node {ID_2}"), "Slot 16383 has no node served."),
        (&format!("slotsrange 200 201 node {ID_2}"), "Slots are not served by this node."),
        (
            &format!("slotsrange 0 9 5 6 node {ID_2}"),
            "Slot range 5-6 overlaps with previous range 0-9.",
        ),
        (&format!("slotsrange 55 70 node {ID_2}"), "I am already migrating slot 55."),
        ("slotsrange 0 1 node x", "Invalid node name: x"),
        (&format!("slotsrange 0 1 node {ID_9}"), &format!("Unknown node name: {ID_9}")),
        (&format!("slotsrange 0 1 node {ID_1}"), "Target node can not be this node."),
        (
            &format!("slotsrange 0 1 node {ID_2} slotsrange 1 2 node {ID_3}"),
            "Slot ranges in migrations overlap",
        ),
    ] {
        assert_eq!(
            bench.run(&format!("cluster migrateslots {line}")),
            format!("-ERR {error}"),
            "{line}"
        );
    }
    let b = "b".repeat(40);
    assert_eq!(
        bench.run("cluster getslotmigrations"),
        format!(
            "*1 *24 $4 name $40 {b} $9 operation $6 EXPORT $11 slot_ranges $9 50-60 7-7 \
             $11 target_node $40 {ID_3} $11 source_node $40 {ID_1} $11 create_time :1 \
             $16 last_update_time :4 $13 last_ack_time :5 $5 state $15 failover-paused \
             $7 message $5 so so $8 cow_size :0 $19 remaining_repl_size :70"
        )
    );
    assert_eq!(bench.asked("cluster cancelslotmigrations"), ["cancel None"]);
    bench.set_moves(vec![job(1, 3, (50, 60), Stage::Cancelled)]);
    assert_eq!(bench.run("cluster cancelslotmigrations"), "-ERR No migrations ongoing");
}

#[test]
fn messages_of_channels_go_to_all_and_those_of_sharded_ones_do_not() {
    let mut bench = Bench::one_of_three();
    assert_eq!(bench.run("publish news hello"), ":0");
    assert_eq!(bench.double.taken(), ["publish news hello"]);
    assert_eq!(bench.run("spublish {06S} hello"), ":0");
    assert!(bench.double.taken().is_empty());
    assert_eq!(bench.run("spublish foo hello"), "-MOVED 12182 10.0.0.3:7003");
    assert_eq!(bench.run("ssubscribe foo"), "-MOVED 12182 10.0.0.3:7003");
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(bench.run("ssubscribe {06S} foo"), cross);
}

#[test]
fn channels_of_slots_that_go_are_taken_away() {
    let mut bench = Bench::one_of_three();
    assert_eq!(bench.run("ssubscribe {06S}a"), "*3 $10 ssubscribe $6 {06S}a :1");
    let mut next = map();
    let holders = Holders { owner: Some(NodeId::from(2)), ..Holders::default() };
    next.slots.set(0, 99, holders);
    let lost = bench.cluster().adopt(Arc::new(Map { epoch: 13, ..next }), |_| true);
    bench.server.pubsub.take_away(|name| lost.contains(slot::of(name)));
    // It comes by itself, and the connection is an ordinary one again.
    assert_eq!(bench.run("cluster epoch"), "*3 $12 sunsubscribe $6 {06S}a :0 :13");
    assert_eq!(bench.run("ssubscribe {06S}a"), "-MOVED 0 10.0.0.2:7002");
}
