//! The other side: reading replies, for the load generator and links between servers.
//!
//! Decoding is [`redis_protocol`]'s. It knows no limits, nests by recursion and starts over when
//! a reply is incomplete, so an iterative scan comes first: it finds the end of a reply, resumes
//! where it stopped when more bytes arrive, and refuses what is nested deeper than
//! [`MAX_REPLY_DEPTH`] or larger than the decoder's limit. Only complete, shallow replies are
//! decoded, once.
//!
//! What redis-protocol cannot represent is lost or refused: the order of maps and sets, and
//! aggregates as keys of maps or members of sets.

use std::fmt;

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use redis_protocol::resp2::types::BytesFrame as Frame2;
use redis_protocol::resp3::types::BytesFrame as Frame3;

use crate::Proto;
use crate::limits::{MAX_LINE, MAX_REPLY, MAX_REPLY_DEPTH, READ_ROOM};
use crate::number::parse_i64;

/// A decoded reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A simple string.
    Simple(Bytes),
    /// An error, with its prefix.
    Error(Bytes),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// A bulk or verbatim string.
    Bulk(Bytes),
    /// An integer of any size.
    BigNumber(Bytes),
    /// An array, or a set, whose order is lost.
    Array(Vec<Value>),
    /// A map, whose order is lost.
    Map(Vec<(Value, Value)>),
    /// A message that answers no command.
    Push(Vec<Value>),
}

/// Why a peer's bytes are no replies; the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// Nested deeper than [`MAX_REPLY_DEPTH`].
    TooDeep,
    /// Larger than the decoder's limit.
    TooLarge,
    /// Not RESP.
    Malformed(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "reply nested deeper than {MAX_REPLY_DEPTH} levels"),
            Self::TooLarge => f.write_str("reply larger than the limit"),
            Self::Malformed(why) => write!(f, "malformed reply: {why}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Reads the replies of one connection.
#[derive(Debug)]
pub struct ReplyDecoder {
    proto: Proto,
    buffer: BytesMut,
    max_reply: usize,
    scan: Scan,
}

/// How far a reply has been looked at.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    /// Elements still missing on each level, outermost first.
    missing: Vec<u64>,
}

impl ReplyDecoder {
    /// A decoder with the default limit.
    pub fn new(proto: Proto) -> Self {
        Self::with_limit(proto, MAX_REPLY)
    }

    /// A decoder for replies of at most `max_reply` bytes.
    pub fn with_limit(proto: Proto, max_reply: usize) -> Self {
        Self { proto, buffer: BytesMut::new(), max_reply, scan: Scan::default() }
    }

    /// Changes the protocol, between replies.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Where the socket must be read into.
    pub fn read_buf(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_ROOM);
        &mut self.buffer
    }

    /// Bytes that belong to no decoded reply.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Skips the next reply without decoding it: whether there was one, and its first byte.
    pub fn skip(&mut self) -> Result<Option<u8>, ClientError> {
        let Some(end) = self.scan_reply()? else {
            return Ok(None);
        };
        let kind = self.buffer.first().copied();
        bytes::Buf::advance(&mut self.buffer, end);
        Ok(kind)
    }

    /// The next reply, if it is complete.
    pub fn decode(&mut self) -> Result<Option<Value>, ClientError> {
        let Some(end) = self.scan_reply()? else {
            return Ok(None);
        };
        let mut reply = self.buffer.split_to(end);
        let malformed = |why: &dyn fmt::Debug| ClientError::Malformed(format!("{why:?}"));
        match self.proto {
            Proto::Resp2 => {
                let decoded = redis_protocol::resp2::decode::decode_bytes_mut(&mut reply);
                let frame = decoded.map_err(|error| malformed(&error))?;
                frame.map(|(frame, ..)| Ok(from_resp2(frame))).transpose()
            }
            Proto::Resp3 => {
                use redis_protocol::resp3::decode::complete::decode_bytes_mut;
                let frame = decode_bytes_mut(&mut reply).map_err(|error| malformed(&error))?;
                frame.map(|(frame, ..)| from_resp3(frame)).transpose()
            }
        }
        .and_then(|value| value.ok_or_else(|| malformed(&"incomplete")).map(Some))
    }

    /// The end of the reply at the start of the buffer, once it is there.
    fn scan_reply(&mut self) -> Result<Option<usize>, ClientError> {
        let end = self.scan.run(&self.buffer, self.max_reply)?;
        match end {
            Some(end) if end > self.max_reply => Err(ClientError::TooLarge),
            None if self.buffer.len() > self.max_reply => Err(ClientError::TooLarge),
            Some(end) => {
                self.scan = Scan::default();
                Ok(Some(end))
            }
            None => Ok(None),
        }
    }
}

