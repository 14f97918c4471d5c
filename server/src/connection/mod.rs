//! One connection: its socket, its session, and the loop between them.
//!
//! A connection is one task on one worker. It reads what the socket has, runs it in turns, writes
//! the replies with one system call per batch, and waits. While it waits it can be reached by its
//! [`ClientShared::signal`]: kill, unblock, shutdown, messages in its inbox.
//!
//! Whatever it does at once is bounded: what a turn runs (see [`crate::overload::turn`]), what is read
//! and what is sent before others get their turn. So one client with a deep pipeline or values of
//! 100 MB is one among others.
//!
//! Reading and executing go on while replies pile up, within limits: see [`held_back`].
//!
//! A connection stays on its worker unless it is asked to go to another one ([`moving`]).

mod away;
mod blocked;
mod copied;
mod held_back;
mod input;
mod limits;
mod moving;
mod output;
mod parting;
mod stream;
pub(crate) mod tls;

use crate::blocking::Ran;
use crate::client::ClientShared;
use crate::client::transaction::Transaction;
use crate::dispatch::LOOK_AGAIN;
use crate::inbox::COLLECT;
use crate::runtime::worker::Worker;
use crate::session::{Session, Turn};
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use input::read_on;
pub(crate) use moving::{Parcel, arrive};
use moving::{Presence, get_known};
use output::{catch_up, count_sent, has_room, poll_send, room};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
pub(crate) use stream::{CLOSED, Stream};

/// Replies that are not sent before the next turn of the same millisecond if there is more to run.
const KEPT_OUTPUT: usize = 16 * 1024;
/// After reading that much without asking the system who else is ready, a connection does.
const READ_IN_A_ROW: usize = 64 * 1024;
/// Bound of the last flush of a connection that is being closed.
const LAST_FLUSH: Duration = Duration::from_secs(1);
/// Subscriptions, or watches, that a closed connection ends before others get their turn: about 100 us.
const LEAVE_SLICE: usize = 256;

/// Why the socket loop woke up.
enum Event {
    Data,
    Flushed,
    /// The socket has taken something, and messages wait for the place.
    Room,
    Signal,
    Eof,
    Stalled,
}

/// Why the connection ends.
enum End {
    Flush,
    Drop,
    /// It does not end: it goes to another worker.
    Move(usize),
}

/// Serves one accepted connection until it ends.
pub(crate) async fn serve(stream: Stream, session: Box<Session>, worker: Rc<Worker>) {
    let shared = session.client.shared.clone();
    let presence = Presence { worker, shared, moves: false };
    let mut connection = Connection::new(presence, stream, session);
    let mut end = loop {
        let to = match connection.run().await {
            End::Move(to) => to,
            end => break end,
        };
        let Some(back) = connection.depart(to) else { return };
        connection = back;
        get_known().await;
    };
    if connection.shared.inbox.overflown() {
        connection.note_output_limit();
        end = End::Drop;
    }
    let Some(mut session) = connection.session.take() else { return };
    let ending = connection.worker.server.shutdown.requested();
    if matches!(end, End::Flush) && ending {
        connection.part(&mut session).await;
    } else if matches!(end, End::Flush) {
        let flush = connection.stream.write_all(&mut session.reply);
        // A peer that does not take its last replies is not waited for.
        let _ = tokio::time::timeout(LAST_FLUSH, flush).await;
        connection.stream.shutdown();
    }
    while session.client.subscriptions.leave(LEAVE_SLICE) {
        tokio::task::yield_now().await;
    }
    let (server, shared) = (connection.worker.server, &connection.shared);
    while session.client.tracking.leave(server.tracker(), shared, LEAVE_SLICE) {
        tokio::task::yield_now().await;
    }
    while let Some((shards, leave)) = session.client.watched.leave(server, shared, LEAVE_SLICE) {
        connection.worker.submit(shards, leave);
        tokio::task::yield_now().await;
    }
}

