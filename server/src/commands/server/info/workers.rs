//! The section about workers and the placement of connections.

use super::Text;
use crate::commands::call::Call;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn workers(call: &mut Call<'_, '_>, text: &mut Text) {
    let server = call.server;
    let (placement, settings) = (&server.placement, server.settings());
    let counts = &placement.counts;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    text.line("workers_max", placement.workers());
    text.line("workers_min", settings.workers_min);
    text.line("workers_active", placement.active());
    text.line("workers_added", read(&counts.added));
    text.line("workers_removed", read(&counts.removed));
    text.line("connections_moved", read(&counts.moved));
    text.line("connections_stayed", read(&counts.stayed));
    text.line("pool_threads", server.pool.threads());
    text.line("pool_threads_max", server.pool.size());
    for index in 0..placement.workers() {
        let (load, stats) = (placement.load(index), server.stats.worker(index));
        let state = if placement.needs(index) { "active" } else { "parked" };
        let value = format!(
            "state={state},connections={},busy={},runnable={},reads={}",
            load.connections.load(Ordering::Relaxed),
            thousandths(load.busy()),
            thousandths(load.runnable()),
            stats.reads.get(),
        );
        text.line(&format!("worker_{index}"), value);
    }
}

fn thousandths(value: u32) -> String {
    format!("{}.{:03}", value / 1_000, value % 1_000)
}
