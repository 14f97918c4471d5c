//! Limits of clients that have to act while the client does nothing: once per tick, on the first
//! worker, over the figures which the clients publish.

use crate::client::ClientShared;
use crate::config::Settings;
use crate::server::Server;
use dunlin_storage::Millis;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A connection that began a command and sends nothing more for this long is closed.
pub const HALF_COMMAND_MILLIS: Millis = 60_000;
/// A connection that has to authenticate and does not within this time is closed.
pub const UNAUTHENTICATED_MILLIS: Millis = 10_000;
/// Room that an idle connection keeps for receiving; more is given back.
const IDLE_ROOM: u64 = 4 * 1024;
/// Idle this long, a connection gives its buffers back.
const IDLE_MILLIS: Millis = 2_000;

/// Looks at every client once.
pub(crate) fn sweep(server: &Server) {
    let settings = server.settings();
    let now = server.clock.now();
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
            client.signal.notify_one();
        }
    }
    evict_clients(server, &settings, &clients);
}

/// Why a client has run out of time, if it has.
fn overdue(client: &ClientShared, settings: &Settings, now: Millis) -> Option<&'static str> {
    let idle = now - client.last_active.load(Ordering::Relaxed);
    if client.has_flag(ClientShared::BLOCKED) {
        return None;
    }
    if client.has_flag(ClientShared::UNAUTHENTICATED)
        && now - client.created > UNAUTHENTICATED_MILLIS
    {
        return Some("not authenticated in time");
    }
    if client.has_flag(ClientShared::HALF_COMMAND) && idle > HALF_COMMAND_MILLIS {
        return Some("half a command");
    }
    let timeout = Millis::from(settings.timeout) * 1_000;
    // Who listens may be silent.
    let listens = client.has_flag(ClientShared::MONITOR | ClientShared::PUBSUB);
    (timeout > 0 && idle > timeout && !listens).then_some("timeout")
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
