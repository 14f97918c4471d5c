//! Whole nodes in one process, with sockets between them and a map that they share: slots are handed over,
//! backed up, taken over and flushed while clients write, and nothing that was acknowledged is lost.

mod backups;
mod clearing;
mod contents;
mod moves;
mod world;

use super::*;
use crate::acl::Acl;
use crate::cluster::change::Change;
use crate::cluster::node::Endpoint;
use crate::cluster::slot;
use crate::config::Config;
use crate::runtime::container::Limits as Machine;
use crate::runtime::logging::Log;
use dunlin_storage::{
    DbId, Handle, NewValue, Object, Options, Policy, ShardSet, SlotOf, Touch, Value,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use world::{Agreement, Loopback, World};

const DB: DbId = DbId(0);
/// No wait in these tests is longer: it ends what hangs, and says nothing of how long things take.
const PATIENCE: Duration = Duration::from_secs(300);

fn id(number: u32) -> NodeId {
    NodeId::from(number)
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
