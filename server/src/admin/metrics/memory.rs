//! Memory: what holds it, and the limits.

use super::Family;
use crate::admin::memory::{CLASSES, classes};
use std::sync::atomic::Ordering;

pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("memory_used", "Memory that the process counts, by class.", |scrape, out| {
        let bytes = classes(scrape.server, scrape.clients.bytes);
        for (class, bytes) in CLASSES.iter().zip(bytes) {
            out.of(("class", class), bytes);
        }
    })
    .bytes(),
    Family::gauge("memory_store", "What counts against maxmemory.", |scrape, out| {
        out.only(scrape.server.keyspace.memory().used);
    })
    .bytes(),
    Family::gauge("memory_store_max", "maxmemory; 0: no limit.", |scrape, out| {
        out.only(scrape.server.settings().maxmemory);
    })
    .bytes(),
    Family::gauge("memory_clients_max", "maxmemory-clients; 0: no limit.", |scrape, out| {
        out.only(scrape.server.settings().maxmemory_clients);
    })
    .bytes(),
    Family::gauge("memory_peak", "The most that store and clients have held.", |scrape, out| {
        out.only(scrape.server.peak_memory.load(Ordering::Relaxed));
    })
    .bytes(),
    Family::gauge("tracked_keys", "Keys remembered for client-side caches.", |scrape, out| {
        out.only(scrape.server.tracker().keys());
    }),
    Family::gauge("cached_scripts", "Scripts known by their names.", |scrape, out| {
        out.only(scrape.server.scripts.len());
    }),
];
