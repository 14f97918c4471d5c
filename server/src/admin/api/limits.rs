//! The limits: what each allows, how much of it is used, and what it has done.
//!
//! One row per limit. Whoever adds a limiter to the server adds its row here, next to its row in
//! `metrics/limits.rs`.

use crate::admin::clients::Totals;
use crate::config::Settings;
use crate::overload::arrivals::Arrivals;
use crate::runtime::{container, process};
use crate::server::Server;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Count,
    Bytes,
    Rate,
}

/// One limit.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    name: &'static str,
    unit: Unit,
    /// How much is used; none if only the limit is known.
    value: Option<u64>,
    /// How much may be; none: as much as comes.
    limit: Option<u64>,
    /// Whether it holds something back right now.
    holds: bool,
    /// What it has done since the start.
    note: String,
}

/// A limit of 0 is none.
fn if_any(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

fn get(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

/// All limits, in the order in which they are shown.
pub(super) fn all(server: &Server, settings: &Settings, clients: &Totals) -> Vec<Limit> {
    let arrivals = &server.overload.arrivals;
    vec![
        store(server, settings),
        buffers(server, settings, clients),
        connections(server, clients),
        descriptors(server, arrivals),
        accepts(server, arrivals),
        handshakes(server, settings, arrivals),
        dear(server),
        processor(),
    ]
}

fn dear(server: &Server) -> Limit {
    let dear = server.overload.dear_figures(server.clock.monotonic_ns());
    Limit {
        name: "Dear commands",
        unit: Unit::Count,
        value: Some(dear.running as u64),
        limit: Some(dear.limit as u64),
        holds: dear.standing,
        note: format!(
            "{} let in, {} waiting, {} turned away",
            dear.admitted, dear.waiting, dear.shed
        ),
    }
}

fn store(server: &Server, settings: &Settings) -> Limit {
    let (used, evicted) = (server.keyspace.memory().used, server.keyspace.stats().evicted_keys);
    Limit {
        name: "Store memory",
        unit: Unit::Bytes,
        value: Some(used),
        limit: if_any(settings.maxmemory),
        holds: false,
        note: format!("{evicted} keys evicted"),
    }
}

fn buffers(server: &Server, settings: &Settings, clients: &Totals) -> Limit {
    let limit = if_any(settings.maxmemory_clients);
    Limit {
        name: "Client memory",
        unit: Unit::Bytes,
        value: Some(clients.bytes),
        limit,
        holds: limit.is_some_and(|limit| clients.bytes > limit),
        note: format!("{} clients evicted", get(&server.stats.evicted_clients)),
    }
}

fn connections(server: &Server, clients: &Totals) -> Limit {
    let limit = server.max_clients() as u64;
    Limit {
        name: "Clients",
        unit: Unit::Count,
        value: Some(clients.connected),
        limit: Some(limit),
        holds: clients.connected >= limit,
        note: format!("{} refused", get(&server.stats.rejected_connections)),
    }
}

fn descriptors(server: &Server, arrivals: &Arrivals) -> Limit {
    let (open, limit) = (process::open_fds(), server.fds.limit);
    Limit {
        name: "File descriptors",
        unit: Unit::Count,
        value: Some(open),
        limit: Some(limit),
        holds: open >= limit,
        note: format!("{} turned away for want of one", get(&arrivals.turned_away)),
    }
}

fn accepts(server: &Server, arrivals: &Arrivals) -> Limit {
    let limit = arrivals.limit(server);
    Limit {
        name: "Accept rate",
        unit: Unit::Rate,
        value: None,
        limit,
        holds: limit.is_some(),
        note: format!("{} delayed", get(&arrivals.delayed)),
    }
}

fn handshakes(server: &Server, settings: &Settings, arrivals: &Arrivals) -> Limit {
    let made = &arrivals.handshakes;
    let limit = u64::from(settings.arrivals.handshakes_open).saturating_mul(server.workers as u64);
    let (open, dropped, late) = (get(&made.open), get(&made.dropped), get(&made.late));
    Limit {
        name: "TLS handshakes",
        unit: Unit::Count,
        value: Some(open),
        limit: Some(limit),
        holds: open >= limit,
        note: format!("{} made, {dropped} dropped, {late} late", get(&made.completed)),
    }
}

fn processor() -> Limit {
    Limit {
        name: "CPU quota",
        unit: Unit::Count,
        value: None,
        limit: None,
        holds: false,
        note: match container::throttled_periods() {
            Some(periods) => format!("used up in {periods} periods"),
            None => "none".to_owned(),
        },
    }
}
