//! The sections of INFO with a line per command or error.

use super::Text;
use crate::commands::call::Call;
use crate::commands::table::{Entry, table};
use crate::server::Server;
use crate::stats::{CommandStats, Counter, Histogram};

/// Figures of one command over all workers.
struct Figures {
    calls: u64,
    nanos: u64,
    rejected: u64,
    failed: u64,
}

impl Figures {
    fn of(server: &Server, entry: &Entry) -> Option<Figures> {
        let sum =
            |counter: fn(&CommandStats) -> &Counter| server.stats.command_sum(entry.id, counter);
        let figures = Figures {
            calls: sum(|c| &c.calls),
            nanos: sum(|c| &c.nanos),
            rejected: sum(|c| &c.rejected),
            failed: sum(|c| &c.failed),
        };
        (figures.calls > 0 || figures.rejected > 0 || figures.failed > 0).then_some(figures)
    }
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub(super) fn commandstats(call: &mut Call<'_, '_>, text: &mut Text) {
    for entry in table().entries() {
        let Some(figures) = Figures::of(call.server, entry) else { continue };
        let Figures { calls, nanos, rejected, failed } = figures;
        let each = if calls == 0 { 0.0 } else { nanos as f64 / 1000.0 / calls as f64 };
        let usec = nanos / 1000;
        let value = format!(
            "calls={calls},usec={usec},usec_per_call={each:.2},rejected_calls={rejected},\
             failed_calls={failed}"
        );
        text.line(&format!("cmdstat_{}", entry.full_name), value);
    }
}

pub(super) fn errorstats(call: &mut Call<'_, '_>, text: &mut Text) {
    for (kind, count) in call.server.stats.errors() {
        text.line(&format!("errorstat_{}", name(&kind)), format_args!("count={count}"));
    }
}

/// A field's name must not contain what separates fields.
fn name(kind: &str) -> String {
    kind.chars().map(|c| if matches!(c, ':' | '\r' | '\n') { '_' } else { c }).collect()
}

pub(super) fn latencystats(call: &mut Call<'_, '_>, text: &mut Text) {
    let percentiles = call.server.settings().latency_percentiles.clone();
    for entry in table().entries() {
        let counts = call.server.stats.command_histogram(entry.id);
        if counts.iter().all(|count| *count == 0) {
            continue;
        }
        let values: Vec<String> = percentiles
            .iter()
            .map(|p| format!("p{p}={}", micros(Histogram::percentile(&counts, *p))))
            .collect();
        text.line(&format!("latency_percentiles_usec_{}", entry.full_name), values.join(","));
    }
}

/// Nanoseconds as microseconds with three decimals.
fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_printed_in_microseconds() {
        assert_eq!(micros(3_007), "3.007");
        assert_eq!(micros(999), "0.999");
    }

    #[test]
    fn error_names_do_not_break_the_line() {
        assert_eq!(name("MY:ERR\r"), "MY_ERR_");
    }
}
