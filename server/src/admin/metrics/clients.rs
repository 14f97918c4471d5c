//! Clients and their traffic.

use super::Family;
use crate::acl::Reason;
use crate::runtime::sweep::Patience;
use std::sync::atomic::Ordering;

pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("connected_clients", "Connected clients.", |scrape, out| {
        out.only(scrape.clients.connected);
    }),
    Family::gauge("blocked_clients", "Clients in a blocking command.", |scrape, out| {
        out.only(scrape.clients.blocked);
    }),
    Family::gauge("subscribed_clients", "Clients that have subscribed.", |scrape, out| {
        out.only(scrape.clients.subscribers);
    }),
    Family::gauge("tracking_clients", "Clients with client-side caches.", |scrape, out| {
        out.only(scrape.clients.tracking);
    }),
    Family::gauge("max_clients", "Clients served at once at most.", |scrape, out| {
        out.only(scrape.server.max_clients());
    }),
    Family::counter("connections_received", "Connections accepted.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.connections));
    }),
    Family::counter("connections_rejected", "Refused at maxclients.", |scrape, out| {
        out.only(scrape.server.stats.rejected_connections.load(Ordering::Relaxed));
    }),
    Family::counter(
        "evicted_clients",
        "Closed because all clients together held too much.",
        |scrape, out| out.only(scrape.server.stats.evicted_clients.load(Ordering::Relaxed)),
    ),
    Family::counter("limited_clients", "Closed at a limit of a buffer.", |scrape, out| {
        let stats = &scrape.server.stats;
        let output = stats.output_limit_disconnections.load(Ordering::Relaxed);
        let query = stats.query_limit_disconnections.load(Ordering::Relaxed);
        out.of(("buffer", "output"), output);
        out.of(("buffer", "query"), query);
    }),
    Family::counter("timed_out_clients", "Closed for having done nothing.", |scrape, out| {
        for patience in Patience::ALL {
            let count = scrape.server.stats.timed_out(patience).load(Ordering::Relaxed);
            out.of(("directive", patience.directive()), count);
        }
    }),
    Family::counter("access_denied", "Refusals for want of a right.", |scrape, out| {
        for (what, reason) in [
            ("login", Reason::Login),
            ("command", Reason::Command),
            ("key", Reason::Key),
            ("channel", Reason::Channel),
        ] {
            out.of(("what", what), scrape.server.stats.denied(reason).load(Ordering::Relaxed));
        }
    }),
    Family::counter("net_received", "Bytes read from clients.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.net_in));
    })
    .bytes(),
    Family::counter("net_sent", "Bytes written to clients.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.net_out));
    })
    .bytes(),
    Family::counter("net_reads", "Reads from sockets.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.reads));
    }),
    Family::counter("net_writes", "Writes to sockets.", |scrape, out| {
        out.only(scrape.server.stats.sum(|w| &w.writes));
    }),
];
