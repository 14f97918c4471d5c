//! How much a connection may do in one turn, so that nobody waits long for the next one.
//!
//! One connection alone gets big turns: its replies leave together and nobody minds. Beside others
//! its turn is a share of the time in which the run queue should come round, and never long. Turns
//! are counted in commands, because counting them is free; what a command costs was measured of late.

use std::time::Duration;

/// Commands of a turn while no other connection is active.
pub const ALONE: usize = 512;
/// The least commands of a turn: below that, turns cost more than what they run.
pub const LEAST: usize = 8;
/// A pipeline of so many commands is not cut if most connections send such: cut, they would end no
/// sooner, and every part would cost its system calls.
pub const USUAL: usize = 64;
/// The run queue should come round in this time.
const ROUND: Duration = Duration::from_millis(1);
/// A turn beside others should take no longer than this.
const TURN: Duration = Duration::from_micros(50);
/// Nor one that is not cut because it is as long as most.
const USUAL_TURN: Duration = Duration::from_micros(100);
/// A turn beside others ends after this whatever it was to run. Only commands that are timed one by
/// one can take so long.
pub const LONGEST: Duration = Duration::from_micros(100);

/// What was measured since the last time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Turns in one round of the run queue.
    pub runnable: u32,
    /// Turns.
    pub turns: u64,
    /// Commands run in them.
    pub commands: u64,
    /// Nanoseconds they took.
    pub nanos: u64,
}

/// The commands that a turn may run while others are active.
#[must_use]
pub fn budget(measured: Measured) -> usize {
    let Measured { runnable, turns, commands, nanos } = measured;
    if turns == 0 || commands == 0 {
        return ALONE;
    }
    let round = ROUND.as_nanos() as u64 / u64::from(runnable.max(1));
    let fair = round.min(TURN.as_nanos() as u64);
    // Twice the mean: most have less than that.
    let usual = (2 * commands / turns).min(USUAL as u64);
    let in_time = |nanoseconds: u64| {
        let count = u128::from(nanoseconds) * u128::from(commands) / u128::from(nanos.max(1));
        usize::try_from(count).unwrap_or(ALONE)
    };
    let usual = in_time(USUAL_TURN.as_nanos() as u64).min(usize::try_from(usual).unwrap_or(USUAL));
    in_time(fair).max(usual).clamp(LEAST, ALONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker with clients of two kinds, of which each round serves all: what a command costs in
    /// nanoseconds, and the commands that each client has ready.
    fn settle(cost: u64, ready: &[usize]) -> (usize, u64) {
        let mut budget = ALONE;
        let mut round = 0;
        for _ in 0..20 {
            let ran: Vec<usize> = ready.iter().map(|ready| (*ready).min(budget)).collect();
            let commands = ran.iter().sum::<usize>() as u64;
            round = commands * cost;
            budget = super::budget(Measured {
                runnable: u32::try_from(ready.len()).expect("few"),
                turns: ready.len() as u64,
                commands,
                nanos: round,
            });
        }
        (budget, round)
    }

    #[test]
    fn a_deep_pipeline_beside_many_light_clients_gets_short_turns() {
        let mut ready = vec![1; 50];
        ready.push(100_000);
        let (budget, round) = settle(250, &ready);
        assert!((LEAST..=100).contains(&budget), "{budget}");
        assert!(round < 100_000, "{round}");
    }

    #[test]
    fn beside_one_it_gets_longer_ones() {
        let (budget, _) = settle(250, &[1, 100_000]);
        assert!((150..=200).contains(&budget), "{budget}");
    }

    #[test]
    fn pipelines_of_usual_length_are_never_cut() {
        for clients in [2, 10, 50, 200, 1000] {
            for depth in [1, 16, USUAL] {
                let (budget, _) = settle(300, &vec![depth; clients]);
                assert!(budget >= depth, "{clients} clients, {depth} deep: {budget}");
            }
        }
    }

    #[test]
    fn many_deep_pipelines_share_the_round() {
        let (budget, _) = settle(250, &vec![100_000; 100]);
        assert_eq!(budget, USUAL);
        let (budget, _) = settle(250, &[100_000; 10]);
        assert_eq!(budget, 200);
    }

    #[test]
    fn costly_commands_make_turns_of_the_least_length() {
        let (budget, _) = settle(100_000, &vec![1000; 30]);
        assert!((LEAST..=2 * LEAST).contains(&budget), "{budget}");
    }

    #[test]
    fn nothing_measured_is_no_reason_to_cut() {
        assert_eq!(budget(Measured::default()), ALONE);
    }
}
