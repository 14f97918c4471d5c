//! The entries of a stream, in the order of their identifiers.
//!
//! Entries are only ever added at the end, so the blocks need no index but their bases: an entry is
//! in the last block whose base is not greater. Deleting marks an entry; trimming drops whole blocks
//! from the front and marks the entries of at most one.

use std::collections::BTreeMap;

use super::block::{Block, Entry};
use super::id::StreamId;
use super::range::Range;
use super::{Limits, slot_bytes, tree};
use crate::Millis;

/// The largest text of one entry: what fits into a listpack for sure.
const MAX_TEXT: usize = 1 << 30;

/// Room made in advance for a block is not more than this.
const MAX_ROOM: usize = 4096;

/// What one block costs in the map.
const SLOT_BYTES: usize = slot_bytes(size_of::<(StreamId, Block)>());

/// The identifier that a new entry shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The current time, or the next identifier if that is not later than the last.
    Auto,
    /// This time, with the next number.
    Time(u64),
    /// This one.
    Exactly(StreamId),
}

/// Why an entry is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The last entry has the greatest identifier of all.
    Exhausted,
    /// The identifier is not greater than the last.
    NotGreater,
    /// Names and values are too long.
    TooLarge,
}

/// Why the last identifier and the counters cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetIdError {
    /// An entry with a greater identifier was deleted.
    BelowDeleted,
    /// There is an entry with a greater identifier.
    BelowTop,
    /// There are more entries than were ever added.
    TooFewAdded,
}

/// What to keep when trimming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many of the latest entries.
    Last(u64),
    /// Entries from this identifier on.
    From(StreamId),
}

/// How to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What is kept.
    pub keep: Keep,
    /// Drop whole blocks only, and keep what is left over.
    pub approximate: bool,
    /// Drop at most so many entries; 0 is no limit.
    pub limit: u64,
}

/// The entries of a stream and the counters about them.
#[derive(Clone, Debug)]
pub struct Log {
    blocks: BTreeMap<StreamId, Block>,
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    /// Memory behind the blocks, without the map.
    block_bytes: usize,
    tree_nodes: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            blocks: BTreeMap::new(),
            len: 0,
            first_id: StreamId::MIN,
            last_id: StreamId::MIN,
            max_deleted_id: StreamId::MIN,
            entries_added: 0,
            block_bytes: 0,
            tree_nodes: tree::ROOT,
        }
    }
}

impl Log {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Identifier of the first entry; `0-0` if there is none.
    #[must_use]
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The last identifier given to an entry, whether or not that is still there.
    #[must_use]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The greatest identifier of a deleted entry; `0-0` if none was. Trimming does not count.
    #[must_use]
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// How many entries were ever added.
    #[must_use]
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The blocks: base and bytes, in order.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = (StreamId, &[u8])> {
        self.blocks.iter().map(|(base, block)| (*base, block.bytes()))
    }

    /// How many nodes Redis's radix tree of the blocks would have.
    #[must_use]
    pub fn tree_nodes(&self) -> u64 {
        self.tree_nodes
    }

