//! The process and its machine.

use super::{Family, MetricType};
use crate::runtime::{container, process};

pub(super) const FAMILIES: &[Family] = &[
    Family::new(MetricType::Info, "build", "The version that runs.", |_, out| {
        out.info(&[("version", env!("CARGO_PKG_VERSION"))]);
    }),
    Family::gauge("start_time", "When the process has started, unix time.", |scrape, out| {
        out.only(seconds(scrape.server.clock.to_wall(scrape.server.started)));
    })
    .seconds(),
    Family::gauge("ready", "1 if new clients are welcome (/readyz).", |scrape, out| {
        out.only(scrape.server.phases.is_ready());
    }),
    Family::counter("process_cpu", "Processor time used, by mode.", |_, out| {
        let time = process::cpu_time();
        out.of(("mode", "user"), time.user);
        out.of(("mode", "system"), time.system);
    })
    .seconds(),
    Family::gauge("process_resident_memory", "Resident memory.", |_, out| {
        out.only(container::resident());
    })
    .bytes(),
    Family::gauge("process_open_fds", "Open file descriptors.", |_, out| {
        out.only(process::open_fds());
    }),
    Family::gauge("process_max_fds", "Most file descriptors that may be open.", |scrape, out| {
        out.only(scrape.server.fds.limit);
    }),
    Family::counter(
        "throttled_periods",
        "Periods in which the container's CPU quota was used up.",
        |_, out| {
            if let Some(periods) = container::throttled_periods() {
                out.only(periods);
            }
        },
    ),
];

#[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
