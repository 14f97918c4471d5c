//! Where pages come from, and where empty ones go.
//!
//! A range of addresses is reserved once, several times as large as the machine's memory. It costs
//! nothing: nobody may touch it yet. Pages are carved from its beginning, one after the other, and
//! made accessible one at a time, so neither the kernel's bookkeeping nor a huge page on first touch
//! runs ahead of what is used. Empty pages wait on one of two stacks: those that are resident, which
//! are used first, and those whose memory was given back to the system.
//!
//! ```text
//! reserved:  | page 0 | page 1 | ... | page `carved` ...      no access                   |
//! links:     | u32    | u32    | ...       the next page of the stack that this one is on
//! ```
//!
//! The stacks are Treiber's, with a count in their heads that makes each exchange unique, and links
//! beside the pages, because a page that was given back has lost its contents.

use std::ptr::NonNull;

use super::page::PAGE;
use super::system;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Empty pages that stay resident.
const KEPT: usize = if cfg!(test) { 2 } else { 16 };

pub(super) struct Pool {
    base: NonNull<u8>,
    links: NonNull<AtomicU32>,
    /// Pages that were reserved, and how many of them were ever used.
    reserved: usize,
    carved: AtomicUsize,
    resident: Stack,
    purged: Stack,
    /// Pages on `resident`; may be off by those under way.
    waiting: AtomicUsize,
    /// Pages that are neither on a stack nor reserved only.
    used: AtomicUsize,
}

// SAFETY: the pointers are to mappings that belong to this value, and are only used to compute
// addresses of pages, each of which has one owner, and to reach atomics.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Reserves room for so many pages; nothing, if the system does not allow it.
    pub(super) fn reserve(pages: usize) -> Option<Self> {
        let pages = pages.min(u32::MAX as usize - 1);
        let base = system::reserve(pages * PAGE, PAGE)?;
        let Some(links) = system::map(pages * size_of::<AtomicU32>()) else {
            // SAFETY: reserved above, and nobody has seen it.
            unsafe { system::unmap(base, pages * PAGE) };
            return None;
        };
        Some(Self {
            base,
            links: links.cast(),
            reserved: pages,
            carved: AtomicUsize::new(0),
            resident: Stack::new(),
            purged: Stack::new(),
            waiting: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
        })
    }

    /// An empty page: accessible, contents unknown. Nothing, if the system has no more memory.
    pub(super) fn take(&self) -> Option<NonNull<u8>> {
        let page = if let Some(number) = self.resident.pop(self) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.page(number)
        } else if let Some(number) = self.purged.pop(self) {
            self.page(number)
        } else {
            self.carve()?
        };
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(page)
    }

    fn carve(&self) -> Option<NonNull<u8>> {
        let number = self.carved.fetch_add(1, Ordering::Relaxed);
        if number >= self.reserved {
            self.carved.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let page = self.page(number as u32);
        // SAFETY: the page is part of the reservation, and nobody else has this number.
        unsafe { system::allow(page, PAGE) }.then_some(page)
    }

    /// Takes an empty page back.
    ///
    /// # Safety
    /// It came from this pool, and nobody uses it any more.
    pub(super) unsafe fn give(&self, page: NonNull<u8>) {
        let number = (page.addr().get() - self.base.addr().get()) / PAGE;
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.resident.push(number as u32, self);
    }

    /// Gives the memory of up to `pages` empty pages to the system; true if there are more.
    pub(super) fn purge(&self, pages: usize) -> bool {
        for _ in 0..pages {
            if self.waiting.load(Ordering::Relaxed) <= KEPT {
                return false;
            }
            let Some(number) = self.resident.pop(self) else { return false };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: an empty page, which is nobody's but ours.
            unsafe { system::discard(self.page(number), PAGE) };
            self.purged.push(number, self);
        }
        self.waiting.load(Ordering::Relaxed) > KEPT
    }

    /// Pages in use, and empty ones that are resident.
    pub(super) fn pages(&self) -> (usize, usize) {
        (self.used.load(Ordering::Relaxed), self.waiting.load(Ordering::Relaxed))
    }

    /// Whether an address is in one of the pages.
    pub(super) fn contains(&self, address: NonNull<u8>) -> bool {
        address.addr().get().wrapping_sub(self.base.addr().get()) < self.reserved * PAGE
    }

    fn page(&self, number: u32) -> NonNull<u8> {
        // SAFETY: numbers are below `reserved`.
        unsafe { self.base.add(number as usize * PAGE) }
    }

    fn link(&self, number: u32) -> &AtomicU32 {
        // SAFETY: there is a link for every page.
        let link = unsafe { self.links.add(number as usize) };
        // SAFETY: mapped as zeros, which are a valid atomic, as long as this value lives.
        unsafe { link.as_ref() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: mapped by `reserve`; the caller of `drop` has seen to it that no block is in use.
        unsafe { system::unmap(self.base, self.reserved * PAGE) };
        // SAFETY: as above.
        unsafe { system::unmap(self.links.cast(), self.reserved * size_of::<AtomicU32>()) };
    }
}

/// `count 32 | number + 1 of the page on top, 0 = empty`
struct Stack(AtomicU64);

impl Stack {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn push(&self, number: u32, pool: &Pool) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            pool.link(number).store(head as u32, Ordering::Relaxed);
            let new = Self::after(head) | u64::from(number + 1);
            match self.0.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop(&self, pool: &Pool) -> Option<u32> {
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let number = (head as u32).checked_sub(1)?;
            // If somebody else takes the page meanwhile this is another link, and the count tells.
            let next = pool.link(number).load(Ordering::Relaxed);
            let new = Self::after(head) | u64::from(next);
            match self.0.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
    }

    /// The next count.
    fn after(head: u64) -> u64 {
        (head >> 32).wrapping_add(1) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_pages_are_used_again_before_new_ones() {
        let pool = Pool::reserve(8).expect("reserved");
        let pages: Vec<_> = (0..8).map(|_| pool.take().expect("there are eight")).collect();
        assert_eq!(pool.take(), None, "no more were reserved");
        for page in &pages {
            // SAFETY: ours until it is given back.
            unsafe { page.write_bytes(7, PAGE) };
            // SAFETY: as above.
            unsafe { pool.give(*page) };
        }
        assert_eq!(pool.pages(), (0, 8));
        assert!(pool.purge(3), "there is more");
        assert!(!pool.purge(100));
        assert_eq!(pool.pages(), (0, KEPT));
        let again: Vec<_> = (0..8).map(|_| pool.take().expect("there are eight")).collect();
        // SAFETY: ours again.
        let resident = again.iter().filter(|page| unsafe { page.read() } == 7).count();
        assert_eq!(resident, KEPT, "the others were given to the system");
        assert!(pages.iter().all(|page| again.contains(page)));
    }

    #[test]
    fn each_page_has_one_owner() {
        let pool = &Pool::reserve(64).expect("reserved");
        std::thread::scope(|scope| {
            for id in 0..4u8 {
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let pages: Vec<_> = (0..4).filter_map(|_| pool.take()).collect();
                        // SAFETY: ours until they are given back.
                        pages.iter().for_each(|page| unsafe { page.write(id) });
                        if round % 64 == 0 {
                            pool.purge(2);
                        }
                        for page in pages {
                            // SAFETY: as above.
                            assert_eq!(unsafe { page.read() }, id);
                            // SAFETY: as above.
                            unsafe { pool.give(page) };
                        }
                    }
                });
            }
        });
        assert_eq!(pool.pages().0, 0);
    }
}
