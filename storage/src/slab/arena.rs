//! An arena: the pages that one thread at a time takes blocks from.
//!
//! A page is in one of three places: in the list of its class, if it has free blocks; in the list of
//! those that are *leaving*, if its blocks are being moved elsewhere; or, when it is full, in none. New
//! blocks come from the first page of a list; pages that were full go to its end. So old pages have
//! time to become empty, and an empty one goes back to the [`Pool`].

use std::ptr::NonNull;

use super::Block;
use super::class::{CLASSES, number};
use super::custody::Custody;
use super::page::Page;
use super::pool::Pool;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// Pages that are fuller than this share (in eighths) stay where they are.
const FULL_ENOUGH: usize = 7;

pub(super) struct Arena {
    number: usize,
    bins: Custody<Bins>,
    /// Blocks that were given back while somebody was at it, linked through their first bytes.
    /// Pushed by anybody (Release), taken whole (Acquire).
    returned: AtomicPtr<u8>,
    /// Pages with free blocks for this arena, linked through their states, likewise.
    adopted: AtomicPtr<u8>,
    /// Bytes of blocks in use. Written by the holder, read by anybody (Relaxed).
    used: AtomicU64,
}

/// Which pages have free blocks.
pub(super) struct Bins {
    bins: Box<[Bin]>,
    leaving: List,
    used: u64,
}

/// The pages of one class that have free blocks.
#[derive(Default)]
struct Bin {
    list: List,
    /// Free blocks of the pages in the list.
    free: usize,
}

/// Where the choice of pages to leave stands.
#[derive(Default)]
pub(super) struct Choice {
    class: usize,
    /// Pages of the class that were not looked at yet, if it has begun.
    left: Option<usize>,
    /// Blocks a page has in use on average.
    mean: usize,
    /// Blocks of the pages that were chosen, which need a place elsewhere.
    moving: usize,
}

impl Arena {
    pub(super) fn new(number: usize) -> Self {
        let bins = (0..CLASSES).map(|_| Bin::default()).collect();
        Self {
            number,
            bins: Custody::new(Bins { bins, leaving: List::default(), used: 0 }),
            returned: AtomicPtr::new(std::ptr::null_mut()),
            adopted: AtomicPtr::new(std::ptr::null_mut()),
            used: AtomicU64::new(0),
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes up to `want` blocks; how many, or nothing if somebody else is at it.
    pub(super) fn take(
        &self,
        class: usize,
        want: usize,
        pool: &Pool,
        out: &mut Vec<Block>,
    ) -> Option<usize> {
        self.try_with(pool, |bins| bins.take(class, want, self.number, pool, out))
    }

    /// Takes blocks back, here or wherever somebody is at it.
    ///
    /// # Safety
    /// They came from this arena, and the caller owns them.
    pub(super) unsafe fn give(&self, blocks: &[Block], pool: &Pool) {
        // SAFETY: by the contract of this function.
        let work = |bins: &mut Bins| blocks.iter().for_each(|b| unsafe { bins.give(b, pool) });
        if self.try_with(pool, work).is_some() {
            return;
        }
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return };
        for pair in blocks.windows(2) {
            // SAFETY: a block is ours, and has room for a pointer.
            unsafe { set_link(&pair[0], pair[1].0.as_ptr()) };
        }
        push(&self.returned, first.0.as_ptr(), |next| {
            // SAFETY: as above; nobody sees the chain before it is pushed.
            unsafe { set_link(last, next) };
        });
        self.bins.leave_word(|bins| self.rest(bins, pool));
    }

    /// Takes a page that the caller has formatted for this arena and taken blocks from.
    ///
    /// # Safety
    /// Nobody else has the page.
    pub(super) unsafe fn adopt(&self, page: Page, pool: &Pool) {
        push(&self.adopted, page.base().as_ptr(), |next| {
            // SAFETY: by the contract of this function.
            let state = unsafe { page.state() };
            state.next = NonNull::new(next).map(Page::of);
        });
        self.bins.leave_word(|bins| self.rest(bins, pool));
    }

    fn try_with<R>(&self, pool: &Pool, work: impl FnOnce(&mut Bins) -> R) -> Option<R> {
        let work = |bins: &mut Bins| {
            let result = work(bins);
            self.used.store(bins.used, Ordering::Relaxed);
            result
        };
        self.bins.try_with(work, |bins| self.rest(bins, pool))
    }

    /// Does what was left by those who did not get in.
    fn rest(&self, bins: &mut Bins, pool: &Pool) {
        // In this order, and pages first: then every block is of a page that has been adopted.
        let mut block = NonNull::new(self.returned.swap(std::ptr::null_mut(), Ordering::Acquire));
        let mut page = NonNull::new(self.adopted.swap(std::ptr::null_mut(), Ordering::Acquire));
        while let Some(base) = page {
            let page_here = Page::of(base);
            // SAFETY: the swap made the whole list ours.
            page = unsafe { page_here.state() }.next.take().map(Page::base);
            // SAFETY: as above.
            unsafe { bins.adopt(page_here) };
        }
        while let Some(returned) = block.map(Block) {
            // SAFETY: as above.
            block = NonNull::new(unsafe { link(&returned) });
            // SAFETY: whoever has pushed it owned it.
            unsafe { bins.give(&returned, pool) };
        }
        self.used.store(bins.used, Ordering::Relaxed);
    }

    /// Goes on with the choice of pages to leave, for up to `pages` of them. True when it is over;
    /// false if there is more, or somebody else is at it.
    pub(super) fn choose(&self, choice: &mut Choice, pages: usize, pool: &Pool) -> bool {
        self.try_with(pool, |bins| bins.choose(choice, pages)).unwrap_or(false)
    }

    /// Lets up to `pages` of those stay that were to leave. True when none is left; false if there are
    /// more, or somebody else is at it.
    pub(super) fn settle(&self, pages: usize, pool: &Pool) -> bool {
        self.try_with(pool, |bins| bins.settle(pages)).unwrap_or(false)
    }
}

// Methods of what the holder of an arena has. All pages in the lists are the arena's.
impl Bins {
    fn take(
        &mut self,
        class: usize,
        want: usize,
        arena: usize,
        pool: &Pool,
        out: &mut Vec<Block>,
    ) -> usize {
        let bin = &mut self.bins[number(class)];
        let page = match bin.list.first {
            Some(page) => page,
            None => {
                let Some(base) = pool.take() else { return 0 };
                // SAFETY: the pool's pages are of the right size and ours until we give them back.
                let page = unsafe { Page::format(base, class, arena) };
                // SAFETY: the page is in no list.
                unsafe { bin.add(page) };
                page
            }
        };
        // SAFETY: we hold the arena.
        let taken = unsafe { page.take(want, out) };
        bin.free -= taken;
        self.used += (taken * class) as u64;
        // SAFETY: as above.
        if unsafe { used_of(page) } == blocks_of(page) {
            // SAFETY: the page is in this list.
            unsafe { bin.list.unlink(page) };
        }
        taken
    }

