//! Replies, written by one side and read by the other.

use std::io::IoSlice;

use bytes::Bytes;
use dunlin_protocol::client::{ClientError, ReplyDecoder, Value};
use dunlin_protocol::{Proto, Reply};

/// Writes a value as a command would.
pub fn write(reply: &mut Reply, value: &Value) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    match value {
        Value::Null => reply.null(),
        Value::Simple(bytes) => reply.simple(&text(bytes)),
        Value::Error(bytes) => reply.error(text(bytes)),
        Value::Int(value) => reply.int(*value),
        Value::Double(value) => reply.double(*value),
        Value::Bool(value) => reply.bool(*value),
        Value::Bulk(bytes) if bytes.len() < 3000 => reply.bulk(bytes),
        Value::Bulk(bytes) => {
            let chunks = (0..bytes.len()).step_by(5000);
            let chunk = |at| bytes.slice(at..bytes.len().min(at + 5000));
            reply.bulk_chunks(bytes.len(), chunks.map(chunk));
        }
        Value::BigNumber(digits) => reply.big_number(&text(digits)),
        Value::Array(items) if items.len() % 2 == 0 => {
            reply.array(items.len());
            items.iter().for_each(|item| write(reply, item));
        }
        Value::Array(items) => {
            let header = reply.deferred_array();
            items.iter().for_each(|item| write(reply, item));
            reply.finish_deferred(header, items.len());
        }
        Value::Map(pairs) => {
            let header = reply.deferred_map();
            for (key, value) in pairs {
                write(reply, key);
                write(reply, value);
            }
            reply.finish_deferred(header, pairs.len());
        }
        Value::Push(items) => {
            reply.push(items.len());
            items.iter().for_each(|item| write(reply, item));
        }
    }
}

/// What RESP2 makes of a value.
pub fn folded(value: &Value) -> Value {
    match value {
        Value::Double(value) => {
            let text = dunlin_protocol::number::format_f64(*value);
            Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
        }
        Value::Bool(value) => Value::Int(i64::from(*value)),
        Value::BigNumber(digits) => Value::Bulk(digits.clone()),
        Value::Array(items) | Value::Push(items) => {
            Value::Array(items.iter().map(folded).collect())
        }
        Value::Map(pairs) => {
            Value::Array(pairs.iter().flat_map(|(k, v)| [folded(k), folded(v)]).collect())
        }
        other => other.clone(),
    }
}

/// Reads everything from `reply` through partial writes of at most `step` bytes and slices.
pub fn sent(reply: &mut Reply, step: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !reply.is_empty() {
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        reply.slices(&mut slices, 1 + step % 5);
        let next: Vec<u8> =
            slices.iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
        assert!(!next.is_empty(), "pending bytes have slices");
        bytes.extend_from_slice(&next);
        reply.advance(next.len());
    }
    assert_eq!(reply.pending(), 0);
    bytes
}

/// The replies in `bytes`, which arrive in pieces of at most `step`, and why no more are read.
pub fn read(
    proto: Proto,
    limit: usize,
    bytes: &[u8],
    step: usize,
) -> (Vec<Value>, Option<ClientError>) {
    let mut decoder = ReplyDecoder::with_limit(proto, limit);
    let mut values = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.read_buf().extend_from_slice(piece);
        loop {
            match decoder.decode() {
                Ok(None) => break,
                Ok(Some(value)) => values.push(value),
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

/// Decisions, taken from the input one byte each; zeros when it is used up.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn word(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    fn text(&mut self) -> String {
        let len = usize::from(self.byte() % 32);
        String::from_utf8_lossy(self.take(len)).into_owned()
    }

    /// A value with at most `depth` levels of others in it.
    fn value(&mut self, depth: usize) -> Value {
        let aggregates = if depth > 0 { 3 } else { 0 };
        match self.byte() % (9 + aggregates) {
            0 => Value::Null,
            1 => Value::Simple(self.text().into()),
            2 => Value::Error(self.text().into()),
            3 => Value::Int(self.word().cast_signed()),
            4 => Value::Int(i64::from(self.byte().cast_signed())),
            5 => Value::Double(f64::from_bits(self.word())),
            6 => Value::Bool(self.byte() % 2 == 1),
            7 if self.byte().is_multiple_of(4) => {
                let len = 1900 + 40 * usize::from(self.byte());
                Value::Bulk(vec![b'x'; len].into())
            }
            7 => {
                let len = usize::from(self.byte());
                Value::Bulk(Bytes::copy_from_slice(self.take(len)))
            }
            8 => Value::BigNumber(self.word().to_string().into()),
            // One pair, and a simple key: the reader's maps have no order and unite equal keys.
            9 => Value::Map(vec![(Value::Int(1), self.value(depth - 1))]),
            _ => {
                let len = self.byte() % 6;
                Value::Array((0..len).map(|_| self.value(depth - 1)).collect())
            }
        }
    }
}

/// What is on a line cannot end it; line ends at the end of an error go.
fn on_a_line(value: &mut Value) {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let spaces = |bytes: &[u8]| bytes.iter().map(|b| if is_end(b) { b' ' } else { *b }).collect();
    match value {
        Value::Simple(bytes) => *bytes = spaces(bytes),
        Value::Error(bytes) => {
            let end = bytes.iter().rposition(|byte| !is_end(byte)).map_or(0, |last| last + 1);
            *bytes = spaces(&bytes[..end]);
        }
        Value::Array(items) | Value::Push(items) => items.iter_mut().for_each(on_a_line),
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, value)| on_a_line(value)),
        _ => {}
    }
}

