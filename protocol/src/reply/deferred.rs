//! Headers whose count comes later.

use super::{Cut, GAP, Reply, offset, push_header};
use crate::Proto;
use bytes::Bytes;

/// A header whose count is not known yet.
#[derive(Debug)]
#[must_use = "the reply is broken until the header is finished"]
pub struct Deferred {
    at: u64,
    cut: u64,
    kind: Aggregate,
}

/// What a deferred header announces.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Array,
    Map,
    Set,
}

impl Reply {
    /// The header of an array whose length comes later. Nothing may be sent before it is
    /// finished.
    pub fn deferred_array(&mut self) -> Deferred {
        self.deferred(Aggregate::Array)
    }

    /// The header of a map whose length comes later. Nothing may be sent before it is finished.
    pub fn deferred_map(&mut self) -> Deferred {
        self.deferred(Aggregate::Map)
    }

    /// The header of a set whose size comes later. Nothing may be sent before it is finished.
    pub fn deferred_set(&mut self) -> Deferred {
        self.deferred(Aggregate::Set)
    }

    fn deferred(&mut self, kind: Aggregate) -> Deferred {
        let at = self.end();
        let cut = self.cuts_base + self.cuts.len() as u64;
        self.cuts.push_back(Cut { at, skip: GAP, bytes: Bytes::new() });
        self.skipped += GAP;
        self.buffer.extend_from_slice(&[0; GAP]);
        Deferred { at, cut, kind }
    }

    /// Fills in a deferred header: `n` elements, or pairs of a map.
    ///
    /// # Panics
    ///
    /// If the header was rolled back or sent.
    pub fn finish_deferred(&mut self, deferred: Deferred, n: usize) {
        let (kind, n) = match (deferred.kind, self.proto) {
            (Aggregate::Array, _) | (Aggregate::Set, Proto::Resp2) => (b'*', n),
            (Aggregate::Set, Proto::Resp3) => (b'~', n),
            (Aggregate::Map, Proto::Resp2) => (b'*', 2 * n),
            (Aggregate::Map, Proto::Resp3) => (b'%', n),
        };
        let mut line = Vec::with_capacity(GAP);
        push_header(&mut line, kind, i64::try_from(n).unwrap_or(i64::MAX));
        let len = line.len();
        let cut = offset(deferred.cut, self.cuts_base);
        let end = offset(deferred.at, self.base) + GAP;
        self.buffer[end - len..end].copy_from_slice(&line);
        self.cuts[cut].skip = GAP - len;
        self.skipped -= len;
    }
}
