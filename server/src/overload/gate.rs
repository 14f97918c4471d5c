//! Who of the dear commands runs, who waits and who is turned away.
//!
//! As many run as [`Limit`] allows; the others wait. A short queue is worked off in its order. One that
//! stands, that is, was not empty for a whole interval, is a sign that more comes than can be done.
//! Then waiting helps nobody: few may wait, not for long, and the newest goes first, because its client
//! is the most likely to be still there. All others are turned away at once, which costs almost
//! nothing. It is over after [`GOOD`] intervals in which the queue was empty at least once.
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
    /// Who may wait while the queue stands, and for how many nanoseconds.
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
    /// When the interval has begun, and whether the queue was empty in it.
    began: u64,
    was_empty: bool,
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
            began: now,
            was_empty: true,
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
        let passed = now.saturating_sub(self.began) / rules.interval.max(1);
        if passed == 0 {
            return;
        }
        self.limit.set_cap(rules.cap);
        for interval in 0..passed.min(QUIET) {
            // Of those before this one nothing is known.
            self.end_interval(overloaded && interval == 0);
        }
        self.began = now;
        if self.standing {
            self.thin_out(now, rules, verdicts);
        }
        self.let_in(verdicts);
    }

    fn end_interval(&mut self, overloaded: bool) {
        self.limit.end_interval(overloaded, self.running);
        if std::mem::replace(&mut self.was_empty, self.waiting.is_empty()) {
            self.good = self.good.saturating_add(1);
            self.standing &= self.good < GOOD;
        } else {
            self.good = 0;
            self.standing = true;
        }
    }

    /// Turns those away who are too many, or have waited too long.
    fn thin_out(&mut self, now: u64, rules: &Rules, verdicts: &mut Vec<Verdict<W>>) {
        while let Some(oldest) = self.waiting.front() {
            let late = now.saturating_sub(oldest.since) > rules.max_wait;
            if !late && self.waiting.len() <= rules.max_waiting {
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
            self.running += 1;
            verdicts.push(Verdict::Run(next.who));
        }
        self.was_empty |= self.waiting.is_empty();
        self.limit.runs(self.running);
    }

    /// Somebody wants to run.
    pub(super) fn arrive(
        &mut self,
        now: u64,
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
        self.waiting.push_back(Waiter { id, since: now, who: who() });
        let at_most = match self.standing {
            true => rules.max_wait,
            false => rules.max_wait.max(rules.interval),
        };
        if self.standing {
            self.thin_out(now, rules, verdicts);
        }
        Arrival::Wait { id, at_most }
    }

    /// One that ran has ended, after such a time and with so much processor time, if it is known.
    pub(super) fn leave(&mut self, times: Option<(u64, u64)>, verdicts: &mut Vec<Verdict<W>>) {
        self.running = self.running.saturating_sub(1);
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
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const RULES: Rules = Rules { interval: 100 * MS, max_waiting: 8, max_wait: 10 * MS, cap: 64 };
    /// What a dear command costs.
    const COST: u64 = 2 * MS;

    struct Waits {
        who: u64,
        id: u64,
        since: u64,
        until: u64,
    }

    /// Commands on so many processors, in steps of a tenth of a millisecond.
    struct Machine {
        gate: Gate<u64>,
        processors: f64,
        now: u64,
        /// Work that is left of each that runs, and when it began.
        running: Vec<(f64, u64)>,
        waiting: Vec<Waits>,
        due: f64,
        ids: u64,
        done: u64,
        shed: u64,
        most_waiting: usize,
        longest_wait: u64,
    }

    impl Machine {
        fn new(processors: f64) -> Machine {
            Machine {
                // As with one worker for each.
                gate: Gate::new(2 * processors as usize, 64, 0),
                processors,
                now: 0,
                running: Vec::new(),
                waiting: Vec::new(),
                due: 0.0,
                ids: 0,
                done: 0,
                shed: 0,
                most_waiting: 0,
                longest_wait: 0,
            }
        }

        fn obey(&mut self, verdicts: Vec<Verdict<u64>>) {
            for verdict in verdicts {
                let (Verdict::Run(who) | Verdict::Shed(who)) = verdict;
                let found = self.waiting.iter().position(|waiter| waiter.who == who);
                let waiter = self.waiting.remove(found.expect("it waits"));
                self.longest_wait = self.longest_wait.max(self.now - waiter.since);
                match verdict {
                    Verdict::Run(_) => self.running.push((COST as f64, self.now)),
                    Verdict::Shed(_) => self.shed += 1,
                }
            }
        }

        fn step(&mut self, load: f64) {
            const STEP: f64 = 100_000.0;
            self.now += STEP as u64;
            let mut verdicts = Vec::new();
            self.gate.advance(self.now, false, &RULES, &mut verdicts);
            self.obey(verdicts);
            let share = STEP * (self.processors / self.running.len().max(1) as f64).min(1.0);
            self.running.iter_mut().for_each(|(left, _)| *left -= share);
            while let Some(at) = self.running.iter().position(|(left, _)| *left <= 0.0) {
                let (_, since) = self.running.remove(at);
                let mut verdicts = Vec::new();
                self.gate.leave(Some((self.now - since, COST)), &mut verdicts);
                self.done += 1;
                self.obey(verdicts);
            }
            self.due += load * self.processors * STEP / COST as f64;
            while self.due >= 1.0 {
                self.due -= 1.0;
                self.arrive();
            }
            let now = self.now;
            while let Some(at) = self.waiting.iter().position(|waiter| now >= waiter.until) {
                let waiter = self.waiting.remove(at);
                assert!(self.gate.withdraw(waiter.id), "{} is there", waiter.who);
                self.shed += 1;
            }
            self.most_waiting = self.most_waiting.max(self.gate.waiting());
        }

        fn arrive(&mut self) {
            self.ids += 1;
            let (who, since, mut verdicts) = (self.ids, self.now, Vec::new());
            match self.gate.arrive(since, &RULES, || who, &mut verdicts) {
                Arrival::Run => self.running.push((COST as f64, since)),
                Arrival::Wait { id, at_most } => {
                    self.waiting.push(Waits { who, id, since, until: since + at_most });
                }
            }
            self.obey(verdicts);
        }

        /// Runs for some intervals. Per interval, what was done of what could be.
        fn run(&mut self, intervals: usize, load: f64) -> Vec<f64> {
            let mut shares = Vec::new();
            for _ in 0..intervals {
                let before = self.done;
                (0..1000).for_each(|_| self.step(load));
                let possible = 100.0 * MS as f64 * self.processors / COST as f64;
                shares.push((self.done - before) as f64 / possible);
            }
            shares
        }
    }

    #[test]
    fn below_capacity_nobody_is_turned_away() {
        for processors in [1.0, 4.0] {
            let mut machine = Machine::new(processors);
            machine.run(20, 0.9);
            assert_eq!(machine.shed, 0);
        }
    }

    #[test]
    fn a_burst_waits_and_is_done() {
        let mut machine = Machine::new(1.0);
        machine.run(3, 0.1);
        (0..40).for_each(|_| machine.arrive());
        let before = machine.done;
        machine.run(2, 0.0);
        assert!(machine.done - before >= 40);
        assert_eq!((machine.running.len(), machine.shed), (0, 0));
    }

    #[test]
    fn above_capacity_the_work_goes_on_and_the_rest_is_turned_away_soon() {
        for (processors, load) in [(1.0, 2.0), (1.0, 10.0), (4.0, 2.0), (4.0, 10.0)] {
            let mut machine = Machine::new(processors);
            machine.run(4, load);
            (machine.most_waiting, machine.longest_wait) = (0, 0);
            let shares = machine.run(20, load);
            assert!(shares.iter().all(|share| *share > 0.9), "{processors} {load}: {shares:?}");
            assert!(machine.most_waiting <= RULES.max_waiting, "{}", machine.most_waiting);
            assert!(machine.longest_wait <= RULES.max_wait + MS, "{}", machine.longest_wait);
            assert!(machine.shed > 0);
        }
    }

    #[test]
    fn a_step_settles_within_two_intervals() {
        let mut machine = Machine::new(1.0);
        machine.run(5, 0.5);
        assert_eq!(machine.shed, 0);
        machine.run(2, 2.0);
        assert!(machine.gate.standing);
        let during = machine.run(10, 2.0);
        assert!(during.iter().all(|share| (0.9..=1.1).contains(share)), "{during:?}");
        machine.run(2, 0.5);
        let shed = machine.shed;
        let after = machine.run(10, 0.5);
        assert!(!machine.gate.standing);
        assert_eq!(machine.shed, shed, "nobody more");
        assert!(after.iter().all(|share| (0.45..=0.55).contains(share)), "{after:?}");
    }

    #[test]
    fn a_square_wave_does_not_swing_the_work_done() {
        let mut machine = Machine::new(1.0);
        machine.run(5, 0.5);
        for _ in 0..10 {
            let high = machine.run(5, 2.0);
            assert!(high.iter().all(|share| *share > 0.9), "{high:?}");
            let low = machine.run(5, 0.5);
            assert!(low[2..].iter().all(|share| (0.45..=0.55).contains(share)), "{low:?}");
        }
    }

    #[test]
    fn the_newest_goes_first_while_the_queue_stands() {
        const RULES: Rules = Rules { cap: 1, ..super::tests::RULES };
        let mut gate = Gate::new(1, 1, 0);
        let mut verdicts = Vec::new();
        assert_eq!(gate.arrive(0, &RULES, || 0, &mut verdicts), Arrival::Run);
        for who in 1..=3 {
            gate.arrive(0, &RULES, || who, &mut verdicts);
        }
        gate.leave(None, &mut verdicts);
        assert_eq!(verdicts, [Verdict::Run(1)], "in their order");
        verdicts.clear();
        gate.advance(100 * MS, false, &RULES, &mut verdicts);
        assert_eq!(verdicts, [], "it was empty when the interval began");
        gate.advance(200 * MS, false, &RULES, &mut verdicts);
        assert!(gate.is_standing(200 * MS, RULES.interval));
        assert_eq!(verdicts, [Verdict::Shed(2), Verdict::Shed(3)], "they have waited for too long");
        verdicts.clear();
        for who in 4..=20 {
            gate.arrive(200 * MS, &RULES, || who, &mut verdicts);
        }
        let shed: Vec<_> = (4..=12).map(Verdict::Shed).collect();
        assert_eq!(verdicts, shed, "the oldest of too many");
        verdicts.clear();
        gate.leave(None, &mut verdicts);
        assert_eq!(verdicts, [Verdict::Run(20)]);
    }

    #[test]
    fn who_gives_up_is_forgotten() {
        let mut gate = Gate::new(1, 1, 0);
        let mut verdicts = Vec::new();
        gate.arrive(0, &RULES, || 'a', &mut verdicts);
        let arrival = gate.arrive(0, &RULES, || 'b', &mut verdicts);
        let Arrival::Wait { id, .. } = arrival else { panic!("{arrival:?}") };
        assert!(gate.withdraw(id) && !gate.withdraw(id));
        gate.leave(None, &mut verdicts);
        assert_eq!((verdicts.len(), gate.running(), gate.waiting()), (0, 0, 0));
    }
}
