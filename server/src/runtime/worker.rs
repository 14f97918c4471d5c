//! A worker: one thread, one single-threaded tokio runtime, its connections, and its share of the
//! store's background work.

use super::accept::{Acceptor, Listener};
use super::sweep;
use crate::acl::Login;
use crate::blocking::{Leave, Ran, ServeReady, Waiter, park};
use crate::client::{Client, ClientShared};
use crate::connection::{self, Parcel, Stream};
use crate::dispatch::Context;
use crate::insight::Surveyor;
use crate::overload::sentinel::Sentinel;
use crate::placement::{self, Load};
use crate::runtime::clock::Reading;
use crate::server::Server;
use crate::session::{Session, Turn};
use crate::snapshot;
use crate::stats::WorkerStats;
use crate::tls::{self, handshake::Handshakes};
use crate::tracking::Tend;
use dunlin_protocol::Limits;
use dunlin_storage::{
    Errand, Handle, Job, Millis, ShardId, ShardSet, SliceReport, memory, scheduling,
};
use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

/// Between two looks for work while no client does anything.
const IDLE_MILLIS: Millis = 1_000;
/// Without a read for this long, a worker gives free memory back.
const QUIET_MILLIS: Millis = 1_000;
/// Items of one slice of background work (expiry, eviction): about 100 us.
const SLICE_ITEMS: usize = 512;
/// Removed memory that may wait for the background. Beyond this every turn frees a part: big values
/// are overwritten faster than ten times a second.
const LIMBO_RELAXED: u64 = 4 * 1024 * 1024;
/// Pieces freed per turn then, a few microseconds: two megabytes of big values.
const FREED_PER_TURN: usize = 64;
/// How long freeing goes on before connections get their turns.
const FREEING_NS: u64 = 50_000;
/// Slices per tick and shard in which the table of tracked keys is tended.
const TENDED_SLICES: usize = 64;
/// How long a script may still run when the process is to end.
const SCRIPT_GRACE: Duration = Duration::from_secs(1);
/// Accepted connections on their way to a worker.
pub const INBOX: usize = 1024;
/// Threads per worker for what takes long and may wait, such as the mathematics of a handshake.
const BACKGROUND_THREADS: usize = 4;
/// How much less of a CPU such a thread gets than the worker it may share it with: about a tenth.
const BACKGROUND_NICE: i32 = 10;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    /// Turns since this thread last waited for events, and between the two waits before that.
    static TURNS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// An accepted connection on its way to its worker.
#[derive(Debug)]
pub struct Incoming {
    /// The socket.
    pub socket: Socket,
    /// What others see of the client.
    pub addr: String,
    /// Local address.
    pub laddr: String,
}

/// An accepted socket, not yet registered with a runtime.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// Unix.
    Unix(std::os::unix::net::UnixStream),
    /// TCP, on which a TLS handshake comes first.
    Tls(std::net::TcpStream),
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Socket::Tcp(socket) | Socket::Tls(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// What is known of a peer before it is a client.
struct Peer {
    addr: String,
    laddr: String,
    fd: RawFd,
}

/// What the first worker does beside its connections.
pub struct Duties {
    /// Places new connections.
    pub acceptor: Acceptor,
    /// Where they come from.
    pub listeners: mpsc::UnboundedReceiver<Listener>,
}

/// The way to a worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    /// New connections.
    pub inbox: mpsc::Sender<Incoming>,
    /// Its load.
    pub load: Arc<Load>,
}

/// A round of background work.
#[derive(Clone, Copy, Default)]
struct Round {
    /// When it was over.
    at: Millis,
    /// [`Worker::traffic`] then.
    traffic: u64,
    /// It has left nothing that time could make into work.
    calm: bool,
}

/// The state of a worker; never leaves its thread.
pub struct Worker {
    /// Index, from 0.
    pub index: usize,
    /// The server.
    pub server: &'static Server,
    load: Arc<Load>,
    epoch: Handle,
    /// Time of the last turn.
    now: Cell<Millis>,
    handshakes: Handshakes,
    /// Watches how long the run queue takes.
    sentinel: Rc<Sentinel>,
    /// Time of the last sweep, and reads and writes until then.
    swept: Cell<(Millis, u64)>,
    /// The last round of background work.
    round: Cell<Round>,
    /// Time of the last look at the queue.
    looked: Cell<Millis>,
    /// Since when no socket was read, the reads until then, and whether memory was given back.
    quiet: Cell<(Millis, u64, bool)>,
    surveyor: RefCell<Surveyor>,
}