struct Connection {
    /// First, so that others do not find the client any more when its socket is closed.
    presence: Presence,
    stream: Stream,
    shared: std::sync::Arc<ClientShared>,
    worker: Rc<Worker>,
    /// The session; away only while another thread runs it.
    session: Option<Box<Session>>,
    /// Bytes read since the system was last asked who else is ready.
    read: usize,
    /// Time of the turn whose replies were last sent.
    flushed: Millis,
    /// Since when the client is held back and has read nothing; of what it has sent, some may not have
    /// been executed.
    held_back: Option<Millis>,
    /// Since when it ends with the process.
    parting: Option<Millis>,
}

impl Connection {
    fn new(presence: Presence, stream: Stream, session: Box<Session>) -> Self {
        let (shared, worker) = (presence.shared.clone(), presence.worker.clone());
        let session = Some(session);
        let (read, flushed, held_back, parting) = (0, 0, None, None);
        Connection { presence, stream, shared, worker, session, read, flushed, held_back, parting }
    }

    async fn run(&mut self) -> End {
        loop {
            if self.shared.is_asked_to_go()
                && let Some(to) = self.destination()
            {
                return End::Move(to);
            }
            let Some(mut session) = self.session.take() else {
                return End::Drop;
            };
            let event = match self.is_held_back(&session) {
                true => self.wait(&mut session).await,
                false => poll_fn(|cx| self.poll_io(cx, &mut session, true)).await,
            };
            self.session = Some(session);
            match event {
                Ok(Event::Data) => {}
                // So much at a time, like all others.
                Ok(Event::Flushed) => tokio::task::yield_now().await,
                Ok(Event::Room) => {
                    self.collect();
                    continue;
                }
                Ok(Event::Eof) => return End::Flush,
                Ok(Event::Signal) => {
                    if self.shared.kill.load(Ordering::Acquire) {
                        return End::Drop;
                    }
                    if self.worker.server.shutdown.requested() {
                        return self.last_turns().await;
                    }
                    self.idle();
                    continue;
                }
                Ok(Event::Stalled) => {
                    let stats = &self.worker.server.stats;
                    stats.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
                    return End::Drop;
                }
                Err(_) => return End::Drop,
            }
            if let Some(end) = self.turns().await {
                return end;
            }
            // Who never stops sending would never see the signal.
            if self.worker.server.shutdown.requested() {
                return self.last_turns().await;
            }
        }
    }

    /// Runs turns until everything received is executed. `Some`: the connection ends.
    async fn turns(&mut self) -> Option<End> {
        loop {
            let Some(session) = self.session.take() else { return Some(End::Drop) };
            let (mut session, turn) = match self.worker.turn(session) {
                Ran::Home(session, turn) if turn.is_over() => (session, turn),
                ran => match self.elsewhere(ran).await {
                    Ok(ran) => ran,
                    Err(end) => return Some(end),
                },
            };
            if session.has_outlived_lease() || self.has_written() && !self.copied().await {
                self.session = Some(session);
                return Some(End::Drop);
            }
            if matches!(turn, Turn::Idle) && self.worker.is_crowded() {
                self.behind_the_others().await;
            }
            // Before anything is sent, as in Redis: a reply that is too long is not begun.
            let over = self.over_output_limit(&session);
            let written = match over || self.may_keep(&session.reply, &turn) {
                true => Ok(()),
                false => self.flush(&mut session.reply),
            };
            session.publish(self.worker.now());
            self.report();
            catch_up(&self.shared, &self.worker);
            let pending = session.reply.pending();
            // What waits for EXEC has been received and not executed, too.
            let queued = session.client.transaction().map_or(0, Transaction::bytes);
            let received = session.decoder.buffered() + queued;
            self.session = Some(session);
            if written.is_err() {
                return Some(End::Drop);
            }
            if over {
                self.note_output_limit();
                return Some(End::Drop);
            }
            if received > self.worker.server.query_limit() {
                self.note_query_limit();
                return Some(End::Drop);
            }
            if self.shared.kill.load(Ordering::Acquire) {
                // A client that killed itself still gets its reply; one that held too much does not.
                let evicted = self.worker.server.overload.bytes.is_forgotten(&self.shared);
                return Some(if evicted { End::Drop } else { End::Flush });
            }
            match turn {
                Turn::Idle => return None,
                Turn::Yield if self.has_too_much(pending) => {
                    // Noted, because it may be too much no more when that is looked at again.
                    self.hold_back();
                    return None;
                }
                Turn::Yield | Turn::Handover(_) | Turn::Pool(_) | Turn::Block => {
                    tokio::task::yield_now().await;
                }
                Turn::Close => return Some(End::Flush),
                Turn::Paused(until) => {
                    if let Some(end) = self.paused(until).await {
                        return Some(end);
                    }
                }
            }
        }
    }

