//! A page: blocks of one class, and which of them are free.
//!
//! ```text
//! | fixed 16 | state 32 | - 16 | a bit per block: 1 = free | blocks ...            | rest |
//! ```
//!
//! The fixed part says what page it is and is read by whoever has one of its blocks. The state and the
//! bits belong to the holder of the page's arena.

use std::ptr::NonNull;

use super::Block;
use super::class::{blocks, words};
use crate::sync::{AtomicU32, Ordering};

/// Bytes of a page, and what its address is a multiple of.
pub(super) const PAGE: usize = 64 * 1024;
/// Bytes in front of the bits.
pub(super) const HEAD: usize = 64;
const STATE_AT: usize = size_of::<Fixed>();
const _: () = assert!(STATE_AT + size_of::<State>() <= HEAD && STATE_AT.is_multiple_of(8));

/// What blocks that were given back are filled with in debug builds.
pub(crate) const FREE: u8 = 0xdd;

/// A formatted page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page(NonNull<u8>);

// SAFETY: what a page is used for is said at its methods; its address goes anywhere.
unsafe impl Send for Page {}

/// Does not change while one of the blocks is in use, but for `leaving`.
#[repr(C)]
pub(super) struct Fixed {
    pub(super) class: u32,
    pub(super) blocks: u32,
    pub(super) arena: u32,
    /// 1 while its blocks are to be moved elsewhere. Written by the holder of the arena, read by
    /// anybody who has a block: a hint (Relaxed).
    pub(super) leaving: AtomicU32,
}

/// Belongs to the holder of the arena.
#[repr(C)]
pub(super) struct State {
    pub(super) used: u32,
    /// No word of the bits before this one has a free block.
    first: u32,
    /// Neighbours in the list that the page is in.
    pub(super) previous: Option<Page>,
    pub(super) next: Option<Page>,
}

impl Page {
    /// Makes a page of free blocks.
    ///
    /// # Safety
    /// `base` is the start of [`PAGE`] writable bytes, aligned to as many, which nobody else uses.
    pub(super) unsafe fn format(base: NonNull<u8>, class: usize, arena: usize) -> Self {
        let (count, page) = (blocks(class), Self(base));
        let leaving = AtomicU32::new(0);
        let fixed =
            Fixed { class: class as u32, blocks: count as u32, arena: arena as u32, leaving };
        // SAFETY: by the contract of this function.
        unsafe { base.cast().write(fixed) };
        let state = State { used: 0, first: 0, previous: None, next: None };
        // SAFETY: as above; the head has room for both.
        unsafe { page.state_at().write(state) };
        for word in 0..words(count) {
            let left = count - word * 64;
            let free = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
            // SAFETY: as above; the bits lie behind the head.
            let at = unsafe { page.bits_at().add(word) };
            // SAFETY: as above.
            unsafe { at.write(free) };
        }
        page
    }

    /// The page of a block, or of its own start.
    #[inline]
    pub(super) fn of(block: NonNull<u8>) -> Self {
        let address = block.as_ptr().map_addr(|address| address & !(PAGE - 1));
        Self(NonNull::new(address).expect("no page is at the start of the address space"))
    }

    pub(super) fn base(self) -> NonNull<u8> {
        self.0
    }

    /// # Safety
    /// The caller has one of the blocks, or holds the arena.
    #[inline]
    pub(super) unsafe fn fixed<'a>(self) -> &'a Fixed {
        // SAFETY: by the contract of this function the page is formatted and stays so.
        unsafe { self.0.cast().as_ref() }
    }

    fn state_at(self) -> NonNull<State> {
        // SAFETY: the head is part of the page.
        unsafe { self.0.add(STATE_AT) }.cast()
    }

    /// # Safety
    /// The caller holds the arena, and has no other reference to this page's state.
    pub(super) unsafe fn state<'a>(self) -> &'a mut State {
        // SAFETY: by the contract of this function.
        unsafe { self.state_at().as_mut() }
    }

    fn bits_at(self) -> NonNull<u64> {
        // SAFETY: the bits are part of the page.
        unsafe { self.0.add(HEAD) }.cast()
    }

    /// # Safety
    /// As for [`Page::state`].
    unsafe fn bits<'a>(self, blocks: usize) -> &'a mut [u64] {
        // SAFETY: `format` has written so many words, and the holder is alone.
        unsafe { std::slice::from_raw_parts_mut(self.bits_at().as_ptr(), words(blocks)) }
    }

    /// Where the blocks begin.
    fn start(blocks: usize) -> usize {
        HEAD + words(blocks) * size_of::<u64>()
    }

    /// Takes up to `want` free blocks, lower addresses first; how many.
    ///
    /// # Safety
    /// The caller holds the arena.
    pub(super) unsafe fn take(self, want: usize, out: &mut Vec<Block>) -> usize {
        // SAFETY: by the contract of this function.
        let fixed = unsafe { self.fixed() };
        // SAFETY: as above.
        let state = unsafe { self.state() };
        let (class, count) = (fixed.class as usize, fixed.blocks as usize);
        // SAFETY: as above.
        let bits = unsafe { self.bits(count) };
        let mut taken = 0;
        let mut at = state.first as usize;
        while taken < want && at < bits.len() {
            if bits[at] == 0 {
                at += 1;
                continue;
            }
            let block = at * 64 + bits[at].trailing_zeros() as usize;
            bits[at] &= bits[at] - 1;
            // SAFETY: the page has so many blocks.
            out.push(Block(unsafe { self.0.add(Self::start(count) + block * class) }));
            taken += 1;
        }
        state.first = at as u32;
        state.used += taken as u32;
        taken
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The caller holds the arena and owns the block.
    pub(super) unsafe fn give(self, block: &Block) {
        // SAFETY: by the contract of this function.
        let fixed = unsafe { self.fixed() };
        // SAFETY: as above.
        let state = unsafe { self.state() };
        let count = fixed.blocks as usize;
        // SAFETY: as above.
        let bits = unsafe { self.bits(count) };
        let offset = block.0.addr().get() - self.0.addr().get() - Self::start(count);
        let number = offset / fixed.class as usize;
        debug_assert_eq!(number * fixed.class as usize, offset, "no block begins here");
        let (word, bit) = (number / 64, 1 << (number % 64));
        debug_assert_eq!(bits[word] & bit, 0, "a block was given back twice");
        if cfg!(debug_assertions) {
            // Whoever still reads it should not find what was there.
            // SAFETY: by the contract of this function.
            unsafe { block.0.write_bytes(FREE, fixed.class as usize) };
        }
        bits[word] |= bit;
        state.first = state.first.min(word as u32);
        state.used -= 1;
    }

    /// Marks the page as one whose blocks are to be moved, or not.
    ///
    /// # Safety
    /// The caller holds the arena.
    pub(super) unsafe fn set_leaving(self, leaving: bool) {
        // SAFETY: by the contract of this function.
        unsafe { self.fixed() }.leaving.store(u32::from(leaving), Ordering::Relaxed);
    }
}
