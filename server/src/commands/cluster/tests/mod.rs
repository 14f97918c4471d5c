//! The family against doubles of what it asks.

mod channels;
mod moves;
mod operators;
mod view;

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
