//! What clients are told of the map, one thread: a view of a map in 5,000 pieces is made, CLUSTER
//! SLOTS is rendered for it once, and answered from it; and MOVED.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dunlin::cluster::map::{Holders, Map};
use dunlin::cluster::node::{Endpoint, Member, NodeId};
use dunlin::cluster::slot::SLOTS;
use dunlin::cluster::view::{Kind, Preferred, View};
use dunlin_protocol::{Proto, Reply};
use std::hint::black_box;
use std::sync::Arc;

const MEMBERS: u16 = 100;
const RANGES: u16 = 5_000;

fn member(number: u16) -> Member {
    let [high, low] = number.to_be_bytes();
    let endpoint = Endpoint {
        ip: [10, 0, high, low].into(),
        hostname: String::new(),
        port: 6379,
        tls_port: 0,
        bus_port: 16_379,
    };
    Member { endpoint, incarnation: 1, weight: 100, zone: String::new(), leaving: false }
}

/// Neighbours have different owners, so that there are as many ranges as pieces.
fn map() -> Map {
    let mut map = Map { epoch: 1, ..Map::default() };
    for number in 0..MEMBERS {
        map.members.insert(NodeId::from(u32::from(number)), member(number));
    }
    for range in 0..RANGES {
        let first = u32::from(range) * u32::from(SLOTS) / u32::from(RANGES);
        let owner = Some(NodeId::from(u32::from(range % MEMBERS)));
        let first = u16::try_from(first).expect("a slot");
        map.slots.set(first, SLOTS - 1, Holders { owner, ..Holders::default() });
    }
    map
}

fn topology(c: &mut Criterion) {
    let mut group = c.benchmark_group("topology");
    let map = Arc::new(map());
    let view = || View::new(Arc::clone(&map), NodeId::from(0), Preferred::Ip);
    assert_eq!(map.slots.runs().len(), usize::from(RANGES));
    group.bench_function("view", |b| b.iter(view));
    group.bench_function("render-slots", |b| {
        let render = |view: View| view.reply(Kind::Slots, Proto::Resp2, false).len();
        b.iter_batched(view, render, BatchSize::SmallInput);
    });
    let view = view();
    group.bench_function("answer-slots", |b| {
        b.iter_batched(
            || Reply::new(Proto::Resp2),
            |mut reply| {
                reply.raw_shared(view.reply(Kind::Slots, Proto::Resp2, false));
                reply
            },
            BatchSize::SmallInput,
        );
    });
    let mut slot = 0;
    group.bench_function("moved", |b| {
        b.iter(|| {
            slot = (slot + 7919) % SLOTS;
            black_box(view.moved(slot, false))
        });
    });
    group.finish();
}

criterion_group!(benches, topology);
criterion_main!(benches);
