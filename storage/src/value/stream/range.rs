//! Reading entries in order.

use std::collections::{BTreeMap, btree_map};

use super::block::{Block, Cursor, Entry};
use super::id::StreamId;

/// Entries of a stream in one of the two directions.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    blocks: btree_map::Range<'a, StreamId, Block>,
    block: Option<Cursor<'a>>,
    start: StreamId,
    end: StreamId,
    back: bool,
}

impl<'a> Range<'a> {
    /// The entries of `blocks` from `start` to `end`, from behind if `back`.
    pub(super) fn new(
        blocks: &'a BTreeMap<StreamId, Block>,
        start: StreamId,
        end: StreamId,
        back: bool,
    ) -> Self {
        let first = blocks.range(..=start).next_back().map_or(start, |(base, _)| *base);
        // Nothing is in a range that ends before it starts, and the map does not know such ranges.
        let blocks = blocks.range(first..=end.max(first));
        Range { blocks, block: None, start, end, back }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let Some(block) = &mut self.block else {
                self.block = Some(if self.back {
                    self.blocks.next_back().map(|(base, block)| block.back(*base))?
                } else {
                    self.blocks.next().map(|(base, block)| block.front(*base))?
                });
                continue;
            };
            let Some(item) = (if self.back { block.previous() } else { block.next() }) else {
                self.block = None;
                continue;
            };
            if item.deleted {
                continue;
            }
            let id = item.entry.id();
            if if self.back { id < self.start } else { id > self.end } {
                // Nothing follows that is in the range.
                self.blocks = btree_map::Range::default();
                self.block = None;
                return None;
            }
            if (self.start..=self.end).contains(&id) {
                return Some(item.entry);
            }
        }
    }
}
