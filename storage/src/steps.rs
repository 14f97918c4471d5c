//! What Shuttle needs of the inside. Exists under `--cfg shuttle` only.
//!
//! Shuttle runs the tasks of an execution on one thread of the system, and lets another one go on only
//! where it is asked to: at a [`step`]. There is one before every access of an atomic ([`Stepped`]), and
//! one before an entry is read. What lies between two steps happens at once, and everything in one order
//! (`SeqCst`): weaker ones are for loom. All sizes are the real ones; only the tags of a bucket are
//! compared a word at a time, not two.
//!
//! The epoch is the real crossbeam's, on the atomics of `core`: to pin, to unpin, to defer and to advance
//! happen at once each. Who is pinned and what is freed when are real, as every [`Handle`](crate::Handle)
//! has a participant of its own; the closures that free have their steps like everything else.
//!
//! The memory of freed buckets stays until the execution is over, and that of freed entries until it is
//! used again; both are filled, so that who reads them panics.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::Deref;

use core::sync::atomic;
use shuttle::sync::atomic::{AtomicBool, Ordering};

use crate::hash::POSITION_BITS;
use crate::{Keyspace, slab};

std::thread_local! {
    /// Whether there are steps: not while an execution is prepared and judged.
    static OPEN: Cell<bool> = const { Cell::new(false) };
    /// Every access of one of Shuttle's atomics is a step.
    static POINT: AtomicBool = const { AtomicBool::new(false) };
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    static BURIED: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Another task may go on here.
pub(crate) fn step() {
    // A task that panics shall end at once: while it does, Shuttle cannot tell it from the others.
    if OPEN.get() && !std::thread::panicking() {
        TAKEN.set(TAKEN.get() + 1);
        POINT.with(|point| point.load(Ordering::SeqCst));
    }
}

/// Steps of this thread so far.
#[must_use]
pub fn taken() -> u64 {
    TAKEN.get()
}

/// Runs `work` as one step.
pub(crate) fn at_once<R>(work: impl FnOnce() -> R) -> R {
    let was_open = OPEN.replace(false);
    let result = work();
    OPEN.set(was_open);
    result
}

/// Call at the start of every execution: all is as in a new process, so that the same schedule means the
/// same. There are no steps until [`open`].
pub fn begin() {
    OPEN.set(false);
    BURIED.take();
    slab::renew();
}

/// From here on there are steps.
pub fn open() {
    OPEN.set(true);
}

/// From here on there are none.
pub fn close() {
    OPEN.set(false);
}

/// Bytes of the blocks that entries are in, or that threads keep for their next ones.
#[must_use]
pub fn blocks_in_use() -> u64 {
    slab::stats().used
}

/// Keeps what nobody may look at any more until the execution is over.
pub(crate) fn bury(what: Box<dyn Any>) {
    BURIED.with_borrow_mut(|buried| buried.push(what));
}

/// An item's share of the table, which is part of what [`Entry::memory_usage`](crate::Entry) says.
pub const SLOT_SHARE: usize = crate::table::SLOT_SHARE;

/// Home buckets of a group.
pub const HOMES: usize = crate::table::HOMES;
/// Slots of a bucket.
pub const SLOTS: usize = crate::table::bucket::SLOTS;

/// The home bucket of a key in a table with so many homes.
#[must_use]
pub fn home(keyspace: &Keyspace, key: &[u8], homes: usize) -> usize {
    let spot = keyspace.hasher.spot(keyspace.key(key).hash);
    ((spot.position * homes as u64) >> POSITION_BITS) as usize
}

/// What every slot of a freed bucket holds.
pub(crate) const FREED_WORD: u64 = u64::from_ne_bytes([slab::FREE; 8]);

/// An atomic of `core` with a step before every access. Shuttle's own are larger: a bucket of them would be
/// no cache line, and zeroed memory none of them.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Stepped<A>(A);

impl<A> Deref for Stepped<A> {
    type Target = A;

    fn deref(&self) -> &A {
        step();
        &self.0
    }
}

macro_rules! stepped {
    ($($name:ident of $value:ty),*) => {$(
        pub(crate) type $name = Stepped<atomic::$name>;

        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }
        }
    )*};
}

stepped!(
    AtomicI64 of i64, AtomicU8 of u8, AtomicU32 of u32, AtomicU64 of u64, AtomicUsize of usize
);

pub(crate) type AtomicPtr<T> = Stepped<atomic::AtomicPtr<T>>;

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(pointer: *mut T) -> Self {
        Self(atomic::AtomicPtr::new(pointer))
    }
}
