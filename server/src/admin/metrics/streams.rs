//! The way of data between the nodes of a cluster.

use super::{Family, Scrape};
use crate::cluster::keeper::Streams;
use std::sync::atomic::Ordering;

pub(super) const FAMILIES: &[Family] = &[
    Family::counter("cluster_stream_sent", "Bytes sent to other nodes.", |scrape, out| {
        out.only(of(scrape, |streams| streams.totals().bytes.load(Ordering::Relaxed)));
    })
    .bytes(),
    Family::counter("cluster_stream_keys", "States of keys sent to other nodes.", |scrape, out| {
        out.only(of(scrape, |streams| streams.totals().keys.load(Ordering::Relaxed)));
    }),
    Family::counter(
        "cluster_stream_stored",
        "States of keys that other nodes have sent.",
        |scrape, out| {
            out.only(of(scrape, |streams| streams.totals().stored.load(Ordering::Relaxed)));
        },
    ),
    Family::gauge(
        "cluster_stream_lag",
        "Changes of keys that other nodes have not acknowledged.",
        |scrape, out| out.only(of(scrape, Streams::lag)),
    ),
    Family::counter("cluster_slots_handed_over", "Slots given to other nodes.", |scrape, out| {
        out.only(of(scrape, |streams| streams.totals().slots.load(Ordering::Relaxed)));
    }),
    Family::gauge(
        "cluster_fence_longest",
        "The longest that commands had to wait for slots that were handed over.",
        |scrape, out| {
            let millis = of(scrape, |streams| streams.fences().longest.as_millis() as u64);
            out.only(millis as f64 / 1000.0);
        },
    )
    .seconds(),
    Family::gauge("cluster_moves", "Batches of slots on their way.", |scrape, out| {
        out.only(of(scrape, |streams| streams.moves().len() as u64));
    }),
];

/// A figure; 0 on a server that is no node of a cluster.
fn of(scrape: &Scrape, figure: impl Fn(&Streams) -> u64) -> u64 {
    let cluster = scrape.server.cluster.as_deref();
    cluster.and_then(|cluster| cluster.streams()).map_or(0, |streams| figure(streams))
}
