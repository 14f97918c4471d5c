//! How a connection ends with the process: nothing that was answered is lost on the way.
//!
//! 1. What had arrived when the end was asked for is executed, and the rest of a command that had
//!    arrived by half, if it comes soon.
//! 2. The replies are sent. What the client still sends meanwhile is read and thrown away, or else a
//!    client that writes its whole pipeline before it reads would wait for us as we for it.
//! 3. FIN. Then the client's end is waited for, for a moment: a socket that is closed while unread
//!    input lies in it, or comes later, answers with a reset, and a reset destroys replies that the
//!    client's side has not taken yet.
//!
//! A client sees all its replies, whole and in order, up to some point between two of them, and then
//! the end of the stream. Of what it sent and got no reply to, nothing was executed, but for commands
//! that were waiting or on the pool.

use super::output::poll_send;
use super::{Connection, End, Event, LAST_FLUSH, Stream};
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
/// How many times [`LAST_FLUSH`] a client that reads slowly may take for its last replies.
const SENDING: u32 = 3;
/// How long the client may take to close its side.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes thrown away at once, and how often before others get their turn.
const RUBBISH: usize = 16 * 1024;
const RUBBISH_PER_TURN: usize = 16;

impl Connection {
    /// Executes what has arrived; the first step of the end.
    pub(super) async fn last_turns(&mut self) -> End {
        let clock = &self.worker.server.clock;
        let patience = clock.now() + REST_OF_COMMAND;
        let goal = self.shared.net_in.get() + self.stream.arrived();
        loop {
            let Some(session) = self.session.as_ref() else { return End::Drop };
            let reached = self.shared.net_in.get() >= goal;
            let half = session.decoder.is_mid_command() && clock.now() < patience;
            if reached && !half {
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
                None if half => continue,
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
    pub(super) async fn part(&mut self, reply: &mut Reply) {
        let now = self.worker.server.clock.now();
        let silent = now - self.shared.last_active.load(Ordering::Relaxed);
        let was_idle = reply.is_empty() && silent > FAREWELL.as_millis() as Millis;
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
        for _ in 0..SENDING {
            let sent = poll_fn(|cx| {
                // Its end does not matter here: it may have ended its side and read on.
                let _ = discard(cx, &mut self.stream, rubbish);
                poll_send(cx, &self.stream, reply, shared, worker)?;
                match reply.is_empty() && !self.stream.has_unsent() {
                    true => Poll::Ready(io::Result::Ok(())),
                    false => Poll::Pending,
                }
            });
            if let Ok(sent) = timeout(LAST_FLUSH, sent).await {
                return sent;
            }
        }
        Err(io::ErrorKind::TimedOut.into())
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
