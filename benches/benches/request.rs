//! Parsing of requests: bytes of a pipeline to a batch of commands and back to an empty decoder.
//!
//! Beside Dunlin's decoder stands redis-protocol on the same bytes, for scale. Throughput is in
//! commands.

use bytes::BufMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dunlin_benches::request::{Op, Requests, Ttl, ValueSize};
use dunlin_benches::rng::Rng;
use dunlin_benches::scan::Wire;
use dunlin_protocol::{Decoder, Limits};
use redis_protocol::resp2::decode::decode;
use std::hint::black_box;

/// A pipeline of `n` requests.
fn pipeline(op: Op, n: u64, size: usize) -> Vec<u8> {
    let requests = Requests::new(Wire::Resp, ValueSize::Fixed(size), Ttl::None);
    let mut rng = Rng::new(1);
    let mut bytes = Vec::new();
    for i in 0..n {
        requests.append(&mut bytes, op, i * 7919 % 1_000_000, &mut rng);
    }
    bytes
}

/// Receives the bytes in reads as a socket gives them, and parses; the number of commands.
fn receive(decoder: &mut Decoder, mut bytes: &[u8]) -> usize {
    let mut commands = 0;
    while !bytes.is_empty() {
        let buf = decoder.read_buf();
        let room = (buf.capacity() - buf.len()).min(bytes.len());
        buf.put_slice(&bytes[..room]);
        bytes = &bytes[room..];
        while decoder.parse(64) > 0 {
            for i in 0..decoder.len() {
                black_box(decoder.request(i));
            }
            commands += decoder.len();
            decoder.clear();
        }
    }
    commands
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    let cases = [
        ("get/1", pipeline(Op::Get, 1, 64), 1),
        ("get/16", pipeline(Op::Get, 16, 64), 16),
        ("get/64", pipeline(Op::Get, 64, 64), 64),
        ("set-64B/16", pipeline(Op::Set, 16, 64), 16),
        ("set-64B/64", pipeline(Op::Set, 64, 64), 64),
        ("mset-10x64B/16", pipeline(Op::Mset, 16, 64), 16),
        ("set-1MB/1", pipeline(Op::Set, 1, 1 << 20), 1),
        ("inline-get/16", b"GET key:000000000001\r\n".repeat(16), 16),
    ];
    for (name, bytes, commands) in &cases {
        group.throughput(Throughput::Elements(*commands));
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        group.bench_with_input(BenchmarkId::new("dunlin", name), bytes, |b, bytes| {
            b.iter(|| {
                let seen = receive(&mut decoder, black_box(bytes));
                assert_eq!(seen as u64, *commands);
            });
        });
        if name.starts_with("inline") {
            continue;
        }
        group.bench_with_input(BenchmarkId::new("redis-protocol", name), bytes, |b, bytes| {
            b.iter(|| {
                let mut rest = &black_box(bytes)[..];
                let mut seen = 0;
                while let Ok(Some((frame, used))) = decode(rest) {
                    black_box(frame);
                    rest = &rest[used..];
                    seen += 1;
                }
                assert_eq!(seen, *commands);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
