//! Taking roles and giving them back; what runs in between.

use super::{Job, Node, QUEUED, Shard, ShardSet, TURN_JOBS, Task, Work};
use crate::epoch::Guard;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::sync::Ordering;
use crate::writer::Writer;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
    pub(super) fn settle(&self, mut work: Vec<Work>, guard: &Guard) {
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
    pub(super) fn advance(&self, mut node: Box<Node>, work: &mut Vec<Work>) -> Option<Box<Node>> {
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
    pub(super) fn leave(&self, id: ShardId) {
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
