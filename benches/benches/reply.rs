//! The reply writer: nanoseconds per reply, in batches of 16.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dunlin_protocol::{Proto, Reply};
use std::hint::black_box;

const BATCH: u64 = 16;

fn reply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(BATCH));
    let mut bench = |name: &str, write: &dyn Fn(&mut Reply)| {
        let mut reply = Reply::new(Proto::Resp3);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..BATCH {
                    write(&mut reply);
                }
                reply.advance(black_box(reply.pending()));
            });
        });
    };
    let value = [b'v'; 64];
    bench("bulk_64", &|reply| reply.bulk(black_box(&value)));
    bench("bulk_16", &|reply| reply.bulk(black_box(&value[..16])));
    bench("int", &|reply| reply.int(black_box(123_456)));
    bench("ok", &|reply| reply.ok());
    bench("double", &|reply| reply.double(black_box(3.25)));
    group.finish();
}

criterion_group!(benches, reply);
criterion_main!(benches);
