//! Replies: what commands answer, as bytes for the socket.
//!
//! A [`Reply`] collects the answers of a batch, so that one system call sends them all. Nearly
//! everything is written to one contiguous buffer. Big values stay where they are: their chunks
//! are kept by reference, and [`Reply::slices`] hands buffer and chunks to `writev` in order.
//!
//! Commands write what they mean (a map, a double, nothing) and never look at the protocol
//! version; what RESP2 has no type for is written as its clients expect it:
//!
//! | | RESP2 | RESP3 |
//! |---|---|---|
//! | null | `$-1` | `_` |
//! | null array | `*-1` | `_` |
//! | map of n pairs | `*2n` | `%n` |
//! | set, push | `*n` | `~n`, `>n` |
//! | double | bulk string | `,3.5` |
//! | boolean | `:1`, `:0` | `#t`, `#f` |
//! | verbatim | bulk string | `=15 txt:...` |
//! | big number | bulk string | `(123...` |
//!
//! The number of elements of a long reply is often known only at its end: a *deferred* header
//! leaves a gap that is filled, and cut to size, by [`Reply::finish_deferred`].

mod deferred;
mod outgoing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;

pub use self::deferred::Deferred;
use crate::Proto;
use crate::limits::SHARE_MIN;
use crate::number::{IntText, format_f64, format_f64_human};

/// Room for a header: a type byte, a sign, 20 digits, the line end.
const GAP: usize = 24;

/// Collects replies; see the [module documentation](crate::Reply).
#[derive(Debug)]
pub struct Reply {
    proto: Proto,
    /// All bytes but the shared ones. Positions in it are counted from `base`.
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are sent already.
    sent: usize,
    /// Bytes ever removed from the front of `buffer`.
    base: u64,
    /// Where the buffer is interrupted, in order.
    cuts: VecDeque<Cut>,
    /// Cuts ever removed from the front of `cuts`.
    cuts_base: u64,
    /// Pending bytes that are not in the buffer, less the buffer's that are skipped.
    shared: usize,
    skipped: usize,
}

/// At `at`, first `skip` bytes of the buffer are left out, then `bytes` is sent.
#[derive(Debug)]
struct Cut {
    at: u64,
    skip: usize,
    bytes: Bytes,
}

/// A position to go back to with [`Reply::rollback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    at: u64,
    cuts: u64,
}

impl Reply {
    /// An empty reply.
    pub fn new(proto: Proto) -> Self {
        Self {
            proto,
            buffer: Vec::new(),
            sent: 0,
            base: 0,
            cuts: VecDeque::new(),
            cuts_base: 0,
            shared: 0,
            skipped: 0,
        }
    }

