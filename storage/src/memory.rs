//! What memory costs, and the figures the store reports.
//!
//! The budget counts *usable* sizes: what an allocator really sets aside. Those of entries are the
//! blocks of the slab ([`crate::slab`]). Everything else, and entries too large for it, comes from the
//! general allocator, mimalloc; the bytes are computed from its size classes (16-byte steps to 64
//! bytes, then four classes per doubling), so the count is a pure function of the request and needs no
//! call into the allocator.

use crate::slab::SlabStats;

/// The bytes an allocation of `size` bytes really takes, if it is no entry's.
#[inline]
#[must_use]
pub const fn usable(size: usize) -> usize {
    if size <= 64 {
        return if size == 0 { 16 } else { (size + 15) & !15 };
    }
    if size > LARGE {
        // Whole operating system pages above the largest class.
        return size.div_ceil(4096) * 4096;
    }
    // Classes are 5, 6, 7 and 8 quarters of a power of two.
    let step = 1 << ((size - 1).ilog2() - 2);
    (size + step - 1) & !(step - 1)
}

/// Gives the memory which this thread has freed back to the system. The allocator does that by
/// itself only while it allocates, so a thread that goes idle after a burst would keep it. `at_once`: also
/// what it keeps for another tenth of a second, in case it is wanted again.
///
/// Under fuzzers and sanitizers memory comes from theirs, which does not keep any for a thread.
pub fn release_free(at_once: bool) {
    #[cfg(fuzzing)]
    let _ = at_once;
    // SAFETY: works on the allocator's own state of this thread; needs nothing from the caller.
    #[cfg(not(fuzzing))]
    unsafe {
        libmimalloc_sys::mi_collect(at_once);
    };
}

/// Makes the allocator give back large pieces that have been free for a while. It looks for them only when
/// another one is freed, and since entries are on pages of the slab, that may be never under a load of
/// small commands: here is one.
pub fn remind() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(REMINDER)));
}

/// A piece for which the allocator asks where large ones come from. Nobody writes to it, so it takes some
/// pages of the system's and not all that it is long.
const REMINDER: usize = 20 << 20;

/// Above this the allocator hands out whole pages.
const LARGE: usize = 8 << 20;

/// The bytes the store holds, by what they are held for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Everything that counts against `max_memory`: entries, tables, eviction state and misses.
    pub used: u64,
    /// Bucket arrays, and their expiry summaries.
    pub tables: u64,
    /// Keys, values and their headers.
    pub entries: u64,
    /// Eviction rings and ghosts.
    pub eviction: u64,
    /// Fingerprints of removed keys, for the causes of misses.
    pub misses: u64,
    /// Removed, but maybe still being read, or waiting to be freed in slices.
    pub limbo: u64,
    /// The largest `limbo` seen since the statistics were last reset.
    pub limbo_peak: u64,
    /// The pages that entries are on: those of all keyspaces of the process.
    pub slab: SlabStats,
}

#[cfg(test)]
mod tests {
    use super::usable;

    #[test]
    fn usable_sizes_are_the_allocators_classes() {
        for (size, class) in [
            (1, 16),
            (17, 32),
            (35, 48),
            (64, 64),
            (65, 80),
            (83, 96),
            (89, 96),
            (97, 112),
            (128, 128),
            (129, 160),
            (532, 640),
            (1024, 1024),
            (1025, 1280),
        ] {
            assert_eq!(usable(size), class, "{size}");
        }
    }
}
