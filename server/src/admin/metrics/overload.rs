//! The load: how long run queues take to come round, and what is done about it.

use super::samples::Samples;
use super::{Family, Scrape};
use crate::overload::WorkerFigures;
use crate::overload::dear::DearFigures;
use std::time::Duration;

pub(super) const FAMILIES: &[Family] = &[
    Family::gauge(
        "worker_sojourn_min",
        "The least time of late to come round, by worker.",
        |s, out| {
            each(s, out, |worker| seconds(worker.sojourn.least));
        },
    )
    .seconds(),
    Family::gauge("worker_sojourn_median", "The median of that, by worker.", |scrape, out| {
        each(scrape, out, |worker| seconds(worker.sojourn.median));
    })
    .seconds(),
    Family::gauge("worker_sojourn_high", "Its 99th percentile, by worker.", |scrape, out| {
        each(scrape, out, |worker| seconds(worker.sojourn.high));
    })
    .seconds(),
    Family::counter(
        "worker_overload_time",
        "How long it was overloaded, by worker.",
        |scrape, out| {
            each(scrape, out, |worker| worker.overloaded_for.as_secs_f64());
        },
    )
    .seconds(),
    Family::counter(
        "worker_throttled_intervals",
        "Intervals in which the container has stopped the process, by worker.",
        |scrape, out| each(scrape, out, |worker| worker.throttled_intervals),
    ),
    Family::gauge(
        "worker_turn_commands",
        "Commands per turn beside others, by worker.",
        |s, out| {
            each(s, out, |worker| worker.turn_budget);
        },
    ),
    Family::gauge("dear_commands_limit", "Dear commands that may run at once.", |scrape, out| {
        out.only(dear(scrape).limit);
    }),
    Family::gauge("dear_commands_running", "Dear commands that run.", |scrape, out| {
        out.only(dear(scrape).running);
    }),
    Family::gauge("dear_commands_waiting", "Dear commands that wait.", |scrape, out| {
        out.only(dear(scrape).waiting);
    }),
    Family::counter("dear_commands_admitted", "Dear commands that were let in.", |scrape, out| {
        out.only(dear(scrape).admitted);
    }),
    Family::counter("dear_commands_shed", "Dear commands that were turned away.", |scrape, out| {
        out.only(dear(scrape).shed);
    }),
];

fn each<T>(scrape: &Scrape, out: &mut Samples<'_>, of: fn(&WorkerFigures) -> T)
where
    T: Into<super::samples::Figure>,
{
    for (index, worker) in scrape.server.overload.figures().enumerate() {
        out.of(("worker", &index.to_string()), of(&worker));
    }
}

fn dear(scrape: &Scrape) -> DearFigures {
    scrape.server.overload.dear_figures(scrape.server.clock.monotonic_ns())
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
