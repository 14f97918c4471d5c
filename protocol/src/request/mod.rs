//! Requests: from received bytes to batches of commands.
//!
//! # Grammar
//!
//! ```text
//! request   = multibulk | inline
//! multibulk = "*" integer CR any  *( "$" integer CR any  bytes any any )
//! inline    = words LF            ; see the module `inline`
//! integer   = canonical decimal: no sign but "-", no leading zeros, 64 bits
//! ```
//!
//! `any` is one byte that is not looked at: peers never check the LF behind a header's CR, nor
//! the two bytes behind a bulk string, and neither do we. A count of zero or less, and a line
//! without words, is an empty command: it is skipped and has no answer.
//!
//! # How it works
//!
//! [`Decoder`] owns the bytes of a connection. The socket is read into [`Decoder::read_buf`];
//! [`Decoder::parse`] then adds complete commands to the *batch*, whose arguments are ranges of
//! the receive buffer, in vectors that are reused: a command costs no allocation. The batch stays
//! valid until [`Decoder::clear`]. What follows the last complete command stays and is not
//! scanned again when more bytes arrive.
//!
//! A bulk string of [`BIG_BULK`] bytes or more is collected in chunks of [`CHUNK`] bytes, which
//! the socket fills directly, and which storage can keep as they are. Their memory is taken when
//! the socket is read, chunk by chunk, never because a header announces a length.
//!
//! Parsing stops for good at the first protocol error. Commands before it are part of the batch
//! as ever; the error is to be answered after them.

mod body;
mod buffer;
mod decoder;
mod queue;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use decoder::Decoder;
pub use queue::Queue;

#[cfg(doc)]
use crate::limits::{BIG_BULK, CHUNK};

/// Where an argument is: a range relative to the start of its command or, with the length
/// [`Span::BIG`], the number of a big one among its command's.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: u32,
    len: u32,
}

impl Span {
    /// Not a length: contiguous arguments are shorter than 2 GiB.
    const BIG: u32 = u32::MAX;

    /// `at` and `len` lie in one command's contiguous bytes, which `MAX_CONTIGUOUS` bounds.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "bounded by MAX_CONTIGUOUS, see above")]
    fn new(at: usize, len: usize) -> Self {
        debug_assert!(at.max(len) <= crate::limits::MAX_CONTIGUOUS);
        Self { at: at as u32, len: len as u32 }
    }

    fn big(number: usize) -> Self {
        Self { len: Self::BIG, ..Self::new(number, 0) }
    }
}

/// A command of the batch.
#[derive(Clone, Copy, Debug)]
struct Command {
    start: usize,
    first_arg: usize,
    args: usize,
    first_big: usize,
    big: usize,
    wire_len: usize,
}

/// An argument that arrived in chunks.
#[derive(Debug)]
struct Big {
    len: usize,
    chunks: Vec<Bytes>,
    /// One contiguous copy, once somebody has asked for it; the chunks are gone then.
    flat: Option<Bytes>,
}

/// One complete command. Argument 0 is its name.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    bytes: &'a [u8],
    args: &'a [Span],
    big: &'a [Big],
    wire_len: usize,
}

/// An argument of either form.
#[derive(Clone, Copy, Debug)]
pub enum ArgValue<'a> {
    /// A contiguous one.
    Slice(&'a [u8]),
    /// One that arrived in chunks.
    Chunks {
        /// Length of all the chunks together.
        len: usize,
        /// The bytes, in chunks of exactly [`CHUNK`](crate::limits::CHUNK); the last may be
        /// shorter.
        chunks: &'a [Bytes],
    },
}

impl ArgValue<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Slice(bytes) => bytes.len(),
            Self::Chunks { len, .. } => *len,
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[expect(clippy::len_without_is_empty, reason = "a command has at least its name")]
impl<'a> Request<'a> {
    /// Number of arguments, the name included; at least one.
    #[inline]
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// A contiguous argument.
    ///
    /// # Panics
    ///
    /// If there is no such argument (check the arity first), or if it is still in chunks
    /// ([`Decoder::flatten`] first, unless the command takes chunks).
    #[inline]
    pub fn arg(&self, i: usize) -> &'a [u8] {
        self.slice(self.args[i])
    }

    /// A contiguous argument, if there is one at `i`.
    ///
    /// # Panics
    ///
    /// If it is still in chunks.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        self.args.get(i).map(|&span| self.slice(span))
    }

    /// An argument of either form.
    ///
    /// # Panics
    ///
    /// If there is no such argument.
    #[inline]
    pub fn value(&self, i: usize) -> ArgValue<'a> {
        let span = self.args[i];
        if span.len != Span::BIG {
            return ArgValue::Slice(self.slice(span));
        }
        let big = &self.big[span.at as usize];
        match &big.flat {
            Some(flat) => ArgValue::Slice(flat),
            None => ArgValue::Chunks { len: big.len, chunks: &big.chunks },
        }
    }

    /// All arguments, the name first; they must be contiguous as for [`Request::arg`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let request = *self;
        request.args.iter().map(move |&span| request.slice(span))
    }

    /// The command line in the arguments from `from` on, for commands about commands.
    pub fn tail(&self, from: usize) -> Option<Request<'a>> {
        let args = self.args.get(from..).filter(|args| !args.is_empty())?;
        Some(Request { args, ..*self })
    }

    /// Bytes the command took on the wire.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }

    /// Whether an argument is still in chunks.
    pub fn has_chunks(&self) -> bool {
        self.big.iter().any(|big| big.flat.is_none())
    }

    #[inline]
    fn slice(&self, span: Span) -> &'a [u8] {
        let at = span.at as usize;
        if span.len == Span::BIG {
            return self.big[at].flat.as_deref().expect("flattened before contiguous use");
        }
        &self.bytes[at..at + span.len as usize]
    }
}