    /// Goes on with a turn wherever the roles are to be had, and waits with its last command.
    async fn elsewhere(&mut self, mut ran: Ran) -> Result<(Box<Session>, Turn), End> {
        loop {
            // On the way, and while it waits, what was answered before is sent.
            let stays = matches!(&ran, Ran::Home(_, turn) if !matches!(turn, Turn::Pool(_)));
            if !stays && self.has_written() && !self.copied().await {
                self.take_back(ran).await;
                return Err(End::Drop);
            }
            ran = match ran {
                Ran::Home(session, _) if session.has_outlived_lease() => {
                    self.session = Some(session);
                    return Err(End::Drop);
                }
                Ran::Home(session, Turn::Handover(shards)) => {
                    self.hand_over(session, shards).await?
                }
                Ran::Home(session, Turn::Pool(shards)) => {
                    self.send_to_pool(session, shards).await?
                }
                Ran::Home(session, turn) => return Ok((session, turn)),
                Ran::Parked(parked) => {
                    let came = self.block(parked).await;
                    // Whoever has run it may have said so before the last look at that.
                    self.shared.wrote.store(true, Ordering::Relaxed);
                    return came;
                }
            };
        }
    }

    /// A client that is made to wait is not idle: it counts as active when the wait ends.
    fn set_waiting(&self, flag: u32, on: bool) {
        self.shared.last_active.store(self.worker.server.clock.now(), Ordering::Relaxed);
        self.shared.set_flag(flag, on);
    }

    /// CLIENT PAUSE: waits until it is over.
    async fn paused(&mut self, until: i64) -> Option<End> {
        let server = self.worker.server;
        if self.must_end() {
            return Some(self.given_up());
        }
        let now = server.clock.now();
        let left = u64::try_from(until - now).unwrap_or(0);
        let resumed = server.pause.changed().notified();
        // It may have ended since dispatch has asked, before there was anybody to tell. The waits of
        // routing, which are no pause, are over so soon that it does not matter.
        if until - now > LOOK_AGAIN && !server.pause.is_still(until, now) {
            return None;
        }
        let mut session = self.session.take()?;
        let rerouted = server.cluster.as_deref().map(|node| node.routes.changed().notified());
        let rerouted = async {
            match rerouted {
                Some(rerouted) => rerouted.await,
                None => std::future::pending().await,
            }
        };
        self.set_waiting(ClientShared::PAUSED, true);
        let wait = async {
            tokio::select! {
                () = resumed => Ok(Event::Flushed),
                () = rerouted => Ok(Event::Flushed),
                event = self.wait_blocked(&mut session.reply) => event,
            }
        };
        let event = tokio::time::timeout(Duration::from_millis(left.max(1)), wait).await;
        self.set_waiting(ClientShared::PAUSED, false);
        self.session = Some(session);
        let ended = matches!(event, Ok(Err(_))) || self.must_end();
        ended.then(|| self.given_up())
    }

    /// How a connection ends that was waiting for something.
    fn given_up(&self) -> End {
        let killed = self.shared.kill.load(Ordering::Acquire);
        if self.worker.server.shutdown.requested() && !killed { End::Flush } else { End::Drop }
    }

