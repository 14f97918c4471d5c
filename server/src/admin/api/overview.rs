//! The server as a whole, its databases and its workers.

use crate::admin::clients::Totals;
use crate::admin::ranges;
use crate::config::Settings;
use crate::runtime::heartbeat::Silence;
use crate::server::Server;
use dunlin_storage::{DbId, Millis};
use serde::Serialize;
use std::sync::atomic::Ordering;

/// What the head of the page shows.
#[derive(Serialize)]
pub(super) struct Overview {
    version: &'static str,
    pid: u32,
    run_id: String,
    phase: &'static str,
    now: Millis,
    uptime_seconds: Millis,
    bind: String,
    port: u16,
    tls_port: u16,
    workers: usize,
    shards: usize,
    maxmemory: u64,
    policy: &'static str,
    maxmemory_clients: u64,
    peak_memory: u64,
    max_clients: usize,
    rejected_connections: u64,
    evicted_clients: u64,
    show_keys: bool,
}

impl Overview {
    pub(super) fn read(server: &Server, settings: &Settings) -> Self {
        let now = server.clock.now();
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            run_id: server.run_id.clone(),
            phase: server.phases.now().name(),
            now: server.clock.to_wall(now),
            uptime_seconds: now.saturating_sub(server.started).max(0) / 1000,
            bind: settings.bind.join(" "),
            port: settings.port,
            tls_port: settings.tls.port,
            workers: server.workers,
            shards: server.keyspace.shards(),
            maxmemory: settings.maxmemory,
            policy: settings.maxmemory_policy.name(),
            maxmemory_clients: settings.maxmemory_clients,
            peak_memory: server.peak_memory.load(Ordering::Relaxed),
            max_clients: server.max_clients(),
            rejected_connections: server.stats.rejected_connections.load(Ordering::Relaxed),
            evicted_clients: server.stats.evicted_clients.load(Ordering::Relaxed),
            show_keys: settings.admin_show_keys,
        }
    }
}

/// A database that has keys.
#[derive(Serialize)]
pub(super) struct Database {
    db: u8,
    keys: u64,
    expires: u64,
    avg_ttl_ms: i64,
}

pub(super) fn databases(server: &Server) -> Vec<Database> {
    let (keyspace, now) = (&server.keyspace, server.clock.now());
    let of = |db: u8| {
        let id = DbId(db);
        let (keys, expires) = (keyspace.len(id), keyspace.expires(id));
        Database { db, keys, expires, avg_ttl_ms: keyspace.avg_ttl(id, now) }
    };
    (0..keyspace.databases()).map(of).filter(|database| database.keys > 0).collect()
}

/// A worker (or range of workers).
#[derive(Serialize)]
pub(super) struct Worker {
    name: String,
    clients: u64,
    /// Longest silence of a worker that is meant to run; none if all rest.
    silence_ms: Option<Millis>,
    overloaded: bool,
}

pub(super) fn workers(server: &Server, clients: &Totals) -> Vec<Worker> {
    let clients = &clients.by_worker;
    let silences: Vec<Silence> = server.heartbeats.silences(server.clock.now()).collect();
    let of = |range: std::ops::Range<usize>| Worker {
        name: ranges::name(&range),
        clients: range.clone().filter_map(|worker| clients.get(worker)).sum(),
        silence_ms: {
            let those = silences.iter().filter(|silence| range.contains(&silence.worker));
            those.map(|silence| silence.millis).max()
        },
        overloaded: range.clone().any(|worker| server.overload.is_overloaded(worker)),
    };
    ranges::of(server.workers).map(of).collect()
}