impl Scan {
    fn run(&mut self, bytes: &[u8], max_reply: usize) -> Result<Option<usize>, ClientError> {
        let malformed = |why: &str| ClientError::Malformed(why.to_owned());
        loop {
            let rest = &bytes[self.at..];
            let Some(end) = memchr(b'\n', &rest[..rest.len().min(MAX_LINE)]) else {
                return match rest.len() < MAX_LINE {
                    true => Ok(None),
                    false => Err(malformed("line too long")),
                };
            };
            let Some((&kind, text)) = rest[..end].strip_suffix(b"\r").and_then(<[u8]>::split_first)
            else {
                return Err(malformed("no line"));
            };
            let line = end + 1;
            let count = || match parse_i64(text) {
                Some(count @ -1..) => Ok(count),
                _ => Err(malformed("invalid length")),
            };
            let mut elements = 0u64;
            match kind {
                b'$' | b'=' | b'!' => {
                    let len = usize::try_from(count()?).ok();
                    let body = match len {
                        Some(len) => len.checked_add(2).ok_or_else(|| malformed("length"))?,
                        None => 0,
                    };
                    if rest.len() - line < body {
                        return Ok(None);
                    }
                    if body > 0 && !rest[..line + body].ends_with(b"\r\n") {
                        return Err(malformed("no line end behind a bulk string"));
                    }
                    self.at += line + body;
                }
                b'*' | b'~' | b'>' => {
                    elements = u64::try_from(count()?).unwrap_or(0);
                    self.at += line;
                }
                b'%' | b'|' => {
                    elements = 2 * u64::try_from(count()?).unwrap_or(0);
                    // An attribute comes before its value and counts for nothing.
                    elements += u64::from(kind == b'|');
                    self.at += line;
                }
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => self.at += line,
                // Refused here because a decoded map keeps one of equal keys, no matter which: what
                // stands at the other one would be noticed or not.
                _ => return Err(malformed("no type of a reply")),
            }
            if elements > 0 {
                if elements > max_reply as u64 {
                    return Err(ClientError::TooLarge);
                }
                if self.missing.len() == MAX_REPLY_DEPTH {
                    return Err(ClientError::TooDeep);
                }
                self.missing.push(elements);
                continue;
            }
            // An element is complete, and with it perhaps the levels that it ends.
            while let Some(missing) = self.missing.last_mut() {
                *missing -= 1;
                if *missing > 0 {
                    break;
                }
                self.missing.pop();
            }
            if self.missing.is_empty() {
                return Ok(Some(self.at));
            }
        }
    }
}

/// The depth is bounded by the scan that every reply has passed.
fn from_resp2(frame: Frame2) -> Value {
    match frame {
        Frame2::SimpleString(text) => Value::Simple(text),
        Frame2::Error(text) => Value::Error(text.into_inner()),
        Frame2::Integer(value) => Value::Int(value),
        Frame2::BulkString(bytes) => Value::Bulk(bytes),
        Frame2::Array(items) => Value::Array(items.into_iter().map(from_resp2).collect()),
        Frame2::Null => Value::Null,
    }
}

