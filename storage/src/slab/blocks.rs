//! Blocks to and from the arenas.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use arrayvec::ArrayVec;

use super::arena::{Arena, Choice};
use super::page::{PAGE, Page};
use super::pool::Pool;
use super::{BLOCK_MAX, Block, SlabStats, system};
use crate::sync::{AtomicUsize, Ordering, prefetch};

/// More threads than these share arenas.
const ARENAS: usize = 8;
/// Bytes, and blocks, that a thread takes at a time at most.
const REFILL_BYTES: usize = 2048;
const REFILL_BLOCKS: usize = 32;
/// Blocks that go back at a time.
const RETURNED: usize = 64;
/// Pages looked at in one step of a choice.
const CHOICE_PAGES: usize = 256;

/// A pool and its arenas.
pub(super) struct Slab {
    pool: Pool,
    arenas: [Arena; ARENAS],
    /// Threads that have asked for a number. Relaxed: numbers order nothing, they only have to differ.
    threads: AtomicUsize,
}

/// The one that entries are in, if the system allows it.
#[cfg(not(shuttle))]
fn slab() -> Option<&'static Slab> {
    static SLAB: std::sync::OnceLock<Option<Slab>> = std::sync::OnceLock::new();
    SLAB.get_or_init(Slab::of_all).as_ref()
}

#[cfg(shuttle)]
std::thread_local! {
    /// One for each execution: with one for all of them, none would have the same steps alone.
    static SLAB: std::cell::RefCell<Option<Box<Slab>>> = const { std::cell::RefCell::new(None) };
}

#[cfg(shuttle)]
fn slab() -> Option<&'static Slab> {
    let slab = SLAB.with_borrow(|slab| slab.as_deref().map(std::ptr::from_ref));
    // SAFETY: in its box until the next execution, and nobody keeps the reference for so long.
    slab.map(|slab| unsafe { &*slab })
}

/// For a new execution; nothing of the last one is in use.
#[cfg(shuttle)]
pub(crate) fn renew() {
    SLAB.set(Slab::of_all().map(Box::new));
}

impl Slab {
    /// With room for all that the machine can hold.
    fn of_all() -> Option<Self> {
        Self::reserve(system::room() / PAGE)
    }

    pub(super) fn reserve(pages: usize) -> Option<Self> {
        let (pool, threads) = (Pool::reserve(pages)?, AtomicUsize::new(0));
        Some(Self { pool, arenas: std::array::from_fn(Arena::new), threads })
    }

    /// Takes up to `want` blocks, or one at least; false if there is no memory.
    pub(super) fn take(
        &self,
        thread: usize,
        class: usize,
        want: usize,
        out: &mut Vec<Block>,
    ) -> bool {
        for step in 0..ARENAS {
            let arena = &self.arenas[(thread + step) % ARENAS];
            if let Some(taken) = arena.take(class, want, &self.pool, out) {
                return taken > 0;
            }
        }
        self.take_aside(thread, class, want, out)
    }

    /// All arenas are in use: takes blocks from a page of its own.
    #[cold]
    fn take_aside(&self, thread: usize, class: usize, want: usize, out: &mut Vec<Block>) -> bool {
        let Some(base) = self.pool.take() else { return false };
        let arena = thread % ARENAS;
        // SAFETY: the pool's pages are of the right size and ours.
        let page = unsafe { Page::format(base, class, arena) };
        // A page that is full must be in no list.
        let want = want.min(super::class::blocks(class) - 1);
        // SAFETY: nobody else knows the page, so holding the arena would make no difference.
        unsafe { page.take(want, out) };
        // SAFETY: as above.
        unsafe { self.arenas[arena].adopt(page, &self.pool) };
        true
    }

    /// Takes blocks back.
    ///
    /// # Safety
    /// They came from here, and the caller owns them.
    pub(super) unsafe fn give(&self, mut blocks: &mut [Block]) {
        blocks.iter().for_each(|block| prefetch(Page::of(block.0).base().as_ptr()));
        while let Some(first) = blocks.first() {
            let arena = arena_of(first);
            let mut own = 0;
            for at in 0..blocks.len() {
                if arena_of(&blocks[at]) == arena {
                    blocks.swap(own, at);
                    own += 1;
                }
            }
            let (ours, others) = blocks.split_at_mut(own);
            // SAFETY: by the contract of this function.
            unsafe { self.arenas[arena].give(ours, &self.pool) };
            blocks = others;
        }
    }

