//! The request decoder: nanoseconds per command of a pipeline of 16.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dunlin_protocol::{Decoder, Limits, Proto, Reply};
use std::hint::black_box;
use std::io::IoSlice;

const PIPELINE: usize = 16;

fn pipeline(command: &[&[u8]], count: usize) -> Vec<u8> {
    let mut wire = Reply::new(Proto::Resp2);
    for _ in 0..count {
        wire.array(command.len());
        command.iter().for_each(|argument| wire.bulk(argument));
    }
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    wire.slices(&mut slices, usize::MAX);
    slices
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect()
}

/// Reads a batch as the server does, and looks at every argument.
fn batch(decoder: &mut Decoder, wire: &[u8]) -> usize {
    decoder.read_buf().extend_from_slice(wire);
    let count = decoder.parse(1024);
    let mut bytes = 0;
    for i in 0..count {
        let request = decoder.request(i);
        bytes += request.iter().map(<[u8]>::len).sum::<usize>();
    }
    decoder.clear();
    bytes
}

fn request(criterion: &mut Criterion) {
    let value = [b'v'; 64];
    let mut group = criterion.benchmark_group("request");
    for (name, wire) in [
        ("get", pipeline(&[b"GET", b"key:000000000042"], PIPELINE)),
        (
            "set_64",
            pipeline(&[b"SET", b"key:000000000042", &value], PIPELINE),
        ),
        ("inline_get", b"GET key:000000000042\r\n".repeat(PIPELINE)),
    ] {
        group.throughput(Throughput::Elements(PIPELINE as u64));
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(batch(&mut decoder, black_box(&wire))));
        });
    }
    // A value of 1 MiB: what the chunks cost beside one copy.
    let big = pipeline(&[b"SET", b"key:000000000042", &vec![b'v'; 1 << 20]], 1);
    group.throughput(Throughput::Bytes(big.len() as u64));
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    group.bench_function("set_1m", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&big[..]);
            while !rest.is_empty() {
                let buffer = decoder.read_buf();
                let taken = (buffer.capacity() - buffer.len()).min(rest.len());
                buffer.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                decoder.parse(16);
            }
            let len = black_box(decoder.request(0).value(2).len());
            decoder.clear();
            len
        });
    });
    group.finish();
}

criterion_group!(benches, request);
criterion_main!(benches);
