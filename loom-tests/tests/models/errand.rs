//! Goal: roles that go to another thread protect there what they protected before, and are given
//! back there; a job that waits meanwhile is run once or called back once; one that is called back
//! in the moment of the release is not stranded.
//!
//! Method: an errand carries the role of a shard to a thread of its own, which changes a cell that
//! only the role protects; other threads submit jobs to the same shard and call jobs back.
//!
//! Catches: a publisher that does not take a role it finds free when a recall puts a job back; a
//! recall that keeps the roles of the job it calls back; taking the stack with Relaxed.

use std::sync::{Arc, Mutex};

use dunlin_storage::{Baton, Errand, Guard, Job, ShardId, ShardSet, Writer};
use loom::thread::JoinHandle;
use loom_tests::{Run, Shared, explore, explore_some};

use crate::role::Tally;

/// Threads that errands have begun.
type Threads = Arc<Mutex<Vec<JoinHandle<()>>>>;

struct Trip {
    ks: Shared,
    tally: Tally,
    threads: Threads,
}

impl Errand for Trip {
    fn set_out(self: Box<Self>, roles: Baton) {
        let Trip { ks, tally, threads } = *self;
        let thread = ks.spawn(move |ks, handle| {
            let guard = handle.pin();
            let job = Run(move |_: &mut Writer<'_, '_>| tally.add(1));
            ks.run_with(roles, Box::new(job), &guard);
            ks.help(&guard);
        });
        threads.lock().expect("no panic").push(thread);
    }
}

/// Adds ten when it runs, counts when it is called back.
struct Wait {
    tally: Tally,
    back: Arc<Mutex<u32>>,
}

impl Job for Wait {
    fn run<'g>(self: Box<Self>, _: &mut Writer<'g, 'g>, _: &'g Guard) {
        self.tally.add(10);
    }

    fn is_recallable(&self) -> bool {
        true
    }

    fn recall(self: Box<Self>) {
        *self.back.lock().expect("no panic") += 10;
    }
}

fn join_all(threads: &Threads) {
    loop {
        let thread = threads.lock().expect("no panic").pop();
        match thread {
            Some(thread) => thread.join().expect("it ends"),
            None => return,
        }
    }
}

#[test]
fn roles_go_to_another_thread_and_come_back() {
    explore(|| {
        let ks = Shared::new(2);
        let (tally, threads) = (Tally::new(), Threads::default());
        let handle = ks.handle();
        let guard = handle.pin();
        let trip = Trip { ks: ks.clone(), tally: tally.clone(), threads: threads.clone() };
        ks.send(ShardSet::all(&ks), Box::new(trip), &guard);
        let job = {
            let tally = tally.clone();
            Run(move |_: &mut Writer<'_, '_>| tally.add(10))
        };
        ks.submit(ShardSet::one(ShardId(1)), Box::new(job), &guard);
        ks.help(&guard);
        join_all(&threads);
        ks.help(&guard);
        let writer = ks.try_enter(&ShardSet::all(&ks), &guard).expect("the roles are free");
        assert_eq!(tally.get(), 11);
        drop(writer);
    });
}

#[test]
fn a_job_is_run_or_called_back_once() {
    explore_some(60_000, || {
        let ks = Shared::new(1);
        let (tally, threads) = (Tally::new(), Threads::default());
        let back = Arc::new(Mutex::new(0));
        let one = ShardSet::one(ShardId(0));
        let handle = ks.handle();
        let guard = handle.pin();
        let trip = Trip { ks: ks.clone(), tally: tally.clone(), threads: threads.clone() };
        ks.send(one.clone(), Box::new(trip), &guard);
        // One that may be called back, and one that is put back.
        ks.submit(one.clone(), Box::new(Wait { tally: tally.clone(), back: back.clone() }), &guard);
        let patient = {
            let tally = tally.clone();
            Run(move |_: &mut Writer<'_, '_>| tally.add(100))
        };
        ks.submit(one.clone(), Box::new(patient), &guard);
        ks.recall(ShardId(0), &guard);
        ks.help(&guard);
        join_all(&threads);
        ks.help(&guard);
        let writer = ks.try_enter(&one, &guard).expect("the role is free");
        assert_eq!(tally.get() + *back.lock().expect("no panic"), 111);
        drop(writer);
    });
}
