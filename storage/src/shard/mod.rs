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

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::entry::Entry;
use crate::epoch::Guard;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::sync::{
    Arc, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, OwnLine, RoleCell, fence,
};
use crate::table::TableCore;
use crate::value::object::Object;
use crate::writer::Writer;

pub use baton::{Baton, Errand};

const HELD: u32 = 1;
const QUEUED: u32 = 2;

/// Jobs of other threads that one release runs at most.
pub(crate) const TURN_JOBS: usize = if cfg!(loom) { 1 } else { 64 };

/// The shards of a turn: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSet(Set);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Set {
    One(ShardId),
    Many(Arc<[ShardId]>),
}

impl ShardSet {
    /// One shard.
    #[must_use]
    pub fn one(shard: ShardId) -> Self {
        Self(Set::One(shard))
    }

    /// Every shard of a keyspace.
    #[must_use]
    pub fn all(keyspace: &Keyspace) -> Self {
        (0..keyspace.shards()).map(|i| ShardId(i as u16)).collect()
    }

    /// How many shards.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// True if there is none (then there is nothing to hold, and nothing can be changed).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shards in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.as_slice().iter().copied()
    }

    /// The shard, if it is one: the case that has to be quick.
    #[inline(always)]
    pub(crate) fn only(&self) -> Option<ShardId> {
        match self.0 {
            Set::One(shard) => Some(shard),
            Set::Many(_) => None,
        }
    }

    /// True if the shard is one of them.
    #[must_use]
    #[inline]
    pub fn contains(&self, shard: ShardId) -> bool {
        match &self.0 {
            Set::One(only) => *only == shard,
            Set::Many(all) => all.binary_search(&shard).is_ok(),
        }
    }

    pub(crate) fn as_slice(&self) -> &[ShardId] {
        match &self.0 {
            Set::One(shard) => std::slice::from_ref(shard),
            Set::Many(shards) => shards,
        }
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        let mut shards: Vec<ShardId> = shards.into_iter().collect();
        shards.sort_unstable();
        shards.dedup();
        match shards[..] {
            [only] => Self(Set::One(only)),
            _ => Self(Set::Many(shards.into())),
        }
    }
}

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

impl Keyspace {
    /// Takes all the roles if all are free right now. Never waits.
    #[inline]
    pub fn try_enter<'k, 'g>(
        &'k self,
        shards: &ShardSet,
        guard: &'g Guard,
    ) -> Option<Writer<'k, 'g>> {
        let free = match shards.only() {
            Some(id) => self.take_one(id),
            None => self.take_all(shards, guard),
        };
        // The writer is made in one place and of registers: a move of one that was just written to
        // memory, in parts, has to wait for these stores.
        free.then(|| Writer::new(self, shards.clone(), guard))
    }

