//! The memory of entries: blocks of many sizes on pages of 64 KiB.
//!
//! # Why not the general allocator
//!
//! It has few sizes, because it serves everybody: 5, 6, 7 and 8 eighths of a power of two. Most items of
//! a cache are of some typical length, and an unlucky one wastes a fifth. The sums, per item with a
//! 16-byte key (header: flags and two lengths of one byte, two for 128 bytes and more; five more bytes
//! with an expiry):
//!
//! | value, expiry | entry | mimalloc | block here |
//! |---|---|---|---|
//! | 16 | 35 | 48 | 36 |
//! | 16, yes | 40 | 48 | 40 |
//! | 64 | 83 | 96 | 84 |
//! | 64, yes | 88 | 96 | 88 |
//! | 512 | 532 | 640 | 544 |
//!
//! To that come, for the table, nine buckets of 64 bytes per 56 home slots, of which 77 to 92 % are
//! filled, and now and then a chained bucket or a second array: 12.2 to 14 bytes. And, of a page, a head
//! of 64 bytes, a bit per block, and what is left over behind the last one: 0.3 %. Together about 49, 53,
//! 97, 101 and 558 bytes; what is measured beyond that are partly filled pages, what threads keep for
//! their next writes, and what a server takes with no items.
//!
//! # How it works
//!
//! ```text
//! thread: spare blocks, shelf (epoch.rs, shelf.rs)         per thread, no atomics
//!            |  a few blocks at a time  ^
//!            v                          |
//! arena:  lists of pages with free blocks, by class        one thread at a time, nobody waits
//!            |  a page at a time        ^
//!            v                          |
//! pool:   empty pages, resident or not                     lock-free stacks
//!            |                          ^
//!            v  mprotect                |  madvise
//! system: reserved addresses
//! ```
//!
//! A thread asks the arena of its number, and if somebody is at that one, the next; if all are in use, it
//! takes a page of its own from the pool and leaves it with its arena. A block goes back to the arena it
//! came from; if somebody is at that one, it is left there ([`custody`]). So nobody ever waits, and the
//! threads meet rarely, as blocks go to and fro in dozens.
//!
//! It is one for the process, like the general allocator: entries may outlive their keyspace, and memory
//! that one has given back serves the next.
//!
//! # When sizes change
//!
//! Pages of a class whose entries were removed are partly empty, and only entries of that class can fill
//! them. So pages that can be done without are marked as *leaving* ([`Compaction`]): no new blocks are
//! taken from them, and a walk through the tables copies the entries on them elsewhere
//! (`crate::compact`). When its last block has come back, a page goes to the pool, and with its next
//! use it may be of any class.
//!
//! # Without it
//!
//! Under the model checker and fuzzers every entry is an allocation of its own, so that they see each;
//! so it is where the system has no `mmap`, or refuses to reserve the addresses.

#![cfg_attr(any(loom, fuzzing), allow(dead_code, reason = "what only pages need"))]

mod class;
pub(crate) mod custody;

pub(crate) use class::{BLOCK_MAX, CLASSES, number, usable};
use std::ptr::NonNull;

/// Memory of some class that nobody uses. Its first byte may have any address.
pub(crate) struct Block(pub(crate) NonNull<u8>);

/// The bytes of the blocks that entries are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlabStats {
    /// Of blocks that are in use, or that threads keep for their next writes.
    pub used: u64,
    /// Of pages that have a block in use.
    pub pages: u64,
    /// Of empty pages that are still resident.
    pub empty: u64,
}

impl SlabStats {
    /// Bytes of pages in use that no entry is in.
    #[must_use]
    pub fn slack(&self) -> u64 {
        self.pages.saturating_sub(self.used)
    }
}

#[cfg(all(target_os = "linux", not(any(loom, fuzzing, miri))))]
mod arena;
#[cfg(all(target_os = "linux", not(any(loom, fuzzing, miri))))]
mod blocks;
mod page;
#[cfg(all(target_os = "linux", not(any(loom, fuzzing, miri))))]
mod pool;
#[cfg(all(target_os = "linux", not(any(loom, fuzzing, miri))))]
mod system;

#[cfg(all(target_os = "linux", not(any(loom, fuzzing, miri))))]
pub(crate) use system::{map, unmap};

#[cfg(shuttle)]
pub(crate) use {blocks::renew, page::FREE};

#[cfg(any(not(target_os = "linux"), loom, fuzzing, miri))]
#[path = "general.rs"]
mod blocks;

pub(crate) use blocks::{
    Compaction, Returns, allocate, is_leaving, next_thread, prefetch_page, purge, refill, stats,
};
#[cfg(all(any(not(target_os = "linux"), fuzzing, miri), not(loom)))]
pub(crate) use blocks::{map, unmap};
