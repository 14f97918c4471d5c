//! Power of two choices on load: of two workers drawn at random the less loaded one. With the few
//! connections of a sidecar that is far more even than SO_REUSEPORT's hash of addresses, and unlike "the
//! least loaded" it does not send everybody to the same worker until that is measured again.

use super::load::WHOLE;

/// Differences in load up to this many thousandths are noise: then the number of connections decides.
const NOISE: u64 = 100;
/// What a new connection is expected to add to the load, at least, in thousandths.
const SHARE_MIN: u64 = 10;

/// A worker in the draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Thousandths.
    pub(super) busy: u32,
    pub(super) connections: usize,
    /// Those of the connections that `busy` does not know of.
    pub(super) newcomers: usize,
}

/// One of the first `count` workers.
pub(super) fn choose(count: usize, random: u64, of: impl Fn(usize) -> Candidate) -> usize {
    let count = count.max(1) as u64;
    let draw = |random: u64| usize::try_from((random & 0xffff_ffff) % count).unwrap_or(0);
    let (first, second) = (draw(random), draw(random >> 32));
    // Of two equal ones the lower index would fill up first: the draw decides already.
    if first != second && is_better(of(second), of(first)) { second } else { first }
}

fn is_better(one: Candidate, other: Candidate) -> bool {
    let (a, b) = (expected(one, other), expected(other, one));
    if a.abs_diff(b) > NOISE { a < b } else { one.connections < other.connections }
}

/// The load of `one`, with what its newcomers will add: as much as those who are there, here and at
/// the other.
fn expected(one: Candidate, other: Candidate) -> u64 {
    let known = |c: Candidate| c.connections.saturating_sub(c.newcomers) as u64;
    let busy = u64::from(one.busy) + u64::from(other.busy);
    let share = busy / (known(one) + known(other)).max(1);
    let newcomers = one.newcomers as u64;
    u64::from(one.busy) + newcomers * share.clamp(SHARE_MIN, u64::from(WHOLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(busy: u32, connections: usize) -> Candidate {
        Candidate { busy, connections, newcomers: 0 }
    }

    /// Places `count` connections, of which nothing is known, on workers with these loads.
    fn place(workers: &mut [Candidate], count: usize) {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..count {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let chosen = choose(workers.len(), random, |index| workers[index]);
            workers[chosen].connections += 1;
            workers[chosen].newcomers += 1;
        }
    }

    #[test]
    fn load_decides_before_the_number_of_connections() {
        assert!(is_better(worker(100, 50), worker(900, 2)));
        assert!(!is_better(worker(900, 2), worker(100, 50)));
        assert!(is_better(worker(150, 3), worker(100, 9)), "noise: the number decides");
    }

    #[test]
    fn few_connections_are_spread_evenly() {
        for count in [16, 50] {
            let mut workers = vec![worker(0, 0); 4];
            place(&mut workers, count);
            let most = workers.iter().map(|w| w.connections).max().unwrap_or(0);
            assert!(most * 4 <= count + count / 2, "{most} of {count} on one of 4");
        }
    }

    #[test]
    fn newcomers_do_not_all_go_to_whoever_was_idle_when_measured() {
        // One worker has 20 connections that keep it half busy, the other nothing.
        let mut workers = vec![worker(500, 20), worker(0, 0)];
        place(&mut workers, 60);
        let new = workers[0].newcomers;
        assert!((10..30).contains(&new), "{new} of 60 go to the busier one");
    }

    #[test]
    fn one_worker_is_chosen_without_a_choice() {
        assert_eq!(choose(1, u64::MAX, |_| worker(0, 0)), 0);
        assert_eq!(choose(0, 7, |_| worker(0, 0)), 0);
    }
}
