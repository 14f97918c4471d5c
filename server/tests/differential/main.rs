//! Differential test: random sequences of every command, to dunlin and to redis-server, have to get
//! the same replies and leave the same data.
//!
//! - `DUNLIN_DIFF_COMMANDS`: about how many commands (20,000 unless set);
//! - `DUNLIN_DIFF_SEED`: the seed, `number` or `number:sequence` to run one sequence of it again, or
//!   `random`. Without it the seed is the same in every run: what fails is then due to the change
//!   at hand, and not to luck;
//! - `DUNLIN_DIFF_PRINT`: prints sequences before they run;
//! - `DUNLIN_DIFF_SKIP`: names of commands to leave out, with commas, while one is being worked on;
//! - `DUNLIN_DIFF_PAIRS`: how many pairs of servers share the sequences (two for each processor unless
//!   set: a sequence waits half of its time, and idle servers have their ticks);
//! - `DUNLIN_DIFF_SUBJECT=redis`: the reference against itself, to test the test.

mod accepted;
mod acl;
mod admin;
mod compare;
mod coverage;
mod digests;
mod grammar;
mod minimise;
mod payload;
mod run;
mod scores;
mod scripts;
mod sequence;
mod sorting;
mod state;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod values;
mod work;

use run::{Pair, Tally};
use sequence::{Generator, Step};
use std::{env, iter, thread};
use support::{Rng, Server, Value};
use work::Work;

/// Commands of one sequence; each begins with an empty server.
const SEQUENCE: usize = 400;

/// The seed unless told otherwise.
const SEED: u64 = 20_261_125;

/// Differences that did not show again which a run may have, for each million of commands that was
/// begun. Both servers reckon lifetimes from their own clock: a machine that holds one of them up
/// for a second makes a difference of its own.
const MAX_ONCE: u64 = 1;

struct Both {
    reference: Server,
    subject: Server,
}

/// The two servers with the same limits, or nothing when this machine has no reference.
fn start() -> Option<Both> {
    // HyperLogLogs that become dense early.
    // The reference ends waits in its ticks, and has few of them unless told otherwise.
    let same = ["--maxclients", "1000", "--hll-sparse-max-bytes", "120", "--hz", "500"];
    let reference = Server::redis(&same)?;
    let subject = match env::var("DUNLIN_DIFF_SUBJECT").as_deref() {
        Ok("redis") => Server::redis(&same)?,
        _ => Server::dunlin_unhurried(&[&same[..], &["--maxmemory", "0"]].concat()),
    };
    Some(Both { reference, subject })
}

impl Both {
    fn pair(&self) -> Pair {
        let (reference, subject) = (self.reference.address(), self.subject.address());
        Pair { reference, subject, tamper: None }
    }

    /// There is no budget: a key that was evicted all the same need not have been missed.
    fn expect_nothing_evicted(&self) {
        let stats = self.subject.client().run("INFO stats").text();
        let evicted = stats.lines().find(|line| line.starts_with("evicted_keys:"));
        assert_eq!(evicted, Some("evicted_keys:0"));
    }
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The seed, and the only sequence of it that is wanted.
fn seed() -> (u64, Option<u64>) {
    let text = env::var("DUNLIN_DIFF_SEED").unwrap_or_default();
    let (seed, only) = text.split_once(':').unwrap_or((&text, ""));
    let seed = match seed {
        "random" => Rng::random_seed(),
        seed => seed.parse().unwrap_or(SEED),
    };
    (seed, only.parse().ok())
}

fn pairs(sequences: u64) -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let wanted = setting("DUNLIN_DIFF_PAIRS").unwrap_or(2 * processors as u64);
    wanted.min(sequences).max(1) as usize
}

#[test]
fn random_sequences_get_the_replies_of_the_reference() {
    let Some(first) = start() else { return };
    let generator = Generator::new(payload::samples(&mut first.reference.client()));
    let (seed, only) = seed();
    let commands = setting("DUNLIN_DIFF_COMMANDS").unwrap_or(20_000);
    println!("differential test: {commands} commands, DUNLIN_DIFF_SEED={seed}");
    let sequences = match only {
        Some(index) => index..index + 1,
        None => 0..commands.div_ceil(SEQUENCE as u64),
    };
    let others = iter::repeat_with(start).map_while(|both| both);
    let pairs = iter::once(first).chain(others).take(pairs(sequences.end - sequences.start));
    let work = Work::new(generator, seed, sequences);
    thread::scope(|scope| {
        for both in pairs {
            let work = &work;
            scope.spawn(move || {
                work.run_on(&both.pair());
                both.expect_nothing_evicted();
            });
        }
    });
    let results = work.finish();
    results.print();
    // The findings once more, because a reader of CI may see only the end of what is printed.
    let reports = results.reports();
    let count = reports.len();
    assert!(count == 0, "{count} unexplained differences, seed {seed}\n{}", reports.join("\n"));
    let (once, may_be) = (results.once, MAX_ONCE * commands.div_ceil(1_000_000));
    assert!(once.len() as u64 <= may_be, "too many that showed only once:\n{}", once.join("\n"));
}

#[test]
fn a_planted_difference_is_found_and_reduced_to_what_matters() {
    let Some(reference) = Server::redis(&[]) else {
        return;
    };
    let address = reference.address();
    let Some(second) = Server::redis(&[]) else {
        return;
    };
    let tamper: fn(&Step, &mut Value) = |step, value| {
        if let (true, Value::Int(n)) = (step.name() == "strlen", value)
            && *n > 3
        {
            *n += 1;
        }
    };
    let pair = Pair { reference: address, subject: second.address(), tamper: Some(tamper) };
    let generator = Generator::new(Vec::new());
    let found = (0..50).find_map(|index| {
        let sequence = generator.sequence(7, index, SEQUENCE);
        let found = pair.run(&sequence, &mut Tally::default()).err()?;
        Some((sequence, found))
    });
    let (sequence, found) =
        found.expect("STRLEN of more than three bytes is in the first sequences");
    assert!(found.class.starts_with("strlen"), "{found:?}");
    let shortest = minimise::minimise(&pair, &sequence, &found);
    // Something that writes a value and the STRLEN.
    assert!((2..=4).contains(&shortest.batches.len()), "{} batches", shortest.batches.len());
}
