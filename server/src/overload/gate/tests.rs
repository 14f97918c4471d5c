//! A machine with so many processors under load, and what the gate makes of that.

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
        match self.gate.arrive(&RULES, || who, &mut verdicts) {
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
        // Those who can be served in 10 ms, if they are more than the rules allow.
        let soon = (10.0 * MS as f64 * processors / COST as f64) as usize;
        let most = machine.most_waiting;
        assert!(most <= RULES.max_waiting.max(soon), "{most}");
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

/// Clients that send the next command when the last one is answered, one way or the other, on one
/// processor. How many were turned away.
fn closed_loop(gate: &mut Gate<u64>, clients: u64, cost: u64, time: u64) -> u64 {
    const RULES: Rules = Rules { cap: 1, ..super::tests::RULES };
    let (mut now, mut shed, mut verdicts) = (gate.now, 0, Vec::new());
    let (mut ready, mut waiting): (Vec<u64>, Vec<Waits>) = ((0..clients).collect(), Vec::new());
    let mut running = None;
    let end = now + time;
    while now < end {
        for who in std::mem::take(&mut ready) {
            match gate.arrive(&RULES, || who, &mut verdicts) {
                Arrival::Run => running = Some(who),
                Arrival::Wait { id, at_most } => {
                    waiting.push(Waits { who, id, since: now, until: now + at_most });
                }
            }
        }
        for verdict in verdicts.drain(..) {
            let (Verdict::Run(who) | Verdict::Shed(who)) = verdict;
            waiting.retain(|waiter| waiter.who != who);
            match verdict {
                Verdict::Run(_) => running = Some(who),
                Verdict::Shed(_) => {
                    shed += 1;
                    ready.push(who);
                }
            }
        }
        now += cost;
        for late in waiting.extract_if(.., |waiter| now >= waiter.until) {
            assert!(gate.withdraw(late.id));
            shed += 1;
            ready.push(late.who);
        }
        gate.advance(now, false, &RULES, &mut verdicts);
        ready.extend(running.take());
        gate.leave(None, &mut verdicts);
    }
    // All leave.
    for waiter in &waiting {
        gate.withdraw(waiter.id);
    }
    if running.is_some() {
        gate.leave(None, &mut verdicts);
    }
    shed
}

#[test]
fn many_clients_that_wait_for_their_replies_are_no_overload_while_the_queue_moves() {
    let mut gate = Gate::new(1, 1, 0);
    assert_eq!(closed_loop(&mut gate, 50, 60_000, 2_000 * MS), 0);
}

#[test]
fn they_are_if_it_does_not_and_that_ends_when_it_does_again() {
    let mut gate = Gate::new(1, 1, 0);
    assert!(closed_loop(&mut gate, 50, COST, 1_000 * MS) > 0);
    assert!(gate.standing);
    closed_loop(&mut gate, 50, 60_000, 500 * MS);
    assert!(!gate.standing);
    assert_eq!(closed_loop(&mut gate, 50, 60_000, 500 * MS), 0);
}

#[test]
fn the_newest_goes_first_while_the_queue_stands() {
    const RULES: Rules = Rules { cap: 1, ..super::tests::RULES };
    let mut gate = Gate::new(1, 1, 0);
    let mut verdicts = Vec::new();
    assert_eq!(gate.arrive(&RULES, || 0, &mut verdicts), Arrival::Run);
    for who in 1..=3 {
        gate.arrive(&RULES, || who, &mut verdicts);
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
        gate.arrive(&RULES, || who, &mut verdicts);
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
    gate.arrive(&RULES, || 'a', &mut verdicts);
    let arrival = gate.arrive(&RULES, || 'b', &mut verdicts);
    let Arrival::Wait { id, .. } = arrival else { panic!("{arrival:?}") };
    assert!(gate.withdraw(id) && !gate.withdraw(id));
    gate.leave(None, &mut verdicts);
    assert_eq!((verdicts.len(), gate.running(), gate.waiting()), (0, 0, 0));
}
