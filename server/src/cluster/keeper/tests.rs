//! Whole nodes in one process, with sockets between them and a map that they share: slots are handed over,
//! backed up, taken over and flushed while clients write, and nothing that was acknowledged is lost.

use super::*;
use crate::acl::Acl;
use crate::cluster::change::{Change, Gone, Verdict};
use crate::cluster::meta::{Status, Unsettled};
use crate::cluster::node::Endpoint;
use crate::cluster::slot;
use crate::config::Config;
use crate::runtime::container::Limits as Machine;
use crate::runtime::logging::Log;
use dunlin_storage::value::set::{self, Set};
use dunlin_storage::{
    DbId, Handle, NewValue, Object, Options, Policy, ShardSet, SlotOf, Touch, Value,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

const DB: DbId = DbId(0);
/// No wait in these tests is longer: it ends what hangs, and says nothing of how long things take.
const PATIENCE: Duration = Duration::from_secs(300);

fn id(number: u32) -> NodeId {
    NodeId::from(number)
}

/// What all nodes agree on.
#[derive(Default)]
struct World {
    map: Mutex<Map>,
    watchers: Mutex<BTreeMap<NodeId, watch::Sender<Arc<Map>>>>,
    incarnations: AtomicU64,
    /// Who hears late of new maps, and how late.
    late: Mutex<BTreeMap<NodeId, Duration>>,
    /// Of so many proposals one has an unknown outcome; 0: none.
    unknown: AtomicU64,
    proposals: AtomicU64,
    /// How often a backup was said to be in sync no more.
    cut_off: AtomicU64,
}

impl World {
    fn apply(self: &Arc<Self>, change: Change) -> Verdict {
        if matches!(change, Change::Sync { in_sync: false, .. }) {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        let mut map = self.map.lock().unwrap();
        let verdict = map.apply(change);
        drop(map);
        let late = self.late.lock().unwrap().clone();
        let nodes: Vec<NodeId> = self.watchers.lock().unwrap().keys().copied().collect();
        for node in nodes {
            let Some(late) = late.get(&node).copied() else {
                self.tell(node);
                continue;
            };
            let world = Arc::clone(self);
            std::thread::spawn(move || {
                std::thread::sleep(late);
                world.tell(node);
            });
        }
        verdict
    }

    /// A node hears of the newest map.
    fn tell(&self, node: NodeId) {
        // In this order, so that no older map comes after a newer one.
        let watchers = self.watchers.lock().unwrap();
        let new = Arc::new(self.map());
        if let Some(watcher) = watchers.get(&node) {
            watcher.send_if_modified(|old| {
                let is_new = **old != *new;
                if is_new {
                    *old = Arc::clone(&new);
                }
                is_new
            });
        }
    }

    fn map(&self) -> Map {
        self.map.lock().unwrap().clone()
    }

    fn is_settled(&self) -> bool {
        let map = self.map();
        map.slots.zip(&map.goal).iter().all(|run| {
            let (holders, goal) = run.value;
            let has = |node| holders.backups().any(|backup| backup.node == node && backup.in_sync);
            holders.owner == goal.owner && goal.backups.into_iter().flatten().all(has)
        })
    }

    fn settle(&self) {
        let clock = crate::runtime::clock::Clock::new();
        let begin = clock.monotonic_ns();
        while !self.is_settled() {
            let waited = Duration::from_nanos(clock.monotonic_ns() - begin);
            assert!(waited < PATIENCE, "it is not as it shall be: {:#?}", self.map());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = crate::runtime::clock::Clock::new();
    let begin = clock.monotonic_ns();
    while !is_so() {
        let waited = Duration::from_nanos(clock.monotonic_ns() - begin);
        assert!(waited < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Agreement {
    me: NodeId,
    world: Arc<World>,
    map: watch::Receiver<Arc<Map>>,
}

impl Meta for Agreement {
    fn me(&self) -> NodeId {
        self.me
    }

    fn map(&self) -> watch::Receiver<Arc<Map>> {
        self.map.clone()
    }

    fn propose(&self, change: Change) -> Later<'_, Result<Verdict, Unsettled>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            let verdict = self.world.apply(change);
            // With the verdict it knows the map.
            self.world.tell(self.me);
            let number = self.world.proposals.fetch_add(1, Ordering::Relaxed);
            let of = self.world.unknown.load(Ordering::Relaxed);
            match of > 0 && number.is_multiple_of(of) {
                true => Err(Unsettled::Unknown("lost".into())),
                false => Ok(verdict),
            }
        })
    }

    fn status(&self) -> Status {
        Status::default()
    }
}

struct Loopback;

impl Dial for Loopback {
    fn dial(&self, _: NodeId, member: &Member) -> Later<'_, io::Result<Box<dyn Wire>>> {
        let port = member.endpoint.bus_port;
        Box::pin(async move {
            let wire = TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Box::new(wire) as Box<dyn Wire>)
        })
    }
}

struct TestNode {
    id: NodeId,
    world: Arc<World>,
    server: &'static Server,
    cluster: Arc<Cluster>,
    streams: Arc<Streams>,
    runtime: Option<Runtime>,
}

impl TestNode {
    /// Begins a node, which joins.
    fn start(world: &Arc<World>, number: u32) -> TestNode {
        Self::start_with(world, number, 0)
    }

    fn start_with(world: &Arc<World>, number: u32, max_memory: u64) -> TestNode {
        let config = Config::defaults(8 << 30);
        let acl = Acl::start(&config).unwrap();
        let cluster = Arc::new(Cluster::new(id(number)));
        cluster.lease.extend(u64::MAX);
        let slot_of = Some(slot::of as SlotOf);
        let shown = Some(Arc::clone(cluster.routes.shown()));
        let options = Options { shards: 16, slot_of, shown, ..Options::default() };
        let machine = Machine::detect(1, 100);
        let own = Some(Arc::clone(&cluster));
        let server = Server::new(config, acl, Log::silent(), options, own, &machine);
        let server: &'static Server = Box::leak(Box::new(server));
        server.keyspace.set_max_memory(max_memory);
        server.keyspace.set_policy(Policy::NoEviction);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (sender, receiver) = watch::channel(Arc::new(Map::default()));
        world.watchers.lock().unwrap().insert(id(number), sender);
        let meta = Agreement { me: id(number), world: Arc::clone(world), map: receiver };
        let (streams, keeper) =
            Streams::new(server, Arc::clone(&cluster), Arc::new(meta), Arc::new(Loopback));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let bus_port = listener.local_addr().unwrap().port();
        let accepting = Arc::clone(&streams);
        runtime.spawn(async move {
            while let Ok((wire, _)) = listener.accept().await {
                accepting.accept(None, Box::new(wire));
            }
        });
        runtime.spawn(keeper.run());
        let incarnation = world.incarnations.fetch_add(1, Ordering::Relaxed) + 1;
        let ip = "127.0.0.1".parse().unwrap();
        let hostname = String::new();
        let endpoint = Endpoint { ip, hostname, port: number as u16, tls_port: 0, bus_port };
        let life = Life { node: id(number), incarnation };
        let zone = String::new();
        world.apply(Change::Join { life, endpoint, weight: 100, zone, seen: 0 });
        let world = Arc::clone(world);
        TestNode { id: id(number), world, server, cluster, streams, runtime: Some(runtime) }
    }

    /// Waits until all slots are this node's own.
    fn serves_all(&self) {
        let serves = |slot| self.cluster.serves(slot, 1);
        wait("it serves everything", || (0..slot::SLOTS).all(serves));
    }

    /// Ends it without a word.
    fn kill(&mut self) -> Life {
        self.cluster.lease.end();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let map = self.world.map();
        let incarnation = map.members.get(&self.id).map_or(0, |member| member.incarnation);
        Life { node: self.id, incarnation }
    }

    fn client(&self) -> Client {
        Client {
            server: self.server,
            cluster: Arc::clone(&self.cluster),
            handle: self.server.keyspace.handle(),
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs commands as a worker does: what may be done is asked under the pin under which it is done.
struct Client {
    server: &'static Server,
    cluster: Arc<Cluster>,
    handle: Handle,
}

impl Client {
    fn write<R>(
        &self,
        name: &str,
        write: impl FnOnce(&mut crate::Roles<'_>, &dunlin_storage::Key<'_>) -> R,
    ) -> Option<R> {
        let guard = self.handle.pin();
        let key = self.server.keyspace.key(name.as_bytes());
        if !self.cluster.serves(slot::of(name.as_bytes()), 1) {
            return None;
        }
        let shards = ShardSet::one(self.server.keyspace.shard_of(key.hash));
        loop {
            if let Some(mut writer) = self.server.keyspace.try_enter(&shards, &guard) {
                return Some(write(&mut writer, &key));
            }
            std::thread::yield_now();
        }
    }

    fn set(&self, name: &str, value: u64) -> bool {
        let value = value.to_string();
        let set = self.write(name, |writer, key| {
            writer.put(DB, key, NewValue::Bytes(value.as_bytes()), None, 0);
        });
        set.is_some()
    }

    /// What is there, whoever owns it.
    fn look(&self, name: &str) -> Option<u64> {
        let guard = self.handle.pin();
        let key = self.server.keyspace.key(name.as_bytes());
        let entry = self.server.keyspace.get(DB, &key, 0, Touch::No, &guard)?;
        let Value::Str(text) = entry.value() else { return None };
        String::from_utf8_lossy(&text.to_cow()).parse().ok()
    }

    /// What a client reads, if this node serves it.
    fn get(&self, name: &str) -> Option<Option<u64>> {
        let guard = self.handle.pin();
        if !self.cluster.serves(slot::of(name.as_bytes()), 1) {
            return None;
        }
        let found = self.look(name);
        drop(guard);
        Some(found)
    }

    fn members(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        let key = self.server.keyspace.key(name.as_bytes());
        let shard = self.server.keyspace.shard_of(key.hash);
        let (server, name) = (self.server, name.to_owned());
        role::under(self.server, &self.handle, shard, move |writer| {
            let entry = writer.get(DB, &server.keyspace.key(name.as_bytes()), 0)?;
            let Some(Object::Set(set)) = writer.object(&entry) else { return None };
            let mut members: Vec<Vec<u8>> =
                set.view().iter().map(|member| member.with(<[u8]>::to_vec)).collect();
            members.sort();
            Some(members)
        })?
    }
}

/// Writes rising numbers to keys of its own on whichever node serves them, and reads them back.
fn write_for(clients: &[Client], stop: &AtomicBool) -> BTreeMap<String, u64> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let (mut written, mut number) = (BTreeMap::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let name = format!("writer:{run}:{}", number * 7919 % 500);
        while !clients.iter().any(|client| client.set(&name, number)) {
            if stop.load(Ordering::Relaxed) {
                return written;
            }
            std::thread::yield_now();
        }
        written.insert(name, number);
        // A writer that never rests takes the processor from those who have to copy what it writes.
        if number.is_multiple_of(8) {
            std::thread::sleep(Duration::from_micros(100));
        }
        let probe = format!("writer:{run}:{}", number * 31 % 500);
        if let Some(found) = clients.iter().find_map(|client| client.get(&probe)) {
            assert_eq!(found, written.get(&probe).copied(), "{probe}");
        }
    }
    written
}

fn fill(client: &Client, keys: u64) {
    for key in 0..keys {
        assert!(client.set(&format!("key:{key}"), key));
    }
}

/// All keys are on their owners, and on the backups that shall have them, and nowhere else.
fn check(nodes: &[&TestNode], expected: &BTreeMap<String, u64>) {
    let clients: Vec<(NodeId, Client)> =
        nodes.iter().map(|node| (node.id, node.client())).collect();
    wait("copies that nobody needs are gone", || {
        let map = nodes[0].world.map();
        nodes.iter().all(|node| {
            let needs = |slot| {
                let holders = map.slots.get(slot);
                holders.owner == Some(node.id) || holders.is_backup(node.id)
            };
            node.server.keyspace.keys_in_slots(|slot| !needs(slot)) == 0
        })
    });
    wait("all is sent", || {
        let lag = |node: &&TestNode| {
            let map = node.world.map();
            let lives = map
                .members
                .iter()
                .map(|(node, member)| Life { node: *node, incarnation: member.incarnation });
            lives.map(|life| node.streams.taps.lag(life)).sum::<usize>()
        };
        nodes.iter().map(lag).sum::<usize>() == 0
    });
    let map = nodes[0].world.map();
    for (name, value) in expected {
        let holders = map.slots.get(slot::of(name.as_bytes()));
        for (node, client) in &clients {
            let is_holder = holders.owner == Some(*node) || holders.is_backup(*node);
            let found = client.look(name);
            assert_eq!(found, is_holder.then_some(*value), "{name} at {node}, {holders:?}");
        }
    }
}

fn keys(count: u64) -> BTreeMap<String, u64> {
    (0..count).map(|key| (format!("key:{key}"), key)).collect()
}

/// Ends the writers, also when what happens beside them fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Several writers beside what happens; what they have written in the end.
fn beside(nodes: &[&TestNode], happens: impl FnOnce()) -> BTreeMap<String, u64> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let stop = &stop;
                scope.spawn(move || {
                    let clients: Vec<Client> = nodes.iter().map(|node| node.client()).collect();
                    write_for(&clients, stop)
                })
            })
            .collect();
        let ending = Ending(&stop);
        happens();
        drop(ending);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

fn world(replicas: u8) -> Arc<World> {
    let world = Arc::new(World::default());
    world.map.lock().unwrap().replicas = replicas;
    world
}

#[test]
fn nothing_is_lost_when_nodes_join_and_leave_under_load() {
    let world = world(1);
    world.unknown.store(5, Ordering::Relaxed);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let two = TestNode::start(&world, 2);
    let three = TestNode::start(&world, 3);
    let nodes = [&one, &two, &three];
    let mut expected = beside(&nodes, || {
        world.settle();
        world.apply(Change::Leave { node: id(2), leaving: true });
        world.settle();
    });
    expected.extend(keys(8_000));
    check(&nodes, &expected);
    assert_eq!(two.server.keyspace.keys_in_slots(|_| true), 0, "it may go");
}

/// The former owner is a backup from the commit on, and its connection may be gone, or be about the next
/// batch, before the new owner hears of the commit.
#[test]
fn what_was_handed_over_comes_back_as_it_is_however_late_maps_are() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 2_000);
    world.late.lock().unwrap().insert(id(2), Duration::from_millis(60));
    let two = TestNode::start(&world, 2);
    let nodes = [&one, &two];
    let mut expected = beside(&nodes, || {
        for weight in [0, 100, 0, 100] {
            world.settle();
            world.apply(Change::Weight { node: id(1), weight });
        }
        world.settle();
    });
    expected.extend(keys(2_000));
    check(&nodes, &expected);
    assert_eq!(world.cut_off.load(Ordering::Relaxed), 0, "what was handed over is kept up");
}

