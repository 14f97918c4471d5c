//! The section about the load: what the workers know of it, and what is done about it.

use super::Text;
use crate::commands::call::Call;
use crate::overload::WorkerFigures;
use crate::overload::dear::DearFigures;

pub(super) fn overload(call: &mut Call<'_, '_>, text: &mut Text) {
    let (overload, now) = (&call.server.overload, call.server.clock.monotonic_ns());
    text.line("overload_control", u8::from(overload.is_controlled()));
    text.line("overload_state", u8::from(overload.any()));
    text.line("overload_dear_commands", dear(&overload.dear_figures(now)));
    for (index, worker) in overload.figures().enumerate() {
        text.line(&format!("overload_worker{index}"), figures(&worker));
    }
    let mut line = |field: &str, value: &dyn std::fmt::Display| text.line(field, value);
    overload.arrivals.show(call.server, &mut line);
    overload.bytes.show(call.server, &mut line);
    line("garbage_holds", &overload.garbage.holds());
}

/// The gate of dear commands.
fn dear(figures: &DearFigures) -> String {
    let DearFigures { limit, running, waiting, standing, admitted, shed } = figures;
    let standing = u8::from(*standing);
    format!(
        "limit={limit},running={running},waiting={waiting},standing={standing},\
         admitted={admitted},shed={shed}"
    )
}

fn figures(worker: &WorkerFigures) -> String {
    let micros = |nanos: u64| nanos.div_ceil(1_000);
    let WorkerFigures { sojourn, throttled_intervals, turn_budget, runnable, .. } = worker;
    format!(
        "overloaded={},sojourn_usec_min={},sojourn_usec_p50={},sojourn_usec_p99={},\
         overloaded_msec={},throttled_intervals={throttled_intervals},runnable={runnable},\
         turn_commands={turn_budget}",
        u8::from(worker.overloaded),
        micros(sojourn.least),
        micros(sojourn.median),
        micros(sojourn.high),
        worker.overloaded_for.as_millis(),
    )
}
