//! A connection whose session is parked: it waits for it to come home, sends what is left to send,
//! and ends the wait at its deadline, or when the client goes.

use super::output::{has_room, poll_send};
use super::{Connection, End, Event};
use crate::blocking::{self, Home, Parked, Ran};
use crate::inbox::COLLECT;
use crate::session::{Session, Turn};
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

impl Connection {
    /// Waits for a parked session. Every end of the wait is decided by who takes the session out of
    /// its waiter, here as elsewhere, so it always comes home.
    pub(super) async fn block(&mut self, parked: Box<Parked>) -> Result<(Box<Session>, Turn), End> {
        let Parked { waiter, mut home, mut outgoing, mut deadline, meanwhile } = *parked;
        let server = self.worker.server;
        let mut meanwhile = pin!(async {
            match &meanwhile {
                Some(meanwhile) => meanwhile.run(server).await,
                None => pending().await,
            }
        });
        let mut under_way = true;
        let flushed = self.flush(&mut outgoing);
        self.shared.set_output(&outgoing);
        self.report();
        let mut ended = flushed.is_err() || self.over_limit() || self.must_end();
        let came = loop {
            if ended {
                waiter.end(blocking::End::Closed);
                break (&mut home).await;
            }
            waiter.while_parked(|| self.collect_into(&mut outgoing));
            tokio::select! {
                biased;
                came = &mut home => break came,
                () = &mut meanwhile, if under_way => {
                    waiter.end(blocking::End::Ran(Turn::Yield));
                    under_way = false;
                }
                event = self.wait_blocked(&mut outgoing) => {
                    ended = event.is_err() || self.over_limit() || self.must_end();
                }
                () = self.deadline(deadline) => {
                    // Once: if the session is away now, it comes home anyway.
                    waiter.end(blocking::End::Timeout);
                    deadline = None;
                }
            }
        };
        self.worker.leave(&waiter);
        let Ok(Home { mut session, end }) = came else { return Err(End::Drop) };
        let closed = ended || matches!(end, blocking::End::Closed);
        if !matches!(end, blocking::End::Ran(_)) {
            // No reply overtakes a message.
            session.client.collect(&mut outgoing);
        }
        let turn = session.give_up(end, self.worker.stats());
        session.put_reply_before(outgoing);
        if closed {
            self.session = Some(session);
            return Err(self.given_up());
        }
        Ok((session, turn))
    }

    /// Takes the session back of a connection that ends before it waits. Nothing must be given to it any
    /// more, and what it is interested in ends with it, in [`super::serve`].
    pub(super) async fn take_back(&mut self, ran: Ran) {
        self.session = match ran {
            Ran::Home(session, _) => Some(session),
            Ran::Parked(parked) => {
                let Parked { waiter, home, .. } = *parked;
                waiter.end(blocking::End::Closed);
                let came = home.await;
                self.worker.leave(&waiter);
                came.ok().map(|home| home.session)
            }
        };
    }

    /// Whether there is nothing to wait for any more.
    pub(super) fn must_end(&self) -> bool {
        self.shared.kill.load(Ordering::Acquire) || self.worker.server.shutdown.requested()
    }

    fn over_limit(&self) -> bool {
        let limit = self.worker.server.output_limit(self.shared.kind());
        let over = limit > 0 && self.shared.unsent() > limit;
        if over {
            self.note_output_limit();
        }
        over
    }

    /// Until the deadline has passed. It was reckoned from a time whose fraction of a millisecond is
    /// not known: its own millisecond still belongs to the wait.
    async fn deadline(&self, deadline: Option<Millis>) {
        let clock = &self.worker.server.clock;
        let Some(deadline) = deadline else { return pending().await };
        while let left @ 0.. = deadline.saturating_sub(clock.now()) {
            tokio::time::sleep(Duration::from_millis(left.unsigned_abs().max(1))).await;
        }
    }

    /// Sends, without reading: a blocked client's next commands stay in the kernel. Its end is
    /// noticed behind them, and ends the wait as in Redis, even if it only finished sending.
    pub(super) async fn wait_blocked(&self, reply: &mut Reply) -> io::Result<Event> {
        let (stream, shared, worker) = (&self.stream, &self.shared, &self.worker);
        let send = poll_fn(|cx| match poll_send(cx, stream, reply, shared, worker) {
            Ok(true) if has_room(reply, shared) => Poll::Ready(Ok(Event::Room)),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        tokio::select! {
            biased;
            () = shared.signal.notified() => Ok(Event::Signal),
            () = stream.closed() => Err(io::ErrorKind::ConnectionAborted.into()),
            event = send => event,
        }
    }

    /// Turns messages into replies while the session is away; as many as one write takes.
    fn collect_into(&self, reply: &mut Reply) {
        if self.shared.inbox.drain(reply, COLLECT) {
            self.shared.set_output(reply);
        }
    }
}