#[test]
fn a_backup_follows_an_owner_that_is_gone() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 5_000);
    let mut two = TestNode::start(&world, 2);
    let three = TestNode::start(&world, 3);
    world.settle();
    let mut expected = beside(&[&one, &two, &three], || {
        std::thread::sleep(Duration::from_millis(200));
    });
    expected.extend(keys(5_000));
    check(&[&one, &two, &three], &expected);
    let life = two.kill();
    world.apply(Change::Remove { life, why: Gone::Silent });
    world.settle();
    check(&[&one, &three], &expected);
    // It comes back with nothing, and gets its share.
    drop(two);
    let two = TestNode::start(&world, 2);
    world.settle();
    check(&[&one, &two, &three], &expected);
}

#[test]
fn a_taker_that_dies_in_the_middle_costs_nothing() {
    let world = world(0);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let mut expected = BTreeMap::new();
    for round in 0..3 {
        let mut two = TestNode::start(&world, 2);
        let moved = || {
            let of_two = |slot: &u16| world.map().slots.get(*slot).owner == Some(id(2));
            (0..slot::SLOTS).step_by(64).filter(of_two).count()
        };
        let written = beside(&[&one], || {
            // Before anything has moved: what has is gone with it, and so are those who wait for it.
            if round == 2 {
                wait("something has begun", || !one.streams.moves().is_empty());
            }
            let life = two.kill();
            world.apply(Change::Remove { life, why: Gone::Silent });
        });
        if moved() == 0 {
            expected.extend(written);
        }
        let whole = |map: &Map| map.slots.runs().iter().all(|run| run.value.empty_since <= 1);
        if whole(&world.map()) {
            expected.extend(keys(8_000));
            check(&[&one], &expected);
        }
        wait("it serves everything", || (0..slot::SLOTS).all(|slot| one.cluster.serves(slot, 1)));
    }
}

