//! The memory of a bucket array.
//!
//! Growing must not touch all of the new array, so it is made of fresh zero pages; and one that was
//! emptied goes back to the system as a whole. The general allocator would keep it for others of its
//! size, and there are none: the next one is a fifth larger.

use super::bucket::Bucket;

#[cfg(loom)]
pub(super) type Buckets = Box<[Bucket]>;

#[cfg(loom)]
pub(super) fn zeroed(count: usize) -> Buckets {
    (0..count).map(|_| Bucket::new()).collect()
}

#[cfg(not(loom))]
pub(super) use real::{Buckets, zeroed};

#[cfg(not(loom))]
mod real {
    use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
    use std::ops::Deref;
    use std::ptr::NonNull;

    use super::Bucket;
    use crate::slab::{map, unmap};

    /// From so many bytes on they come from the system.
    const MAPPED: usize = 256 * 1024;

    /// Buckets, all empty at first.
    pub(in super::super) struct Buckets {
        base: NonNull<Bucket>,
        count: usize,
        mapped: bool,
    }

    // SAFETY: it owns the buckets, which are made of atomics.
    unsafe impl Send for Buckets {}
    // SAFETY: as above.
    unsafe impl Sync for Buckets {}

    fn layout(count: usize) -> Layout {
        Layout::array::<Bucket>(count).expect("the group limit bounds the size")
    }

    /// So many empty buckets, at least one.
    pub(in super::super) fn zeroed(count: usize) -> Buckets {
        let layout = layout(count);
        if layout.size() >= MAPPED
            && let Some(base) = map(layout.size())
        {
            return Buckets { base: base.cast(), count, mapped: true };
        }
        // SAFETY: the size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        Buckets { base: base.cast(), count, mapped: false }
    }

    impl Deref for Buckets {
        type Target = [Bucket];

        #[inline(always)]
        fn deref(&self) -> &[Bucket] {
            // SAFETY: so many buckets are there as long as this value; all zero is an empty one.
            unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.count) }
        }
    }

    impl Drop for Buckets {
        fn drop(&mut self) {
            let layout = layout(self.count);
            if self.mapped {
                // SAFETY: mapped by `zeroed`, and nobody borrows it any more.
                unsafe { unmap(self.base.cast(), layout.size()) };
            } else {
                // SAFETY: allocated by `zeroed` with this layout.
                unsafe { dealloc(self.base.as_ptr().cast(), layout) };
            }
        }
    }
}