/// NaN is not equal to itself.
fn same(a: &[Value], b: &[Value]) -> bool {
    let equal = |(a, b): (&Value, &Value)| match (a, b) {
        (Value::Double(a), Value::Double(b)) => a == b || a.is_nan() && b.is_nan(),
        (Value::Array(a), Value::Array(b)) | (Value::Push(a), Value::Push(b)) => same(a, b),
        (Value::Map(a), Value::Map(b)) => {
            let values = |pairs: &[(Value, Value)]| -> Vec<Value> {
                pairs.iter().map(|(_, value)| value.clone()).collect()
            };
            same(&values(a), &values(b))
        }
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(equal)
}

/// What commands have written is read back, however it is sent; what they have taken back is not.
pub fn written(data: &[u8]) {
    let mut source = Source(data);
    let step = [1, 7, 100, 5000, usize::MAX][usize::from(source.byte() % 5)];
    let step = if data.len() > 100 { step.max(100) } else { step };
    let mut values = Vec::new();
    while !source.0.is_empty() && values.len() < 20 {
        values.push(source.value(5));
    }
    for proto in [Proto::Resp2, Proto::Resp3] {
        let mut reply = Reply::new(proto);
        let mut bytes = Vec::new();
        for (i, value) in values.iter().enumerate() {
            write(&mut reply, value);
            let mark = reply.mark();
            write(&mut reply, &values[i / 2]);
            reply.rollback(mark);
            if i % 3 == 2 {
                bytes.extend(sent(&mut reply, step));
            }
        }
        bytes.extend(sent(&mut reply, step));
        let mut want: Vec<Value> = match proto {
            Proto::Resp2 => values.iter().map(folded).collect(),
            Proto::Resp3 => values.clone(),
        };
        want.iter_mut().for_each(on_a_line);
        let (got, error) = read(proto, 1 << 20, &bytes, step);
        assert_eq!(error, None, "{proto:?}: {}", bytes.escape_ascii());
        assert!(same(&got, &want), "{proto:?}: {got:?} for {want:?}");
    }
}

/// Bytes of a peer mean the same however they arrive, and never more than there are of them.
pub fn received(data: &[u8]) {
    let Some((&front, bytes)) = data.split_first() else { return };
    let proto = if front & 1 == 1 { Proto::Resp3 } else { Proto::Resp2 };
    let limit = if front & 2 == 2 { 64 } else { 1 << 20 };
    let step = 1 + usize::from(front >> 2);
    let (whole, whole_error) = read(proto, limit, bytes, bytes.len().max(1));
    let (pieces, error) = read(proto, limit, bytes, step);
    // Sets and maps have no order.
    let ordered = !bytes.iter().any(|byte| matches!(byte, b'~' | b'%'));
    let equal = if ordered { same(&whole, &pieces) } else { whole.len() == pieces.len() };
    assert!(equal, "{whole:?} and in pieces of {step} {pieces:?}");
    assert_eq!(whole_error.is_some(), error.is_some(), "{whole_error:?} {error:?}");
}
