//! Forgetting without a clock that ticks: counts in which what is old weighs less.
//!
//! Instead of making all counts smaller as time goes by, what comes later is counted for more: twice
//! as much after each [`HALF_LIFE`]. What a count is worth now is its share of what a single one is
//! worth now. (G. Cormode and others, *Forward Decay: A Practical Time Decay Model for Streaming
//! Systems*, ICDE 2009.)

use dunlin_storage::Millis;

/// After this time something counts half.
pub(super) const HALF_LIFE: Millis = 30_000;
/// Half-lives after which the weights begin anew, long before they are too large for exact sums.
const AGE_MAX: Millis = 16;

/// What something is worth that happens now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decay {
    /// When something was worth one.
    since: Millis,
}

impl Decay {
    /// The weight of what happens at `now`. `Some`: all sums have to be multiplied by this first.
    pub(super) fn weight(&mut self, now: Millis) -> (f64, Option<f64>) {
        let age = now - self.since;
        if (0..HALF_LIFE * AGE_MAX).contains(&age) {
            return (self.worth(now), None);
        }
        let factor = self.worth(now).recip().clamp(0.0, 1.0);
        self.since = now;
        (1.0, Some(factor))
    }

    /// How often something happens per second whose weights add up to `sum`.
    pub(super) fn per_second(&self, sum: f64, now: Millis) -> f64 {
        let seconds = HALF_LIFE as f64 / 1000.0 / std::f64::consts::LN_2;
        sum / self.worth(now) / seconds
    }

    fn worth(&self, now: Millis) -> f64 {
        ((now - self.since).max(0) as f64 / HALF_LIFE as f64).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let (mut decay, mut sum) = (Decay::default(), 0.0);
        let start = 1_700_000_000_000;
        // A hundred a second for an hour.
        for i in 0..360_000 {
            let (weight, factor) = decay.weight(start + i * 10);
            sum = sum * factor.unwrap_or(1.0) + weight;
        }
        let end = start + 3_600_000;
        let rate = decay.per_second(sum, end);
        assert!((rate - 100.0).abs() < 1.0, "{rate}");
        let later = decay.per_second(sum, end + HALF_LIFE);
        assert!((later - 50.0).abs() < 1.0, "{later}");
        let (_, factor) = decay.weight(end + 1000 * HALF_LIFE);
        assert!(factor.is_some_and(|factor| sum * factor < 1e-9), "long ago counts nothing");
    }

    #[test]
    fn a_clock_that_is_set_back_does_no_harm() {
        let mut decay = Decay::default();
        decay.weight(1_000_000);
        let (weight, factor) = decay.weight(5);
        assert_eq!((weight, factor), (1.0, Some(1.0)));
    }
}
