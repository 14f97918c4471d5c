//! What came of the requests of an open-loop load, by phase and class.
//!
//! A request belongs to the phase in which it was due, whenever it is answered. One that failed
//! counts in the latencies with its deadline at least: a percentile that left out what was never
//! answered would look best where the server is worst.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::median;

/// Turns are weighed in units of so many nanoseconds.
const TURN_UNIT: u64 = 200;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The correct reply came in time.
    Good,
    /// The correct reply came after the deadline, or none before the end.
    Late,
    /// No connection was free for it while its client was willing to wait.
    Unsent,
    /// The server refused to execute it (`-BUSY`).
    Shed,
    /// Another reply came.
    Wrong,
}

/// Counts and latencies of one class in one phase.
#[derive(Clone, Debug)]
pub(super) struct ClassTally {
    /// Arrivals.
    pub(super) offered: u64,
    counts: [u64; 5],
    /// From the planned time, in nanoseconds; without those shed.
    pub(super) latency: Histogram<u64>,
}

impl ClassTally {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds");
        Self { offered: 0, counts: [0; 5], latency }
    }

    /// Requests with this fate.
    pub(super) fn of(&self, fate: Fate) -> u64 {
        self.counts[fate as usize]
    }

    /// A percentile of the latencies in milliseconds; NaN of nothing.
    pub(super) fn ms(&self, quantile: f64) -> f64 {
        match self.latency.is_empty() {
            true => f64::NAN,
            false => self.latency.value_at_quantile(quantile) as f64 / 1e6,
        }
    }
}

/// One request of a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When it was due, in microseconds after the start.
    pub(super) due: u32,
    /// What it took from then, in microseconds (at least its deadline, if it failed).
    pub(super) took: u32,
    /// Its class.
    pub(super) class: u8,
    /// What became of it.
    pub(super) fate: Fate,
}

/// Correct replies received in a phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replies {
    /// All of them.
    pub(super) right: u64,
    /// Those within the deadline: goodput.
    pub(super) in_time: u64,
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// By phase, then by class.
    pub(super) phases: Vec<Vec<ClassTally>>,
    /// Replies received during each phase, by class, whenever they were due.
    pub(super) replies: Vec<Vec<Replies>>,
    /// Every request, if asked for, in the order of their ends.
    pub(super) trace: Vec<Sample>,
    /// Text of the first reply that was wrong.
    pub(super) first_wrong: Option<String>,
    /// How long the generator's turns took, in nanoseconds, each counted as often as it is long:
    /// what somebody who comes at random waits for.
    turns: Histogram<u64>,
    deadline: u64,
    keep: bool,
}

impl Outcomes {
    pub(super) fn new(phases: usize, classes: usize, deadline: Duration, keep: bool) -> Self {
        Self {
            phases: vec![vec![ClassTally::new(); classes]; phases],
            replies: vec![vec![Replies::default(); classes]; phases],
            trace: Vec::new(),
            first_wrong: None,
            turns: Histogram::new_with_bounds(1, 600_000_000_000, 2).expect("constant bounds"),
            deadline: deadline.as_nanos() as u64,
            keep,
        }
    }

    /// Notes an arrival.
    pub(super) fn arrival(&mut self, phase: usize, class: usize) {
        self.phases[phase][class].offered += 1;
    }

    /// Notes a correct reply that comes in phase `phase`.
    pub(super) fn reply(&mut self, phase: usize, class: usize, took: u64) {
        let replies = &mut self.replies[phase][class];
        replies.right += 1;
        replies.in_time += u64::from(took <= self.deadline);
    }

    /// Notes the end of a request that was due at `due` and came to its end `took` later.
    pub(super) fn end(&mut self, phase: usize, class: usize, due: u64, took: u64, fate: Fate) {
        let fate = if fate == Fate::Good && took > self.deadline { Fate::Late } else { fate };
        let took = match fate {
            Fate::Good | Fate::Shed => took,
            Fate::Late | Fate::Unsent | Fate::Wrong => took.max(self.deadline),
        };
        let tally = &mut self.phases[phase][class];
        tally.counts[fate as usize] += 1;
        if fate != Fate::Shed {
            tally.latency.saturating_record(took);
        }
        if self.keep {
            let us = |ns: u64| u32::try_from(ns / 1000).unwrap_or(u32::MAX);
            self.trace.push(Sample { due: us(due), took: us(took), class: class as u8, fate });
        }
    }

    /// Requests of a phase with this fate, of all classes.
    pub(super) fn of(&self, phase: usize, fate: Fate) -> u64 {
        self.phases[phase].iter().map(|class| class.of(fate)).sum()
    }

    /// Replies received in a phase, of all classes.
    pub(super) fn received(&self, phase: usize) -> Replies {
        let all = self.replies[phase].iter();
        all.fold(Replies::default(), |sum, replies| Replies {
            right: sum.right + replies.right,
            in_time: sum.in_time + replies.in_time,
        })
    }