fn big_set(members: std::ops::Range<u32>) -> Object {
    let (mut set, limits) = (Set::new(), set::Limits::new(7));
    for member in members {
        set.add(format!("member:{member}").as_bytes(), &limits);
    }
    Object::Set(set)
}

#[test]
fn what_was_lost_with_a_connection_is_sent_again() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 2_000);
    let two = TestNode::start(&world, 2);
    world.settle();
    let mut expected = beside(&[&one, &two], || {
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(30));
            for node in [&one, &two] {
                let sinks = node.streams.sinks.lock().unwrap();
                sinks.values().for_each(tokio::task::AbortHandle::abort);
            }
        }
    });
    world.settle();
    expected.extend(keys(2_000));
    check(&[&one, &two], &expected);
}

#[test]
fn who_waits_is_told_how_many_have_it() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    assert_eq!(one.streams.awaited(1, None).acknowledged(), 0, "there is no backup");
    let mut two = TestNode::start(&world, 2);
    world.settle();
    let client = one.client();
    let name = (0..).map(|i| format!("key:{i}")).find(|name| client.set(name, 1)).unwrap();
    let awaited = one.streams.awaited(1, None);
    wait("the backup has it", || awaited.acknowledged() == 1);
    assert_eq!(two.client().look(&name), Some(1));
    two.kill();
    assert!(client.set(&name, 2));
    let awaited = one.streams.awaited(1, Some(5));
    assert_eq!(awaited.acknowledged(), 0, "nobody is there");
    assert!(awaited.is_over(5) && !awaited.is_over(4));
}

