use super::*;
use crate::limits::{REPLY_KEPT, REPLY_KEPT_BUSY};

fn bytes(reply: &Reply) -> Vec<u8> {
    let mut slices = Vec::new();
    reply.slices(&mut slices, usize::MAX);
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn written(proto: Proto, write: impl Fn(&mut Reply)) -> String {
    let mut reply = Reply::new(proto);
    write(&mut reply);
    assert_eq!(reply.pending(), bytes(&reply).len());
    String::from_utf8(bytes(&reply)).unwrap()
}

#[test]
fn every_type_in_both_protocols() {
    type Write = fn(&mut Reply);
    let cases: [(Write, &str, &str); 21] = [
        (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
        (|r| r.simple("a\r\nb"), "+a  b\r\n", "+a  b\r\n"),
        (|r| r.error("ERR x\n+OK"), "-ERR x +OK\r\n", "-ERR x +OK\r\n"),
        (|r| r.error("ERR x\ny\r\r\n"), "-ERR x y\r\n", "-ERR x y\r\n"),
        (|r| r.error("\n"), "-\r\n", "-\r\n"),
        (|r| r.int(-42), ":-42\r\n", ":-42\r\n"),
        (|r| r.bulk(b"abc"), "$3\r\nabc\r\n", "$3\r\nabc\r\n"),
        (|r| r.bulk_int(100), "$3\r\n100\r\n", "$3\r\n100\r\n"),
        (|r| r.null(), "$-1\r\n", "_\r\n"),
        (|r| r.null_array(), "*-1\r\n", "_\r\n"),
        (|r| r.array(12), "*12\r\n", "*12\r\n"),
        (|r| r.map(2), "*4\r\n", "%2\r\n"),
        (|r| r.set(3), "*3\r\n", "~3\r\n"),
        (|r| r.push(3), "*3\r\n", ">3\r\n"),
        (|r| r.double(3.5), "$3\r\n3.5\r\n", ",3.5\r\n"),
        (|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (|r| r.human_double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
        (|r| r.bool(true), ":1\r\n", "#t\r\n"),
        (|r| r.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        (|r| r.big_number("123"), "$3\r\n123\r\n", "(123\r\n"),
        (|r| r.int(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
    ];
    for (write, resp2, resp3) in cases {
        assert_eq!(written(Proto::Resp2, write), resp2);
        assert_eq!(written(Proto::Resp3, write), resp3);
    }
}

#[test]
fn deferred_headers_nest() {
    let write = |reply: &mut Reply| {
        let outer = reply.deferred_array();
        reply.int(7);
        let inner = reply.deferred_map();
        reply.bulk(b"k");
        reply.bulk(b"v");
        reply.finish_deferred(inner, 1);
        let set = reply.deferred_set();
        reply.int(8);
        reply.finish_deferred(set, 1);
        reply.finish_deferred(outer, 3);
    };
    let map = "$1\r\nk\r\n$1\r\nv\r\n";
    let (resp2, resp3) = (format!("*2\r\n{map}*1"), format!("%1\r\n{map}~1"));
    assert_eq!(written(Proto::Resp2, write), format!("*3\r\n:7\r\n{resp2}\r\n:8\r\n"));
    assert_eq!(written(Proto::Resp3, write), format!("*3\r\n:7\r\n{resp3}\r\n:8\r\n"));
}

/// A reply with every kind of interruption, and the bytes it must give.
fn mixed() -> (Reply, Vec<u8>) {
    let mut reply = Reply::new(Proto::Resp2);
    let chunks = [vec![b'a'; SHARE_MIN], vec![b'b'; 10], vec![b'c'; SHARE_MIN]];
    let value = chunks.concat();
    let list = reply.deferred_array();
    reply.bulk_chunks(value.len(), chunks.into_iter().map(Bytes::from));
    reply.int(5);
    reply.finish_deferred(list, 2);
    reply.ok();
    let mut want = format!("*2\r\n${}\r\n", value.len()).into_bytes();
    want.extend_from_slice(&value);
    want.extend_from_slice(b"\r\n:5\r\n+OK\r\n");
    (reply, want)
}

#[test]
fn partial_writes_of_any_size() {
    for step in [1, 2, 7, 1000, 2048, 5000] {
        let (mut reply, want) = mixed();
        let mut sent = Vec::new();
        while !reply.is_empty() {
            let pending = bytes(&reply);
            assert_eq!(pending.len(), reply.pending());
            let taken = step.min(pending.len());
            sent.extend_from_slice(&pending[..taken]);
            reply.advance(taken);
        }
        assert_eq!(sent, want, "step {step}");
        assert_eq!(reply.pending(), 0);
    }
}

#[test]
fn appending_keeps_the_order_of_all_bytes() {
    for sent in [0, 1, 10, 1000] {
        for first in [Reply::new(Proto::Resp2), mixed().0] {
            let (mut all, mut expected) = (first, Vec::new());
            expected.extend(bytes(&all));
            let (mut second, whole) = mixed();
            second.advance(sent);
            expected.extend_from_slice(&whole[sent..]);
            all.append(second);
            assert_eq!((bytes(&all), all.pending()), (expected.clone(), expected.len()));
            let mark = all.mark();
            all.bulk(b"x");
            all.rollback(mark);
            assert_eq!(bytes(&all), expected);
        }
    }
}

#[test]
fn a_header_that_came_later_is_appended_without_its_gap() {
    let mut all = Reply::new(Proto::Resp3);
    all.int(1);
    let mut other = Reply::new(Proto::Resp3);
    other.int(2);
    let map = other.deferred_map();
    other.int(3);
    other.int(4);
    other.finish_deferred(map, 1);
    all.append(other);
    assert_eq!(bytes(&all), b":1\r\n:2\r\n%1\r\n:3\r\n:4\r\n");
}

#[test]
fn slices_respect_their_limit() {
    let (reply, want) = mixed();
    let mut slices = Vec::new();
    reply.slices(&mut slices, 2);
    assert_eq!(slices.len(), 2);
    let sent: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
    assert!(want.starts_with(&sent));
}

#[test]
fn rollback_removes_segments_and_deferred_headers() {
    let mut reply = Reply::new(Proto::Resp2);
    reply.int(1);
    let mark = reply.mark();
    let _left_open = reply.deferred_array();
    let chunk = Bytes::from(vec![1; SHARE_MIN]);
    reply.bulk_chunks(SHARE_MIN, std::iter::once(chunk));
    reply.rollback(mark);
    assert_eq!(reply.pending(), 4);
    reply.advance(2);
    reply.rollback(mark);
    assert_eq!(bytes(&reply), b"\r\n");
}

#[test]
fn memory_is_given_back() {
    let mut reply = Reply::new(Proto::Resp2);
    reply.bulk(&vec![0; 4 * REPLY_KEPT_BUSY]);
    assert!(reply.capacity() >= 4 * REPLY_KEPT_BUSY, "{}", reply.capacity());
    reply.advance(reply.pending());
    assert!(reply.capacity() <= REPLY_KEPT, "{}", reply.capacity());
    reply.shrink();
    assert_eq!(reply.capacity(), 0);
    reply.raw_shared(vec![0; 100_000].into());
    assert!(reply.capacity() >= 100_000, "{}", reply.capacity());
    let chunk = Bytes::from(vec![0; SHARE_MIN]);
    (0..2_000).for_each(|_| reply.raw_shared(chunk.clone()));
    reply.advance(reply.pending());
    assert!(reply.capacity() <= REPLY_KEPT, "{}", reply.capacity());
    // Never all is sent.
    reply.raw(b"x");
    for _ in 0..1_000 {
        reply.raw(&[0; 1_000]);
        reply.advance(1_000);
    }
    assert!(reply.capacity() <= 8 * REPLY_KEPT, "{}", reply.capacity());
}
