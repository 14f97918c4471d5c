//! Light clients beside something heavy: what `hog`, `storm` and `readers` have in common.
//!
//! 50 clients send GETs at a modest rate, first alone (the baseline), then beside the neighbours,
//! within one load on one server: a pair of slices, which the scenario repeats many times.
//!
//! Figures of the whole slices are shown; ratios are taken of the steady p99 ([`steady`]), or they
//! would be those of the machine's own pauses. What neighbours do more seldom than ten times a second is
//! in the p99 of the whole slice only.

use super::calibrate::gets;
use super::neighbours::{Neighbour, Span};
use super::tally::{Fate, Outcomes, steady};
use super::traffic::{Phase, Traffic};
use super::{Plan, Usage, busy, drive};
use crate::Outcome;
use crate::peer::Server;
use std::time::Duration;

const CONNECTIONS: usize = 50;
/// Seconds that are not looked at: the first of the load, the first of the neighbours.
const GETTING_GOING: f64 = 0.2;
/// Microseconds of a window.
const WINDOW: u32 = 50_000;

/// Light clients in the phases of a scenario.
#[derive(Clone, Debug)]
pub(super) struct Light {
    traffic: Traffic,
    /// When neighbours are at work.
    pub(super) span: Span,
}

/// What the light clients noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noticed {
    /// p99 alone, in milliseconds, of the whole slice and of the middle window.
    pub(super) alone: f64,
    steady_alone: f64,
    /// The server's share of its core meanwhile.
    pub(super) alone_busy: f64,
    /// p50 and p99 beside the neighbours.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// p99 of the middle window beside them.
    pub(super) steady: f64,
    /// Requests that failed beside them, in percent.
    pub(super) failed: f64,
    /// The server's share of its core beside them.
    pub(super) busy: f64,
    /// p99 of the generator's own turns, in milliseconds.
    pub(super) own: f64,
    /// What the server had used at the end of the neighbours' time.
    pub(super) after: Usage,
}

impl Noticed {
    /// Steady p99 beside the neighbours as a multiple of the baseline just before.
    pub(super) fn times(&self) -> f64 {
        self.steady / self.steady_alone
    }
}

impl Light {
    /// Light clients alone, then beside neighbours for the plan's time.
    pub(super) fn new(plan: &Plan, seed: u64) -> Self {
        let rate = plan.light_rate;
        let phases = vec![
            Phase::new(GETTING_GOING, rate),
            Phase::new(plan.seconds, rate),
            Phase::new(GETTING_GOING, rate),
            Phase::new(plan.seconds, rate),
        ];
        let from = Duration::from_secs_f64(GETTING_GOING + plan.seconds);
        let until = from + Duration::from_secs_f64(GETTING_GOING + plan.seconds);
        let traffic = Traffic { seed, trace: true, ..gets(plan, CONNECTIONS, phases) };
        Self { traffic, span: Span { from, until } }
    }

    /// Goes on for so long when the neighbours have stopped.
    pub(super) fn and_after(mut self, time: Duration) -> Self {
        let rate = self.traffic.phases[3].rate;
        self.traffic.phases.push(Phase { time, rate });
        self
    }

    /// Seconds the neighbours are at work.
    pub(super) fn seconds(&self) -> f64 {
        (self.span.until - self.span.from).as_secs_f64()
    }

    /// Runs them.
    pub(super) fn drive(
        &self,
        server: &Server,
        neighbours: &mut [&mut dyn Neighbour],
    ) -> Outcome<Noticed> {
        let (outcomes, usage) = drive(server, &self.traffic, neighbours)?;
        Ok(self.noticed(&outcomes, &usage))
    }

    fn noticed(&self, outcomes: &Outcomes, usage: &[Usage]) -> Noticed {
        let offered = outcomes.offered(3).max(1) as f64;
        Noticed {
            alone: outcomes.ms(1, 0.99),
            steady_alone: self.steady(outcomes, 1),
            alone_busy: busy(&self.traffic, usage, 1),
            p50: outcomes.ms(3, 0.5),
            p99: outcomes.ms(3, 0.99),
            steady: self.steady(outcomes, 3),
            failed: 100.0 * (1.0 - outcomes.of(3, Fate::Good) as f64 / offered),
            busy: busy(&self.traffic, usage, 3),
            own: outcomes.own_ms(),
            after: usage.get(4).copied().unwrap_or_default(),
        }
    }

    /// Steady p99 of a phase, in milliseconds.
    fn steady(&self, outcomes: &Outcomes, phase: usize) -> f64 {
        let phases = &self.traffic.phases;
        let begin = phases[..phase].iter().map(|phase| phase.time).sum();
        steady(&outcomes.trace, None, (begin, phases[phase].time), WINDOW)
    }
}