#[test]
fn large_collections_come_whole_and_change_on_the_way() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    let client = one.client();
    let names: Vec<String> = (0..8).map(|i| format!("big:{i}")).collect();
    for name in &names {
        client.write(name, |writer, key| {
            let set = NewValue::Object(Box::new(big_set(0..5_000)));
            writer.put(DB, key, set, None, 0);
        });
    }
    let long = "x".repeat(3 << 20);
    client.write("long", |writer, key| {
        writer.put(DB, key, NewValue::Bytes(long.as_bytes()), None, 0);
    });
    let two = TestNode::start(&world, 2);
    let clients = [one.client(), two.client()];
    let mut next = 5_000_u32;
    while !world.is_settled() || next < 5_100 {
        for name in &names {
            let (limits, added) = (set::Limits::new(7), format!("member:{next}"));
            let gone = format!("member:{}", next - 5_000);
            let change = |client: &Client| {
                client.write(name, |writer, key| {
                    writer.update(DB, key, 0, |object| {
                        let Object::Set(set) = object else { unreachable!() };
                        set.add(added.as_bytes(), &limits);
                        set.remove(gone.as_bytes());
                    });
                })
            };
            wait("somebody serves it", || clients.iter().any(|client| change(client).is_some()));
        }
        next += 1;
        // They are copied anew with each change, so nothing settles if changes come faster than that. How
        // fast that is depends on the machine: the pauses grow, up to a second.
        std::thread::sleep(Duration::from_millis(2 << ((next - 5_000) / 200).min(9)));
        assert!(next < 8_000, "it never settles");
    }
    check(&[&one, &two], &BTreeMap::new());
    let mut expected: Vec<Vec<u8>> =
        (next - 5_000..next).map(|member| format!("member:{member}").into_bytes()).collect();
    expected.sort();
    for (name, client) in names.iter().flat_map(|name| clients.iter().map(move |c| (name, c))) {
        assert!(client.members(name).as_ref() == Some(&expected), "{name}");
    }
    for client in &clients {
        let guard = client.handle.pin();
        let key = client.server.keyspace.key(b"long");
        let entry = client.server.keyspace.get(DB, &key, 0, Touch::No, &guard).unwrap();
        let Value::Str(text) = entry.value() else { panic!() };
        assert!(text.eq_bytes(long.as_bytes()));
    }
}

