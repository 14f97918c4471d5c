//! Limits of what waits for a client, and of what it has sent: who exceeds one is closed.

use super::Connection;
use crate::client::REPLY_BUFFER;
use crate::runtime::logging::Every;
use crate::session::Session;
use std::sync::atomic::Ordering;
use tracing::warn;

/// Replies which a connection that has not authenticated may leave unread.
const UNAUTHENTICATED_OUTPUT: u64 = 4 * 1024;

static OUTPUT_LIMIT: Every = Every::millis(1_000);
static QUERY_LIMIT: Every = Every::millis(1_000);

impl Connection {
    /// client-output-buffer-limit.
    pub(super) fn over_output_limit(&self, session: &Session) -> bool {
        let pending = session.reply.pending() as u64;
        let waiting = self.shared.inbox.waiting();
        if !session.client.authenticated {
            return pending + waiting > UNAUTHENTICATED_OUTPUT;
        }
        let limit = self.worker.server.output_limit(self.shared.kind());
        limit > 0 && pending.saturating_sub(REPLY_BUFFER) + waiting > limit
    }

    pub(super) fn note_output_limit(&self) {
        let server = self.worker.server;
        server.stats.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        if let Some(folded) = OUTPUT_LIMIT.admit(server.clock.now()) {
            warn!(id = self.shared.id, folded, "closing a client: client-output-buffer-limit");
        }
    }

    pub(super) fn note_query_limit(&self) {
        let server = self.worker.server;
        server.stats.query_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        if let Some(folded) = QUERY_LIMIT.admit(server.clock.now()) {
            warn!(id = self.shared.id, folded, "closing a client: client-query-buffer-limit");
        }
    }
}
