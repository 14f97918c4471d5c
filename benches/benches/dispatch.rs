//! A whole turn without a socket: bytes of a pipeline in, commands found, checked, run on the
//! keyspace and counted, replies out. What the server adds to the sum of request, table and reply
//! is dispatch. The same on a node of a cluster, and what it costs there to send a client elsewhere.

use bytes::BufMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin::Context;
use dunlin::acl::Acl;
use dunlin::client::{Client, ClientShared};
use dunlin::cluster::node::{Endpoint, NodeId};
use dunlin::cluster::{Cluster, slot};
use dunlin::config::Config;
use dunlin::overload::sentinel::Allowance;
use dunlin::runtime::clock::Reading;
use dunlin::runtime::container::Limits as Machine;
use dunlin::runtime::logging::Log;
use dunlin::server::Server;
use dunlin::session::Session;
use dunlin_benches::request::{Op, Requests, Ttl, ValueSize};
use dunlin_benches::rng::Rng;
use dunlin_benches::scan::{Reply, Scan, Wire, scan};
use dunlin_protocol::Limits;
use dunlin_storage::{Handle, Options, SlotOf};
use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;

const MEMORY: u64 = 8 << 30;
const KEYS: u64 = 100_000;
/// Pipelines prepared per case: one would stay in the caches.
const VARIANTS: usize = 256;
/// A turn that nobody else waits for.
const ALL: Allowance = Allowance { commands: usize::MAX, nanos: u64::MAX };

fn server(cluster: Option<Cluster>) -> Result<Server, String> {
    let config = Config::defaults(MEMORY);
    let log = Log::start(&config.settings())?;
    let acl = Acl::start(&config)?;
    let store = Options {
        slot_of: cluster.as_ref().map(|_| slot::of as SlotOf),
        shown: cluster.as_ref().map(|cluster| Arc::clone(cluster.routes.shown())),
        ..Options::default()
    };
    let machine = Machine::detect(1, 100);
    Ok(Server::new(config, acl, log, store, cluster.map(Arc::new), &machine))
}

/// A node that owns all slots, as far as it knows.
fn node(me: u32) -> Cluster {
    let ip = std::net::IpAddr::from([10, 0, 0, 1]);
    let endpoint = Endpoint { ip, hostname: String::new(), port: 6379, tls_port: 0, bus_port: 0 };
    Cluster::alone(NodeId::from(me), endpoint)
}

fn session(server: &Server) -> Session {
    let (addr, laddr) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
    let now = server.clock.now();
    let shared = ClientShared::new(server.clients.next_id(), addr, laddr, 0, 0, now);
    let shared = Arc::new(shared);
    let subscriptions = server.pubsub.open(Arc::clone(&shared));
    Session::new(Client::new(shared, subscriptions, &server.acl), Limits::AUTHENTICATED)
}

/// Runs a pipeline as a worker does; the bytes of its replies, which `look` may see.
fn turn(
    server: &Server,
    session: &mut Session,
    epoch: &Handle,
    bytes: &[u8],
    look: impl FnOnce(&[IoSlice<'_>]),
) -> usize {
    session.decoder.read_buf().put_slice(bytes);
    let guard = epoch.pin();
    let stats = server.stats.worker(0);
    let Reading { now, monotonic_ns: began } = server.clock.read();
    let ctx = Context { server, stats, guard: &guard, now, began, pooled: false };
    black_box(session.turn(&ctx, ALL, &mut None));
    let pending = session.reply.pending();
    let mut slices = Vec::new();
    session.reply.slices(&mut slices, 64);
    look(&slices);
    drop(slices);
    session.reply.advance(pending);
    pending
}

fn pipelines(op: Op, depth: u64) -> Vec<Vec<u8>> {
    let requests = Requests::new(Wire::Resp, ValueSize::Fixed(64), Ttl::None);
    let mut rng = Rng::new(1);
    let mut one = || {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let key = rng.below(KEYS);
            requests.append(&mut bytes, op, key, &mut Rng::new(1));
        }
        bytes
    };
    (0..VARIANTS).map(|_| one()).collect()
}

/// All replies must be there and none an error: a refused command would be fast.
fn check(replies: &[IoSlice<'_>], wanted: u64) {
    let bytes: Vec<u8> = replies.iter().flat_map(|slice| slice.iter().copied()).collect();
    let (mut at, mut seen) = (0, 0);
    while let Scan::Whole(reply, used) = scan(Wire::Resp, &bytes[at..]) {
        assert!(!matches!(reply, Reply::Error(_) | Reply::Miss), "{reply:?}");
        at += used;
        seen += 1;
    }
    assert_eq!((at, seen), (bytes.len(), wanted));
}

fn dispatch(c: &mut Criterion) {
    commands(c, "dispatch", None);
    commands(c, "dispatch-cluster", Some(node(1)));
    let elsewhere = node(1);
    elsewhere.adopt(node(2).map(), |_| true);
    redirections(c, elsewhere);
}

/// Every GET is another node's.
fn redirections(c: &mut Criterion, cluster: Cluster) {
    let server = server(Some(cluster)).unwrap_or_else(|error| panic!("{error}"));
    let (mut session, epoch) = (session(&server), server.keyspace.handle());
    let (pipelines, mut next) = (pipelines(Op::Get, 16), 0);
    turn(&server, &mut session, &epoch, &pipelines[0], |replies| {
        assert!(replies.iter().all(|slice| slice.starts_with(b"-MOVED ")), "sent elsewhere");
    });
    let mut group = c.benchmark_group("dispatch-moved");
    group.throughput(Throughput::Elements(16));
    group.bench_function(BenchmarkId::new(Op::Get.name(), 16), |b| {
        b.iter(|| {
            next = (next + 1) % VARIANTS;
            turn(&server, &mut session, &epoch, &pipelines[next], |_| {})
        });
    });
    group.finish();
}

fn commands(c: &mut Criterion, name: &str, cluster: Option<Cluster>) {
    let server = server(cluster).unwrap_or_else(|error| panic!("{error}"));
    let mut session = session(&server);
    let epoch = server.keyspace.handle();
    let requests = Requests::new(Wire::Resp, ValueSize::Fixed(64), Ttl::None);
    let mut rng = Rng::new(1);
    for key in 0..KEYS {
        let mut bytes = Vec::new();
        requests.append(&mut bytes, Op::Set, key, &mut rng);
        turn(&server, &mut session, &epoch, &bytes, |replies| check(replies, 1));
    }
    let mut group = c.benchmark_group(name);
    for op in [Op::Ping, Op::Get, Op::Set, Op::Incr] {
        for depth in [1, 16, 64] {
            let pipelines = pipelines(op, depth);
            let mut next = 0;
            for bytes in &pipelines {
                turn(&server, &mut session, &epoch, bytes, |replies| check(replies, depth));
            }
            group.throughput(Throughput::Elements(depth));
            group.bench_function(BenchmarkId::new(op.name(), depth), |b| {
                b.iter(|| {
                    next = (next + 1) % VARIANTS;
                    turn(&server, &mut session, &epoch, &pipelines[next], |_| {})
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
