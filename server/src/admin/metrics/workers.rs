//! Each worker: its share of the load, and whether it comes round.

use super::samples::Samples;
use super::{Family, Scrape};
use crate::stats::WorkerStats;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("workers", "Worker threads.", |scrape, out| out.only(scrape.server.workers)),
    Family::gauge("workers_active", "Workers that are not parked.", |scrape, out| {
        out.only(scrape.server.placement.active());
    }),
    Family::counter("workers_added", "Parked workers that were called.", |scrape, out| {
        out.only(read(&scrape.server.placement.counts.added));
    }),
    Family::counter("workers_removed", "Workers that were parked.", |scrape, out| {
        out.only(read(&scrape.server.placement.counts.removed));
    }),
    Family::counter("connections_moved", "Clients that changed workers.", |scrape, out| {
        out.only(read(&scrape.server.placement.counts.moved));
    }),
    Family::gauge("worker_busy", "Share of time it runs or wants to, by worker.", |scrape, out| {
        for worker in 0..scrape.server.workers {
            let busy = f64::from(scrape.server.placement.load(worker).busy()) / 1000.0;
            out.of(("worker", &worker.to_string()), busy);
        }
    }),
    Family::gauge("worker_runnable", "Clients ready at once, by worker.", |scrape, out| {
        for worker in 0..scrape.server.workers {
            let runnable = f64::from(scrape.server.placement.load(worker).runnable()) / 1000.0;
            out.of(("worker", &worker.to_string()), runnable);
        }
    }),
    Family::gauge("worker_connections", "Clients, by worker.", |scrape, out| {
        for (worker, count) in scrape.clients.by_worker.iter().enumerate() {
            out.of(("worker", &worker.to_string()), *count);
        }
    }),
    Family::counter("worker_commands", "Executions, by worker.", |scrape, out| {
        each(scrape, out, WorkerStats::calls);
    }),
    Family::counter("worker_net_received", "Bytes read, by worker.", |scrape, out| {
        each(scrape, out, |stats| stats.net_in.get());
    })
    .bytes(),
    Family::counter("worker_net_sent", "Bytes written, by worker.", |scrape, out| {
        each(scrape, out, |stats| stats.net_out.get());
    })
    .bytes(),
    Family::gauge("worker_silence", "Since it came round last, by worker.", |scrape, out| {
        let server = scrape.server;
        for silence in server.heartbeats.silences(server.clock.now()) {
            out.of(("worker", &silence.worker.to_string()), seconds(silence.millis));
        }
    })
    .seconds(),
    Family::gauge("worker_overloaded", "1 if its run queue is too long.", |scrape, out| {
        for worker in 0..scrape.server.workers {
            let overloaded = scrape.server.overload.is_overloaded(worker);
            out.of(("worker", &worker.to_string()), overloaded);
        }
    }),
];

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn each(scrape: &Scrape, out: &mut Samples<'_>, of: fn(&WorkerStats) -> u64) {
    for worker in 0..scrape.server.workers {
        out.of(("worker", &worker.to_string()), of(scrape.server.stats.worker(worker)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
