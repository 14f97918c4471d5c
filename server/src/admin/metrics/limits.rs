//! What holds back whom: new connections, handshakes.

use super::Family;
use crate::overload::arrivals::Handshakes;
use std::sync::atomic::Ordering;

pub(super) const FAMILIES: &[Family] = &[
    Family::gauge(
        "accept_rate_limit",
        "Connections per second that are accepted at most; absent: as many as come.",
        |scrape, out| {
            if let Some(limit) = scrape.server.overload.arrivals.limit(scrape.server) {
                out.only(limit);
            }
        },
    ),
    Family::counter("accepts_delayed", "Connections accepted only after a wait.", |scrape, out| {
        out.only(scrape.server.overload.arrivals.delayed.load(Ordering::Relaxed));
    }),
    Family::counter(
        "accepts_gone",
        "Connections whose client had gone, or had said that it sends no more, before the rate let it in.",
        |scrape, out| {
            out.only(scrape.server.overload.arrivals.gone.load(Ordering::Relaxed));
        },
    ),
    Family::counter(
        "accepts_turned_away",
        "Connections told that there is no place for want of descriptors.",
        |scrape, out| {
            out.only(scrape.server.overload.arrivals.turned_away.load(Ordering::Relaxed));
        },
    ),
    Family::counter("accept_failures", "Failures of accept.", |scrape, out| {
        out.only(scrape.server.overload.arrivals.failures.load(Ordering::Relaxed));
    }),
    Family::gauge("tls_handshakes_open", "TLS handshakes that are not finished.", |scrape, out| {
        out.only(scrape.server.overload.arrivals.handshakes.open.load(Ordering::Relaxed));
    }),
    Family::counter("tls_handshakes", "TLS handshakes, by how they ended.", |scrape, out| {
        let Handshakes { completed, failed, late, given_up, dropped, .. } =
            &scrape.server.overload.arrivals.handshakes;
        for (end, count) in [
            ("completed", completed),
            ("failed", failed),
            ("late", late),
            ("given_up", given_up),
            ("dropped", dropped),
        ] {
            out.of(("end", end), count.load(Ordering::Relaxed));
        }
    }),
    Family::counter(
        "client_pauses",
        "Times that a client was not served because of what it had unread.",
        |scrape, out| out.only(scrape.server.overload.bytes.pauses.load(Ordering::Relaxed)),
    ),
    Family::counter(
        "clients_stalled",
        "Clients closed because they read nothing while they were held back.",
        |scrape, out| out.only(scrape.server.overload.bytes.stalled.load(Ordering::Relaxed)),
    ),
];
