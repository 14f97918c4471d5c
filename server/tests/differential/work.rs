//! The sequences of a run, which several pairs of servers share, and what they have found.

use crate::SEQUENCE;
use crate::accepted::ACCEPTED;
use crate::minimise::minimise;
use crate::run::{Mismatch, Pair, Tally};
use crate::sequence::{Generator, Sequence};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// After this many different findings the run ends.
const MAX_FINDINGS: usize = 12;

/// How often a sequence that showed a difference is run again to see whether it shows one again.
const REPEATS: usize = 3;

/// What is to be done. Which sequences there are is fixed from the beginning; which pair runs one, and
/// what that pair has run before, is not: each begins with an empty server.
pub(crate) struct Work {
    generator: Generator,
    seed: u64,
    next: AtomicU64,
    end: u64,
    /// Sequences are printed before they run.
    prints: bool,
    results: Mutex<Results>,
}

/// What has come of it.
#[derive(Default)]
pub(crate) struct Results {
    tally: Tally,
    findings: Vec<Finding>,
    /// differences that did not show again
    pub(crate) once: Vec<String>,
}

struct Finding {
    index: u64,
    class: String,
    text: String,
}

impl Work {
    pub(crate) fn new(generator: Generator, seed: u64, sequences: Range<u64>) -> Self {
        let prints = std::env::var_os("DUNLIN_DIFF_PRINT").is_some();
        let (next, end) = (sequences.start.into(), sequences.end);
        Work { generator, seed, next, end, prints, results: Mutex::default() }
    }

    /// Runs what no other pair has taken on this one, until nothing is left.
    pub(crate) fn run_on(&self, pair: &Pair) {
        let mut tally = Tally::default();
        while let Some(index) = self.take() {
            let sequence = self.generator.sequence(self.seed, index, SEQUENCE);
            if self.prints {
                sequence.lines().for_each(|line| println!("{line}"));
            }
            if let Err(found) = pair.run(&sequence, &mut tally) {
                self.look_into(pair, &sequence, &found, index);
            }
        }
        self.results().tally.add(&tally);
    }

    pub(crate) fn finish(self) -> Results {
        let mut results = self.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.findings.sort_by_key(|finding| finding.index);
        results
    }

    fn take(&self) -> Option<u64> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.end && self.results().findings.len() < MAX_FINDINGS).then_some(index)
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_into(&self, pair: &Pair, sequence: &Sequence, found: &Mismatch, index: u64) {
        if self.results().has(&found.class) {
            return;
        }
        let name = format!("{}:{index}", self.seed);
        let repeats = (0..REPEATS).any(|_| pair.run(sequence, &mut Tally::default()).is_err());
        if !repeats {
            let text = described(format!("--- once, in {name}"), found);
            println!("{text}");
            self.results().once.push(text);
            return;
        }
        let text = report(pair, sequence, found, &name);
        let mut results = self.results();
        // Another pair may have come upon the same meanwhile.
        if !results.has(&found.class) {
            println!("{text}");
            results.findings.push(Finding { index, class: found.class.clone(), text });
        }
    }
}

impl Results {
    fn has(&self, class: &str) -> bool {
        self.findings.iter().any(|finding| finding.class == class)
    }

    /// The reports of what shows again, in the order of the sequences.
    pub(crate) fn reports(&self) -> Vec<&str> {
        self.findings.iter().map(|finding| finding.text.as_str()).collect()
    }

    pub(crate) fn print(&self) {
        let tally = &self.tally;
        println!("{} commands compared", tally.commands);
        for (row, count) in tally.accepted.iter().enumerate().filter(|(_, n)| **n > 0) {
            println!("  accepted {count} times: {}", ACCEPTED[row].reason);
        }
        if std::env::var_os("DUNLIN_DIFF_VERBOSE").is_some() {
            for (name, count) in tally.by_name.iter().filter(|(_, n)| **n > 3) {
                println!("  {count:>8} {}", name.escape_debug());
            }
        }
    }
}

fn report(pair: &Pair, sequence: &Sequence, found: &Mismatch, name: &str) -> String {
    let shortest = minimise(pair, sequence, found);
    let lines: Vec<String> = shortest.lines().collect();
    let skip = lines.len().saturating_sub(20);
    let mut text = format!("--- DUNLIN_DIFF_SEED={name} {}\n", found.class);
    if skip > 0 {
        text += &format!("  ({skip} commands before these)\n");
    }
    lines[skip..].iter().for_each(|line| text += &format!("  {line}\n"));
    // The replies of the shortest form are easier to read than those of the first.
    let again = pair.run(&shortest, &mut Tally::default()).err();
    let found = again.as_deref().unwrap_or(found);
    described(text, found)
}

fn described(text: String, found: &Mismatch) -> String {
    format!(
        "{}\n  at        {}\n  reference {}\n  subject   {}\n  keys only of one of them: {}",
        text.trim_end(),
        found.step,
        found.reference,
        found.subject,
        found.keys
    )
}
