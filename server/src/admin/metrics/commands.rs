//! Commands: how often, how long, with what outcome.

use super::samples::{Figure, Samples};
use super::{Family, MetricType, Scrape};
use crate::commands::table::table;
use crate::stats::{CommandStats, Counter, Histogram};

/// Upper bounds of the exported latency buckets in nanoseconds. Fewer than a [`Histogram`] has:
/// every bound is a series per command.
const BOUNDS: [u64; 23] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    10_000_000_000,
];

pub(super) const FAMILIES: &[Family] = &[
    Family::counter("command_calls", "Executions, by command.", |scrape, out| {
        each(scrape, out, Figure::Int, |c| &c.calls);
    }),
    Family::counter("command_time", "Time in execution, by command.", |scrape, out| {
        each(scrape, out, |nanos| Figure::Real(seconds(nanos)), |c| &c.nanos);
    })
    .seconds(),
    Family::counter("command_rejected", "Refused before execution, by command.", |scrape, out| {
        each(scrape, out, Figure::Int, |c| &c.rejected);
    }),
    Family::counter("command_failed", "Answered with an error, by command.", |scrape, out| {
        each(scrape, out, Figure::Int, |c| &c.failed);
    }),
    Family::new(
        MetricType::Histogram,
        "command_duration",
        "Time of an execution, by command (latency-tracking).",
        durations,
    )
    .seconds(),
    Family::counter("error_replies", "Error replies, by their first word.", |scrape, out| {
        for (kind, count) in scrape.server.stats.errors() {
            out.of(("error", &kind), count);
        }
    }),
    Family::gauge("slowlog_entries", "Entries of the slow log.", |scrape, out| {
        out.only(scrape.server.slowlog.len());
    }),
];

/// One figure of each command for which it is not zero.
fn each(
    scrape: &Scrape,
    out: &mut Samples<'_>,
    show: fn(u64) -> Figure,
    of: fn(&CommandStats) -> &Counter,
) {
    for entry in table().entries() {
        let value = scrape.server.stats.command_sum(entry.id, of);
        if value > 0 {
            out.of(("command", &entry.full_name), show(value));
        }
    }
}

fn durations(scrape: &Scrape, out: &mut Samples<'_>) {
    let stats = &scrape.server.stats;
    for entry in table().entries() {
        let counts = stats.command_histogram(entry.id);
        if counts.iter().any(|count| *count > 0) {
            let nanos = stats.command_sum(entry.id, |c| &c.nanos);
            out.histogram(("command", &entry.full_name), seconds(nanos), &exported(&counts));
        }
    }
}

/// Counts by exported bucket: of each, those of the finer buckets that lie wholly below its bound.
fn exported(counts: &[u64]) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = BOUNDS.iter().map(|bound| (seconds(*bound), 0)).collect();
    buckets.push((f64::INFINITY, 0));
    for (index, count) in counts.iter().enumerate() {
        let upper = Histogram::upper(index);
        let place = BOUNDS.partition_point(|bound| *bound < upper);
        buckets[place].1 += count;
    }
    buckets
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_the_first_bucket_whose_bound_it_is_surely_below() {
        let histogram = Histogram::default();
        for (value, n) in [(30, 2), (900, 3), (1_000_000, 1), (u64::MAX, 4)] {
            histogram.record(value, n);
        }
        let mut counts = Vec::new();
        histogram.add_to(&mut counts);
        let buckets = exported(&counts);
        let at = |bound: f64| buckets.iter().find(|(b, _)| *b >= bound).unwrap().1;
        assert_eq!(buckets.iter().map(|(_, n)| n).sum::<u64>(), 10);
        assert_eq!((at(1e-7), at(1e-6), at(f64::INFINITY)), (2, 3, 4));
        // 1 ms lies in a bucket that ends a little above 1 ms.
        assert_eq!((at(1e-3), at(2.5e-3)), (0, 1));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0));
    }
}
