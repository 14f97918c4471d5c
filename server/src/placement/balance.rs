//! When and which connections go to another worker: a pure state machine, one step per window.
//!
//! If the busiest worker has been busier than the idlest by more than a gap for [`PATIENCE`] windows,
//! connections go over whose part in the load comes nearest to half of the difference, so that both are
//! alike afterwards. A part is estimated from the commands and bytes of the last window. One that makes up
//! the whole difference stays: it would make the other worker as busy as this one.

use std::collections::HashMap;

/// Windows in a row in which the gap must show.
pub(super) const PATIENCE: u32 = 3;
/// Connections that move in one window.
pub(super) const MOVES: usize = 4;
/// Windows which a connection stays where it is, at least.
pub(super) const RESIDENCE: u32 = 10;
/// Parts in the load below so many thousandths are not worth a move.
const WORTH: u64 = 5;

/// A connection, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    /// Number of the client.
    pub id: u64,
    /// Where it is.
    pub worker: usize,
    /// What it has had done so far.
    pub work: u64,
    /// It has been there long enough and could go.
    pub free: bool,
}

/// A connection is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Number of the client.
    pub id: u64,
    /// Where to.
    pub to: usize,
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Balance {
    /// Windows in a row with the gap.
    uneven: u32,
    /// The work of each connection at the end of the last window.
    marks: HashMap<u64, u64>,
}

impl Balance {
    /// One window has passed, in which the active workers were `busy` (in thousandths). `tenants` is
    /// asked for the connections only if the workers are uneven.
    pub fn step(
        &mut self,
        busy: &[u32],
        gap: u32,
        tenants: impl FnOnce() -> Vec<Tenant>,
    ) -> Vec<Move> {
        let Some((from, to, difference)) = extremes(busy).filter(|(.., d)| *d > u64::from(gap))
        else {
            self.forget();
            return Vec::new();
        };
        self.uneven = self.uneven.saturating_add(1);
        // The last window before a move is the one that says who does how much.
        if self.uneven + 1 < PATIENCE {
            return Vec::new();
        }
        let tenants = tenants();
        let marks = tenants.iter().map(|tenant| (tenant.id, tenant.work)).collect();
        let before = std::mem::replace(&mut self.marks, marks);
        if self.uneven < PATIENCE {
            return Vec::new();
        }
        let parts = parts(&tenants, &before, from, busy);
        pick(parts, difference, u64::from(gap)).map(|id| Move { id, to }).collect()
    }

    /// What was seen counts no more, because the workers have changed.
    pub fn forget(&mut self) {
        self.uneven = 0;
        self.marks.clear();
    }
}

/// The busiest worker, the idlest, and the difference.
fn extremes(busy: &[u32]) -> Option<(usize, usize, u64)> {
    let by_load = |(_, busy): &(usize, &u32)| **busy;
    let (most, high) = busy.iter().enumerate().max_by_key(by_load)?;
    let (least, low) = busy.iter().enumerate().min_by_key(by_load)?;
    Some((most, least, u64::from(high.saturating_sub(*low))))
}

/// How much of the load of `worker` is whose, of those that could go.
fn parts(
    tenants: &[Tenant],
    before: &HashMap<u64, u64>,
    worker: usize,
    busy: &[u32],
) -> Vec<(u64, u64)> {
    let here = || tenants.iter().filter(|tenant| tenant.worker == worker);
    let done = |tenant: &Tenant| {
        before.get(&tenant.id).map_or(0, |before| tenant.work.saturating_sub(*before))
    };
    let total: u128 = here().map(|tenant| u128::from(done(tenant))).sum();
    let load = busy.get(worker).copied().unwrap_or(0);
    let part = |tenant: &Tenant| {
        let part = u128::from(done(tenant)) * u128::from(load) / total.max(1);
        (tenant.id, u64::try_from(part).unwrap_or(u64::MAX))
    };
    here().filter(|tenant| tenant.free).map(part).collect()
}

