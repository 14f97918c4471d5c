//! The last minutes, a sample per second: what the charts of the dashboard begin with.
//!
//! Counters only grow, so a sample is the difference of two readings over the time between them. It
//! is taken whether or not somebody looks: whoever opens the page because something is wrong wants
//! to see how it began. A reading costs some hundred microseconds of a nice thread.

mod latency;

use super::clients::Totals;
use super::memory::{Classes, classes};
use super::ranges;
use crate::commands::spec::Flags;
use crate::commands::table::table;
use crate::runtime::{container, process};
use crate::server::Server;
use dunlin_storage::{Millis, Miss};
pub(super) use latency::Percentiles;
use latency::Window;
use serde::Serialize;
use std::collections::VecDeque;

/// Samples kept: five minutes.
const KEPT: usize = 300;

/// Kinds of commands, in the order in which they are shown.
pub(super) const KINDS: [&str; KIND_COUNT] = ["reads", "writes", "scripts", "pub/sub", "other"];
const KIND_COUNT: usize = 5;

/// Causes of misses, likewise.
pub(super) const CAUSES: [&str; Miss::ALL.len()] = ["never set", "expired", "evicted", "deleted"];

/// The kind of a command with such flags: an index of [`KINDS`].
fn kind(flags: Flags) -> usize {
    let order = [Flags::SCRIPT, Flags::PUBSUB, Flags::WRITE, Flags::READONLY];
    let kinds = [2, 3, 1, 0];
    order.iter().zip(kinds).find(|(flag, _)| flags.has(**flag)).map_or(4, |(_, kind)| kind)
}

/// What happened in one second. Rates are per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Wall time of its end.
    time: Millis,
    /// Executions by kind of command.
    ops: [f64; KIND_COUNT],
    hits: f64,
    /// Misses by cause.
    misses: [f64; Miss::ALL.len()],
    expired: f64,
    evicted: f64,
    net_in: f64,
    net_out: f64,
    connections: f64,
    /// CPUs in use.
    cpu: f64,
    clients: u64,
    keys: u64,
    /// Bytes by class of memory.
    memory: Classes,
    /// What counts against maxmemory.
    store: u64,
    resident: u64,
    /// Of the executions in this second.
    latency: Percentiles,
    /// Of those in the minute that ends with it.
    latency_minute: Percentiles,
    /// Executions by worker (or range of workers).
    workers: Vec<f64>,
    /// Whether any worker was overloaded.
    overloaded: bool,
}

/// Readings of counters, all from one moment.
#[derive(Clone, Debug, Default)]
struct Counters {
    steady_ns: u64,
    ops: [u64; KIND_COUNT],
    hits: u64,
    misses: [u64; Miss::ALL.len()],
    expired: u64,
    evicted: u64,
    net_in: u64,
    net_out: u64,
    connections: u64,
    cpu: f64,
    workers: Vec<u64>,
}

impl Counters {
    fn read(server: &Server) -> Self {
        let (stats, store) = (&server.stats, server.keyspace.stats());
        let mut ops = [0; KIND_COUNT];
        for entry in table().entries() {
            ops[kind(entry.command.flags)] += stats.command_sum(entry.id, |c| &c.calls);
        }
        let cpu = process::cpu_time();
        let worker_sum = |range: std::ops::Range<usize>| -> u64 {
            range.map(|worker| stats.worker(worker).calls()).sum()
        };
        Counters {
            steady_ns: server.clock.monotonic_ns(),
            ops,
            hits: stats.sum(|w| &w.hits),
            misses: stats.misses_by_cause(),
            expired: store.expired_keys,
            evicted: store.evicted_keys,
            net_in: stats.sum(|w| &w.net_in),
            net_out: stats.sum(|w| &w.net_out),
            connections: stats.sum(|w| &w.connections),
            cpu: cpu.user + cpu.system,
            workers: ranges::of(server.workers).map(worker_sum).collect(),
        }
    }