    /// Takes the role of one shard; whether it was free.
    #[inline]
    pub(crate) fn take_one(&self, id: ShardId) -> bool {
        let shard = self.shard(id);
        if !shard.try_take() {
            shard.counters.busy.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        Shard::count(&shard.words().taken, 1);
        true
    }

    fn take_all(&self, shards: &ShardSet, guard: &Guard) -> bool {
        for (taken, &shard) in shards.as_slice().iter().enumerate() {
            if !self.shard(shard).try_take() {
                self.shard(shard).counters.busy.fetch_add(1, Ordering::Relaxed);
                self.release(&shards.as_slice()[..taken], guard);
                return false;
            }
        }
        self.count_taken(shards);
        true
    }

    /// Runs the job here if the roles are free, else leaves it in the queue of the first busy shard:
    /// whoever holds that role will carry it on.
    pub fn submit(&self, shards: ShardSet, job: Box<dyn Job>, guard: &Guard) {
        self.settle(vec![Node::work(Task::Run(job), shards)], guard);
    }

    /// Runs jobs that a capped turn left behind; true if there are still some.
    pub fn drain(&self, shard: ShardId, guard: &Guard) -> bool {
        if !self.shard(shard).try_take() {
            // The holder will find QUEUED when it releases.
            return false;
        }
        self.settle(vec![Work::Release(shard)], guard);
        self.shard(shard).inner.words.role.load(Ordering::Relaxed) == QUEUED
    }

    /// The shards that need a call of [`Keyspace::drain`], each reported once.
    pub fn take_leftovers(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.leftovers.iter().enumerate().flat_map(|(word, bits)| {
            let mut left = match bits.load(Ordering::Relaxed) {
                0 => 0,
                _ => bits.swap(0, Ordering::AcqRel),
            };
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(ShardId((word * 64) as u16 + bit as u16))
            })
        })
    }

    /// Gives back roles that are held; runs what was queued meanwhile.
    #[inline]
    pub(crate) fn release(&self, shards: &[ShardId], guard: &Guard) {
        if let &[only] = shards
            && self.shard(only).try_release()
        {
            return;
        }
        self.release_all(shards, guard);
    }

    #[cold]
    fn release_all(&self, shards: &[ShardId], guard: &Guard) {
        let queued = |id: &ShardId| !self.shard(*id).try_release();
        let queued: Vec<Work> = shards.iter().copied().filter(queued).map(Work::Release).collect();
        if !queued.is_empty() {
            self.settle(queued, guard);
        }
    }

    /// Works until every role in the list has been given back or handed on.
    #[cold]
    fn settle(&self, mut work: Vec<Work>, guard: &Guard) {
        let mut budget = TURN_JOBS;
        let mut panic = None;
        let mut flush = false;
        while let Some(next) = work.pop() {
            match next {
                Work::Advance(node) => {
                    let Some(node) = self.advance(node, &mut work) else {
                        continue;
                    };
                    let Node { task, shards, .. } = *node;
                    let job = match task {
                        Task::Run(job) => job,
                        Task::Carry(errand) => {
                            self.hand_over(errand, shards);
                            continue;
                        }
                    };
                    self.count_taken(&shards);
                    let (outcome, deferred, held) = self.run_job(job, shards, guard);
                    work.extend(held.iter().map(Work::Release));
                    panic = panic.or(outcome);
                    flush |= deferred;
                }
                Work::Release(shard) => self.release_one(shard, &mut budget, &mut work),
            }
        }
        if flush {
            guard.flush();
        }
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes the job's missing roles; if one is busy the job stays there.
    fn advance(&self, mut node: Box<Node>, work: &mut Vec<Work>) -> Option<Box<Node>> {
        while node.held < node.shards.len() {
            let shard = node.shards.as_slice()[node.held];
            if !self.shard(shard).try_take() {
                self.shard(shard).counters.busy.fetch_add(1, Ordering::Relaxed);
                if self.shard(shard).publish(node) {
                    work.push(Work::Release(shard));
                }
                return None;
            }
            node.held += 1;
        }
        Some(node)
    }

    /// Runs a body under roles that are held. A panic is kept, so that the roles are given back: those
    /// of the result, which the body may have extended.
    fn run_job(
        &self,
        job: Box<dyn Job>,
        shards: ShardSet,
        guard: &Guard,
    ) -> (Option<Box<dyn std::any::Any + Send>>, bool, ShardSet) {
        let mut writer = Writer::new(self, shards, guard);
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run(&mut writer, guard)));
        let (deferred, held) = writer.end_without_release();
        (outcome.err(), deferred, held)
    }

    /// Gives one role back, or to the next job in its queue.
    fn release_one(&self, id: ShardId, budget: &mut usize, work: &mut Vec<Work>) {
        let shard = self.shard(id);
        while !shard.try_release() {
            if *budget == 0 {
                self.leave(id);
                return;
            }
            // SAFETY: the role is held: the work list says so. `next_job` does not come back here.
            let job = unsafe { shard.with_core(|core| shard.next_job(core)) };
            if let Some(mut node) = job {
                *budget -= 1;
                Shard::count(&shard.counters.jobs, 1);
                debug_assert_eq!(node.shards.as_slice().get(node.held), Some(&id));
                node.held += 1;
                work.push(Work::Advance(node));
                return;
            }
        }
    }

    /// Ends a capped turn with jobs left.
    fn leave(&self, id: ShardId) {
        let shard = self.shard(id);
        Shard::count(&shard.counters.capped, 1);
        shard.inner.words.role.swap(QUEUED, Ordering::AcqRel);
        // After the release: a drain that came before it would have found the role busy.
        let (word, bit) = (usize::from(id.0) / 64, id.0 % 64);
        self.leftovers[word].fetch_or(1 << bit, Ordering::AcqRel);
    }

    fn count_taken(&self, shards: &ShardSet) {
        for shard in shards.iter() {
            Shard::count(&self.shard(shard).inner.words.taken, 1);
        }
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
