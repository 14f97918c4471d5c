//! Roles that go to another thread, and jobs that are called back from a queue.
//!
//! A [`Job`](super::Job) runs on whichever thread has the roles; it has to be short, because that
//! thread has other things to do. Work that is not short is an [`Errand`]. It waits in the queues
//! like a job and gets the roles like a job, but it does not run there: it takes the roles with it,
//! as a [`Baton`], to a thread that has time. The thread that gave them goes on with something else,
//! and no thread waits. The roles are free again when the baton has been used by
//! [`Keyspace::run_with`], on any thread, which then runs what was queued meanwhile.
//!
//! That can take long, and not everybody has the patience. What a holder has taken out of the queue
//! and not yet run is role-protected (the backlog); before an errand sets out, the backlogs of its
//! shards go back to the stacks, and a stack is for everybody to take: [`Keyspace::recall`] takes one,
//! sends those home that want to know, and publishes the others again as if they came just then. A
//! holder that releases meanwhile finds QUEUED and an empty stack, and releases once more; a publisher
//! that finds the role free has it, here as elsewhere.

use std::collections::VecDeque;

use super::{Job, Node, QUEUED, Shard, ShardSet, Task, Work};
use crate::epoch::Guard;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::reclaim::Reclaim;
use crate::sync::{Arc, Ordering};

/// Work that takes the roles of its shards to another thread; see the [module documentation](self).
pub trait Errand: Send {
    /// All roles are held, and go with it. Runs on a thread that may hold others: must be short, and
    /// must not submit or enter by itself.
    fn set_out(self: Box<Self>, roles: Baton);

    /// Whether [`Keyspace::recall`] may take it out of a queue.
    fn is_recallable(&self) -> bool {
        false
    }

    /// It was taken out of a queue and will not set out.
    fn recall(self: Box<Self>) {}
}

/// Writer roles on their way from thread to thread. They stay taken until it has been used up by
/// [`Keyspace::run_with`].
#[must_use = "the roles stay taken until somebody uses them"]
pub struct Baton {
    shards: ShardSet,
    /// Whose roles these are.
    keyspace: Arc<Reclaim>,
}

impl Baton {
    /// The shards whose roles it stands for.
    #[must_use]
    pub fn shards(&self) -> &ShardSet {
        &self.shards
    }
}

impl Keyspace {
    /// Gives the roles to the errand: now, if they are free, or else when they are.
    pub fn send(&self, shards: ShardSet, errand: Box<dyn Errand>, guard: &Guard) {
        self.settle(vec![Node::work(Task::Carry(errand), shards)], guard);
    }

    /// Runs a job under roles that an errand has brought, and gives them back.
    ///
    /// # Panics
    /// If the roles are those of another keyspace.
    pub fn run_with(&self, roles: Baton, job: Box<dyn Job>, guard: &Guard) {
        let Baton { shards, keyspace } = roles;
        assert!(Arc::ptr_eq(&keyspace, &self.reclaim), "roles of another keyspace");
        let node =
            Node { task: Task::Run(job), held: shards.len(), shards, next: std::ptr::null_mut() };
        self.settle(vec![Work::Advance(Box::new(node))], guard);
    }

    /// Takes what waits for the role of a shard, and may be recalled, out of its queue.
    pub fn recall(&self, id: ShardId, guard: &Guard) {
        let (mut work, mut nodes) = (Vec::new(), VecDeque::new());
        self.shard(id).take_stack(&mut nodes);
        for node in nodes {
            if node.task.is_recallable() {
                work.extend(node.shards.as_slice()[..node.held].iter().copied().map(Work::Release));
                node.task.recall();
            } else if self.shard(id).publish(node) {
                work.push(Work::Release(id));
            }
        }
        self.settle(work, guard);
    }

    /// Lets an errand set out with the roles of its shards, which are held.
    pub(super) fn hand_over(&self, errand: Box<dyn Errand>, shards: ShardSet) {
        for id in shards.iter() {
            // SAFETY: the role is held, and nothing of the shard is borrowed here.
            unsafe { self.shard(id).expose() };
        }
        errand.set_out(Baton { shards, keyspace: Arc::clone(&self.reclaim) });
    }
}

impl Shard {
    /// Puts the backlog back on the stack, where others can get at it.
    ///
    /// # Safety
    /// As for [`Shard::with_core`].
    unsafe fn expose(&self) {
        // SAFETY: by the contract of this function.
        let backlog = unsafe { self.with_core(|core| std::mem::take(&mut core.backlog)) };
        let mut nodes = backlog.into_iter();
        let Some(oldest) = nodes.next() else { return };
        let oldest = Box::into_raw(oldest);
        let newest = nodes.fold(oldest, |older, mut node| {
            node.next = older;
            Box::into_raw(node)
        });
        self.push(oldest, newest);
        // A release must not forget them.
        self.inner.words.role.fetch_or(QUEUED, Ordering::AcqRel);
    }
}