    /// The rates between `before` and these. Counters fall when they are reset (CONFIG RESETSTAT).
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn since(&self, before: &Counters) -> Sample {
        let seconds = self.steady_ns.saturating_sub(before.steady_ns).max(1) as f64 / 1e9;
        let rate = |old: u64, new: u64| round(new.saturating_sub(old) as f64 / seconds);
        let workers = before.workers.iter().zip(&self.workers);
        Sample {
            ops: std::array::from_fn(|i| rate(before.ops[i], self.ops[i])),
            hits: rate(before.hits, self.hits),
            misses: std::array::from_fn(|i| rate(before.misses[i], self.misses[i])),
            expired: rate(before.expired, self.expired),
            evicted: rate(before.evicted, self.evicted),
            net_in: rate(before.net_in, self.net_in),
            net_out: rate(before.net_out, self.net_out),
            connections: rate(before.connections, self.connections),
            cpu: round((self.cpu - before.cpu).max(0.0) / seconds),
            workers: workers.map(|(old, new)| rate(*old, *new)).collect(),
            ..Sample::default()
        }
    }
}

/// Two decimals: more would only make the answers longer.
fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// The latest samples.
#[derive(Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    /// Number of the next sample; the first one is 0.
    next: u64,
    last: Option<Counters>,
    window: Window,
}

impl History {
    /// Takes a sample; the first call only takes a reading.
    pub(super) fn tick(&mut self, server: &Server) {
        let counters = Counters::read(server);
        let (latency, latency_minute) = self.window.push(latency::total(&server.stats));
        let clients = Totals::read(&server.clients, server.workers);
        let sample = self.last.as_ref().map(|last| Sample {
            time: server.clock.wall_us() / 1000,
            clients: clients.connected,
            keys: super::keys(server),
            memory: classes(server, clients.bytes),
            store: server.keyspace.memory().used,
            resident: container::resident(),
            overloaded: server.overload.any(),
            latency,
            latency_minute,
            ..counters.since(last)
        });
        self.last = Some(counters);
        sample.into_iter().for_each(|sample| self.push(sample));
    }

    fn push(&mut self, sample: Sample) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.next += 1;
    }

    /// Number of the next sample.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The samples from number `first` on, as far as they are kept.
    pub(super) fn since(&self, first: u64) -> Vec<&Sample> {
        let oldest = self.next - self.samples.len() as u64;
        let skip = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        self.samples.iter().skip(skip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_difference_over_the_time_that_has_passed() {
        let before = Counters { steady_ns: 1_000_000_000, hits: 10, ..Counters::default() };
        let mut after = Counters { steady_ns: 3_000_000_000, hits: 40, ..Counters::default() };
        after.ops[1] = 7;
        let sample = after.since(&before);
        assert_eq!((sample.hits, sample.ops[1]), (15.0, 3.5));
        let reset = Counters { steady_ns: 4_000_000_000, ..Counters::default() };
        assert_eq!(reset.since(&after).hits, 0.0, "not negative");
        assert!(after.since(&after).hits.is_finite(), "no time has passed");
    }

    #[test]
    fn whoever_asks_gets_what_is_new() {
        let mut history = History::default();
        assert!(history.since(0).is_empty() && history.since(9).is_empty());
        for time in 0..KEPT as i64 + 5 {
            history.push(Sample { time, ..Sample::default() });
        }
        let times = |first| history.since(first).iter().map(|s| s.time).collect::<Vec<_>>();
        assert_eq!(times(0).len(), KEPT, "the oldest are gone");
        assert_eq!(times(0)[0], 5);
        assert_eq!(times(history.next() - 2), [303, 304]);
        assert!(times(history.next()).is_empty() && times(u64::MAX).is_empty());
    }

    #[test]
    fn every_command_has_a_kind() {
        let of = |name: &str| {
            let entry = table().get(name.as_bytes()).expect("there is such a command");
            KINDS[kind(entry.command.flags)]
        };
        for (name, expected) in [
            ("get", "reads"),
            ("set", "writes"),
            ("eval", "scripts"),
            ("eval_ro", "scripts"),
            ("publish", "pub/sub"),
            ("ping", "other"),
        ] {
            assert_eq!(of(name), expected, "{name}");
        }
    }
}
