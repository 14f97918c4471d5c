//! Goal: the writer role of one shard: one holder at a time; a job published while the role is
//! released is run by somebody and run once; what a capped turn leaves behind is reported, and
//! `drain` runs it; what the submitter wrote before is visible to the job.
//!
//! Method: two or three threads submit jobs that change a cell which only the role protects; a turn
//! runs one foreign job under the checker, so caps happen all the time. The three-thread model
//! explores its first 40,000 executions only.
//!
//! Catches: releasing or taking the role with Relaxed; a publisher that does not take a role it
//! finds free; clearing QUEUED after taking the stack; not reporting a capped turn. Relaxing the
//! push on the stack alone is not caught, because the exchange on the role word after it orders the
//! same memory; nor is a capped turn that forgets QUEUED (storage/tests/keyspace.rs covers it).

use std::sync::Arc;

use dunlin_storage::{Job, ShardId, ShardSet};
use loom::cell::UnsafeCell;
use loom_tests::{Run, Shared, explore, explore_some};

/// A number that only the role protects.
#[derive(Clone)]
pub(crate) struct Tally(Arc<UnsafeCell<u32>>);

// SAFETY: the role is what is being tested; the cell reports it if it does not protect.
unsafe impl Send for Tally {}

impl Tally {
    pub(crate) fn new() -> Self {
        Self(Arc::new(UnsafeCell::new(0)))
    }

    pub(crate) fn add(&self, more: u32) {
        // SAFETY: checked by the cell.
        self.0.with_mut(|value| unsafe { *value += more });
    }

    pub(crate) fn get(&self) -> u32 {
        // SAFETY: checked by the cell.
        self.0.with(|value| unsafe { *value })
    }
}

fn job(tally: &Tally, amount: u32) -> Box<dyn Job> {
    let (tally, message) = (tally.clone(), Tally::new());
    // Written by the submitter, read by whoever runs the job.
    message.add(amount);
    Box::new(Run(move |_: &mut dunlin_storage::Writer<'_, '_>| tally.add(message.get())))
}

#[test]
fn no_job_is_stranded_between_publish_and_release() {
    explore(|| {
        let ks = Shared::new(1);
        let tally = Tally::new();
        let one = ShardSet::one(ShardId(0));
        let other = ks.spawn({
            let (tally, one) = (tally.clone(), one.clone());
            move |ks, handle| {
                let guard = handle.pin();
                ks.submit(one, job(&tally, 1), &guard);
            }
        });
        let handle = ks.handle();
        let guard = handle.pin();
        ks.submit(one.clone(), job(&tally, 10), &guard);
        other.join().expect("other");
        // One foreign job per turn is allowed and there is only one: nothing may be left.
        assert_eq!(ks.take_leftovers().count(), 0);
        let writer = ks.try_enter(&one, &guard).expect("the role is free");
        assert_eq!(tally.get(), 11);
        drop(writer);
    });
}

#[test]
fn what_a_capped_turn_leaves_is_reported_and_run_once() {
    explore_some(40_000, || {
        let ks = Shared::new(1);
        let tally = Tally::new();
        let one = ShardSet::one(ShardId(0));
        let others: Vec<_> = [1, 10]
            .into_iter()
            .map(|amount| {
                let (tally, one) = (tally.clone(), one.clone());
                ks.spawn(move |ks, handle| {
                    let guard = handle.pin();
                    ks.submit(one, job(&tally, amount), &guard);
                    ks.help(&guard);
                })
            })
            .collect();
        let handle = ks.handle();
        let guard = handle.pin();
        ks.submit(one.clone(), job(&tally, 100), &guard);
        ks.help(&guard);
        for other in others {
            other.join().expect("other");
        }
        // Whoever left something noted it; nobody else may have to look.
        ks.help(&guard);
        let writer = ks.try_enter(&one, &guard).expect("the role is free");
        assert_eq!(tally.get(), 111);
        drop(writer);
    });
}

#[test]
fn entering_and_submitting_exclude_each_other() {
    explore(|| {
        let ks = Shared::new(1);
        let tally = Tally::new();
        let one = ShardSet::one(ShardId(0));
        let other = ks.spawn({
            let (tally, one) = (tally.clone(), one.clone());
            move |ks, handle| {
                let guard = handle.pin();
                if let Some(writer) = ks.try_enter(&one, &guard) {
                    tally.add(1);
                    drop(writer);
                } else {
                    ks.submit(one, job(&tally, 1), &guard);
                }
            }
        });
        let handle = ks.handle();
        let guard = handle.pin();
        ks.submit(one.clone(), job(&tally, 10), &guard);
        other.join().expect("other");
        let writer = ks.try_enter(&one, &guard).expect("the role is free");
        assert_eq!(tally.get(), 11);
        drop(writer);
    });
}
