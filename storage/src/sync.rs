//! Everything the engine uses to talk between threads, in one place.
//!
//! The other modules import atomics, cells and the epoch from here only, so that a build with
//! `--cfg loom --cfg crossbeam_loom` swaps every one of them for the model checker's. One with
//! `--cfg shuttle` swaps the atomics and the cells (see `steps.rs`).

#[cfg(all(loom, not(crossbeam_loom)))]
compile_error!("with only `--cfg loom` the epoch is not modelled: add `--cfg crossbeam_loom`");

#[cfg(all(loom, shuttle))]
compile_error!("one model at a time");

pub(crate) use crossbeam_epoch::{Collector, Guard as Pin, LocalHandle};

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{
    AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(shuttle)]
pub(crate) use {
    crate::steps::{AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize},
    core::sync::atomic::{Ordering, fence},
};

pub(crate) use std::sync::Arc;

/// State that only the holder of a shard's writer role may touch.
///
/// The cell has no lock of its own: the role word is the lock. Under the model checker an access
/// without the role is reported as a race.
pub(crate) struct RoleCell<T> {
    #[cfg(not(any(loom, shuttle)))]
    inner: core::cell::UnsafeCell<T>,
    #[cfg(loom)]
    inner: loom::cell::UnsafeCell<T>,
    #[cfg(shuttle)]
    inner: core::cell::RefCell<T>,
}

// SAFETY: `with` is the only way in, and its caller promises to hold the writer role, which one
// thread at a time does; taking the role acquires what the previous holder released.
unsafe impl<T: Send> Sync for RoleCell<T> {}

impl<T> RoleCell<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(not(any(loom, shuttle)))]
        let inner = core::cell::UnsafeCell::new(value);
        #[cfg(loom)]
        let inner = loom::cell::UnsafeCell::new(value);
        #[cfg(shuttle)]
        let inner = core::cell::RefCell::new(value);
        Self { inner }
    }

    /// # Safety
    /// The caller holds the role that protects this cell, and does not call `with` on the same
    /// cell from inside `f`.
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(not(any(loom, shuttle)))]
        {
            // SAFETY: the role makes this access exclusive.
            f(unsafe { &mut *self.inner.get() })
        }
        #[cfg(loom)]
        {
            self.inner.with_mut(|pointer| {
                // SAFETY: the role makes this access exclusive; loom checks it.
                f(unsafe { &mut *pointer })
            })
        }
        #[cfg(shuttle)]
        {
            f(&mut self.inner.try_borrow_mut().expect("the role makes this access exclusive"))
        }
    }
}

/// A mark inside memory that readers look at without a lock. Takes no room and does nothing, but
/// under the model checker: there it remembers who read and who freed the memory, so that a read
/// that is not ordered before the freeing, or not ordered after the making, is reported.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Alive;

#[cfg(not(loom))]
impl Alive {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self
    }

    /// Before the memory is read.
    #[inline(always)]
    pub(crate) fn read(&self) {}
}

#[cfg(loom)]
pub(crate) struct Alive(loom::cell::UnsafeCell<bool>);

#[cfg(loom)]
impl Alive {
    pub(crate) fn new() -> Self {
        crate::model::count(1);
        Self(loom::cell::UnsafeCell::new(true))
    }

    pub(crate) fn read(&self) {
        // SAFETY: nobody writes but `free`, and the cell reports it if that is not ordered.
        let alive = self.0.with(|alive| unsafe { *alive });
        assert!(alive, "freed memory was read");
    }

    /// Instead of giving the memory back: that is done when the execution is over.
    pub(crate) fn free(&self) {
        // SAFETY: the cell reports every other access that is not ordered before this one.
        let alive = self.0.with_mut(|alive| unsafe { std::mem::replace(&mut *alive, false) });
        assert!(alive, "memory was freed twice");
        crate::model::count(-1);
    }
}

/// Puts what follows on cache lines of its own (two: the adjacent-line prefetcher pairs them).
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct OwnLine<T>(pub(crate) T);

impl<T> core::ops::Deref for OwnLine<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Asks the processor to bring the line of `pointer` near, to be written. Never faults, whatever the
/// address.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // The intrinsic would fall back to a prefetch for reading: the instruction is not part of the
    // baseline, but all processors of 64 bits take it, the oldest as one that does nothing.
    // SAFETY: a prefetch has no architectural effect and may be given any address.
    unsafe {
        core::arch::asm!(
            "prefetchw [{pointer}]",
            pointer = in(reg) pointer,
            options(nostack, preserves_flags, readonly),
        );
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
    let _ = pointer;
}

/// Asks the processor to bring the line of `pointer` near. Never faults, whatever the address.
#[inline(always)]
pub(crate) fn prefetch<T>(pointer: *const T) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no architectural effect and may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(pointer.cast::<i8>()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = pointer;
}
