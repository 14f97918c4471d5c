//! Differential test: random sequences of every command, to dunlin and to redis-server, have to get
//! the same replies and leave the same data.
//!
//! - `DUNLIN_DIFF_COMMANDS`: how many commands (20,000 unless set);
//! - `DUNLIN_DIFF_SEED`: the seed, `number` or `number:sequence` to run one sequence of it again, or
//!   `random`. Without it the seed is the same in every run: what fails is then due to the change
//!   at hand, and not to luck;
//! - `DUNLIN_DIFF_SKIP`: names of commands to leave out, with commas, while one is being worked on;
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
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod values;

use accepted::ACCEPTED;
use run::{Mismatch, Pair, Tally};
use sequence::{Generator, Sequence, Step};
use std::env;
use support::{Rng, Server, Value};

/// Commands of one sequence; each begins with an empty server.
const SEQUENCE: usize = 400;

/// The seed unless told otherwise.
const SEED: u64 = 20_261_125;

/// After this many different findings the run ends.
const MAX_FINDINGS: usize = 12;

/// How often a sequence that showed a difference is run again to see whether it shows one again.
const REPEATS: usize = 3;

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
}

fn settings() -> (u64, Option<u64>, u64) {
    let number = |name: &str| env::var(name).ok().and_then(|v| v.parse().ok());
    let commands = number("DUNLIN_DIFF_COMMANDS").unwrap_or(20_000);
    let text = env::var("DUNLIN_DIFF_SEED").unwrap_or_default();
    let (seed, only) = text.split_once(':').unwrap_or((&text, ""));
    let seed = match seed {
        "random" => Rng::random_seed(),
        seed => seed.parse().unwrap_or(SEED),
    };
    (seed, only.parse().ok(), commands)
}

#[test]
fn random_sequences_get_the_replies_of_the_reference() {
    let Some(both) = start() else { return };
    let pair = both.pair();
    let generator = Generator::new(payload::samples(&mut both.reference.client()));
    let (seed, only, commands) = settings();
    println!("differential test: {commands} commands, DUNLIN_DIFF_SEED={seed}");
    let mut tally = Tally::default();
    let mut findings: Vec<(String, String)> = Vec::new();
    let mut once: Vec<String> = Vec::new();
    let mut index = only.unwrap_or(0);
    while tally.commands < commands && findings.len() < MAX_FINDINGS {
        let sequence = generator.sequence(seed, index, SEQUENCE);
        if let Err(found) = pair.run(&sequence, &mut tally)
            && !findings.iter().any(|(class, _)| *class == found.class)
        {
            if repeats(&pair, &sequence) {
                let text = report(&pair, &sequence, &found, seed, index);
                println!("{text}");
                findings.push((found.class.clone(), text));
            } else {
                let text = described(format!("--- once, in {seed}:{index}"), &found);
                println!("{text}");
                once.push(text);
            }
        }
        if only.is_some() {
            break;
        }
        index += 1;
    }
    summary(&tally);
    // The findings once more, because a reader of CI may see only the end of what is printed.
    let texts: Vec<&str> = findings.iter().map(|(_, text)| text.as_str()).collect();
    let count = texts.len();
    assert!(count == 0, "{count} unexplained differences, seed {seed}\n{}", texts.join("\n"));
    let may_be = MAX_ONCE * commands.div_ceil(1_000_000);
    assert!(once.len() as u64 <= may_be, "too many that showed only once:\n{}", once.join("\n"));
}

fn repeats(pair: &Pair, sequence: &Sequence) -> bool {
    (0..REPEATS).any(|_| pair.run(sequence, &mut Tally::default()).is_err())
}

fn report(pair: &Pair, sequence: &Sequence, found: &Mismatch, seed: u64, index: u64) -> String {
    let shortest = minimise::minimise(pair, sequence, found);
    let steps: Vec<(usize, &Step)> =
        shortest.batches.iter().flat_map(|b| b.steps.iter().map(|s| (b.connection, s))).collect();
    let skip = steps.len().saturating_sub(20);
    let mut text = format!("--- DUNLIN_DIFF_SEED={seed}:{index} {}\n", found.class);
    if skip > 0 {
        text += &format!("  ({skip} commands before these)\n");
    }
    for (connection, step) in &steps[skip..] {
        let protocol = shortest.protocols[*connection];
        text += &format!("  [{connection}, RESP{protocol}] {step:?}\n");
    }
    // The replies of the shortest form are easier to read than those of the first.
    let again = pair.run(&shortest, &mut Tally::default()).err();
    let found = again.as_deref().unwrap_or(found);
    described(text, found)
}

fn described(text: String, found: &Mismatch) -> String {
    format!(
        "{}\n  at        {}\n  reference {}\n  subject   {}",
        text.trim_end(),
        found.step,
        found.reference,
        found.subject
    )
}

fn summary(tally: &Tally) {
    println!("{} commands compared", tally.commands);
    for (row, count) in tally.accepted.iter().enumerate().filter(|(_, n)| **n > 0) {
        println!("  accepted {count} times: {}", ACCEPTED[row].reason);
    }
    if env::var_os("DUNLIN_DIFF_VERBOSE").is_some() {
        for (name, count) in tally.by_name.iter().filter(|(_, n)| **n > 3) {
            println!("  {count:>8} {}", name.escape_debug());
        }
    }
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
