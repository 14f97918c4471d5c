//! Every block is an allocation of its own (see the parent module).

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::ptr::NonNull;

use super::{Block, SlabStats};

/// Takes some blocks: none, so each is asked for when it is needed.
pub(crate) fn refill(_: usize, class: usize, out: &mut Vec<Block>) {
    out.push(allocate(0, class));
}

/// One block.
pub(crate) fn allocate(_: usize, class: usize) -> Block {
    let layout = layout(class);
    // SAFETY: no class is zero.
    let base = unsafe { alloc(layout) };
    Block(NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout)))
}

fn layout(class: usize) -> Layout {
    Layout::from_size_align(class, 8).expect("entries are far smaller than the address space")
}

/// Blocks on their way back.
#[derive(Default)]
pub(crate) struct Returns;

impl Returns {
    /// Takes a block back.
    ///
    /// # Safety
    /// It came from this module, was asked for as `class`, and is the caller's.
    pub(crate) unsafe fn push(&mut self, block: Block, class: usize) {
        let layout = layout(class);
        #[cfg(not(loom))]
        // SAFETY: by the contract of this function.
        unsafe {
            std::alloc::dealloc(block.0.as_ptr(), layout);
        }
        #[cfg(loom)]
        {
            // SAFETY: an entry is built with this mark in front.
            unsafe { block.0.cast::<crate::sync::Alive>().as_ref() }.free();
            crate::model::bury(block.0.as_ptr(), layout);
        }
    }
}

/// Nothing is kept.
pub(crate) fn purge(_: usize) -> bool {
    false
}

/// The general allocator does not tell.
pub(crate) fn stats() -> SlabStats {
    SlabStats::default()
}

/// Never.
///
/// # Safety
/// None is needed here.
pub(crate) unsafe fn is_leaving(_: NonNull<u8>) -> bool {
    false
}

/// Nothing is known of the page.
pub(crate) fn prefetch_page(_: NonNull<u8>) {}

/// Memory comes from the general allocator.
#[cfg(not(loom))]
pub(crate) fn map(_: usize) -> Option<NonNull<u8>> {
    None
}

/// See [`map`].
///
/// # Safety
/// Never called.
#[cfg(not(loom))]
pub(crate) unsafe fn unmap(_: NonNull<u8>, _: usize) {}

/// It makes no difference.
pub(crate) fn next_thread() -> usize {
    0
}

/// There is nothing to choose from.
#[derive(Default)]
pub(crate) struct Compaction;

impl Compaction {
    /// It is over.
    pub(crate) fn step(&mut self) -> bool {
        true
    }
}
