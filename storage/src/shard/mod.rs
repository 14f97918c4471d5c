//! The writer role of a shard: who may change it, how work is handed over, how batons pass.
//!
//! # One shard
//!
//! ```text
//! role word: HELD | QUEUED          stack: jobs published and not yet taken (newest first)
//!                                   backlog: jobs taken and not yet run (role-protected)
//! ```
//!
//! - **Enter**: `fetch_or(HELD)`; HELD was clear: the role is taken.
//! - **Publish** (the role was busy): push the job on the stack, then `fetch_or(HELD | QUEUED)`.
//!   HELD was clear: the publisher now has the role, and drains.
//! - **Release**: `CAS(HELD -> 0)`. It fails if QUEUED is set: clear QUEUED, take the stack, run the
//!   jobs, try again. After [`TURN_JOBS`] jobs the turn ends: the rest stays in the backlog, the word
//!   becomes QUEUED without HELD, and the shard is noted for `take_leftovers`. Whoever enters next
//!   finds QUEUED when it releases, and drains too.
//!
//! Nothing is stranded: publishing and releasing meet on one word, so they have an order. If the
//! publisher's `fetch_or` comes first, the release fails and sees the push (the read-modify-writes
//! of the word form a release sequence); if the release comes first, the publisher finds HELD clear
//! and is the holder. No `SeqCst` is needed.
//!
//! # Several shards
//!
//! A job names its shards in ascending order and carries the roles it holds. At the first busy shard
//! it is published in that shard's queue like any job. Whoever drains it there does not release that
//! shard: the role goes over to the job, which tries the next shard. The thread that gets the last
//! role runs the body and releases all of them, which drains their queues in turn.
//!
//! No thread waits for a role: it acquires, or leaves the job behind and goes on. No deadlock: a job
//! that waits in the queue of shard s holds only roles of shards below s; follow "waits for" from
//! job to job and the shard number rises strictly, so there is no cycle, and the last job of every
//! chain is running or about to be run by the thread that holds its role.
//!
//! Releasing can hand roles to jobs whose end releases more shards: this is a work list, not a
//! recursion, and it is bounded by [`TURN_JOBS`] per call.
//!
//! What takes long takes its roles to another thread: see [`baton`].

mod baton;
mod roles;
mod set;

use std::collections::VecDeque;

use crate::entry::Entry;
use crate::epoch::Guard;
use crate::eviction::auto::AutoCounters;
use crate::eviction::auto::sampler::Sampler;
use crate::hash::ShardId;
use crate::sync::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, OwnLine, RoleCell, fence};
use crate::table::TableCore;
use crate::value::object::Object;
use crate::writer::Writer;

pub use baton::{Baton, Errand};
pub use set::ShardSet;

const HELD: u32 = 1;
const QUEUED: u32 = 2;

/// Jobs of other threads that one release runs at most.
pub(crate) const TURN_JOBS: usize = if cfg!(loom) { 1 } else { 64 };

/// Work that may run on another thread, when that thread holds the roles.
pub trait Job: Send {
    /// Runs with all roles that the job was submitted with. Must be short and must not submit or
    /// enter by itself.
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'g, 'g>, guard: &'g Guard);

    /// Whether [`Keyspace::recall`] may take it out of a queue.
    fn is_recallable(&self) -> bool {
        false
    }

    /// It was taken out of a queue and will not run.
    fn recall(self: Box<Self>) {}
}

/// What is done with the roles.
enum Task {
    Run(Box<dyn Job>),
    Carry(Box<dyn Errand>),
}

impl Task {
    fn is_recallable(&self) -> bool {
        match self {
            Task::Run(job) => job.is_recallable(),
            Task::Carry(errand) => errand.is_recallable(),
        }
    }

    fn recall(self) {
        match self {
            Task::Run(job) => job.recall(),
            Task::Carry(errand) => errand.recall(),
        }
    }
}

/// A task, its shards, and how many of their roles it holds.
pub(crate) struct Node {
    task: Task,
    shards: ShardSet,
    held: usize,
    next: *mut Node,
}

impl Node {
    /// A task that holds nothing yet, as something to do.
    fn work(task: Task, shards: ShardSet) -> Work {
        Work::Advance(Box::new(Node { task, shards, held: 0, next: std::ptr::null_mut() }))
    }
}

// SAFETY: `next` is only followed by the one thread that took the stack it hangs on.
unsafe impl Send for Node {}

/// Role-protected state of a shard. What every turn touches comes first.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Core {
    pub(crate) tables: Vec<TableCore>,
    backlog: VecDeque<Box<Node>>,
    pub(crate) eviction: crate::eviction::Eviction,
    pub(crate) compaction: crate::compact::Hand,
    /// The database that the expiry walk is in.
    pub(crate) expire_db: usize,
}