/// The depth is bounded by the scan that every reply has passed.
fn from_resp3(frame: Frame3) -> Result<Value, ClientError> {
    let all = |items: Vec<Frame3>| items.into_iter().map(from_resp3).collect::<Result<Vec<_>, _>>();
    Ok(match frame {
        Frame3::SimpleString { data, .. } => Value::Simple(data),
        Frame3::SimpleError { data, .. } => Value::Error(data.into_inner()),
        Frame3::BlobError { data, .. } => Value::Error(data),
        Frame3::Number { data, .. } => Value::Int(data),
        Frame3::Double { data, .. } => Value::Double(data),
        Frame3::Boolean { data, .. } => Value::Bool(data),
        Frame3::BlobString { data, .. } | Frame3::VerbatimString { data, .. } => Value::Bulk(data),
        Frame3::BigNumber { data, .. } => Value::BigNumber(data),
        Frame3::Array { data, .. } => Value::Array(all(data)?),
        Frame3::Push { data, .. } => Value::Push(all(data)?),
        Frame3::Set { data, .. } => {
            Value::Array(data.into_iter().map(from_resp3).collect::<Result<_, _>>()?)
        }
        Frame3::Map { data, .. } => {
            let pair = |(key, value)| Ok((from_resp3(key)?, from_resp3(value)?));
            Value::Map(data.into_iter().map(pair).collect::<Result<_, _>>()?)
        }
        Frame3::Null => Value::Null,
        Frame3::Hello { .. } | Frame3::ChunkedString(_) => {
            return Err(ClientError::Malformed("not a reply".to_owned()));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(proto: Proto, bytes: &[u8]) -> Result<Option<Value>, ClientError> {
        let mut decoder = ReplyDecoder::with_limit(proto, 1000);
        for &byte in &bytes[..bytes.len() - 1] {
            decoder.read_buf().extend_from_slice(&[byte]);
            if let early @ (Ok(Some(_)) | Err(_)) = decoder.decode() {
                return early;
            }
        }
        decoder.read_buf().extend_from_slice(&bytes[bytes.len() - 1..]);
        decoder.decode()
    }

    #[test]
    fn a_reply_of_the_limit_is_taken_and_one_byte_more_is_not() {
        let whole = |limit, bytes: &[u8]| {
            let mut decoder = ReplyDecoder::with_limit(Proto::Resp3, limit);
            decoder.read_buf().extend_from_slice(bytes);
            decoder.decode()
        };
        let reply = b"$4\r\nabcd\r\n";
        assert!(matches!(whole(10, reply), Ok(Some(Value::Bulk(_)))));
        assert_eq!(whole(9, reply), Err(ClientError::TooLarge));
        assert_eq!(whole(9, &reply[..9]), Ok(None));
        assert_eq!(whole(8, &reply[..9]), Err(ClientError::TooLarge));
        assert!(matches!(whole(4, b"+a\r\n+b\r\n"), Ok(Some(Value::Simple(_)))), "of two");
        assert_eq!(whole(10, b"*10\r\n"), Ok(None));
        assert_eq!(whole(10, b"*11\r\n"), Err(ClientError::TooLarge));
    }

    #[test]
    fn depth_is_limited_before_decoding() {
        let nested = |levels: usize| [b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat();
        let deepest = nested(MAX_REPLY_DEPTH);
        assert!(matches!(decoded(Proto::Resp3, &deepest), Ok(Some(Value::Array(_)))));
        for proto in [Proto::Resp2, Proto::Resp3] {
            let outcome = decoded(proto, &nested(MAX_REPLY_DEPTH + 1));
            assert_eq!(outcome, Err(ClientError::TooDeep));
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_wherever_it_stands() {
        for bytes in [&b".\r\n"[..], b"HELLO 3\r\n", b"%2\r\n+a\r\n.\r\n+a\r\n:1\r\n"] {
            // Which of two equal keys is kept is a matter of chance.
            for _ in 0..64 {
                let outcome = decoded(Proto::Resp3, bytes);
                assert!(matches!(outcome, Err(ClientError::Malformed(_))), "{outcome:?}");
            }
            let mut decoder = ReplyDecoder::new(Proto::Resp3);
            decoder.read_buf().extend_from_slice(bytes);
            assert!(decoder.skip().is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn size_is_limited() {
        let outcome = decoded(Proto::Resp2, format!("$2000\r\n{}", "a".repeat(1100)).as_bytes());
        assert_eq!(outcome, Err(ClientError::TooLarge));
        let outcome = decoded(Proto::Resp2, b"*1001\r\n");
        assert_eq!(outcome, Err(ClientError::TooLarge));
        let outcome = decoded(Proto::Resp3, b"%9223372036854775807\r\n");
        assert_eq!(outcome, Err(ClientError::TooLarge));
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in
            [&b"$-2\r\n"[..], b"*x\r\n", b"\n", b"\r\n", b"$3\r\nabcde", b"hello\r\n", b":x\r\n"]
        {
            let outcome = decoded(Proto::Resp2, bytes);
            assert!(matches!(outcome, Err(ClientError::Malformed(_))), "{bytes:?}: {outcome:?}");
        }
    }

    #[test]
    fn replies_are_skipped_whole() {
        let mut decoder = ReplyDecoder::new(Proto::Resp2);
        decoder.read_buf().extend_from_slice(b"*2\r\n$1\r\na\r\n*0\r\n-ERR x\r\n$3\r\nab");
        assert_eq!(decoder.skip(), Ok(Some(b'*')));
        assert_eq!(decoder.skip(), Ok(Some(b'-')));
        assert_eq!(decoder.skip(), Ok(None));
        assert_eq!(decoder.buffered(), 6);
    }
}