impl Worker {
    /// Index of the worker that runs on this thread; threads of the pool have indices behind them.
    pub fn current() -> usize {
        CURRENT.get()
    }

    /// Gives the calling thread its index.
    pub(super) fn set_current(index: usize) {
        CURRENT.set(index);
    }

    /// Counters of this worker.
    pub fn stats(&self) -> &'static WorkerStats {
        self.server.stats.worker(self.index)
    }

    /// Runs one turn of `session`: pins the epoch for as long as it takes.
    pub(crate) fn turn(&self, mut session: Box<Session>) -> Ran {
        let (turns, before) = TURNS.get();
        TURNS.set((turns.wrapping_add(1), before));
        let ran = {
            let guard = self.epoch.pin();
            let Reading { now, monotonic_ns: began } = self.server.clock.read();
            self.now.set(now);
            let allowed = self.sentinel.turn_begins(session.client.shared.id, began);
            let (server, stats) = (self.server, self.stats());
            let mut held = None;
            let ctx = Context { server, stats, guard: &guard, now, began, pooled: false };
            let ran = match session.turn(&ctx, allowed, &mut held) {
                Turn::Block => park(server, session, held.as_mut()),
                turn => Ran::Home(session, turn),
            };
            self.sentinel.turn_ended(began);
            ran
        };
        self.leftovers();
        if self.server.keyspace.limbo() > LIMBO_RELAXED {
            self.server.keyspace.free_slice(FREED_PER_TURN);
        }
        ran
    }

    /// Whether several connections have been ready at once of late. Their replies are sent after the
    /// turns of all of them: a client that serves many connections from one thread, as most do,
    /// is woken once and finds them together, and so its next requests come together.
    pub fn is_crowded(&self) -> bool {
        let (turns, before) = TURNS.get();
        turns.max(before) > 1
    }

    /// Whether turns are short, because several connections are active.
    pub(crate) fn has_company(&self) -> bool {
        self.sentinel.has_company()
    }

    /// Time of the last turn.
    pub fn now(&self) -> Millis {
        self.now.get()
    }

    /// Hands `job` to whoever gets the roles of `shards`.
    pub fn submit(&self, shards: ShardSet, job: Box<dyn Job>) {
        self.server.keyspace.submit(shards, job, &self.epoch.pin());
        self.leftovers();
    }

    /// Lets `errand` take the roles of `shards` to another thread.
    pub(crate) fn send(&self, shards: ShardSet, errand: Box<dyn Errand>) {
        self.server.keyspace.send(shards, errand, &self.epoch.pin());
        self.leftovers();
    }

    /// Runs `job` if the role is free; it is for something that is done again and again.
    fn run_if_free(&self, shard: ShardId, job: Box<dyn Job>) {
        let guard = self.epoch.pin();
        if let Some(mut role) = self.server.keyspace.try_enter(&ShardSet::one(shard), &guard) {
            job.run(&mut role, &guard);
        }
        drop(guard);
        self.leftovers();
    }

    /// Takes a client that waits no more out of the queues in which it still stands.
    pub(crate) fn leave(&self, waiter: &Arc<Waiter>) {
        for shard in waiter.shards().iter() {
            let leave = Leave { waiter: waiter.clone(), server: self.server };
            self.submit(ShardSet::one(shard), Box::new(leave));
        }
    }

    /// Sends what was changed to those who wait for it, and schedules the batches which a capped turn
    /// has left behind.
    fn leftovers(&self) {
        self.server.tracker().broadcast();
        for shard in self.server.keyspace.take_leftovers() {
            let server = self.server;
            tokio::task::spawn_local(async move {
                loop {
                    let more = {
                        let handle = server.keyspace.handle();
                        let guard = handle.pin();
                        server.keyspace.drain(shard, &guard)
                    };
                    server.tracker().broadcast();
                    if !more {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// A connection has ended.
    pub(crate) fn closed(&self) {
        self.load.connections.fetch_sub(1, Ordering::AcqRel);
    }

    /// Body of the worker's thread; returns after shutdown, when its connections are gone.
    pub fn run(
        server: &'static Server,
        index: usize,
        load: Arc<Load>,
        inbox: mpsc::Receiver<Incoming>,
        duties: Option<Duties>,
    ) -> std::io::Result<()> {
        Worker::set_current(index);
        // A system that does not allow it still runs the worker, behind what runs beside it.
        let _ = scheduling::ask_for_short_slices();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BACKGROUND_THREADS)
            .on_thread_start(yield_to_workers)
            .on_thread_park(|| TURNS.set((0, TURNS.get().0)))
            .build_local(tokio::runtime::LocalOptions::default())?;
        load.attach();
        let worker = Rc::new(Worker {
            index,
            server,
            load,
            epoch: server.keyspace.handle(),
            now: Cell::default(),
            handshakes: Handshakes::default(),
            sentinel: Sentinel::new(server, index),
            swept: Cell::default(),
            round: Cell::default(),
            looked: Cell::new(server.clock.now()),
            quiet: Cell::default(),
            surveyor: RefCell::default(),
        });
        let end = runtime.block_on(worker.main(inbox, duties));
        server.heartbeats.rest(index);
        end
    }

    async fn main(
        self: Rc<Self>,
        mut inbox: mpsc::Receiver<Incoming>,
        duties: Option<Duties>,
    ) -> std::io::Result<()> {
        self.sentinel.start();
        tokio::task::spawn_local(self.clone().background());
        if let Some(Duties { acceptor, listeners }) = duties {
            tokio::task::spawn_local(tls::keep_current(self.server)?);
            tokio::task::spawn_local(snapshot::keep(self.server));
            tokio::task::spawn_local(acceptor.accept_from(listeners));
            tokio::task::spawn_local(placement::direct(self.server));
        }
        let mut parcels = self.server.placement.take_parcels(self.index);
        let mut stop = self.server.shutdown.watch();
        loop {
            tokio::select! {
                incoming = inbox.recv() => match incoming {
                    Some(incoming) => self.clone().open(incoming),
                    None => break,
                },
                Some(parcel) = parcels.recv() => connection::arrive(parcel, self.clone()),
                () = stop.requested() => break,
            }
        }
        // What was accepted but not served yet may have sent something: it ends like the others.
        inbox.close();
        while let Some(incoming) = inbox.recv().await {
            self.clone().open(incoming);
        }
        // Connections end by themselves: each is signalled, finishes its pipeline and closes. Only a
        // script may have other plans. Whether all this takes too long, `shutdown` watches.
        let runs = Arc::clone(&self.server.runs);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(SCRIPT_GRACE).await;
            runs.end_all();
        });
        self.clone().ended(parcels).await;
        Ok(())
    }

    /// Waits until all connections are gone. Some may be on the way from other workers.
    async fn ended(self: Rc<Self>, mut parcels: mpsc::UnboundedReceiver<Parcel>) {
        loop {
            while self.load.connections.load(Ordering::Acquire) > 0 {
                match parcels.try_recv() {
                    Ok(parcel) => connection::arrive(parcel, self.clone()),
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
            // From here on they stay where they are; one may have left just before.
            parcels.close();
            match parcels.try_recv() {
                Ok(parcel) => connection::arrive(parcel, self.clone()),
                Err(_) => return,
            }
        }
    }

    fn open(self: Rc<Self>, incoming: Incoming) {
        let Incoming { socket, addr, laddr } = incoming;
        let peer = Peer { addr, laddr, fd: socket.as_raw_fd() };
        let stream = match socket {
            Socket::Tcp(socket) => TcpStream::from_std(socket).map(Stream::Tcp),
            Socket::Unix(socket) => UnixStream::from_std(socket).map(Stream::Unix),
            Socket::Tls(socket) => match TcpStream::from_std(socket) {
                Ok(socket) => {
                    tokio::task::spawn_local(self.open_tls(socket, peer));
                    return;
                }
                Err(error) => Err(error),
            },
        };
        match stream {
            Ok(stream) => self.serve(stream, peer, None),
            Err(_) => self.closed(),
        }
    }

    /// Makes the handshake; the connection is a client afterwards.
    async fn open_tls(self: Rc<Self>, socket: TcpStream, peer: Peer) {
        let server = self.server;
        let mut stop = server.shutdown.watch();
        let handshake = async {
            let stream = self.handshakes.run(server, socket).await?;
            let login = tls::login_of(server, stream.peer_certificate().as_ref())?;
            std::io::Result::Ok((Stream::Tls(Box::new(stream)), login))
        };
        let made = tokio::select! {
            made = handshake => made,
            () = stop.requested() => Err(std::io::ErrorKind::ConnectionAborted.into()),
        };
        match made {
            Ok((stream, login)) => self.serve(stream, peer, login),
            Err(error) => {
                tracing::debug!(addr = peer.addr, %error, "TLS handshake failed");
                self.closed();
            }
        }
    }

    /// Makes a client of a connection; `login` is who it has proved to be.
    fn serve(self: Rc<Self>, stream: Stream, peer: Peer, login: Option<Login>) {
        let server = self.server;
        let settings = server.settings();
        let id = server.clients.next_id();
        let now = server.clock.now();
        let Peer { addr, laddr, fd } = peer;
        let shared = Arc::new(ClientShared::new(id, addr, laddr, fd, self.index, now));
        self.stats().connections.add(1);
        let subscriptions = server.pubsub.open(shared.clone());
        let mut client = Client::new(shared, subscriptions, &server.acl);
        if let Some(login) = login {
            client.log_in(login);
        }
        let since = if client.authenticated { 0 } else { now };
        client.shared.stranger_since.store(since, Ordering::Relaxed);
        server.clients.add(client.shared.clone());
        // Who comes when all are signalled may have been forgotten.
        if server.shutdown.requested() {
            client.shared.signal.notify();
        }
        let limits = match client.authenticated {
            true => settings.protocol_limits(),
            false => Limits::UNAUTHENTICATED,
        };
        let session = Box::new(Session::new(client, limits));
        tokio::task::spawn_local(connection::serve(stream, session, self));
    }

    /// Says that the worker comes round, as its background work does.
    fn beat(&self) {
        self.server.heartbeats.beat(self.index, self.server.clock.now());
    }

    /// Expiry, eviction and freeing for this worker's shards, in slices between connections.
    async fn background(self: Rc<Self>) {
        loop {
            self.beat();
            let hz = self.server.settings().hz.max(1);
            tokio::time::sleep(Duration::from_secs(1) / hz).await;
            if !self.server.placement.needs(self.index) {
                self.rest().await;
            }
            if self.index == 0 {
                self.housekeeping();
                self.recall_the_impatient();
            }
            if self.is_quiet() {
                self.load.saw_ready(0, self.since_last_look());
                continue;
            }
            self.look_at_the_queue().await;
            // What a pause of writes holds still, expiry does not change either.
            let paused = self.server.pause.blocks(true, self.server.clock.now()).is_some();
            if !paused && self.server.active_expire.load(Ordering::Relaxed) {
                self.slices(Self::expire).await;
            }
            self.slices(Self::evict).await;
            self.serve_ready();
            if self.server.keyspace.limbo() > 0 {
                self.server.keyspace.flush_limbo(&self.epoch.pin());
            }
            while self.index == 0 && self.free_for_a_while() {
                self.beat();
                tokio::task::yield_now().await;
            }
            self.tend_tracking().await;
            self.look_around();
            self.release_when_idle();
            self.note_quiet();
        }
    }

    /// Frees some of what was removed as a whole; true if there is more. One thread can at a time, so it is
    /// the first worker; how long a piece takes depends on what it is and where, so the time is bounded
    /// and not the number.
    fn free_for_a_while(&self) -> bool {
        let clock = &self.server.clock;
        let begun = clock.monotonic_ns();
        while self.server.keyspace.free_slice(FREED_PER_TURN) {
            if clock.monotonic_ns() - begun >= FREEING_NS {
                return true;
            }
        }
        false
    }

    /// Whether nothing can have come up since the last round of background work: nobody has sent or
    /// received anything, nothing can expire, nothing waits to be freed. Looking for work costs a walk over
    /// all tables, most of them out of the caches, and an idle server has better things to do ten times a
    /// second. Once a second it looks all the same.
    fn is_quiet(&self) -> bool {
        let Round { at, traffic, calm } = self.round.get();
        calm && traffic == self.traffic() && self.server.clock.now() - at < IDLE_MILLIS
    }

    /// A round of background work is over.
    fn note_quiet(&self) {
        // First: who sends something meanwhile is seen by the next tick.
        let (at, traffic) = (self.server.clock.now(), self.traffic());
        let keyspace = &self.server.keyspace;
        let calm = keyspace.limbo() == 0 && !keyspace.may_expire();
        self.round.set(Round { at, traffic, calm });
    }

    /// Reads and writes of all workers' sockets.
    fn traffic(&self) -> u64 {
        let stats = &self.server.stats;
        stats.sum(|worker| &worker.reads).wrapping_add(stats.sum(|worker| &worker.writes))
    }

    /// Parked: gives back what this thread keeps and waits to be called. Others do its share of the
    /// background work.
    async fn rest(&self) {
        self.server.keyspace.flush_limbo(&self.epoch.pin());
        memory::release_free();
        self.load.rests();
        self.server.heartbeats.rest(self.index);
        self.server.placement.called(self.index).await;
        self.beat();
    }

    /// Counts the connections that are ready at once: the turns from here until the system has been asked
    /// for events and those that were ready have had theirs.
    async fn look_at_the_queue(&self) {
        let before = TURNS.get().0;
        tokio::task::yield_now().await;
        let ready = TURNS.get().0.wrapping_sub(before);
        self.load.saw_ready(ready, self.since_last_look());
    }

    /// Milliseconds since this was asked last.
    fn since_last_look(&self) -> u64 {
        let now = self.server.clock.now();
        u64::try_from(now.saturating_sub(self.looked.replace(now))).unwrap_or(0)
    }

    /// Follows what is used and what it takes.
    fn look_around(&self) {
        let guard = self.epoch.pin();
        let mut surveyor = self.surveyor.borrow_mut();
        let (server, shards) = (self.server, self.own_shards());
        server.insight.tick(server, self.index, &mut surveyor, &shards, &guard);
        drop(guard);
        self.leftovers();
    }

    /// Calls back those who wait behind a script that takes its time: they are told so.
    fn recall_the_impatient(&self) {
        let Some(shards) = self.server.runs.busy_shards() else { return };
        let guard = self.epoch.pin();
        shards.iter().for_each(|shard| self.server.keyspace.recall(shard, &guard));
        drop(guard);
        self.leftovers();
    }

    /// Removes what clients that tracked keys have left behind, in slices under the roles.
    async fn tend_tracking(&self) {
        for shard in self.own_shards() {
            for _ in 0..TENDED_SLICES {
                if !self.server.tracker().wants_tending(shard) {
                    break;
                }
                let interests = Arc::clone(&self.server.interests);
                self.run_if_free(shard, Box::new(Tend { interests, shard }));
                tokio::task::yield_now().await;
            }
        }
    }

    /// The shards whose background work is this worker's. While workers are called or parked, two may
    /// think so of one, or nobody; both are over with the next tick.
    fn own_shards(&self) -> Vec<ShardId> {
        let active = self.server.placement.active().max(1);
        let first = if self.index < active { self.index } else { usize::MAX };
        (first..self.server.keyspace.shards())
            .step_by(active)
            .filter_map(|shard| u16::try_from(shard).ok().map(ShardId))
            .collect()
    }

    /// A second after the last work the allocator gives back what this thread has freed.
    fn release_when_idle(&self) {
        let (now, reads) = (self.server.clock.now(), self.stats().reads.get());
        let (since, seen, released) = self.quiet.get();
        if reads != seen {
            self.quiet.set((now, reads, false));
        } else if !released && now - since >= QUIET_MILLIS {
            memory::release_free();
            self.quiet.set((since, seen, true));
        }
    }

    /// Runs one kind of slice on each of this worker's shards in turn, as long as there is
    /// anything to do. A shard whose role is taken has to wait for the next tick.
    async fn slices(&self, slice: fn(&Self, ShardId) -> SliceReport) {
        let mut shards = self.own_shards();
        while !shards.is_empty() {
            let mut left = Vec::new();
            for shard in shards {
                let report = slice(self, shard);
                if report.more && !report.busy {
                    left.push(shard);
                }
                if report.removed > 0 || report.more {
                    self.beat();
                    self.leftovers();
                    tokio::task::yield_now().await;
                }
            }
            shards = left;
        }
    }

    /// Serves clients that wait for what has expired or was evicted on this worker's shards.
    fn serve_ready(&self) {
        for shard in self
            .own_shards()
            .into_iter()
            .filter(|shard| self.server.interests.queues.has_ready(*shard))
        {
            self.run_if_free(shard, Box::new(ServeReady { server: self.server }));
        }
    }

    /// The shards of which this worker does the background work.
    fn expire(&self, shard: ShardId) -> SliceReport {
        let now = self.server.clock.now();
        self.server.keyspace.expire_slice(shard, now, SLICE_ITEMS, &self.epoch.pin())
    }

    fn evict(&self, shard: ShardId) -> SliceReport {
        let now = self.server.clock.now();
        self.server.keyspace.evict_slice(shard, SLICE_ITEMS, now, &self.epoch.pin())
    }

    /// Once per tick on the first worker: clock, idle clients, peaks.
    fn housekeeping(&self) {
        let server = self.server;
        server.clock.resync();
        let now = server.clock.now();
        server.rates.tick(now, &server.stats);
        // While nothing is read or written, what a sweep looks for comes with the seconds.
        let (swept, seen) = self.swept.get();
        let traffic = self.traffic();
        if traffic != seen || now - swept >= IDLE_MILLIS {
            self.swept.set((now, traffic));
            server.peak_memory.fetch_max(server.keyspace.used_bytes(), Ordering::Relaxed);
            sweep::sweep(server);
        }
    }
}

/// Runs on each background thread when it starts.
fn yield_to_workers() {
    // A system that does not allow it still runs the thread, as equal among equals.
    let _ = rustix::process::nice(BACKGROUND_NICE);
}
