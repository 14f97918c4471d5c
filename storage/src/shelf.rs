//! Free blocks that wait for an entry of their size.
//!
//! A thread's writes use the blocks again that it has retired ([`crate::epoch`]), in the order in which
//! they come back. That fits where values keep their size. Where it does not, the block is put here
//! and one of the right size taken. If there is none, some come from the [slab](crate::slab) at once,
//! and what is too much here goes back there at once: it is shared by all threads.

use crate::slab::{self, Block, CLASSES, Returns, number};

/// Bytes that may wait on a shelf.
const SHELF_BYTES: usize = 256 * 1024;
/// Blocks that go back when it is full.
const SPILLED: usize = 64;

/// Free blocks of one thread, by the number of their class.
#[derive(Default)]
pub(crate) struct Shelf {
    bins: Vec<Bin>,
    bytes: usize,
}

#[derive(Default)]
struct Bin {
    class: usize,
    blocks: Vec<Block>,
}

impl Shelf {
    /// A block of this class.
    pub(crate) fn take(&mut self, thread: usize, class: usize) -> Block {
        if let Some(block) = self.bins.get_mut(number(class)).and_then(|bin| bin.blocks.pop()) {
            self.bytes -= class;
            return block;
        }
        self.refill(thread, class)
    }

    #[inline(never)]
    fn refill(&mut self, thread: usize, class: usize) -> Block {
        let blocks = &mut self.bin(class).blocks;
        slab::refill(thread, class, blocks);
        // The lowest addresses first, as the processor likes it.
        blocks.reverse();
        let block = blocks.pop().expect("at least one came");
        self.bytes += self.bin(class).blocks.len() * class;
        block
    }

    /// Leaves a block, of one class, and takes one of another.
    #[inline(never)]
    pub(crate) fn exchange(&mut self, thread: usize, left: (Block, usize), class: usize) -> Block {
        let (block, had) = left;
        self.bin(had).blocks.push(block);
        self.bytes += had;
        if self.bytes > SHELF_BYTES {
            self.spill();
        }
        self.take(thread, class)
    }

    /// Gives some blocks of the class that fills most of the shelf back: that may be a size that nobody
    /// wants any more.
    fn spill(&mut self) {
        let fills = |bin: &&mut Bin| bin.blocks.len() * bin.class;
        let Some(bin) = self.bins.iter_mut().max_by_key(fills) else { return };
        let left = bin.blocks.len().saturating_sub(SPILLED);
        self.bytes -= (bin.blocks.len() - left) * bin.class;
        bin.empty(left);
    }

    /// Gives all of them back.
    pub(crate) fn clear(&mut self) {
        self.bytes = 0;
        self.bins.iter_mut().for_each(|bin| bin.empty(0));
    }

    fn bin(&mut self, class: usize) -> &mut Bin {
        if self.bins.is_empty() {
            self.bins.resize_with(CLASSES, Bin::default);
        }
        let bin = &mut self.bins[number(class)];
        bin.class = class;
        bin
    }
}

impl Bin {
    /// Gives all blocks but `left` back.
    fn empty(&mut self, left: usize) {
        let mut returns = Returns::default();
        for block in self.blocks.drain(left..) {
            // SAFETY: blocks on a shelf belong to nobody else, and are of the bin's class.
            unsafe { returns.push(block, self.class) };
        }
        if left == 0 {
            self.blocks = Vec::new();
        }
    }
}
