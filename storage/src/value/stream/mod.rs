//! Streams: entries in the order in which they were added, and groups of consumers that share them.
//!
//! ```text
//! Stream
//!   log       base -> block of up to 100 entries   what was added, deleted, trimmed
//!   groups    name -> group                        who was given what
//! ```
//!
//! The [`Log`] knows nothing of groups, and a [`Group`] takes the log as an argument where it looks
//! entries up. Streams have no small form: even an empty one has a last identifier to remember, and
//! it stays when its entries go.

mod block;
mod claim;
mod deliver;
mod group;
mod id;
mod lag;
mod log;
mod range;
#[cfg(test)]
mod tests;
mod tree;

pub use block::Entry;
pub use claim::{Claim, Swept};
pub use group::{Consumer, Group, Groups, Pending};
pub use id::StreamId;
pub use log::{AppendError, Keep, Log, NewId, SetIdError, Trim};
pub use range::Range;

use crate::memory::usable;

/// A block never grows longer than this, whatever the limits say.
const MAX_BLOCK_BYTES: usize = 1 << 30;

/// What an entry of so many bytes costs in an ordered map that grows at its end: its part of a leaf
/// of eleven, of which seven are in use, and of a node above, whose eleven entries are as well used.
const fn slot_bytes(entry: usize) -> usize {
    let leaf = 11 * entry + 2 * size_of::<usize>();
    let node = leaf + 12 * size_of::<usize>();
    usable(leaf) / 7 + usable(node) / 49
}

/// When an entry goes to a new block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a block; 0 is no limit.
    pub node_max_bytes: usize,
    /// Entries of a block, deleted ones included; 0 is no limit.
    pub node_max_entries: u64,
}

impl Limits {
    /// The limit in bytes that really holds.
    fn block_bytes(self) -> usize {
        match self.node_max_bytes {
            0 => MAX_BLOCK_BYTES,
            limit => limit.min(MAX_BLOCK_BYTES),
        }
    }
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The entries.
    pub log: Log,
    /// The consumer groups.
    pub groups: Groups,
}

impl Stream {
    /// An empty stream without groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stream that has nothing but this group, to be freed in steps.
    #[must_use]
    pub fn of_group(group: Group) -> Self {
        let mut stream = Self::default();
        stream.groups.insert(b"", group);
        stream
    }

    /// The name that OBJECT ENCODING gives.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// The bytes of memory behind this stream.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        self.log.memory_usage() + self.groups.memory_usage()
    }

    /// Frees up to `max` blocks, pending entries, consumers or groups; whether there are more. Until
    /// that is over nothing but the memory may be asked for.
    pub fn shed(&mut self, max: usize) -> bool {
        let mut left = max;
        !(self.log.drain(&mut left) && self.groups.drain(&mut left))
    }
}
