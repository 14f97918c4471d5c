//! A session that is away: in the queue of a busy shard, or on the pool. It comes home with the replies
//! to what it has run there.

use super::{Connection, End, Event};
use crate::Roles;
use crate::blocking::{Ran, park};
use crate::client::ClientShared;
use crate::dispatch::Context;
use crate::overload::dear::Permit;
use crate::runtime::clock::{Clock, Reading};
use crate::runtime::pool::Place;
use crate::runtime::worker::Worker;
use crate::server::Server;
use crate::session::{Session, Turn};
use dunlin_protocol::{Proto, Reply};
use dunlin_storage::{Baton, Errand, Guard, Job, ShardSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

impl Connection {
    /// Leaves the session with the holder of the roles and waits for its return.
    pub(super) async fn hand_over(
        &mut self,
        session: Box<Session>,
        shards: ShardSet,
    ) -> Result<Ran, End> {
        let (done, home) = oneshot::channel();
        let server = self.worker.server;
        let job = Visit { session, server, done, pooled: false, permit: None, is_short: true };
        self.worker.submit(shards, Box::new(job));
        home.await.map_err(|_lost| End::Drop)
    }

    /// Lets the pool run the next command of the session, which takes the roles there. Meanwhile what is
    /// left to send is sent.
    pub(super) async fn send_to_pool(
        &mut self,
        mut session: Box<Session>,
        shards: ShardSet,
    ) -> Result<Ran, End> {
        let mut outgoing = session.take_reply();
        session.publish(self.worker.server.clock.now());
        self.shared.set_output(&outgoing);
        self.set_waiting(ClientShared::POOLED, true);
        let ran = self.run_on_pool(session, shards, &mut outgoing).await;
        self.set_waiting(ClientShared::POOLED, false);
        match ran? {
            Ran::Home(mut session, turn) => {
                session.put_reply_before(outgoing);
                Ok(Ran::Home(session, turn))
            }
            Ran::Parked(mut parked) => {
                outgoing.append(std::mem::replace(&mut parked.outgoing, Reply::new(Proto::Resp2)));
                parked.outgoing = outgoing;
                Ok(Ran::Parked(parked))
            }
        }
    }

    async fn run_on_pool(
        &mut self,
        mut session: Box<Session>,
        shards: ShardSet,
        outgoing: &mut Reply,
    ) -> Result<Ran, End> {
        let server = self.worker.server;
        let (mut permit, mut is_short) = (None, false);
        if session.is_dear() {
            is_short = session.is_short(server);
            let gate = server.overload.dear();
            match self.meanwhile(outgoing, gate.enter(server), true).await {
                Some(Some(entered)) => permit = Some(entered),
                Some(None) => {
                    session.turn_away(self.worker.stats());
                    return Ok(Ran::Home(session, Turn::Yield));
                }
                None => return Err(self.give_up(session, outgoing)),
            }
        }
        let Some(place) = self.meanwhile(outgoing, server.pool.place(), true).await else {
            return Err(self.give_up(session, outgoing));
        };
        let (done, home) = oneshot::channel();
        let visit = Visit { session, server, done, pooled: true, permit, is_short };
        match place {
            Some(place) => self.worker.send(shards, Box::new(Trip { visit, place })),
            // There is no thread to be had: better here than not at all.
            None => self.worker.submit(shards, Box::new(visit)),
        }
        match self.meanwhile(outgoing, home, false).await {
            Some(Ok(ran)) => Ok(ran),
            Some(Err(_)) | None => Err(End::Drop),
        }
    }

    /// The connection ends while its session waits to go: what was answered before is still sent.
    fn give_up(&mut self, mut session: Box<Session>, outgoing: &mut Reply) -> End {
        session.put_reply_before(std::mem::replace(outgoing, Reply::new(session.reply.proto())));
        self.session = Some(session);
        End::Flush
    }

    /// Waits for something, and sends what is left to send; messages wait, because those that the command
    /// itself causes come behind its reply. If the wait may be given up, and the connection is to end,
    /// there is nothing.
    pub(super) async fn meanwhile<T>(
        &self,
        outgoing: &mut Reply,
        something: impl Future<Output = T>,
        may_give_up: bool,
    ) -> Option<T> {
        let mut something = pin!(something);
        let (mut listens, mut signalled) = (true, false);
        let result = loop {
            let event = tokio::select! {
                biased;
                done = &mut something => break Some(done),
                event = self.wait_blocked(outgoing), if listens => event,
            };
            signalled |= matches!(event, Ok(Event::Signal));
            let killed = self.shared.kill.load(Ordering::Acquire);
            if may_give_up && (killed || self.worker.server.shutdown.requested()) {
                break None;
            }
            // A peer that sends no more may still read: its replies come at the end.
            listens = event.is_ok() && !killed;
            if killed {
                self.stream.shutdown();
            }
        };
        if signalled {
            // Whatever it was about is looked at when the session is at home.
            self.shared.signal.notify();
        }
        result
    }
}

/// A session that runs where its roles are.
struct Visit {
    session: Box<Session>,
    server: &'static Server,
    done: oneshot::Sender<Ran>,
    /// It is the pool where they are.
    pooled: bool,
    /// That of a dear command.
    permit: Option<Permit>,
    /// It is over before anybody minds.
    is_short: bool,
}

impl Visit {
    /// Sends the session home as it is: there it finds out what to do.
    fn go_home(self) {
        Homecoming { done: self.done, ran: Ran::Home(self.session, Turn::Yield) }.go();
    }

    /// Runs what the roles are for.
    fn run_here<'g>(self, writer: &mut Roles<'g>, guard: &'g Guard) -> Homecoming {
        let Visit { mut session, server, done, pooled, mut permit, .. } = self;
        let stats = server.stats.worker(Worker::current());
        let Reading { now, monotonic_ns: began } = server.clock.read();
        let ctx = Context { server, stats, guard, now, began, pooled };
        let processor = permit.as_ref().map(|_| Clock::thread_cpu_ns());
        let turn = match pooled {
            true => session.run_pooled(&ctx, writer),
            false => session.run_handed_over(&ctx, writer),
        };
        if let (Some(permit), Some(before)) = (permit.as_mut(), processor) {
            permit.ran(Clock::thread_cpu_ns().saturating_sub(before));
        }
        let ran = match turn {
            Some(Turn::Block) => park(server, session, Some(writer)),
            turn => Ran::Home(session, turn.unwrap_or(Turn::Yield)),
        };
        server.tracker().broadcast();
        Homecoming { done, ran }
    }
}

