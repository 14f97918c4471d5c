//! Writing of replies: a batch of them into the buffer, out as slices, forgotten as sent.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin_protocol::{Proto, Reply};
use std::hint::black_box;
use std::io::IoSlice;

const BATCH: u64 = 16;

/// Takes everything out as one write would; the bytes it takes on the wire.
fn send(reply: &mut Reply) -> usize {
    let pending = reply.pending();
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    reply.slices(&mut slices, 64);
    let sent: usize = slices.iter().map(|s| s.len()).sum();
    assert_eq!(black_box(&slices).is_empty(), pending == 0);
    reply.advance(sent);
    sent
}

/// A name and how to write one reply of it.
type Case = (&'static str, fn(&mut Reply, &[u8]));

fn replies(c: &mut Criterion) {
    let value = vec![b'v'; 64];
    let cases: [Case; 8] = [
        ("ok", |r, _| r.ok()),
        ("bulk-64B", |r, v| r.bulk(v)),
        ("int", |r, _| r.int(black_box(1_234_567))),
        ("null", |r, _| r.null()),
        ("error", |r, _| {
            r.error("WRONGTYPE Operation against a key holding the wrong kind");
        }),
        ("double", |r, _| r.double(black_box(3.25))),
        ("array-10x64B", |r, v| {
            r.array(10);
            (0..10).for_each(|_| r.bulk(v));
        }),
        ("map-5", |r, v| {
            r.map(5);
            (0..5).for_each(|n| {
                r.bulk(v);
                r.int(n);
            });
        }),
    ];
    let mut group = c.benchmark_group("reply");
    group.throughput(Throughput::Elements(BATCH));
    for (version, proto) in [("resp2", Proto::Resp2), ("resp3", Proto::Resp3)] {
        for (name, write) in &cases {
            let mut reply = Reply::new(proto);
            group.bench_function(BenchmarkId::new(version, name), |b| {
                b.iter(|| {
                    (0..BATCH).for_each(|_| write(&mut reply, black_box(&value)));
                    send(&mut reply)
                });
            });
        }
    }
    let chunks: Vec<Bytes> = (0..32).map(|_| Bytes::from(vec![b'c'; 32 * 1024])).collect();
    group.throughput(Throughput::Elements(1));
    group.bench_function("chunks-1MB", |b| {
        let mut reply = Reply::new(Proto::Resp2);
        b.iter(|| {
            reply.bulk_chunks(1 << 20, chunks.iter().cloned());
            send(&mut reply)
        });
    });
    group.finish();
}

criterion_group!(benches, replies);
criterion_main!(benches);