    /// The protocol that is written.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the protocol of what is written from now on.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    fn is_resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.buffer.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; the text includes its prefix, as in `ERR syntax error`. Line ends at its end go.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        self.line(b'-', &text[..end.map_or(0, |last| last + 1)]);
    }

    /// One line: line ends in the text become spaces, or a peer could smuggle replies in.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.push(kind);
        let from = self.buffer.len();
        self.buffer.extend_from_slice(text);
        for byte in &mut self.buffer[from..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            0 => self.buffer.extend_from_slice(b":0\r\n"),
            1 => self.buffer.extend_from_slice(b":1\r\n"),
            _ => self.header(b':', value),
        }
    }

    /// A type byte, an integer and a line end.
    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        push_header(&mut self.buffer, kind, value);
    }

    /// The header of something with `count` elements or bytes.
    #[inline]
    fn count(&mut self, kind: u8, count: usize) {
        self.header(kind, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        push_bulk(&mut self.buffer, bytes);
    }

    /// A bulk string of `len` bytes in chunks, which are sent from where they are.
    ///
    /// `len` must be the sum of the chunks' lengths.
    pub fn bulk_chunks(&mut self, len: usize, chunks: impl Iterator<Item = Bytes>) {
        self.count(b'$', len);
        let mut written = 0;
        for chunk in chunks {
            written += chunk.len();
            self.raw_shared(chunk);
        }
        debug_assert_eq!(written, len, "the announced length is the chunks'");
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A bulk string of `len` bytes in pieces, which are copied: what they are parts of is not kept.
    ///
    /// `len` must be the sum of the pieces' lengths.
    pub fn bulk_pieces(&mut self, len: usize, pieces: impl Iterator<Item = impl AsRef<[u8]>>) {
        self.count(b'$', len);
        pieces.for_each(|piece| self.buffer.extend_from_slice(piece.as_ref()));
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(IntText::new().i64(value));
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) {
        self.buffer.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No value, where an array would be.
    pub fn null_array(&mut self) {
        self.buffer.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// The header of an array of `n` elements.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.count(b'*', n);
    }

    /// The header of a map: `pairs` times a key and a value follow.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.count(b'*', 2 * pairs),
            Proto::Resp3 => self.count(b'%', pairs),
        }
    }

    /// The header of a set of `n` elements.
    pub fn set(&mut self, n: usize) {
        self.count(if self.is_resp3() { b'~' } else { b'*' }, n);
    }

    /// The header of a push message of `n` elements.
    pub fn push(&mut self, n: usize) {
        self.count(if self.is_resp3() { b'>' } else { b'*' }, n);
    }

    /// A double, with the fewest digits that say which.
    pub fn double(&mut self, value: f64) {
        self.double_text(format_f64(value).as_bytes());
    }

    /// A double with 17 decimal places, less the zeros at their end, and never an exponent.
    pub fn human_double(&mut self, value: f64) {
        self.double_text(&format_f64_human(value));
    }

    fn double_text(&mut self, text: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.buffer.push(b',');
                self.buffer.extend_from_slice(text);
                self.buffer.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        match self.proto {
            Proto::Resp2 => self.int(i64::from(value)),
            Proto::Resp3 => {
                self.buffer.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" });
            }
        }
    }

    /// A text for humans with its format, of which three bytes count: `txt`, `mkd`.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(text);
        }
        let mut prefix = *b"   :";
        for (to, from) in prefix[..3].iter_mut().zip(format.bytes()) {
            *to = from;
        }
        self.count(b'=', text.len() + prefix.len());
        self.buffer.extend_from_slice(&prefix);
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// An integer of any size, in decimal digits.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Bytes that are encoded already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that are encoded already, and that other replies may hold too: big ones are sent from
    /// where they are.
    pub fn raw_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_MIN {
            self.buffer.extend_from_slice(&bytes);
        } else {
            self.shared += bytes.len();
            self.cuts.push_back(Cut { at: self.end(), skip: 0, bytes });
        }
    }

    /// The current end, to come back to.
    pub fn mark(&self) -> Mark {
        Mark { at: self.end(), cuts: self.cuts_base + self.cuts.len() as u64 }
    }

    /// Removes everything written since the mark; what has been sent of it stays sent.
    pub fn rollback(&mut self, mark: Mark) {
        let keep = offset(mark.cuts, self.cuts_base);
        while self.cuts.len() > keep {
            if let Some(cut) = self.cuts.pop_back() {
                self.shared -= cut.bytes.len();
                self.skipped -= cut.skip;
            }
        }
        self.buffer.truncate(offset(mark.at, self.base).max(self.sent));
    }

    /// Position of the end of the buffer.
    fn end(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }
}

/// Index of an absolute position in what is kept.
///
/// # Panics
///
/// If it is not kept any more.
fn offset(position: u64, base: u64) -> usize {
    let kept = position.checked_sub(base).and_then(|offset| usize::try_from(offset).ok());
    kept.expect("the position is not sent")
}

/// Appends a bulk string, which is the same in both protocols: for what is encoded once and sent
/// to many ([`Reply::raw_shared`]).
#[inline]
pub fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2 * GAP);
    push_header(out, b'$', i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a type byte, an integer and a line end.
///
/// Short integers go out as one array of constant length, which needs neither a loop nor a call.
#[inline(always)]
pub fn push_header(out: &mut Vec<u8>, kind: u8, value: i64) {
    let Ok(small @ 0..10_000) = u32::try_from(value) else {
        return push_long_header(out, kind, value);
    };
    let digit = |unit: u32| b'0' + (small / unit % 10).to_le_bytes()[0];
    match small {
        0..10 => out.extend_from_slice(&[kind, digit(1), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, digit(10), digit(1), b'\r', b'\n']),
        100..1000 => {
            out.extend_from_slice(&[kind, digit(100), digit(10), digit(1), b'\r', b'\n']);
        }
        _ => {
            let digits = [kind, digit(1000), digit(100), digit(10), digit(1), b'\r', b'\n'];
            out.extend_from_slice(&digits);
        }
    }
}

fn push_long_header(out: &mut Vec<u8>, kind: u8, value: i64) {
    let mut text = IntText::new();
    let text = text.i64(value);
    out.reserve(text.len() + 3);
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}