/// Counters of a shard. Written under the role but for `busy`, read by anybody (Relaxed).
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) busy: AtomicU64,
    pub(crate) jobs: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) batch_max: AtomicU64,
    pub(crate) capped: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) expired_fields: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) eviction_bytes: AtomicU64,
    /// The last compaction that went through this shard, and how many entries it and others have moved.
    pub(crate) compaction: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) auto: AutoCounters,
}

/// Words that every writer writes, on one line: a turn should take few lines from other cores.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Words {
    /// HELD | QUEUED. Taken with Acquire, given back with Release.
    role: AtomicU32,
    /// 1 if changes are to be told: see [`crate::observer`]. Read and written only under the role.
    observed: AtomicU32,
    /// Odd while a turn is changing the shard. Written under the role; read by optimistic readers
    /// of several keys.
    write_seq: AtomicU64,
    /// Published jobs, newest first.
    stack: AtomicPtr<Node>,
    /// Turns so far.
    pub(crate) taken: AtomicU64,
    /// Bytes of the shard, and how many of them the common counter knows about.
    pub(crate) bytes: AtomicI64,
    pub(crate) folded: AtomicI64,
    /// Changes that somebody has asked for, since the start.
    pub(crate) changes: AtomicU64,
}

impl Words {
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.observed.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn set_observed(&self, wanted: bool) {
        self.observed.store(u32::from(wanted), Ordering::Relaxed);
    }
}

/// The role, and right behind it what it protects.
#[repr(C)]
struct Inner {
    words: Words,
    core: RoleCell<Core>,
}

/// A shard: its role and what the role protects, of all databases.
pub(crate) struct Shard {
    /// Odd while a write of several keys is in progress (see `Writer::make_atomic`). On a line of its
    /// own: every read of a key looks at it, and only such writes change it.
    multi_seq: OwnLine<AtomicU64>,
    inner: OwnLine<Inner>,
    pub(crate) counters: OwnLine<Counters>,
    /// What readers tell of the keys they find.
    pub(crate) sampler: OwnLine<Sampler>,
}

/// What is left to do in a work list.
enum Work {
    /// A job that holds some of its roles.
    Advance(Box<Node>),
    /// A shard whose role is held and not needed any more.
    Release(ShardId),
}

impl Shard {
    pub(crate) fn new(databases: usize) -> Self {
        let core = Core {
            tables: (0..databases).map(|_| TableCore::default()).collect(),
            ..Core::default()
        };
        Self {
            multi_seq: OwnLine(AtomicU64::new(0)),
            inner: OwnLine(Inner { words: Words::default(), core: RoleCell::new(core) }),
            counters: OwnLine(Counters::default()),
            sampler: OwnLine(Sampler::default()),
        }
    }

    /// Takes the role if it is free.
    #[inline]
    fn try_take(&self) -> bool {
        // Look first: a failing read-modify-write would take the line from the holder.
        self.inner.words.role.load(Ordering::Relaxed) & HELD == 0
            && self.inner.words.role.fetch_or(HELD, Ordering::AcqRel) & HELD == 0
    }