    /// Sends what is pending, reads what has come if that is wanted, or is signalled.
    /// Always inlined: a part of the one loop that a connection spends its life in.
    #[inline(always)]
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        read: bool,
    ) -> Poll<io::Result<Event>> {
        let (stream, shared, worker) = (&mut self.stream, &self.shared, &self.worker);
        if !session.reply.is_empty() || stream.has_unsent() {
            match poll_send(cx, stream, &mut session.reply, shared, worker) {
                Ok(true) if !read => return Poll::Ready(Ok(Event::Flushed)),
                Ok(true) if has_room(&session.reply, shared) => {
                    return Poll::Ready(Ok(Event::Room));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if read {
            match stream.poll_read(cx, session.decoder.read_buf()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Event::Eof)),
                Poll::Ready(Ok(mut n)) => {
                    if session.decoder.begin_next_chunk() {
                        n = read_on(cx, stream, &mut session.decoder, n)?;
                    }
                    self.read += n;
                    let stats = worker.stats();
                    stats.net_in.add(n as u64);
                    shared.net_in.add(n as u64);
                    stats.reads.add(1);
                    return Poll::Ready(Ok(Event::Data));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        shared.signal.poll(cx).map(|()| Ok(Event::Signal))
    }

    /// Whether the replies of a turn may wait for those of the next one. Short turns would else cost
    /// a system call each, and whoever sends so much at once does not wait for the first reply.
    fn may_keep(&mut self, reply: &Reply, turn: &Turn) -> bool {
        let now = self.worker.now();
        let keeps = matches!(turn, Turn::Yield)
            && self.worker.has_company()
            && reply.pending() < KEPT_OUTPUT
            && self.flushed == now;
        self.flushed = now;
        keeps
    }

    /// Writes as much of the pending replies as the socket takes at once and a turn may send. What is
    /// left is for the caller to publish.
    #[inline(always)]
    fn flush(&self, reply: &mut Reply) -> io::Result<()> {
        let mut room = room(&self.worker);
        while !reply.is_empty() && room > 0 {
            match self.stream.try_write(reply) {
                Ok(sent) => {
                    room = room.saturating_sub(sent);
                    count_sent(sent, &self.shared, &self.worker);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Signalled without any request: takes messages, or gives back idle buffers.
    fn idle(&mut self) {
        if self.collect() {
            return;
        }
        let Some(session) = self.session.as_mut() else { return };
        session.decoder.shrink();
        session.reply.shrink();
        let room = session.decoder.capacity() as u64;
        self.shared.query_room.store(room, Ordering::Relaxed);
        self.shared.set_output(&session.reply);
        self.report();
    }

    /// What the client holds counts among what all clients hold.
    fn report(&self) {
        let server = self.worker.server;
        if server.overload.bytes.note(&self.shared) {
            server.overload.bytes.relieve(server);
        }
    }

    /// Whether so much is unsent that the client is not served for the time being.
    fn has_too_much(&self, pending: usize) -> bool {
        pending >= self.worker.server.overload.bytes.pause_at()
    }

    /// Turns as many messages into replies as one write takes; whether there were any.
    fn collect(&mut self) -> bool {
        let Some(session) = self.session.as_mut() else { return false };
        let any = self.shared.inbox.drain(&mut session.reply, COLLECT);
        if any {
            self.shared.set_output(&session.reply);
        }
        any
    }

    /// Lets the tasks that are ready run first. Unlike [`tokio::task::yield_now`] it does not make the
    /// runtime ask the system for new events in between, unless much has been read.
    async fn behind_the_others(&mut self) {
        if self.read >= READ_IN_A_ROW {
            self.read = 0;
            return tokio::task::yield_now().await;
        }
        let mut queued = false;
        poll_fn(|cx| {
            if queued {
                return Poll::Ready(());
            }
            queued = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
