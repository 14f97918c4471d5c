//! What each prefix of keys costs and brings.
//!
//! A prefix is what stands before the first separator of a key, or before the second, ... , as
//! `prefix-depth` says; keys with fewer separators are under what they have, those with none under
//! the empty prefix. There are two accounts of it: reads and writes, from samples
//! ([`super::sampler`]), and keys and memory, from the walk ([`super::survey`]). Each is a bounded table, and
//! what does not fit is in `other`.

use super::top::NAME_MAX;
use dunlin_storage::Miss;

/// How keys are divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) separator: Box<[u8]>,
    pub(super) depth: usize,
}

impl Shape {
    /// The prefix of a key, without the separator behind it.
    pub(super) fn prefix<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        // A prefix that is longer than what is kept of it is cut.
        let key = &key[..key.len().min(NAME_MAX)];
        if self.separator.is_empty() {
            return &[];
        }
        let ends = memchr::memmem::find_iter(key, &self.separator);
        ends.take(self.depth).last().map_or(&[], |end| &key[..end])
    }
}

/// What was done to the keys of a prefix: estimates, each sample stands for all that were passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrefixUse {
    /// Accesses, of whatever kind.
    pub accesses: f64,
    /// Reads that found their key.
    pub hits: f64,
    /// Reads that did not, by the number of [`Miss`].
    pub misses: [f64; Miss::ALL.len()],
    /// Accesses that may change something.
    pub writes: f64,
    /// Bytes of commands and replies.
    pub net_bytes: f64,
}

impl PrefixUse {
    /// Adds another account to this one.
    pub(super) fn merge(&mut self, other: &PrefixUse) {
        self.accesses += other.accesses;
        self.hits += other.hits;
        self.misses.iter_mut().zip(other.misses).for_each(|(sum, more)| *sum += more);
        self.writes += other.writes;
        self.net_bytes += other.net_bytes;
    }

    /// The same, so many times.
    pub(super) fn times(&self, factor: f64) -> PrefixUse {
        PrefixUse {
            accesses: self.accesses * factor,
            hits: self.hits * factor,
            misses: self.misses.map(|count| count * factor),
            writes: self.writes * factor,
            net_bytes: self.net_bytes * factor,
        }
    }

    /// Reads that found nothing.
    #[must_use]
    pub fn missed(&self) -> f64 {
        self.misses.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_separator() {
        let shape = |separator: &[u8], depth| Shape { separator: separator.into(), depth };
        let one = shape(b":", 1);
        assert_eq!(one.prefix(b"user:1:name"), b"user");
        assert_eq!(one.prefix(b"user"), b"");
        assert_eq!(one.prefix(b":x"), b"");
        let two = shape(b":", 2);
        assert_eq!(two.prefix(b"user:1:name:x"), b"user:1");
        assert_eq!(two.prefix(b"user:1"), b"user");
        assert_eq!(shape(b"::", 1).prefix(b"a:b::c"), b"a:b");
        assert_eq!(shape(b"", 1).prefix(b"a:b"), b"");
        let long = [vec![b'p'; 10_000], b":x".to_vec()].concat();
        assert_eq!(one.prefix(&long), b"", "what is cut has no end");
    }
}
