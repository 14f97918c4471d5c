//! The body of a big bulk string while it arrives.

use bytes::{Bytes, BytesMut};

use super::Big;
use crate::chunk;
use crate::limits::CHUNK;

/// Bytes behind every bulk string; their values do not matter.
pub(super) const TRAILER: usize = 2;

/// A big bulk string that is not complete yet.
#[derive(Debug)]
pub(super) struct Body {
    len: usize,
    full: Vec<Bytes>,
    /// What the socket fills now: at most the goal, unless the caller appended more himself.
    chunk: BytesMut,
    /// Trailer bytes still to come once the last chunk is full.
    trailer: usize,
}

impl Body {
    pub(super) fn new(len: usize) -> Self {
        Self { len, full: Vec::new(), chunk: BytesMut::new(), trailer: TRAILER }
    }

    /// Bytes collected so far.
    pub(super) fn held(&self) -> usize {
        (self.full.len() * CHUNK).min(self.len) + self.chunk.len() + TRAILER - self.trailer
    }

    /// Bytes still to come, the trailer included.
    pub(super) fn missing(&self) -> usize {
        self.len + TRAILER - self.held()
    }

    pub(super) fn capacity(&self) -> usize {
        (self.full.len() * CHUNK).min(self.len) + self.chunk.capacity()
    }

    /// Length of the chunk that is being filled; zero when all of them are full.
    fn goal(&self) -> usize {
        CHUNK.min(self.len.saturating_sub(self.full.len() * CHUNK))
    }

    /// The current chunk with its missing room, or `None` if only the trailer is missing.
    ///
    /// A short last chunk gets room for the trailer, which saves a read; a full one does not,
    /// because two bytes more would take a quarter more of the allocator.
    pub(super) fn room(&mut self) -> Option<&mut BytesMut> {
        let goal = self.goal();
        if goal == 0 {
            return None;
        }
        if self.chunk.capacity() == 0 {
            let last = self.full.len() * CHUNK + goal == self.len;
            let room = if last && goal + TRAILER <= CHUNK { goal + TRAILER } else { goal };
            self.chunk = if room == CHUNK { chunk::take() } else { BytesMut::with_capacity(room) };
        }
        Some(&mut self.chunk)
    }

    /// Appends bytes from the receive buffer; returns how many belong to this bulk string.
    pub(super) fn fill(&mut self, mut bytes: &[u8]) -> usize {
        let given = bytes.len();
        while !bytes.is_empty() {
            let goal = self.goal();
            let Some(chunk) = self.room() else {
                let taken = self.trailer.min(bytes.len());
                self.trailer -= taken;
                bytes = &bytes[taken..];
                break;
            };
            let taken = (goal - chunk.len()).min(bytes.len());
            chunk.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.seal();
        }
        given - bytes.len()
    }

    /// Takes note of what a read has put into the chunk. Returns bytes that follow the chunk's
    /// goal and must be parsed after it.
    pub(super) fn settle(&mut self) -> Option<BytesMut> {
        let goal = self.goal();
        if goal == 0 || self.chunk.len() < goal {
            return None;
        }
        let rest = (self.chunk.len() > goal).then(|| BytesMut::from(&self.chunk[goal..]));
        self.chunk.truncate(goal);
        self.seal();
        rest
    }

    /// Goes on with the next chunk if this one was filled exactly; false if it was not, or was the last.
    pub(super) fn begin_next_chunk(&mut self) -> bool {
        let filled = self.goal() > 0 && self.chunk.len() == self.goal();
        if filled {
            self.seal();
        }
        filled && self.goal() > 0
    }

    /// Freezes the chunk if it has reached its goal.
    fn seal(&mut self) {
        let goal = self.goal();
        if goal > 0 && self.chunk.len() == goal {
            self.full.push(chunk::freeze(std::mem::take(&mut self.chunk)));
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.trailer == 0
    }

    pub(super) fn finish(self) -> Big {
        Big { len: self.len, chunks: self.full, flat: None }
    }
}