    /// # Safety
    /// The block is in use, of this arena, and the caller's.
    unsafe fn give(&mut self, block: &Block, pool: &Pool) {
        let page = Page::of(block.0);
        // SAFETY: we have one of its blocks.
        let fixed = unsafe { page.fixed() };
        let (class, count) = (fixed.class as usize, fixed.blocks as usize);
        let bin = &mut self.bins[number(class)];
        // SAFETY: by the contract of this function.
        unsafe { page.give(block) };
        self.used -= class as u64;
        // SAFETY: we hold the arena.
        let used = unsafe { used_of(page) };
        let list = if fixed.leaving.load(Ordering::Relaxed) == 0 {
            bin.free += 1;
            if used + 1 == count {
                // SAFETY: it was full, so it is in no list.
                unsafe { bin.list.push(page) };
            }
            &mut bin.list
        } else {
            &mut self.leaving
        };
        if used > 0 {
            return;
        }
        // SAFETY: it has free blocks, so it is in this list.
        unsafe { list.unlink(page) };
        if fixed.leaving.load(Ordering::Relaxed) == 0 {
            bin.free -= count;
        }
        // SAFETY: all of its blocks are free.
        unsafe { pool.give(page.base()) };
    }

    /// # Safety
    /// A page for this arena, which is in no list and not full.
    unsafe fn adopt(&mut self, page: Page) {
        // SAFETY: by the contract of this function.
        let fixed = unsafe { page.fixed() };
        // SAFETY: as above.
        let used = unsafe { used_of(page) };
        self.used += used as u64 * u64::from(fixed.class);
        // SAFETY: as above.
        unsafe { self.bins[number(fixed.class as usize)].add(page) };
    }

