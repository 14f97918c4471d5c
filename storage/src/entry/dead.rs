//! Entries that were taken out of the table: their memory is used again, or freed.

use super::{Behind, Entry, EntryPtr, FRONT, view};
use crate::reclaim::Big;
use crate::slab::{Block, Returns};
use crate::sync::prefetch_to_write;

const KIB: usize = 1024;

/// An entry that was taken out of the table, with what freeing it needs to know: its header may be
/// far away by then.
pub(crate) struct Dead {
    entry: EntryPtr,
    class: u32,
    /// KiB of the big string behind it that are another one's as well.
    shared: u32,
    behind: Option<Behind>,
}

// SAFETY: whoever has it owns the entry and what hangs on it.
unsafe impl Send for Dead {}

impl Dead {
    /// `bytes` is what the entry was counted as.
    #[inline]
    pub(crate) fn new(entry: EntryPtr, view: &Entry<'_>, bytes: usize) -> Self {
        let behind = view.behind();
        let class = if behind.is_none() { bytes } else { view.class() };
        Self { entry, class: class as u32, shared: 0, behind }
    }

    /// Of an entry whose large collection another entry has taken over.
    pub(crate) fn without_object(entry: EntryPtr, view: &Entry<'_>) -> Self {
        Self { entry, class: view.class() as u32, shared: 0, behind: None }
    }

    /// Asks for the line that freeing it writes to.
    pub(crate) fn prefetch(&self) {
        crate::sync::prefetch(self.entry.0.as_ptr());
    }

    /// Asks for the lines that using it again writes to, of most entries: another thread may have
    /// written them last, or have read them since.
    #[inline(always)]
    pub(crate) fn prefetch_to_write(&self) {
        let base = self.entry.0.as_ptr();
        prefetch_to_write(base);
        prefetch_to_write(base.wrapping_add(64));
    }

    /// Whoever still reads it should not find what was there.
    #[cfg(shuttle)]
    pub(crate) fn spoil(&self) {
        // SAFETY: whoever has it owns the entry, which takes so many bytes.
        unsafe { self.entry.0.write_bytes(crate::slab::FREE, self.class()) };
    }

    /// Usable bytes of the entry itself, without what hangs on it.
    #[inline]
    pub(crate) fn class(&self) -> usize {
        self.class as usize
    }

    /// So many bytes of the big string behind it will stay when it is freed.
    pub(crate) fn share(&mut self, bytes: usize) {
        self.shared = (bytes / KIB) as u32;
    }

    /// About that many.
    pub(crate) fn shared(&self) -> usize {
        self.shared as usize * KIB
    }

    /// True if something hangs on it.
    pub(crate) fn is_laden(&self) -> bool {
        self.behind.is_some()
    }

    /// The same, of one on which nothing hangs. It is made anew from its parts: copied as a whole, right
    /// after its parts were written, it would be read before the processor has them together.
    #[inline(always)]
    pub(crate) fn unladen(self) -> Self {
        debug_assert!(!self.is_laden());
        Self { entry: self.entry, class: self.class, shared: 0, behind: None }
    }

    /// Gives up the entry and keeps its memory.
    ///
    /// # Safety
    /// The caller owns the entry, as for [`free`], and nothing hangs on it.
    pub(crate) unsafe fn into_block(self) -> Block {
        debug_assert!(!self.is_laden());
        // SAFETY: the entry has this much in front.
        Block(unsafe { self.entry.0.sub(FRONT) })
    }
}

/// Frees an entry, whose block goes with `returns`; what hung on it comes back, to be freed in slices,
/// unless it is as little as an entry.
///
/// # Safety
/// The caller owns the entry: no slot holds it and no pinned reader can still reach it.
pub(crate) unsafe fn free(dead: Dead, returns: &mut Returns) -> Option<Big> {
    let big = dead.behind.and_then(|behind| match behind {
        Behind::Rope(rope) => {
            // SAFETY: the pointer came from `Box::into_raw` in `build`, and the entry that held it is
            // being freed, so this is the only owner.
            let rope = unsafe { Box::from_raw(rope) };
            (rope.chunk_count() > 1).then_some(Big::Rope(rope))
        }
        // SAFETY: as above.
        Behind::Object(object) => Some(Big::Object(unsafe { Box::from_raw(object) })),
    });
    // SAFETY: the entry has this much in front, in the same block.
    let start = unsafe { dead.entry.0.sub(FRONT) };
    // SAFETY: `build` has put the entry into a block of this class.
    unsafe { returns.push(Block(start), dead.class as usize) };
    big
}

/// What freeing an entry needs to know, read from the entry.
///
/// # Safety
/// The caller owns the entry.
pub(crate) unsafe fn dead(entry: EntryPtr) -> Dead {
    // SAFETY: by the contract of this function.
    let view = unsafe { view(entry, 0) };
    Dead::new(entry, &view, view.class())
}