    /// Gives the role back if nothing is queued.
    #[inline]
    fn try_release(&self) -> bool {
        self.inner
            .words
            .role
            .compare_exchange(HELD, 0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Queues a job; true if the role turned out to be free and is now the caller's.
    fn publish(&self, node: Box<Node>) -> bool {
        let node = Box::into_raw(node);
        self.push(node, node);
        self.inner.words.role.fetch_or(HELD | QUEUED, Ordering::AcqRel) & HELD == 0
    }

    /// Pushes a chain of nodes, which the caller owns and which ends with the oldest, on the stack.
    fn push(&self, oldest: *mut Node, newest: *mut Node) {
        let stack = &self.inner.words.stack;
        let mut head = stack.load(Ordering::Relaxed);
        loop {
            // SAFETY: the chain is ours until the exchange below succeeds.
            unsafe { (*oldest).next = head };
            match stack.compare_exchange(head, newest, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Moves all published nodes to an empty list, oldest first. Who takes them owns them.
    fn take_stack(&self, nodes: &mut VecDeque<Box<Node>>) {
        let mut list = self.inner.words.stack.swap(std::ptr::null_mut(), Ordering::Acquire);
        while !list.is_null() {
            // SAFETY: the swap made the whole list ours.
            let node = unsafe { Box::from_raw(list) };
            list = node.next;
            nodes.push_front(node);
        }
    }

    /// The oldest queued job. Only under the role.
    fn next_job(&self, core: &mut Core) -> Option<Box<Node>> {
        if core.backlog.is_empty() {
            // Cleared before the stack is taken: a push that comes later sets it again.
            self.inner.words.role.fetch_and(!QUEUED, Ordering::AcqRel);
            self.take_stack(&mut core.backlog);
            let found = core.backlog.len() as u64;
            if found > 0 {
                Self::count(&self.counters.batches, 1);
                if found > self.counters.batch_max.load(Ordering::Relaxed) {
                    self.counters.batch_max.store(found, Ordering::Relaxed);
                }
            }
            if found > 1 {
                // QUEUED stays set as long as there is a backlog, so that no release forgets it.
                self.inner.words.role.fetch_or(QUEUED, Ordering::Relaxed);
            }
        }
        core.backlog.pop_front()
    }

    /// Runs `f` on the role-protected state.
    ///
    /// # Safety
    /// The caller holds this shard's role and is not inside another call of `with_core`.
    unsafe fn with_core<R>(&self, f: impl FnOnce(&mut Core) -> R) -> R {
        // SAFETY: by the contract of this function.
        unsafe { self.inner.core.with(f) }
    }

    pub(crate) fn multi_seq(&self) -> u64 {
        // Keeps earlier reads of slots before this one, for the second look of an optimistic read.
        fence(Ordering::Acquire);
        self.multi_seq.load(Ordering::Acquire)
    }

    pub(crate) fn write_seq(&self) -> u64 {
        fence(Ordering::Acquire);
        self.inner.words.write_seq.load(Ordering::Acquire)
    }

    /// Only under the role. Odd before the first change: the changes are Release stores, so who
    /// sees one of them sees this too.
    fn bump_write_seq(&self) {
        let seq = self.inner.words.write_seq.load(Ordering::Relaxed);
        self.inner.words.write_seq.store(seq + 1, Ordering::Release);
    }

    fn bump_multi_seq(&self) {
        let seq = self.multi_seq.load(Ordering::Relaxed);
        self.multi_seq.store(seq + 1, Ordering::Release);
    }

    pub(crate) fn words(&self) -> &Words {
        &self.inner.words
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.inner.words.bytes.load(Ordering::Relaxed).max(0) as u64
    }

    pub(crate) fn eviction_bytes(&self) -> u64 {
        self.counters.eviction_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count(counter: &AtomicU64, more: u64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.take_stack(&mut VecDeque::new());
    }
}

impl<'k> Writer<'k, '_> {
    /// The role-protected state of a shard this writer holds.
    #[inline]
    pub(crate) fn with_core<R>(&mut self, id: ShardId, f: impl FnOnce(&mut Core) -> R) -> R {
        assert!(self.holds(id), "a writer touched a shard it does not hold");
        let shard = self.keyspace.shard(id);
        // SAFETY: a writer exists only while all roles of its set are held for it, and `&mut self`
        // keeps calls from nesting.
        unsafe { shard.with_core(f) }
    }

    /// The large collection behind an entry that this writer has found, if there is one.
    #[must_use]
    pub fn object<'w>(&'w self, entry: &Entry<'_>) -> Option<&'w Object> {
        self.assert_holds(entry);
        // SAFETY: the role is held as long as the writer exists, and changing anything needs
        // `&mut self`, so nobody else looks into the object or changes it while it is borrowed.
        let object = unsafe { entry.object() }?;
        // SAFETY: as above. It is alive: the entry is, or its successor has it.
        Some(unsafe { object.as_ref() })
    }

    /// Changes the large collection behind an entry that this writer has found.
    pub(crate) fn with_object<R>(
        &mut self,
        entry: &Entry<'_>,
        change: impl FnOnce(&mut Object) -> R,
    ) -> R {
        self.assert_holds(entry);
        // SAFETY: as in `object`, and `&mut self` makes this the only reference.
        let object = unsafe { entry.object() };
        let Some(mut object) = object else { unreachable!("the caller has looked at the kind") };
        // SAFETY: as above.
        change(unsafe { object.as_mut() })
    }

    fn assert_holds(&self, entry: &Entry<'_>) {
        let key = self.keyspace.key(entry.key());
        assert!(
            self.holds(self.keyspace.shard_of(key.hash)),
            "a writer looked into a shard it does not hold"
        );
    }

    /// Marks all shards of the set as changing, or as changed; whether one of them is observed.
    #[inline(always)]
    pub(crate) fn mark(&self) -> bool {
        if let (Some(id), false) = (self.shards.only(), self.atomic) {
            let shard = self.keyspace.shard(id);
            shard.bump_write_seq();
            return shard.words().is_observed();
        }
        self.mark_all()
    }

    #[inline(never)]
    fn mark_all(&self) -> bool {
        self.shards.iter().fold(false, |observed, id| observed | self.mark_one(id))
    }

    /// Marks one shard as changing, or as changed; whether it is observed.
    pub(crate) fn mark_one(&self, id: ShardId) -> bool {
        let shard = self.keyspace.shard(id);
        if self.atomic {
            shard.bump_multi_seq();
        }
        shard.bump_write_seq();
        shard.words().is_observed()
    }
}