    fn choose(&mut self, choice: &mut Choice, pages: usize) -> bool {
        for _ in 0..pages {
            let Some(bin) = self.bins.get_mut(choice.class) else { return true };
            let left = match choice.left {
                Some(left) => left.min(bin.list.len),
                None => {
                    choice.moving = 0;
                    choice.mean = bin.mean();
                    bin.list.len
                }
            };
            let (Some(page), true) = (bin.list.first, left > 0) else {
                (choice.class, choice.left) = (choice.class + 1, None);
                continue;
            };
            choice.left = Some(left - 1);
            // SAFETY: we hold the arena, and the page is in this list.
            unsafe { bin.list.unlink(page) };
            // SAFETY: we hold the arena.
            let used = unsafe { used_of(page) };
            let count = blocks_of(page);
            let elsewhere = bin.free - (count - used);
            let sparse = used <= choice.mean && used * 8 <= count * FULL_ENOUGH;
            if sparse && choice.moving + used <= elsewhere {
                choice.moving += used;
                bin.free = elsewhere;
                // SAFETY: as above.
                unsafe { page.set_leaving(true) };
                // SAFETY: it is in no list now.
                unsafe { self.leaving.push(page) };
            } else {
                // SAFETY: as above.
                unsafe { bin.list.push(page) };
            }
        }
        choice.class >= self.bins.len()
    }

    fn settle(&mut self, pages: usize) -> bool {
        for _ in 0..pages {
            let Some(page) = self.leaving.first else { return true };
            // SAFETY: we hold the arena, and the page is in this list.
            unsafe { self.leaving.unlink(page) };
            // SAFETY: as above.
            unsafe { page.set_leaving(false) };
            // SAFETY: as above.
            let class = unsafe { page.fixed() }.class as usize;
            // SAFETY: it is in no list now, and nothing was taken from it since it had free blocks.
            unsafe { self.bins[number(class)].add(page) };
        }
        self.leaving.first.is_none()
    }
}

impl Bin {
    /// # Safety
    /// The caller holds the arena; the page is in no list and not full.
    unsafe fn add(&mut self, page: Page) {
        // SAFETY: by the contract of this function.
        self.free += blocks_of(page) - unsafe { used_of(page) };
        // SAFETY: as above.
        unsafe { self.list.push(page) };
    }

    /// How many blocks a page in the list has in use on average.
    fn mean(&self) -> usize {
        let Some(page) = self.list.first else { return 0 };
        (self.list.len * blocks_of(page) - self.free).div_ceil(self.list.len)
    }
}

/// Blocks of a page of an arena that the caller holds.
fn blocks_of(page: Page) -> usize {
    // SAFETY: private to this module, whose callers hold the arena.
    unsafe { page.fixed() }.blocks as usize
}

/// # Safety
/// The caller holds the arena.
unsafe fn used_of(page: Page) -> usize {
    // SAFETY: by the contract of this function.
    unsafe { page.state() }.used as usize
}

/// A list of pages, linked through their states.
#[derive(Default)]
struct List {
    first: Option<Page>,
    last: Option<Page>,
    len: usize,
}

impl List {
    /// # Safety
    /// The caller holds the arena; the page is in no list.
    unsafe fn push(&mut self, page: Page) {
        // SAFETY: by the contract of this function.
        let state = unsafe { page.state() };
        (state.previous, state.next) = (self.last, None);
        match self.last {
            // SAFETY: as above; another page than the one above.
            Some(last) => unsafe { last.state() }.next = Some(page),
            None => self.first = Some(page),
        }
        self.last = Some(page);
        self.len += 1;
    }

    /// # Safety
    /// The caller holds the arena; the page is in this list.
    unsafe fn unlink(&mut self, page: Page) {
        // SAFETY: by the contract of this function.
        let state = unsafe { page.state() };
        let (previous, next) = (state.previous.take(), state.next.take());
        match previous {
            // SAFETY: as above; another page than the one above.
            Some(previous) => unsafe { previous.state() }.next = next,
            None => self.first = next,
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.state() }.previous = previous,
            None => self.last = previous,
        }
        self.len -= 1;
    }
}

/// Pushes `top`, whose chain ends where `set_next` puts what was there before.
fn push(stack: &AtomicPtr<u8>, top: *mut u8, set_next: impl Fn(*mut u8)) {
    let mut head = stack.load(Ordering::Relaxed);
    loop {
        set_next(head);
        match stack.compare_exchange(head, top, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// # Safety
/// The caller owns the block.
unsafe fn set_link(block: &Block, next: *mut u8) {
    // SAFETY: a block has 16 bytes at least; it may have any address.
    unsafe { block.0.cast::<*mut u8>().write_unaligned(next) };
}

/// # Safety
/// The caller owns the block, and [`set_link`] was called on it.
unsafe fn link(block: &Block) -> *mut u8 {
    // SAFETY: by the contract of this function.
    unsafe { block.0.cast::<*mut u8>().read_unaligned() }
}
