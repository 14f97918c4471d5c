//! The way out: what is to be sent next, what has been, and the memory that it leaves.

use super::{Cut, Reply, offset};
use crate::limits::{REPLY_KEPT, REPLY_KEPT_BUSY};
use std::collections::VecDeque;
use std::io::IoSlice;

impl Reply {
    /// Bytes that are not sent yet.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.sent + self.shared - self.skipped
    }

    /// Whether everything is sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.sent && self.cuts.is_empty()
    }

    /// Bytes of memory held for output; shared chunks count in full.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity() + self.cuts.capacity() * size_of::<Cut>() + self.shared
    }

    /// All that is to be sent, if it is one slice.
    #[inline]
    pub fn contiguous(&self) -> Option<&[u8]> {
        self.cuts.is_empty().then(|| &self.buffer[self.sent..])
    }

    /// Appends what is to be sent next, at most `max` slices.
    pub fn slices<'a>(&'a self, out: &mut Vec<IoSlice<'a>>, max: usize) {
        let mut from = self.sent;
        let mut left = max;
        let mut push = |bytes: &'a [u8]| {
            if !bytes.is_empty() && left > 0 {
                out.push(IoSlice::new(bytes));
                left -= 1;
            }
            left > 0
        };
        for cut in &self.cuts {
            let at = offset(cut.at, self.base);
            if !push(&self.buffer[from..at]) || !push(&cut.bytes) {
                return;
            }
            from = at + cut.skip;
        }
        push(&self.buffer[from..]);
    }

    /// Notes that `written` bytes of the slices have been sent.
    ///
    /// # Panics
    ///
    /// If that is more than is pending.
    pub fn advance(&mut self, written: usize) {
        let mut left = written;
        while let Some(cut) = self.cuts.front_mut() {
            let before = offset(cut.at, self.base) - self.sent;
            if left < before {
                self.sent += left;
                return self.compact();
            }
            left -= before;
            self.sent += before + cut.skip;
            self.skipped -= cut.skip;
            cut.at += cut.skip as u64;
            cut.skip = 0;
            let taken = left.min(cut.bytes.len());
            self.shared -= taken;
            left -= taken;
            if taken < cut.bytes.len() {
                bytes::Buf::advance(&mut cut.bytes, taken);
                return self.compact();
            }
            self.cuts.pop_front();
            self.cuts_base += 1;
        }
        assert!(left <= self.buffer.len() - self.sent, "more sent than pending");
        self.sent += left;
        self.compact();
    }

    /// Adds what `other` has not sent yet.
    ///
    /// # Panics
    ///
    /// If `other` has a deferred header that is not finished.
    pub fn append(&mut self, other: Reply) {
        if self.is_empty() {
            let proto = self.proto;
            *self = Reply { proto, ..other };
            return;
        }
        let mut from = other.sent;
        for cut in other.cuts {
            let at = offset(cut.at, other.base);
            self.buffer.extend_from_slice(&other.buffer[from..at]);
            if !cut.bytes.is_empty() {
                self.raw_shared(cut.bytes);
            }
            from = at + cut.skip;
        }
        self.buffer.extend_from_slice(&other.buffer[from..]);
    }

    /// Gives back all memory that holds nothing, for a connection that goes to sleep.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.base += self.buffer.len() as u64;
            self.sent = 0;
            self.buffer = Vec::new();
            self.cuts = VecDeque::new();
        }
    }

    /// Drops sent bytes: at once when all are sent, else when they are the larger part.
    fn compact(&mut self) {
        if self.is_empty() {
            self.base += self.buffer.len() as u64;
            self.sent = 0;
            self.buffer.clear();
            if self.buffer.capacity() > REPLY_KEPT_BUSY {
                self.buffer.shrink_to(REPLY_KEPT);
            }
            if self.cuts.capacity() * size_of::<Cut>() > REPLY_KEPT {
                self.cuts = VecDeque::new();
            }
        } else if self.sent > REPLY_KEPT && self.sent > self.buffer.len() / 2 {
            self.base += self.sent as u64;
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
    }
}
