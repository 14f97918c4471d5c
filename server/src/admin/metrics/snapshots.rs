//! Snapshots: the last one, and the one under way.

use super::{Family, Scrape};
use crate::snapshot::Figures;

pub(super) const FAMILIES: &[Family] = &[
    Family::counter("snapshots_saved", "Snapshots that were completed.", |scrape, out| {
        out.only(figures(scrape).saves);
    }),
    Family::counter("snapshots_failed", "Snapshots that could not be written.", |scrape, out| {
        out.only(figures(scrape).failures);
    }),
    Family::gauge("snapshot_last_success", "Whether the last one succeeded.", |scrape, out| {
        out.only(u64::from(figures(scrape).last_ok));
    }),
    Family::gauge(
        "snapshot_last_time",
        "When the last one was complete, or the server started; Unix time.",
        |scrape, out| out.only(u64::try_from(figures(scrape).last_save / 1_000).unwrap_or(0)),
    )
    .seconds(),
    Family::gauge("snapshot_last_size", "Length of the last file.", |scrape, out| {
        out.only(figures(scrape).last_bytes);
    })
    .bytes(),
    Family::gauge("snapshot_running", "Whether one is being written.", |scrape, out| {
        out.only(u64::from(figures(scrape).began.is_some()));
    }),
    Family::gauge("snapshot_keys_done", "Keys that it has written so far.", |scrape, out| {
        out.only(figures(scrape).keys_done);
    }),
    Family::gauge("snapshot_keys", "Keys there were when it began.", |scrape, out| {
        out.only(figures(scrape).keys_total);
    }),
];

fn figures(scrape: &Scrape) -> Figures {
    scrape.server.snapshots.figures()
}
