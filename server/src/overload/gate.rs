//! Who of the dear commands runs, who waits and who is turned away.
//!
//! As many run as [`Limit`] allows; the others wait, in their order. A queue that stands, that is, in
//! which everybody has waited for long in a whole interval, is a sign that more comes than can be
//! done. Then waiting helps nobody: only so many may wait as can be served soon, and the newest goes
//! first, because its client is the most likely to be still there. All others are turned away at once,
//! which costs almost nothing. It is over after [`GOOD`] intervals in which the queue was empty at
//! least once or never longer than what can be served soon: clients that wait for each reply before
//! they send the next command may be many, but a queue of theirs is no overload while it moves.
//!
//! The machine here knows no clock and no task: it is told the time with every event, and says who is
//! to be let in ([`Verdict`]).

use super::limit::Limit;
use std::collections::VecDeque;

/// So many good intervals in a row end a standing queue.
const GOOD: u32 = 2;
/// Intervals in which nothing happened that are looked at one by one; more make no difference.
const QUIET: u64 = 16;

/// The directives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Length of an interval in nanoseconds.
    pub(super) interval: u64,
    /// How many may wait in any case while the queue stands, and for how many nanoseconds.
    pub(super) max_waiting: usize,
    pub(super) max_wait: u64,
    /// Dear commands that may ever run at once.
    pub(super) cap: usize,
}

/// What becomes of one who has waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<W> {
    /// It may run.
    Run(W),
    /// It is turned away.
    Shed(W),
}

/// What becomes of one who arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It may run.
    Run,
    /// It waits, as number `id`, at most so many nanoseconds.
    Wait { id: u64, at_most: u64 },
}

/// One who waits.
#[derive(Debug)]
struct Waiter<W> {
    id: u64,
    since: u64,
    who: W,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Gate<W> {
    limit: Limit,
    running: usize,
    /// The oldest first.
    waiting: VecDeque<Waiter<W>>,
    next_id: u64,
    /// The queue stands.
    standing: bool,
    good: u32,
    /// The time of the last event, and when the interval has begun.
    now: u64,
    began: u64,
    /// In this interval: whether the queue was empty, the least wait of those who were let in from it,
    /// whether more waited than can be served soon, and how many have run.
    was_empty: bool,
    least_wait: Option<u64>,
    crowded: bool,
    served: usize,
    /// How many have run in the interval before.
    rate: usize,
}

impl<W> Gate<W> {
    /// Nobody is there at `now`.
    pub(super) fn new(start: usize, cap: usize, now: u64) -> Gate<W> {
        Gate {
            limit: Limit::new(start, cap),
            running: 0,
            waiting: VecDeque::new(),
            next_id: 0,
            standing: false,
            good: 0,
            now,
            began: now,
            was_empty: true,
            least_wait: None,
            crowded: false,
            served: 0,
            rate: 0,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.get()
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the queue stands, if nothing has happened since the last event.
    pub(super) fn is_standing(&self, now: u64, interval: u64) -> bool {
        let good = u64::from(GOOD) + 1;
        let quiet = now.saturating_sub(self.began) >= interval.saturating_mul(good);
        self.standing && !(quiet && self.waiting.is_empty())
    }

    /// Time has passed; comes before every other event. `overloaded`: a worker is.
    pub(super) fn advance(
        &mut self,
        now: u64,
        overloaded: bool,
        rules: &Rules,
        verdicts: &mut Vec<Verdict<W>>,
    ) {
        self.now = now;
        let passed = now.saturating_sub(self.began) / rules.interval.max(1);
        if passed == 0 {
            return;
        }
        self.limit.set_cap(rules.cap);
        for interval in 0..passed.min(QUIET) {
            // Of those before this one nothing is known.
            self.end_interval(overloaded && interval == 0, rules);
        }
        self.began = now;
        if self.standing {
            self.thin_out(rules, verdicts);
        }
        self.let_in(verdicts);
    }

    fn end_interval(&mut self, overloaded: bool, rules: &Rules) {
        self.limit.end_interval(overloaded, self.running);
        self.rate = std::mem::take(&mut self.served);
        let was_empty = std::mem::replace(&mut self.was_empty, self.waiting.is_empty());
        let crowded = std::mem::take(&mut self.crowded);
        let slow = self.least_wait.take().is_none_or(|wait| wait > rules.max_wait);
        if was_empty || !(if self.standing { crowded } else { slow }) {
            self.good = self.good.saturating_add(1);
            self.standing &= self.good < GOOD;
        } else {
            self.good = 0;
            self.standing = true;
        }
    }

    /// How many can be served in the time they may wait, as things went of late.
    fn soon(&self, rules: &Rules) -> usize {
        let soon =
            self.rate as u128 * u128::from(rules.max_wait) / u128::from(rules.interval.max(1));
        usize::try_from(soon).unwrap_or(usize::MAX)
    }

    /// Turns those away who are too many, or have waited too long.
    fn thin_out(&mut self, rules: &Rules, verdicts: &mut Vec<Verdict<W>>) {
        let soon = self.soon(rules);
        let room = rules.max_waiting.max(soon);
        self.crowded |= self.waiting.len() > soon;
        while let Some(oldest) = self.waiting.front() {
            let late = self.now.saturating_sub(oldest.since) > rules.max_wait;
            if !late && self.waiting.len() <= room {
                break;
            }
            verdicts.extend(self.waiting.pop_front().map(|waiter| Verdict::Shed(waiter.who)));
        }
    }

    fn let_in(&mut self, verdicts: &mut Vec<Verdict<W>>) {
        while self.running < self.limit.get() {
            let next = match self.standing {
                true => self.waiting.pop_back(),
                false => self.waiting.pop_front(),
            };
            let Some(next) = next else { break };
            let wait = self.now.saturating_sub(next.since);
            self.least_wait = Some(self.least_wait.map_or(wait, |least| least.min(wait)));
            self.running += 1;
            verdicts.push(Verdict::Run(next.who));
        }
        self.was_empty |= self.waiting.is_empty();
        self.limit.runs(self.running);
    }

    /// Somebody wants to run.
    pub(super) fn arrive(
        &mut self,
        rules: &Rules,
        who: impl FnOnce() -> W,
        verdicts: &mut Vec<Verdict<W>>,
    ) -> Arrival {
        if self.running < self.limit.get() && self.waiting.is_empty() {
            self.running += 1;
            self.limit.runs(self.running);
            return Arrival::Run;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Waiter { id, since: self.now, who: who() });
        let at_most = match self.standing {
            true => rules.max_wait,
            false => rules.max_wait.max(rules.interval),
        };
        if self.standing {
            self.thin_out(rules, verdicts);
        }
        Arrival::Wait { id, at_most }
    }

    /// One that ran has ended, after such a time and with so much processor time, if it is known.
    pub(super) fn leave(&mut self, times: Option<(u64, u64)>, verdicts: &mut Vec<Verdict<W>>) {
        self.running = self.running.saturating_sub(1);
        self.served += 1;
        if let Some((time, processor)) = times {
            self.limit.ended(time, processor);
        }
        self.let_in(verdicts);
    }

    /// One that waits does so no more; whether it was there.
    pub(super) fn withdraw(&mut self, id: u64) -> bool {
        let found = self.waiting.iter().position(|waiter| waiter.id == id);
        let was_there = found.and_then(|at| self.waiting.remove(at)).is_some();
        self.was_empty |= self.waiting.is_empty();
        was_there
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a model with small numbers"
)]
mod tests;