    /// Arrivals of a phase, of all classes.
    pub(super) fn offered(&self, phase: usize) -> u64 {
        self.phases[phase].iter().map(|class| class.offered).sum()
    }

    /// Percentile of all classes of a phase together, in milliseconds.
    pub(super) fn ms(&self, phase: usize, quantile: f64) -> f64 {
        let mut all = ClassTally::new();
        for class in &self.phases[phase] {
            // Histograms of the same bounds add up.
            let _ = all.latency.add(&class.latency);
        }
        all.ms(quantile)
    }

    /// Notes how long a turn of the generator took.
    pub(super) fn turn(&mut self, took: u64) {
        self.turns.saturating_record_n(took, took / TURN_UNIT);
    }

    /// p99 of the generator's own turns, in milliseconds: no latency below says anything about the
    /// server.
    pub(super) fn own_ms(&self) -> f64 {
        self.turns.value_at_quantile(0.99) as f64 / 1e6
    }
}

/// Slices of a trace: `length` microseconds each, of the requests of `class` due from `from` on.
pub(super) fn slices(
    trace: &[Sample],
    class: Option<u8>,
    from: u32,
    length: u32,
) -> Vec<Vec<Sample>> {
    let mut slices: Vec<Vec<Sample>> = Vec::new();
    for sample in trace {
        if sample.due < from || class.is_some_and(|class| class != sample.class) {
            continue;
        }
        let at = ((sample.due - from) / length) as usize;
        if at >= slices.len() {
            slices.resize(at + 1, Vec::new());
        }
        slices[at].push(*sample);
    }
    slices
}

/// **Steady** p99 in milliseconds of what was due in a span: of the p99s of its windows of so many
/// microseconds the middle one.
///
/// A virtual machine has pauses of its own: threads of its kernel take a core for ten milliseconds, some
/// times a second, and then the p99 of the whole span is theirs. They are in few windows; what a server or
/// its clients do all the time is in all of them.
pub(super) fn steady(
    trace: &[Sample],
    class: Option<u8>,
    (from, time): (Duration, Duration),
    window: u32,
) -> f64 {
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let windows = slices(trace, class, micros(from), window);
    let count = (micros(time) / window).max(1) as usize;
    let p99s = windows.iter().take(count).map(|window| percentile(window, 0.99));
    median(&p99s.collect::<Vec<f64>>())
}

/// Percentile of the samples' latencies in milliseconds; NaN of nothing.
pub(super) fn percentile(samples: &[Sample], quantile: f64) -> f64 {
    let mut took: Vec<u32> = samples.iter().map(|sample| sample.took).collect();
    took.sort_unstable();
    let at = (quantile * took.len() as f64).ceil() as usize;
    took.get(at.saturating_sub(1)).map_or(f64::NAN, |&us| f64::from(us) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_with_their_deadline() {
        let deadline = Duration::from_millis(10);
        let mut outcomes = Outcomes::new(1, 1, deadline, true);
        for (took, fate) in [
            (1_000_000, Fate::Good),
            (11_000_000, Fate::Good),
            (5_000_000, Fate::Unsent),
            (2_000_000, Fate::Shed),
        ] {
            outcomes.arrival(0, 0);
            outcomes.end(0, 0, 0, took, fate);
        }
        let tally = &outcomes.phases[0][0];
        assert_eq!(tally.offered, 4);
        assert_eq!([Fate::Good, Fate::Late, Fate::Unsent, Fate::Shed].map(|f| tally.of(f)), [1; 4]);
        assert_eq!(tally.latency.len(), 3);
        assert!(tally.ms(0.5) >= 9.9);
        assert_eq!(outcomes.trace[2].took, 10_000);
    }

    #[test]
    fn a_pause_of_the_machine_is_not_steady() {
        let sample = |due| {
            let took = if (30_000..40_000).contains(&due) { 9000 } else { 200 };
            Sample { due, took, class: 0, fate: Fate::Good }
        };
        let trace: Vec<Sample> = (0..100_000).step_by(100).map(sample).collect();
        let all = (Duration::ZERO, Duration::from_millis(100));
        assert_eq!(percentile(&trace, 0.99), 9.0);
        assert_eq!(steady(&trace, None, all, 20_000), 0.2);
        assert_eq!(steady(&trace, Some(0), (Duration::from_millis(30), all.1 / 10), 10_000), 9.0);
        assert!(steady(&trace, Some(1), all, 20_000).is_nan());
    }

    #[test]
    fn traces_are_cut_by_due_time() {
        let sample = |due, took| Sample { due, took, class: 0, fate: Fate::Good };
        let trace = [sample(5, 1), sample(250, 3000), sample(199, 2000), sample(120, 1000)];
        let slices = slices(&trace, Some(0), 100, 100);
        assert_eq!(slices.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(percentile(&slices[0], 0.5), 1.0);
        assert_eq!(percentile(&slices[0], 0.99), 2.0);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
