//! Limits of clients that have to act while the client does nothing: once per tick, on the first
//! worker, over the figures which the clients publish.

use crate::client::ClientShared;
use crate::config::Settings;
use crate::runtime::logging::Every;
use crate::server::Server;
use dunlin_storage::Millis;
use std::sync::atomic::Ordering;

/// Room that an idle connection keeps for receiving and sending; more is given back.
const IDLE_ROOM: u64 = 4 * 1024;
/// Idle this long, a connection gives its buffers back.
const IDLE_MILLIS: Millis = 2_000;

static SOFT_LIMIT: Every = Every::millis(1_000);

/// The directives that say how long a client may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Before it has logged in.
    Login,
    /// In the middle of a command.
    Command,
    /// Between commands.
    Idle,
}

impl Patience {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Login, Self::Command, Self::Idle];

    /// The directive's name.
    pub fn directive(self) -> &'static str {
        match self {
            Self::Login => "auth-timeout",
            Self::Command => "partial-command-timeout",
            Self::Idle => "timeout",
        }
    }
}

/// Looks at every client once.
pub(crate) fn sweep(server: &Server) {
    let settings = server.settings();
    let now = server.clock.now();
    server.sockets.tend(now);
    if server.overload.garbage.is_much(server.keyspace.limbo()) {
        server.runs.end_hoarders();
    }
    let clients = server.clients.all();
    let bytes = &server.overload.bytes;
    let pause_at = bytes.pause_at() as u64;
    let is_down = server
        .cluster
        .as_deref()
        .is_some_and(|cluster| !cluster.lease.lasts(server.clock.monotonic_ns()));
    for client in &clients {
        if is_down {
            // Who waits for keys is told: what ends the wait cannot come.
            client.run_again_if(|_| true);
        }
        if client.kill.load(Ordering::Relaxed) {
            // It has been told, and counted.
            continue;
        }
        if let Some(patience) = overdue(client, &settings, now) {
            server.stats.timed_out(patience).fetch_add(1, Ordering::Relaxed);
            tracing::debug!(id = client.id, reason = patience.directive(), "closing a client");
            client.kill();
        } else if over_soft_limit(client, &settings, now) {
            server.stats.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
            if let Some(folded) = SOFT_LIMIT.admit(now) {
                tracing::warn!(
                    id = client.id,
                    folded,
                    "closing a client: client-output-buffer-limit (soft)"
                );
            }
            client.kill();
        } else if may_shrink(client, now) || may_go_on(client, pause_at) {
            client.signal.notify();
        }
    }
    // Those who are to be closed are as good as gone.
    let staying = clients.iter().filter(|client| !client.kill.load(Ordering::Relaxed));
    if bytes.correct(staying.map(|client| client.held()).sum()) {
        bytes.relieve(server);
    }
}

/// Whose patience a client has used up, if it has.
fn overdue(client: &ClientShared, settings: &Settings, now: Millis) -> Option<Patience> {
    if client.has_flag(ClientShared::WAITS) {
        return None;
    }
    let over = |limit: u32, since: Millis| limit > 0 && now - since > Millis::from(limit) * 1_000;
    let stranger_since = client.stranger_since.load(Ordering::Relaxed);
    if stranger_since > 0 && over(settings.auth_timeout, stranger_since) {
        return Some(Patience::Login);
    }
    let last_active = client.last_active.load(Ordering::Relaxed);
    let mid_command = client.has_flag(ClientShared::HALF_COMMAND);
    if mid_command && over(settings.partial_command_timeout, last_active) {
        return Some(Patience::Command);
    }
    // Who listens may be silent.
    let may_idle = client.has_flag(ClientShared::MONITOR | ClientShared::PUBSUB);
    (!may_idle && over(settings.timeout, last_active)).then_some(Patience::Idle)
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

/// Whether a client that is woken can give something back. One that waits would look whether the wait is
/// over, find that it is not, and be asked again by the next sweep.
fn may_shrink(client: &ClientShared, now: Millis) -> bool {
    !client.has_flag(ClientShared::WAITS)
        && now - client.last_active.load(Ordering::Relaxed) > IDLE_MILLIS
        && client.query_buffer.load(Ordering::Relaxed) == 0
        && client.output.load(Ordering::Relaxed) == 0
        && client.buffers() > IDLE_ROOM
}

/// Whether a client was held back that need not be any more: there is room for its replies again.
fn may_go_on(client: &ClientShared, pause_at: u64) -> bool {
    client.has_flag(ClientShared::HELD_BACK) && client.output.load(Ordering::Relaxed) < pause_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_idle_is_woken_to_shrink_and_who_waits_is_not() {
        let client = ClientShared::new(1, "a:1".into(), String::new(), 0, 0, 0);
        client.query_room.store(2 * IDLE_ROOM, Ordering::Relaxed);
        let later = IDLE_MILLIS + 1;
        assert!(may_shrink(&client, later) && !may_shrink(&client, IDLE_MILLIS));
        for waits in [ClientShared::BLOCKED, ClientShared::PAUSED, ClientShared::POOLED] {
            client.set_flag(waits, true);
            assert!(!may_shrink(&client, later));
            client.set_flag(waits, false);
        }
        assert!(may_shrink(&client, later));
    }
}
