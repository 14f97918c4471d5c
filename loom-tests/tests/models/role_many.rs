//! Goal: jobs over several shards: each runs once, under all of its roles, whatever others do on
//! overlapping shards; nobody waits, nothing is stranded, every role is free in the end.
//!
//! Method: two transactions over the same two shards; two over {0, 1} and {1, 2}; and one over both
//! shards beside a single-shard job on the higher one, so that the baton is passed while the lower
//! role is held. Every shard has a cell that only its role protects. The three-thread model explores
//! its first 40,000 executions only.
//!
//! Catches: releasing or taking a role with Relaxed; a publisher that does not take a role it finds
//! free; taking the shards of a job in another order than ascending (both strand for ever).

use dunlin_storage::{Job, ShardId, ShardSet, Writer};
use loom_tests::{Run, Shared, explore_some};

use crate::role::Tally;

fn set(shards: &[u16]) -> ShardSet {
    shards.iter().map(|&shard| ShardId(shard)).collect()
}

fn job(tallies: &[Tally], shards: &[u16], amount: u32) -> Box<dyn Job> {
    let mine: Vec<Tally> =
        shards.iter().map(|&shard| tallies[usize::from(shard)].clone()).collect();
    let held = set(shards);
    Box::new(Run(move |writer: &mut Writer<'_, '_>| {
        assert_eq!(writer.shards(), &held, "a body runs under its own roles");
        mine.iter().for_each(|tally| tally.add(amount));
    }))
}

/// Submits one job per entry, each on its own thread, and checks the sums.
fn check(most: usize, count: u16, jobs: &'static [&'static [u16]]) {
    explore_some(most, move || {
        let ks = Shared::new(usize::from(count).next_power_of_two());
        let tallies: Vec<Tally> = (0..count).map(|_| Tally::new()).collect();
        let submit = |ks: &Shared, handle: &dunlin_storage::Handle, tallies: &[Tally], i: usize| {
            let guard = handle.pin();
            ks.submit(set(jobs[i]), job(tallies, jobs[i], 1 << (8 * i)), &guard);
            ks.help(&guard);
        };
        let others: Vec<_> = (1..jobs.len())
            .map(|i| {
                let tallies = tallies.clone();
                ks.spawn(move |ks, handle| submit(ks, handle, &tallies, i))
            })
            .collect();
        let handle = ks.handle();
        submit(&ks, &handle, &tallies, 0);
        for other in others {
            other.join().expect("other");
        }
        let guard = handle.pin();
        ks.help(&guard);
        let writer = ks.try_enter(&ShardSet::all(&ks), &guard).expect("every role is free");
        for (shard, tally) in tallies.iter().enumerate() {
            let mine = jobs.iter().enumerate().filter(|(_, job)| job.contains(&(shard as u16)));
            assert_eq!(tally.get(), mine.map(|(i, _)| 1 << (8 * i)).sum::<u32>());
        }
        drop(writer);
    });
}

#[test]
fn two_transactions_on_the_same_shards_both_run() {
    check(usize::MAX, 2, &[&[0, 1], &[1, 0]]);
}

#[test]
fn two_transactions_that_overlap_both_run() {
    check(usize::MAX, 3, &[&[0, 1], &[2, 1]]);
}

#[test]
fn a_transaction_passes_a_busy_shard() {
    check(usize::MAX, 2, &[&[0, 1], &[1]]);
}

#[test]
fn three_jobs_pass_the_baton() {
    check(40_000, 2, &[&[0, 1], &[1], &[0]]);
}
