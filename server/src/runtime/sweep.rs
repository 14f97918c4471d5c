//! Limits of clients that have to act while the client does nothing: once per tick, on the first
//! worker, over the figures which the clients publish.

use crate::client::ClientShared;
use crate::config::Settings;
use crate::server::Server;
use dunlin_storage::Millis;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Room that an idle connection keeps for receiving; more is given back.
const IDLE_ROOM: u64 = 4 * 1024;
/// Idle this long, a connection gives its buffers back.
const IDLE_MILLIS: Millis = 2_000;

/// Looks at every client once.
pub(crate) fn sweep(server: &Server) {
    let settings = server.settings();
    let now = server.clock.now();
    server.sockets.tend(now);
    if server.keyspace.limbo() > garbage_limit(settings.maxmemory) {
        server.runs.end_hoarders();
    }
    let clients = server.clients.all();
    for client in &clients {
        if let Some(reason) = overdue(client, &settings, now) {
            tracing::debug!(id = client.id, reason, "closing a client");
            client.kill();
        } else if over_soft_limit(client, &settings, now) {
            server.stats.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(id = client.id, "closing a client: client-output-buffer-limit (soft)");
            client.kill();
        } else if may_shrink(client, now) {
            client.signal.notify();
        }
    }
    evict_clients(server, &settings, &clients);
}

/// Bytes that others have removed which may wait for a script to end: an eighth of the budget, within
/// these bounds.
fn garbage_limit(maxmemory: u64) -> u64 {
    match maxmemory {
        0 => GARBAGE.1,
        budget => (budget / 8).clamp(GARBAGE.0, GARBAGE.1),
    }
}

const GARBAGE: (u64, u64) = (32 << 20, 1 << 30);

/// Why a client has run out of time, if it has.
fn overdue(client: &ClientShared, settings: &Settings, now: Millis) -> Option<&'static str> {
    if client.has_flag(ClientShared::BLOCKED | ClientShared::PAUSED | ClientShared::POOLED) {
        return None;
    }
    let over = |limit: u32, since: Millis| limit > 0 && now - since > Millis::from(limit) * 1_000;
    let stranger_since = client.stranger_since.load(Ordering::Relaxed);
    if stranger_since > 0 && over(settings.auth_timeout, stranger_since) {
        return Some("auth-timeout");
    }
    let last_active = client.last_active.load(Ordering::Relaxed);
    let mid_command = client.has_flag(ClientShared::HALF_COMMAND);
    if mid_command && over(settings.partial_command_timeout, last_active) {
        return Some("partial-command-timeout");
    }
    // Who listens may be silent.
    let may_idle = client.has_flag(ClientShared::MONITOR | ClientShared::PUBSUB);
    (!may_idle && over(settings.timeout, last_active)).then_some("timeout")
}

/// The soft limit of client-output-buffer-limit: exceeded for too long without a pause.
fn over_soft_limit(client: &ClientShared, settings: &Settings, now: Millis) -> bool {
    let limit = client.kind().limit(&settings.output_limits);
    if limit.soft == 0 || client.unsent() <= limit.soft {
        client.over_soft_since.store(0, Ordering::Relaxed);
        return false;
    }
    let since = client.over_soft_since.load(Ordering::Relaxed);
    if since == 0 {
        client.over_soft_since.store(now, Ordering::Relaxed);
        return false;
    }
    now - since > Millis::from(limit.soft_seconds) * 1_000
}

fn may_shrink(client: &ClientShared, now: Millis) -> bool {
    now - client.last_active.load(Ordering::Relaxed) > IDLE_MILLIS
        && client.query_buffer.load(Ordering::Relaxed) == 0
        && client.query_room.load(Ordering::Relaxed) > IDLE_ROOM
}

/// maxmemory-clients: closes the largest clients until the rest fits.
fn evict_clients(server: &Server, settings: &Settings, clients: &[Arc<ClientShared>]) {
    let budget = settings.maxmemory_clients;
    let mut total: u64 = clients.iter().map(|client| client.held()).sum();
    if budget == 0 || total <= budget {
        return;
    }
    let mut evictable: Vec<_> =
        clients.iter().filter(|client| !client.has_flag(ClientShared::NO_EVICT)).collect();
    evictable.sort_unstable_by_key(|client| std::cmp::Reverse(client.held()));
    for client in evictable {
        if total <= budget {
            return;
        }
        let bytes = client.held();
        total -= bytes.min(total);
        server.stats.evicted_clients.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(id = client.id, bytes, "closing a client: maxmemory-clients");
        client.kill();
    }
}