#[test]
fn what_was_flushed_does_not_come_back() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let two = TestNode::start(&world, 2);
    wait("something has begun", || !one.streams.moves().is_empty());
    for node in [&one, &two] {
        let client = node.client();
        wait("all roles are free", || {
            let guard = client.handle.pin();
            let all = ShardSet::all(&node.server.keyspace);
            let Some(mut writer) = node.server.keyspace.try_enter(&all, &guard) else {
                return false;
            };
            // Fenced slots are a node's own, but a command for all keys waits for them.
            let own = node.cluster.routes.own();
            if own.iter().any(|slot| !node.cluster.serves(slot, 1)) {
                return false;
            }
            writer.flush(DB);
            true
        });
    }
    let clients = [one.client(), two.client()];
    for key in 0..100 {
        let name = format!("new:{key}");
        wait("somebody serves it", || clients.iter().any(|client| client.set(&name, key)));
    }
    world.settle();
    let expected = (0..100).map(|key| (format!("new:{key}"), key)).collect();
    check(&[&one, &two], &expected);
}

#[test]
fn a_taker_without_memory_is_let_alone() {
    let world = world(0);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 10_000);
    let two = TestNode::start_with(&world, 2, 1);
    std::thread::sleep(Duration::from_millis(500));
    let of_two = |slot: &u16| world.map().slots.get(*slot).owner == Some(id(2));
    assert_eq!((0..slot::SLOTS).filter(of_two).count(), 0);
    let client = one.client();
    one.serves_all();
    assert!((0..10_000).all(|key| client.get(&format!("key:{key}")) == Some(Some(key))));
    two.server.keyspace.set_max_memory(0);
    world.settle();
    check(&[&one, &two], &keys(10_000));
}
