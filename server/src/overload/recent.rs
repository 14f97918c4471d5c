//! The distribution of a figure of late: what INFO shows of the sojourn.

/// Steps per power of two: 25 % resolution.
const STEPS: usize = 4;
const BUCKETS: usize = 64 * STEPS;

/// Counts of values since it was last asked.
#[derive(Debug)]
pub(super) struct Recent {
    counts: Box<[u32; BUCKETS]>,
    total: u32,
    least: u64,
}

/// What a [`Recent`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The least value, exactly.
    pub least: u64,
    /// The median, at most a quarter too high.
    pub median: u64,
    /// The 99th percentile, at most a quarter too high.
    pub high: u64,
}

impl Default for Recent {
    fn default() -> Self {
        Recent { counts: Box::new([0; BUCKETS]), total: 0, least: u64::MAX }
    }
}

impl Recent {
    /// Counts a value.
    pub(super) fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.least = self.least.min(value);
    }

    /// What was counted, and begins anew; `None` if nothing was.
    pub(super) fn take(&mut self) -> Option<Spread> {
        if self.total == 0 {
            return None;
        }
        let spread =
            Spread { least: self.least, median: self.quantile(50), high: self.quantile(99) };
        self.counts.fill(0);
        (self.total, self.least) = (0, u64::MAX);
        Some(spread)
    }

    /// An upper bound of the value at `percent`.
    fn quantile(&self, percent: u64) -> u64 {
        let rank = (u64::from(self.total) * percent).div_ceil(100);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        at.map_or(0, upper)
    }
}

/// The power of two and the next two bits.
fn bucket(value: u64) -> usize {
    let value = value.max(STEPS as u64);
    let power = value.ilog2() as usize;
    power * STEPS + (value >> (power - 2)) as usize % STEPS
}

/// The greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let (power, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    let end = u128::from(STEPS as u64 + step + 1) << power.saturating_sub(2);
    u64::try_from(end - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_ends_at_most_a_quarter_above_it() {
        for value in (4..10_000).chain([1 << 40, u64::MAX / 3, u64::MAX]) {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value / 4, "{value} {upper}");
        }
        assert_eq!(bucket(0), bucket(4));
    }

    #[test]
    fn spread_of_a_hundred_values() {
        let mut recent = Recent::default();
        assert_eq!(recent.take(), None);
        (1..=100).for_each(|value| recent.record(value * 1000));
        let spread = recent.take().expect("there were values");
        assert_eq!(spread.least, 1000);
        assert!((50_000..=62_500).contains(&spread.median), "{spread:?}");
        assert!((99_000..=123_750).contains(&spread.high), "{spread:?}");
        assert_eq!(recent.take(), None, "begun anew");
    }
}
