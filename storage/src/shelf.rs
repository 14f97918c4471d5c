//! Free blocks that wait for an entry of their size.
//!
//! A thread's writes use the blocks again that it has retired ([`crate::epoch`]), in the order in which
//! they come back. That fits where values keep their size. Where it does not, the block is put here
//! and one of the right size taken: giving it to the allocator would often mean giving it to another
//! thread, from which it came.

use crate::entry::Dead;

/// Bytes that may wait on a shelf.
const SHELF_BYTES: usize = 256 * 1024;

/// Free blocks of one thread by size class.
#[derive(Default)]
pub(crate) struct Shelf {
    bins: Vec<Vec<Dead>>,
    bytes: usize,
}

impl Shelf {
    /// A block of this class.
    pub(crate) fn take(&mut self, class: usize) -> Option<Dead> {
        let block = self.bins.get_mut(bin(class))?.pop()?;
        self.bytes -= class;
        Some(block)
    }

    /// Takes a block. If the shelf is full, one goes for it, of the class that fills most of it: that
    /// may be a size that nobody wants any more.
    pub(crate) fn put(&mut self, block: Dead) -> Option<Dead> {
        let (class, bin) = (block.class(), bin(block.class()));
        if self.bins.len() <= bin {
            self.bins.resize_with(bin + 1, Vec::new);
        }
        self.bins[bin].push(block);
        self.bytes += class;
        if self.bytes <= SHELF_BYTES {
            return None;
        }
        let fills = |bin: &Vec<Dead>| bin.first().map_or(0, |block| bin.len() * block.class());
        let gone = self.bins.iter_mut().max_by_key(|bin| fills(bin))?.pop()?;
        self.bytes -= gone.class();
        Some(gone)
    }

    /// All of them.
    pub(crate) fn clear(&mut self) -> Vec<Dead> {
        self.bytes = 0;
        std::mem::take(&mut self.bins).into_iter().flatten().collect()
    }
}

/// The number of a class (see [`crate::memory::usable`]): 16, 32, 48, 64, then four to each power of
/// two.
fn bin(class: usize) -> usize {
    if class <= 64 {
        return class.saturating_sub(1) / 16;
    }
    let top = (class - 1).ilog2() as usize;
    4 * (top - 6) + ((class - 1) >> (top - 2))
}

#[cfg(test)]
mod tests {
    use super::bin;
    use crate::memory::usable;

    #[test]
    fn every_class_has_a_bin_of_its_own() {
        let mut classes: Vec<usize> = (1..=16 * 1024).map(usable).collect();
        classes.dedup();
        let bins: Vec<usize> = classes.iter().map(|class| bin(*class)).collect();
        assert_eq!(bins, (0..classes.len()).collect::<Vec<_>>());
    }
}