    /// The bytes of memory behind the entries.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        self.block_bytes + self.blocks.len() * SLOT_BYTES
    }

    /// Adds an entry at the end and returns its identifier.
    pub fn append<'f>(
        &mut self,
        id: NewId,
        fields: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
        limits: &Limits,
        now: Millis,
    ) -> Result<StreamId, AppendError> {
        if self.last_id == StreamId::MAX {
            return Err(AppendError::Exhausted);
        }
        let id = self.next_id(id, now).filter(|id| *id > self.last_id);
        let id = id.ok_or(AppendError::NotGreater)?;
        let sizes = fields.clone().map(|(name, value)| name.len().saturating_add(value.len()));
        let text = sizes.fold(0, usize::saturating_add);
        if text > MAX_TEXT {
            return Err(AppendError::TooLarge);
        }
        match self.blocks.last_entry() {
            Some(mut tail) if !tail.get().is_full(text, limits) => {
                let base = *tail.key();
                edit(&mut self.block_bytes, tail.get_mut(), |tail| tail.append(base, id, fields));
            }
            full => {
                // The next block will probably get as long as this one.
                let mut room = 0;
                if let Some(mut full) = full {
                    edit(&mut self.block_bytes, full.get_mut(), Block::shrink_to_fit);
                    room = full.get().bytes().len().min(MAX_ROOM);
                }
                let mut block = Block::new(fields.clone(), room);
                block.append(id, id, fields);
                self.insert_block(id, block);
            }
        }
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(id)
    }

    /// The identifier that a new entry gets, if there is one left.
    fn next_id(&self, id: NewId, now: Millis) -> Option<StreamId> {
        match id {
            NewId::Exactly(id) => Some(id),
            NewId::Time(ms) if ms == self.last_id.ms => {
                Some(StreamId::new(ms, self.last_id.seq.checked_add(1)?))
            }
            NewId::Time(ms) => Some(StreamId::new(ms, 0)),
            NewId::Auto => match u64::try_from(now) {
                Ok(now) if now > self.last_id.ms => Some(StreamId::new(now, 0)),
                _ => self.last_id.next(),
            },
        }
    }

    /// Deletes one entry; false if there is none with this identifier.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some((base, block)) = self.blocks.range_mut(..=id).next_back() else { return false };
        let base = *base;
        if !edit(&mut self.block_bytes, block, |block| block.delete(base, id)) {
            return false;
        }
        if block.counts().0 == 0 {
            self.remove_block(base);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first_id();
        }
        true
    }

    /// Removes entries from the front and returns how many.
    pub fn trim(&mut self, how: Trim) -> u64 {
        let mut deleted = 0;
        while let Some((&base, block)) = self.blocks.first_key_value() {
            if matches!(how.keep, Keep::Last(keep) if self.len <= keep) {
                break;
            }
            let (live, _) = block.counts();
            if how.limit > 0 && deleted + live > how.limit {
                break;
            }
            let whole = match how.keep {
                Keep::Last(keep) => self.len - live >= keep,
                Keep::From(id) => block.last_id(base) < id,
            };
            if whole {
                self.remove_block(base);
                self.len -= live;
                deleted += live;
                continue;
            }
            if !how.approximate {
                let gone = self.trim_first_block(how.keep);
                self.len -= gone;
                deleted += gone;
            }
            break;
        }
        if deleted > 0 {
            self.find_first_id();
        }
        deleted
    }

    /// Marks the entries of the first block that are not kept.
    fn trim_first_block(&mut self, keep: Keep) -> u64 {
        let len = self.len;
        let Some(mut first) = self.blocks.first_entry() else { return 0 };
        let base = *first.key();
        edit(&mut self.block_bytes, first.get_mut(), |block| {
            block.delete_until(base, |id, deleted| match keep {
                Keep::Last(keep) => len - deleted <= keep,
                Keep::From(from) => id >= from,
            })
        })
    }

    /// Sets the last identifier and, if they are given, the counters.
    pub fn set_id(
        &mut self,
        last_id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) -> Result<(), SetIdError> {
        if last_id < self.max_deleted_id {
            return Err(SetIdError::BelowDeleted);
        }
        if let Some(top) = self.top_id() {
            if last_id < top {
                return Err(SetIdError::BelowTop);
            }
            if entries_added.is_some_and(|added| added < self.len) {
                return Err(SetIdError::TooFewAdded);
            }
        }
        if last_id < self.last_id && self.is_empty() {
            // What trimming has left may be later than the next entries.
            while let Some((&base, _)) = self.blocks.first_key_value() {
                self.remove_block(base);
            }
        }
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        // 0-0 says that nothing is given.
        let max_deleted_id = max_deleted_id.filter(|id| *id != StreamId::MIN);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
        Ok(())
    }

    /// Identifier of the last entry.
    #[must_use]
    pub fn top_id(&self) -> Option<StreamId> {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id())
    }

    /// The entry with this identifier.
    #[must_use]
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The entries from `start` to `end`, both included.
    #[must_use]
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.blocks, start, end, false)
    }

    /// The same entries, the last one first.
    #[must_use]
    pub fn range_back(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(&self.blocks, start, end, true)
    }

    /// Frees `left` blocks at most and counts them down; true if there are no more.
    pub(super) fn drain(&mut self, left: &mut usize) -> bool {
        while *left > 0 {
            let Some((_, block)) = self.blocks.pop_first() else { return true };
            self.block_bytes -= block.memory_usage();
            *left -= 1;
        }
        false
    }

    /// Adds a block with entries of a payload, later than all others; false if it is malformed.
    /// Only trimming leaves a block without live entries, at the front.
    #[must_use]
    pub fn restore_block(&mut self, base: StreamId, bytes: Vec<u8>) -> bool {
        let Some((block, last, live)) = Block::validate(base, bytes) else { return false };
        if base <= self.last_id || (live == 0 && !self.blocks.is_empty()) {
            return false;
        }
        self.insert_block(base, block);
        self.last_id = last;
        let first = self.len == 0;
        self.len += live;
        self.entries_added = self.len;
        if first {
            self.find_first_id();
        }
        true
    }

    fn insert_block(&mut self, base: StreamId, block: Block) {
        self.tree_nodes += tree::added_nodes(&self.blocks, base);
        self.block_bytes += block.memory_usage();
        self.blocks.insert(base, block);
    }

    fn remove_block(&mut self, base: StreamId) {
        if let Some(block) = self.blocks.remove(&base) {
            self.block_bytes -= block.memory_usage();
            self.tree_nodes -= tree::added_nodes(&self.blocks, base);
        }
    }

    fn find_first_id(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id());
        self.first_id = first.unwrap_or(StreamId::MIN);
    }
}

/// Changes a block and keeps count of the memory behind all of them.
fn edit<R>(bytes: &mut usize, block: &mut Block, change: impl FnOnce(&mut Block) -> R) -> R {
    let before = block.memory_usage();
    let result = change(block);
    *bytes = *bytes - before + block.memory_usage();
    result
}
