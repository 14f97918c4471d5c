//! How many changes may be under way to a peer.
//!
//! What was taken out of an outbox is sent one state for each change; what waits there is sent once,
//! however often it changes. So a peer that applies changes more slowly than writers make them must not
//! have more under way than keeps it busy: else its lag grows up to what the credit allows, and it is
//! never near.
//!
//! That is twice what it acknowledges within a round trip: the product of bandwidth and delay as in BBR
//! (Cardwell et al., 2016), and as much again, with which the window grows while the peer keeps up. A
//! round trip is timed when a few changes go and nothing is under way, so that it has nothing of the time
//! for which changes wait at the peer: in the beginning, and whenever there is a pause.

/// As many may always be under way. Far below [`NEAR`](crate::cluster::keeper::duty::NEAR).
const LEAST: u64 = 512;
/// With so few a round trip is timed.
const FEW: u64 = 64;
/// The weight of what was known before of round trips, against one of a new one.
const KNOWN: u64 = 7;

/// How long what is under way takes.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// It is over when so many were acknowledged.
    until: u64,
    /// So many were when it began.
    acknowledged: u64,
    began_ns: u64,
    /// Few changes, and nothing before them: what is timed is a round trip.
    is_quiet: bool,
}

/// See the [module documentation](self). Numbers count changes since the connection began.
#[derive(Debug)]
pub struct Window {
    taken: u64,
    under_way: u64,
    limit: u64,
    round_trip_ns: Option<u64>,
    probe: Option<Probe>,
}

impl Default for Window {
    fn default() -> Self {
        Window { taken: 0, under_way: 0, limit: FEW, round_trip_ns: None, probe: None }
    }
}

impl Window {
    /// Changes that may be taken out now.
    #[must_use]
    pub fn room(&self) -> usize {
        usize::try_from(self.limit.saturating_sub(self.under_way)).unwrap_or(usize::MAX)
    }

    /// So many more were taken out, and of all so many are not acknowledged.
    pub fn look(&mut self, taken: usize, under_way: usize, now_ns: u64) {
        let was_quiet = self.under_way == 0;
        self.taken += taken as u64;
        self.under_way = under_way as u64;
        let acknowledged = self.taken.saturating_sub(self.under_way);
        if let Some(probe) = self.probe.take_if(|probe| acknowledged >= probe.until) {
            let took = now_ns.saturating_sub(probe.began_ns).max(1);
            if probe.is_quiet {
                let known = self.round_trip_ns.unwrap_or(took);
                self.round_trip_ns = Some((known.saturating_mul(KNOWN) + took) / (KNOWN + 1));
            }
            let came = u128::from(acknowledged.saturating_sub(probe.acknowledged));
            let round_trip = u128::from(self.round_trip_ns.unwrap_or(0));
            let product = came * round_trip / u128::from(took);
            self.limit = u64::try_from(product * 2).unwrap_or(u64::MAX).max(LEAST);
        }
        if self.probe.is_none() && self.under_way > 0 {
            let is_quiet = was_quiet && self.under_way <= FEW;
            let until = self.taken;
            self.probe = Some(Probe { until, acknowledged, began_ns: now_ns, is_quiet });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// There is always something to take out. A peer applies `rate` changes in a millisecond and is
    /// `delay` milliseconds away there and back; what is under way in the end, and was applied per
    /// millisecond.
    fn run(rate: u64, delay: u64) -> (u64, f64) {
        let (mut window, mut arrives) = (Window::default(), std::collections::VecDeque::new());
        let (mut taken, mut waiting, mut acknowledged, mut applied) = (0, 0, 0, Vec::new());
        let length = 20_000;
        for now in 0..length {
            let room = window.room() as u64;
            taken += room;
            arrives.push_back((now + delay / 2, room));
            while let Some(&(at, count)) = arrives.front()
                && at <= now
            {
                arrives.pop_front();
                waiting += count;
            }
            let done = rate.min(waiting);
            waiting -= done;
            applied.push(done);
            let back = (now as usize).checked_sub(delay.div_ceil(2) as usize);
            acknowledged += back.and_then(|at| applied.get(at)).copied().unwrap_or(0);
            window.look(room as usize, (taken - acknowledged) as usize, now * MS);
        }
        let last = &applied[applied.len() / 2..];
        (taken - acknowledged, last.iter().sum::<u64>() as f64 / last.len() as f64)
    }

    #[test]
    fn a_slow_peer_has_little_under_way() {
        for rate in [1, 10, 100] {
            let (under_way, per_ms) = run(rate, 2);
            assert!(under_way <= LEAST, "{under_way} with {rate}");
            assert!(per_ms > rate as f64 * 0.9, "{per_ms} of {rate}");
        }
    }

    #[test]
    fn a_peer_far_away_is_kept_busy() {
        for (rate, delay) in [(30, 400), (100, 50), (1000, 10)] {
            let (under_way, per_ms) = run(rate, delay);
            assert!(per_ms > rate as f64 * 0.9, "{per_ms} of {rate} over {delay} ms");
            assert!(under_way <= 4 * rate * delay + LEAST, "{under_way}, {rate} over {delay} ms");
        }
    }

    #[test]
    fn nothing_under_way_leaves_room() {
        let mut window = Window::default();
        window.look(10, 10, 0);
        window.look(0, 0, MS);
        assert_eq!(window.room() as u64, LEAST);
    }

    #[test]
    fn a_path_that_becomes_longer_is_noticed_in_a_pause() {
        let mut window = Window::default();
        window.look(64, 64, 0);
        window.look(0, 0, MS);
        assert_eq!(window.round_trip_ns, Some(MS));
        for pause in 1..100 {
            window.look(10, 10, pause * 1000 * MS);
            window.look(0, 0, (pause * 1000 + 400) * MS);
        }
        assert!(window.round_trip_ns.is_some_and(|trip| trip > 390 * MS));
    }
}
