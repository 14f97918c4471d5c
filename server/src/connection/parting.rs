//! How a connection ends with the process: nothing that was answered is lost on the way.
//!
//! 1. What had arrived when the end was asked for is executed, as fast as the client reads if it has to
//!    before it is served, and the rest of a command that had arrived by half, if it comes soon.
//! 2. The replies are sent, and the messages that whoever has published them was told to be received.
//!    What the client still sends meanwhile is read and thrown away, or else a client that writes its
//!    whole pipeline before it reads would wait for us as we for it.
//! 3. FIN. Then the client's end is waited for, for a moment: a socket that is closed while unread
//!    input lies in it, or comes later, answers with a reset, and a reset destroys replies that the
//!    client's side has not taken yet.
//!
//! A client sees all its replies, whole and in order, up to some point between two of them, and then
//! the end of the stream. Of what it sent and got no reply to, nothing was executed, but for commands
//! that were waiting or on the pool.

use super::output::{has_room, poll_send};
use super::{Connection, End, Event, LAST_FLUSH, LEAVE_SLICE, Stream};
use crate::inbox::COLLECT;
use crate::session::Session;
use bytes::BytesMut;
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// A pause in which nothing more has come.
const QUIET: Duration = Duration::from_millis(5);
/// How long the rest of a command may take to come, in milliseconds.
const REST_OF_COMMAND: Millis = 500;
/// How long a client that has to read before it is served is served on, in milliseconds.
const SERVING: Millis = 1_000;
/// How long a client that reads slowly may take for its last replies, in milliseconds, from the beginning.
const SENDING: Millis = 3_500;
/// How long the client may take to close its side.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes thrown away at once, and how often before others get their turn.
const RUBBISH: usize = 16 * 1024;
const RUBBISH_PER_TURN: usize = 16;

impl Connection {
    /// Executes what has arrived; the first step of the end.
    pub(super) async fn last_turns(&mut self) -> End {
        let clock = &self.worker.server.clock;
        let began = *self.parting.insert(clock.now());
        let goal = self.shared.net_in.get() + self.stream.arrived();
        loop {
            let Some(session) = self.session.as_ref() else { return End::Drop };
            let now = clock.now();
            let reached = self.shared.net_in.get() >= goal;
            let half = session.decoder.is_mid_command() && now < began + REST_OF_COMMAND;
            // Its commands wait until it has read.
            let held = self.is_held_back(session) && (!reached || session.has_more());
            let over = if held { now >= began + SERVING } else { reached && !half };
            if over {
                return End::Flush;
            }
            match self.next_part().await {
                Some(Ok(Event::Data | Event::Flushed)) => {}
                Some(Ok(Event::Room | Event::Signal)) => {
                    if self.shared.kill.load(Ordering::Acquire) {
                        return End::Drop;
                    }
                    self.collect();
                    continue;
                }
                Some(Ok(Event::Eof)) => return End::Flush,
                Some(Ok(Event::Stalled) | Err(_)) => return End::Drop,
                None if half || held => continue,
                None => return End::Flush,
            }
            if let Some(end) = self.turns().await {
                return end;
            }
        }
    }

    /// What comes next, if anything does.
    async fn next_part(&mut self) -> Option<io::Result<Event>> {
        let mut session = self.session.take()?;
        let event = timeout(QUIET, self.wait(&mut session)).await;
        self.session = Some(session);
        event.ok()
    }

    /// Sends the last replies and takes leave.
    pub(super) async fn part(&mut self, session: &mut Session) {
        // Who publishes something from here on is not told that this client receives it.
        while session.client.subscriptions.leave(LEAVE_SLICE) {
            tokio::task::yield_now().await;
        }
        let reply = &mut session.reply;
        let now = self.worker.server.clock.now();
        let silent = now - self.shared.last_active.load(Ordering::Relaxed);
        let nothing = reply.is_empty() && self.shared.inbox.waiting() == 0;
        let was_idle = nothing && silent > FAREWELL.as_millis() as Millis;
        let mut rubbish = BytesMut::with_capacity(RUBBISH);
        if self.send_last(reply, &mut rubbish).await.is_err() {
            return;
        }
        self.stream.shutdown();
        // Who had its last reply long ago cannot lose it, and may not look at its socket for long.
        if !was_idle {
            let end = poll_fn(|cx| discard(cx, &mut self.stream, &mut rubbish));
            // Whoever does not go, or goes in another way, is not waited for.
            let _ = timeout(FAREWELL, end).await;
        }
    }

    async fn send_last(&mut self, reply: &mut Reply, rubbish: &mut BytesMut) -> io::Result<()> {
        let (shared, worker) = (&self.shared, &self.worker);
        let now = worker.server.clock.now();
        let left = SENDING - (now - self.parting.unwrap_or(now));
        let patience = Duration::from_millis(u64::try_from(left).unwrap_or(0)).max(LAST_FLUSH);
        let sent = poll_fn(|cx| {
            // Its end does not matter here: it may have ended its side and read on.
            let _ = discard(cx, &mut self.stream, rubbish);
            poll_send(cx, &self.stream, reply, shared, worker)?;
            if has_room(reply, shared) && shared.inbox.drain(reply, COLLECT) {
                // As many messages as one write takes, then others have their turn.
                shared.set_output(reply);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match reply.is_empty() && !self.stream.has_unsent() {
                true => Poll::Ready(io::Result::Ok(())),
                false => Poll::Pending,
            }
        });
        timeout(patience, sent).await?
    }
}

/// Reads and throws away; ready when the client has ended.
fn discard(cx: &mut Context<'_>, stream: &mut Stream, rubbish: &mut BytesMut) -> Poll<()> {
    for _ in 0..RUBBISH_PER_TURN {
        rubbish.clear();
        match stream.poll_read(cx, rubbish) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
