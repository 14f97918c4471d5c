//! A connection that is not served until its client reads.
//!
//! A client that writes its whole pipeline before it reads must not deadlock with us, so reading and
//! executing go on while replies pile up. How far, depends on what all clients hold together
//! ([`crate::overload::bytes`]). Beyond that nothing more is read or executed until the client has taken
//! some of it, and TCP slows the sender. A client that takes nothing for
//! `client-output-stall-timeout` waits for us as we wait for it, or is gone without a word: it is closed.

use super::{Connection, Event};
use crate::client::ClientShared;
use crate::runtime::logging::Every;
use crate::session::Session;
use dunlin_storage::Millis;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::warn;

static STALLED: Every = Every::millis(1_000);

impl Connection {
    /// Whether the client has to read before it is served.
    #[inline]
    pub(super) fn is_held_back(&self, session: &Session) -> bool {
        self.held_back.is_some() || self.has_too_much(session.reply.pending())
    }

    /// From now on the client has to read before it is served, unless it has to already; since when.
    pub(super) fn hold_back(&mut self) -> Millis {
        let server = self.worker.server;
        *self.held_back.get_or_insert_with(|| {
            server.overload.bytes.pauses.fetch_add(1, Ordering::Relaxed);
            self.shared.set_flag(ClientShared::HELD_BACK, true);
            server.clock.now()
        })
    }

    /// Waits until something is to be done. A client that is held back is not read from.
    pub(super) async fn wait(&mut self, session: &mut Session) -> io::Result<Event> {
        while self.has_too_much(session.reply.pending()) {
            match self.wait_until_read(session).await? {
                // A part of it, like all others: what waits may be 100 MB.
                Event::Flushed => tokio::task::yield_now().await,
                event => return Ok(event),
            }
        }
        if self.held_back.take().is_some() {
            self.shared.set_flag(ClientShared::HELD_BACK, false);
            // What it had sent before it was held back has not been executed.
            return Ok(Event::Flushed);
        }
        poll_fn(|cx| self.poll_io(cx, session, true)).await
    }

    /// Waits until the client takes something of what waits for it.
    async fn wait_until_read(&mut self, session: &mut Session) -> io::Result<Event> {
        let (clock, bytes) = (&self.worker.server.clock, &self.worker.server.overload.bytes);
        let since = self.hold_back();
        let seconds = self.worker.server.settings().output_pause.stall_timeout;
        let end = since.saturating_add(Millis::from(seconds) * 1_000);
        let left = u64::try_from(end.saturating_sub(clock.now())).unwrap_or(0);
        let patience = Duration::from_millis(left);
        let wait = poll_fn(|cx| self.poll_io(cx, session, false));
        match tokio::time::timeout(patience, wait).await {
            Ok(Ok(Event::Flushed)) => {
                self.held_back = Some(clock.now());
                Ok(Event::Flushed)
            }
            Ok(event) => event,
            Err(_elapsed) => {
                bytes.stalled.fetch_add(1, Ordering::Relaxed);
                self.note_stall(session.reply.pending(), seconds);
                Ok(Event::Stalled)
            }
        }
    }

    fn note_stall(&self, unsent: usize, seconds: u32) {
        let Some(folded) = STALLED.admit(self.worker.server.clock.now()) else { return };
        warn!(
            id = self.shared.id,
            unsent,
            seconds,
            folded,
            "closing a client: deadlock, it does not read its replies and is not served until it \
             does"
        );
    }
}