    pub(super) fn stats(&self) -> SlabStats {
        let (pages, empty) = self.pool.pages();
        let used = self.arenas.iter().map(Arena::used).sum();
        SlabStats { used, pages: (pages * PAGE) as u64, empty: (empty * PAGE) as u64 }
    }
}

fn arena_of(block: &Block) -> usize {
    // SAFETY: private to this module, whose callers own the blocks they ask for.
    unsafe { Page::of(block.0).fixed() }.arena as usize
}

/// Takes some blocks of a class of at most [`BLOCK_MAX`], for a thread of this number.
pub(crate) fn refill(thread: usize, class: usize, out: &mut Vec<Block>) {
    let want = (REFILL_BYTES / class).clamp(1, REFILL_BLOCKS);
    match slab() {
        None => out.push(Block(general(class))),
        Some(slab) if slab.take(thread, class, want, out) => {}
        Some(_) => handle_alloc_error(layout(class)),
    }
}

/// One block of any class.
pub(crate) fn allocate(thread: usize, class: usize) -> Block {
    let Some(slab) = slab().filter(|_| class <= BLOCK_MAX) else {
        return Block(general(class));
    };
    let mut out = Vec::with_capacity(1);
    slab.take(thread, class, 1, &mut out);
    out.pop().unwrap_or_else(|| handle_alloc_error(layout(class)))
}

fn general(class: usize) -> NonNull<u8> {
    let layout = layout(class);
    // SAFETY: no class is zero.
    let base = unsafe { alloc(layout) };
    NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout))
}

fn layout(class: usize) -> Layout {
    Layout::from_size_align(class, 8).expect("entries are far smaller than the address space")
}

/// Blocks on their way back, a batch at a time.
#[derive(Default)]
pub(crate) struct Returns(ArrayVec<Block, RETURNED>);

impl Returns {
    /// Takes a block back.
    ///
    /// # Safety
    /// It came from this module, was asked for as `class`, and is the caller's.
    pub(crate) unsafe fn push(&mut self, block: Block, class: usize) {
        if class > BLOCK_MAX || slab().is_none() {
            // SAFETY: by the contract of this function it came from `general`.
            unsafe { dealloc(block.0.as_ptr(), layout(class)) };
            return;
        }
        if self.0.is_full() {
            self.send();
        }
        self.0.push(block);
    }

    fn send(&mut self) {
        if let (Some(slab), false) = (slab(), self.0.is_empty()) {
            // SAFETY: by the contract of `push`.
            unsafe { slab.give(&mut self.0) };
            self.0.clear();
        }
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        self.send();
    }
}

/// Gives the memory of up to `pages` empty pages to the system; true if there is more.
pub(crate) fn purge(pages: usize) -> bool {
    slab().is_some_and(|slab| slab.pool.purge(pages))
}

/// What is in use.
pub(crate) fn stats() -> SlabStats {
    slab().map(Slab::stats).unwrap_or_default()
}

/// Whether a block is to be moved elsewhere; false of what is no block of a page.
///
/// # Safety
/// It is in use.
pub(crate) unsafe fn is_leaving(block: NonNull<u8>) -> bool {
    if !slab().is_some_and(|slab| slab.pool.contains(block)) {
        return false;
    }
    // SAFETY: by the contract of this function.
    unsafe { Page::of(block).fixed() }.leaving.load(Ordering::Relaxed) != 0
}

/// Asks for what [`is_leaving`] reads.
pub(crate) fn prefetch_page(block: NonNull<u8>) {
    prefetch(Page::of(block).base().as_ptr());
}

/// A number for a thread: those with different ones seldom meet.
pub(crate) fn next_thread() -> usize {
    slab().map_or(0, |slab| slab.threads.fetch_add(1, Ordering::Relaxed))
}

/// The choice of pages to leave, in steps.
#[derive(Default)]
pub(crate) struct Compaction {
    arena: usize,
    settled: bool,
    choice: Choice,
}

impl Compaction {
    /// Goes on; true when it is over.
    pub(crate) fn step(&mut self) -> bool {
        slab().is_none_or(|slab| self.step_in(slab))
    }

    pub(super) fn step_in(&mut self, slab: &Slab) -> bool {
        let Some(arena) = slab.arenas.get(self.arena) else { return true };
        if !self.settled {
            // What was left of the last time.
            self.settled = arena.settle(CHOICE_PAGES, &slab.pool);
        } else if arena.choose(&mut self.choice, CHOICE_PAGES, &slab.pool) {
            *self = Self { arena: self.arena + 1, ..Self::default() };
        }
        false
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
