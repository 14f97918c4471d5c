//! LATENCY HISTOGRAM: how long commands take, in steps of powers of two.

use super::{OPERATOR, TIPS, count};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::server::docs;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::table::{Entry, table};
use crate::stats::Histogram;

pub(super) const HISTOGRAM: Command = Command::new("histogram", Arity::at_least(2), histogram)
    .flags(OPERATOR)
    .docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of commands with latency information being retrieved.",
            "Answers how the durations of commands are distributed.",
        )
        .args(&[Arg::string("command").optional().multiple()]),
    )
    .tips(TIPS);

fn histogram(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entries: Vec<&Entry> = if call.argc() == 2 {
        table().entries().iter().collect()
    } else {
        let named = (2..call.argc()).filter_map(|i| table().by_full_name(call.arg(i)));
        // A container stands for its subcommands.
        named.flat_map(|entry| std::iter::once(entry).chain(table().subcommands(entry))).collect()
    };
    let map = call.reply.deferred_map();
    let mut shown = 0;
    for entry in entries {
        let counts = call.server.stats.command_histogram(entry.id);
        let total: u64 = counts.iter().sum();
        if total == 0 {
            continue;
        }
        shown += 1;
        let steps = cumulate(&counts);
        let reply = &mut *call.reply;
        reply.bulk(entry.full_name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(count(total));
        reply.bulk(b"histogram_usec");
        reply.map(steps.len());
        for (micros, seen) in steps {
            reply.int(count(micros));
            reply.int(count(seen));
        }
    }
    call.reply.finish_deferred(map, shown);
    Ok(Outcome::Done)
}

/// First step in nanoseconds: about a microsecond.
const FIRST: u64 = 1024;

/// Microseconds of each step and how many commands took at most that long, where that changes.
fn cumulate(counts: &[u64]) -> Vec<(u64, u64)> {
    let total: u64 = counts.iter().sum();
    let mut steps = Vec::new();
    let (mut seen, mut index, mut bound) = (0, 0, FIRST);
    while seen < total {
        let before = seen;
        while index < counts.len() && Histogram::upper(index) < bound {
            seen += counts[index];
            index += 1;
        }
        if seen > before {
            // A step of HdrHistogram ends 1/128 after the power of two.
            steps.push(((bound + bound / 128 - 1) / 1000, seen));
        }
        let Some(next) = bound.checked_mul(2) else {
            steps.push((u64::MAX / 1000, total));
            break;
        };
        bound = next;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_cumulative_powers_of_two() {
        let histogram = Histogram::default();
        for (nanos, n) in [(500, 2), (3_000, 3), (40_000, 1)] {
            histogram.record(nanos, n);
        }
        let mut counts = Vec::new();
        histogram.add_to(&mut counts);
        assert_eq!(cumulate(&counts), [(1, 2), (4, 5), (66, 6)]);
        assert!(cumulate(&[]).is_empty());
    }

    #[test]
    fn longest_duration_ends_the_steps() {
        let histogram = Histogram::default();
        histogram.record(u64::MAX, 1);
        let mut counts = Vec::new();
        histogram.add_to(&mut counts);
        assert_eq!(cumulate(&counts).last().map(|step| step.1), Some(1));
    }
}
