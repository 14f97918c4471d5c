//! The decoder and the reply writer against redis-protocol, an independent implementation.

mod bodies;

use bodies::reply::{folded, read, sent, write};
use bytes::{Bytes, BytesMut};
use dunlin_protocol::client::Value;
use dunlin_protocol::{ArgValue, Decoder, Limits, Proto, Reply};
use proptest::collection::vec;
use proptest::prelude::*;
use redis_protocol::resp2;

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 90..1200),
        1 => (any::<u8>(), 32_000usize..100_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

/// The commands in `bytes` according to redis-protocol.
fn oracle(bytes: &[u8]) -> Vec<Vec<Bytes>> {
    let mut buffer = BytesMut::from(bytes);
    let mut commands = Vec::new();
    while let Some((frame, ..)) = resp2::decode::decode_bytes_mut(&mut buffer).unwrap() {
        let resp2::types::BytesFrame::Array(items) = frame else { panic!("no array") };
        let bulk = |item| match item {
            resp2::types::BytesFrame::BulkString(bytes) => bytes,
            other => panic!("no bulk string: {other:?}"),
        };
        commands.push(items.into_iter().map(bulk).collect());
    }
    commands
}

/// A value, written one way and read the other.
fn reply() -> impl Strategy<Value = Value> {
    let text = "[ -~]{0,20}".prop_map(Bytes::from);
    let leaf = prop_oneof![
        Just(Value::Null),
        text.clone().prop_map(Value::Simple),
        text.prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        (0u32..19, -1i64..2).prop_map(|(power, off)| Value::Int(10i64.pow(power) + off)),
        prop::num::f64::NORMAL.prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        vec(any::<u8>(), 0..70).prop_map(|bytes| Value::Bulk(Bytes::from(bytes))),
        (2000usize..70_000).prop_map(|len| Value::Bulk(Bytes::from(vec![b'x'; len]))),
        "[1-9][0-9]{0,40}".prop_map(|digits| Value::BigNumber(Bytes::from(digits))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            // One pair, and a simple key: the oracle's maps have no order, unite equal keys and
            // refuse aggregates as keys.
            (any::<i64>(), inner)
                .prop_map(|(key, value)| Value::Map(vec![(Value::Int(key), value)])),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoder_agrees_with_the_oracle(
        commands in vec(vec(argument(), 1..6), 1..6),
        step in prop_oneof![1usize..40, 1000usize..100_000],
        batch in 1usize..5,
    ) {
        let mut wire = Reply::new(Proto::Resp2);
        for command in &commands {
            wire.array(command.len());
            command.iter().for_each(|argument| wire.bulk(argument));
        }
        let wire = sent(&mut wire, usize::MAX);
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        let mut decoded: Vec<Vec<Bytes>> = Vec::new();
        for piece in wire.chunks(step) {
            decoder.read_buf().extend_from_slice(piece);
            while decoder.parse(batch) > 0 {
                for i in 0..decoder.len() {
                    let request = decoder.request(i);
                    decoded.push((0..request.len()).map(|i| match request.value(i) {
                        ArgValue::Slice(bytes) => Bytes::copy_from_slice(bytes),
                        ArgValue::Chunks { chunks, .. } => chunks.concat().into(),
                    }).collect());
                }
                decoder.clear();
            }
        }
        prop_assert_eq!(decoder.error(), None);
        prop_assert_eq!(decoder.buffered(), 0);
        prop_assert!(decoded == oracle(&wire), "other commands");
        prop_assert!(decoded == commands, "not what was sent");
    }

    #[test]
    fn replies_read_back(
        values in vec(reply(), 1..4),
        step in prop_oneof![1usize..100, 1000usize..100_000],
    ) {
        for proto in [Proto::Resp2, Proto::Resp3] {
            let mut reply = Reply::new(proto);
            for value in &values {
                write(&mut reply, value);
                // What is undone leaves no trace.
                let mark = reply.mark();
                write(&mut reply, value);
                reply.rollback(mark);
            }
            let (read, error) = read(proto, 1 << 24, &sent(&mut reply, step), step);
            prop_assert_eq!(error, None);
            let want: Vec<Value> = match proto {
                Proto::Resp2 => values.iter().map(folded).collect(),
                Proto::Resp3 => values.clone(),
            };
            prop_assert!(read == want, "{proto:?}: {read:.300?} for {want:.300?}");
        }
    }
}