/// A session that has run, and its way home.
struct Homecoming {
    done: oneshot::Sender<Ran>,
    ran: Ran,
}

impl Homecoming {
    fn go(self) {
        // A connection that is gone needs no answer.
        let _ = self.done.send(self.ran);
    }
}

impl Job for Visit {
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, guard: &'g Guard) {
        self.run_here(writer, guard).go();
    }

    fn is_recallable(&self) -> bool {
        self.session.gives_way()
    }

    fn recall(self: Box<Self>) {
        self.go_home();
    }
}

/// A session on its way to the pool, by way of the queues of its shards.
struct Trip {
    visit: Visit,
    place: Place,
}

impl Errand for Trip {
    fn set_out(self: Box<Self>, roles: Baton) {
        let Trip { visit, place } = *self;
        place.run(move || arrive(visit, roles));
    }

    /// Whoever is to wait anyway does so without keeping a place from others.
    fn is_recallable(&self) -> bool {
        true
    }

    fn recall(self: Box<Self>) {
        self.visit.go_home();
    }
}

/// A session on the pool, and where it is left afterwards.
struct Stay {
    visit: Visit,
    left: Arc<Mutex<Option<Homecoming>>>,
}

impl Job for Stay {
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, guard: &'g Guard) {
        let ran = self.visit.run_here(writer, guard);
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
    }
}

/// Runs a session on this thread of the pool, and what has waited for its roles meanwhile. It goes home
/// when the roles are free: what its client asks for next must not wait for a thread that has just been
/// interrupted by the worker which it has woken.
fn arrive(visit: Visit, roles: Baton) {
    if !visit.is_short {
        // Woken on a worker's processor, a thread may begin before the worker goes on, and keep it from
        // its connections for a whole slice of some milliseconds. So the worker goes first.
        std::thread::yield_now();
    }
    let server = visit.server;
    let keyspace = &server.keyspace;
    let handle = keyspace.handle();
    let left = Arc::<Mutex<Option<Homecoming>>>::default();
    let stay = Stay { visit, left: Arc::clone(&left) };
    let run = || keyspace.run_with(roles, Box::new(stay), &handle.pin());
    let ran = catch_unwind(AssertUnwindSafe(run));
    let left = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(homecoming) = left {
        homecoming.go();
    }
    for shard in keyspace.take_leftovers() {
        while keyspace.drain(shard, &handle.pin()) {}
    }
    server.tracker().broadcast();
    if let Err(panic) = ran {
        resume_unwind(panic);
    }
}
