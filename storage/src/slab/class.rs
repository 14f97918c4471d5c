//! The sizes of blocks.
//!
//! ```text
//! up to  256 bytes   every  4
//! up to  512         every  8
//! up to 1024         every 16
//! up to 8183         what a page of 64 KiB holds 63, 62, .. 8 of
//! ```
//!
//! So at most 3 % is lost to rounding between 128 bytes and 1 KiB, 6 % up to 4 KiB, 12 % above.
//! Entries have no alignment, so there is no need for steps of 8 bytes.

use super::page::{HEAD, PAGE};
use crate::memory;

/// Largest block.
pub(crate) const BLOCK_MAX: usize = coarse_class(FEWEST);
/// Numbers of classes are below this.
pub(crate) const CLASSES: usize = COARSE_FIRST + MOST - FEWEST + 1;

const TINY: usize = 16;
const SMALL: usize = 256;
const MIDDLE: usize = 512;
const FINE: usize = 1024;
/// Blocks of a page, of the smallest and the largest of the coarse classes.
const MOST: usize = 63;
const FEWEST: usize = 8;
/// What a page has for coarse blocks, with one word that says which are free.
const ROOM: usize = PAGE - HEAD - size_of::<u64>();
/// The number of the smallest coarse class.
const COARSE_FIRST: usize = number_of_fine(FINE) + 1;

/// The bytes that an entry of `size` bytes takes.
#[inline]
#[must_use]
pub(crate) const fn usable(size: usize) -> usize {
    if size <= SMALL {
        return if size <= TINY { TINY } else { (size + 3) & !3 };
    }
    usable_larger(size)
}

const fn usable_larger(size: usize) -> usize {
    if size <= MIDDLE {
        (size + 7) & !7
    } else if size <= FINE {
        (size + 15) & !15
    } else if size <= BLOCK_MAX {
        coarse_class(ROOM / size)
    } else {
        memory::usable(size)
    }
}

const fn coarse_class(blocks: usize) -> usize {
    ROOM / blocks
}

const fn number_of_fine(class: usize) -> usize {
    if class <= SMALL {
        class / 4
    } else if class <= MIDDLE {
        SMALL / 4 + (class - SMALL) / 8
    } else {
        SMALL / 4 + (MIDDLE - SMALL) / 8 + (class - MIDDLE) / 16
    }
}

/// The number of a class of at most [`BLOCK_MAX`].
#[inline]
pub(crate) const fn number(class: usize) -> usize {
    match class {
        0..=FINE => number_of_fine(class),
        _ => COARSE_FIRST + MOST - ROOM / class,
    }
}

/// How many blocks a page has.
pub(super) const fn blocks(class: usize) -> usize {
    let mut blocks = (PAGE - HEAD) / class;
    while HEAD + words(blocks) * size_of::<u64>() + blocks * class > PAGE {
        blocks -= 1;
    }
    blocks
}

/// How many words it takes to say which of them are free.
pub(super) const fn words(blocks: usize) -> usize {
    blocks.div_ceil(u64::BITS as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_lose_little() {
        let mut before = 0;
        for size in 1..=BLOCK_MAX {
            let class = usable(size);
            assert!(class >= size && class >= before, "{size}: {class}");
            assert_eq!(usable(class), class, "{size}");
            let lost = (class - size) * 100 / class;
            let most = if size < 128 {
                93
            } else if size <= 1024 {
                3
            } else if size <= 4096 {
                6
            } else {
                12
            };
            assert!(lost <= most, "{size}: {class}");
            before = class;
        }
        assert_eq!([83, 89, 35, 41, 532].map(usable), [84, 92, 36, 44, 544]);
        assert!(usable(BLOCK_MAX + 1) > BLOCK_MAX);
    }

    #[test]
    fn every_class_has_a_number_of_its_own() {
        let mut classes: Vec<usize> = (1..=BLOCK_MAX).map(usable).collect();
        classes.dedup();
        let numbers: Vec<usize> = classes.iter().map(|class| number(*class)).collect();
        let first = number(TINY);
        assert_eq!(numbers, (first..CLASSES).collect::<Vec<_>>());
    }

    #[test]
    fn pages_are_full_of_blocks() {
        for class in (1..=BLOCK_MAX).map(usable) {
            let taken = HEAD + words(blocks(class)) * 8 + blocks(class) * class;
            assert!(taken <= PAGE && taken + class + 8 > PAGE, "{class}");
            assert!(blocks(class) >= FEWEST);
        }
    }
}