/// Connections whose parts together come nearest to half of the difference.
fn pick(mut parts: Vec<(u64, u64)>, mut difference: u64, gap: u64) -> impl Iterator<Item = u64> {
    let mut picked = Vec::new();
    while picked.len() < MOVES && difference > gap / 2 {
        let half = difference / 2;
        let best = (0..parts.len())
            .filter(|index| (WORTH..difference).contains(&parts[*index].1))
            .min_by_key(|index| parts[*index].1.abs_diff(half));
        let Some(best) = best else { break };
        let (id, part) = parts.swap_remove(best);
        picked.push(id);
        difference = difference.saturating_sub(2 * part);
    }
    picked.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: u32 = 300;

    /// Workers and connections with a constant demand in thousandths of a worker, in simulated time.
    struct World {
        balance: Balance,
        /// Number, worker, demand, work so far, window of its last move.
        connections: Vec<(u64, usize, u32, u64, u32)>,
        workers: usize,
        window: u32,
        moves: usize,
    }

    impl World {
        fn new(workers: usize, demands: &[(usize, u32)]) -> World {
            let connection = |(id, (worker, demand)): (usize, &(usize, u32))| {
                (id as u64, *worker, *demand, 0, 0)
            };
            let connections = demands.iter().enumerate().map(connection).collect();
            World { balance: Balance::default(), connections, workers, window: RESIDENCE, moves: 0 }
        }

        fn busy(&self) -> Vec<u32> {
            let of = |worker| -> u32 {
                self.connections.iter().filter(|c| c.1 == worker).map(|c| c.2).sum()
            };
            (0..self.workers).map(|worker| of(worker).min(1_000)).collect()
        }

        fn step(&mut self) -> usize {
            self.window += 1;
            let busy = self.busy();
            for connection in &mut self.connections {
                connection.3 += u64::from(connection.2);
            }
            let now = self.window;
            let tenants = || {
                let tenant = |c: &(u64, usize, u32, u64, u32)| Tenant {
                    id: c.0,
                    worker: c.1,
                    work: c.3,
                    free: now - c.4 >= RESIDENCE,
                };
                self.connections.iter().map(tenant).collect()
            };
            let moves = self.balance.step(&busy, GAP, tenants);
            for Move { id, to } in &moves {
                let connection = self.connections.iter_mut().find(|c| c.0 == *id).unwrap();
                assert_ne!(connection.1, *to);
                (connection.1, connection.4) = (*to, now);
            }
            self.moves += moves.len();
            moves.len()
        }
    }

    #[test]
    fn two_heavy_ones_on_one_worker_part_in_the_third_window() {
        let mut world = World::new(2, &[(0, 450), (0, 450), (1, 20)]);
        assert_eq!([world.step(), world.step(), world.step()], [0, 0, 1]);
        assert_eq!(world.busy(), [450, 470]);
        for _ in 0..100 {
            assert_eq!(world.step(), 0, "it is even");
        }
    }

    #[test]
    fn one_that_is_the_whole_load_stays() {
        let mut world = World::new(2, &[(0, 900), (1, 10)]);
        for _ in 0..50 {
            assert_eq!(world.step(), 0);
        }
    }

    #[test]
    fn many_small_ones_go_a_few_at_a_time_until_it_is_even_enough() {
        let mut world = World::new(2, &[(0, 18); 50]);
        for _ in 0..3 * 50 {
            assert!(world.step() <= MOVES);
        }
        let busy = world.busy();
        assert!(busy[0].abs_diff(busy[1]) <= GAP, "{busy:?}");
        assert!(world.moves <= 25, "{} moves", world.moves);
    }

    #[test]
    fn any_mix_comes_to_rest() {
        let mut random = 12_345_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..200 {
            let workers = 2 + usize::try_from(draw(6)).unwrap();
            let count = 1 + draw(60);
            let demands: Vec<(usize, u32)> = (0..count)
                .map(|_| (usize::try_from(draw(2)).unwrap(), u32::try_from(draw(200)).unwrap()))
                .collect();
            let mut world = World::new(workers, &demands);
            for _ in 0..200 {
                world.step();
            }
            let moves = world.moves;
            for _ in 0..100 {
                world.step();
            }
            assert_eq!(world.moves, moves, "still moving: {:?} {demands:?}", world.busy());
        }
    }

    #[test]
    fn a_load_that_changes_sides_every_other_window_moves_nobody() {
        let mut balance = Balance::default();
        for window in 0..100 {
            let busy = if window / 2 % 2 == 0 { [900, 100] } else { [100, 900] };
            let tenant = Tenant { id: 1, worker: 0, work: window, free: true };
            assert!(balance.step(&busy, GAP, || vec![tenant]).is_empty());
        }
    }

    #[test]
    fn who_may_not_go_and_who_does_nothing_stays() {
        let mut balance = Balance::default();
        for window in 0..20 {
            let moves = balance.step(&[900, 0], GAP, || {
                vec![
                    Tenant { id: 1, worker: 0, work: window * 400, free: false },
                    Tenant { id: 2, worker: 0, work: 0, free: true },
                    Tenant { id: 3, worker: 1, work: window, free: true },
                ]
            });
            assert!(moves.is_empty());
        }
        assert!(balance.step(&[], GAP, Vec::new).is_empty());
        assert!(balance.step(&[1_000], GAP, Vec::new).is_empty());
    }

    /// Connections of these demands on the first of two workers, for three windows: who is moved.
    fn moved(busy: [u32; 2], gap: u32, demands: &[u64]) -> Vec<u64> {
        let mut balance = Balance::default();
        let mut moved = Vec::new();
        for window in 1..=3 {
            let tenant = |(id, demand): (usize, &u64)| Tenant {
                id: id as u64,
                worker: 0,
                work: window * demand,
                free: true,
            };
            let tenants = || demands.iter().enumerate().map(tenant).collect();
            moved.extend(balance.step(&busy, gap, tenants).iter().map(|step| step.id));
        }
        moved
    }

    #[test]
    fn a_difference_of_the_gap_is_none_yet() {
        assert_eq!(moved([400, 100], GAP, &[200, 200]), Vec::<u64>::new());
        assert_eq!(moved([401, 100], GAP, &[200, 200]), [0]);
    }

    #[test]
    fn whose_part_is_nearest_to_half_of_the_difference_goes_first() {
        assert_eq!(moved([800, 0], GAP, &[100, 390, 310]), [1]);
        assert_eq!(moved([800, 0], GAP, &[100, 290, 410]), [2]);
        assert_eq!(moved([800, 200], GAP, &[500, 280, 20]), [1]);
        // Then half of what is left, down to half of the gap.
        assert_eq!(moved([600, 0], 198, &[250, 40, 155, 155]), [0, 1]);
        assert_eq!(moved([600, 0], 200, &[250, 40, 155, 155]), [0]);
        assert_eq!(moved([800, 0], GAP, &[20; 40]).len(), MOVES);
    }

    #[test]
    fn a_part_that_is_too_small_or_the_whole_difference_stays() {
        for (part, goes) in [(4, false), (5, true), (9, true), (10, false)] {
            let moved = moved([310, 300], 5, &[part, 310 - part]);
            assert_eq!(moved, [0; 1][usize::from(!goes)..], "{part}");
        }
    }

    #[test]
    fn the_last_window_says_who_does_how_much() {
        let mut balance = Balance::default();
        let mut asked = 0;
        let mut moves = Vec::new();
        for work in [[0, 0, 0], [1_000, 0, 400], [1_000, 400, 800]] {
            moves = balance.step(&[800, 0], GAP, || {
                asked += 1;
                let tenant =
                    |id: usize| Tenant { id: id as u64, worker: 0, work: work[id], free: id < 2 };
                (0..3).map(tenant).collect()
            });
        }
        assert_eq!(moves, [Move { id: 1, to: 1 }]);
        assert_eq!(asked, 2, "only when it matters");
    }

    #[test]
    fn what_was_seen_of_other_workers_does_not_count() {
        let mut balance = Balance::default();
        let mut work = 0;
        let mut windows = |balance: &mut Balance, count: usize| -> usize {
            let window = |_| {
                work += 400;
                let tenant = |id| Tenant { id, worker: 0, work, free: true };
                balance.step(&[800, 0], GAP, || vec![tenant(0), tenant(1)]).len()
            };
            (0..count).map(window).sum()
        };
        assert_eq!(windows(&mut balance, 2), 0);
        balance.forget();
        assert_eq!(windows(&mut balance, 2), 0);
        assert_eq!(windows(&mut balance, 1), 1);
    }
}
