//! A worker: one thread, one single-threaded tokio runtime, its connections, and its share of the
//! store's background work.

mod background;

use super::Body;
use super::accept::{Acceptor, Listener};
use super::chunks;
use crate::acl::Login;
use crate::blocking::{Leave, Ran, Waiter, park};
use crate::client::{Client, ClientShared};
use crate::connection::{self, Parcel, Stream};
use crate::dispatch::Context;
use crate::insight::Surveyor;
use crate::overload::sentinel::Sentinel;
use crate::pause::PauseKind;
use crate::placement::{self, Load};
use crate::runtime::clock::Reading;
use crate::server::Server;
use crate::session::{Session, Turn};
use crate::snapshot;
use crate::stats::WorkerStats;
use crate::tls::{self, handshake::Handshakes};
use dunlin_protocol::Limits;
use dunlin_storage::{Errand, Handle, Job, Millis, ShardId, ShardSet, scheduling};
use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};

/// Removed memory that may wait for the background. Beyond this every turn frees a part: big values
/// are overwritten faster than ten times a second.
const LIMBO_RELAXED: u64 = 4 * 1024 * 1024;
/// Pieces freed per turn then, a few microseconds: two megabytes of big values.
const FREED_PER_TURN: usize = 64;
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

/// The start of all workers. None begins before each has what it needs: the first one accepts, and clients
/// would take the descriptors that the others are about to open.
#[derive(Debug)]
pub struct Start {
    together: Barrier,
    failed: AtomicBool,
}

impl Start {
    /// For so many workers.
    pub fn new(workers: usize) -> Start {
        Start { together: Barrier::new(workers), failed: AtomicBool::new(false) }
    }

    /// One says whether it can begin; true if all can.
    fn all_can(&self, can: bool) -> bool {
        if !can {
            self.failed.store(true, Ordering::Release);
        }
        self.together.wait();
        !self.failed.load(Ordering::Acquire)
    }
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
    /// The background work waits for a turn, and is told of it.
    dozes: Cell<bool>,
    stirred: Notify,
    /// Time of the last look at the queue.
    looked: Cell<Millis>,
    /// Since when nothing was done that frees memory, how much until then, and whether it was given back.
    quiet: Cell<(Millis, u64, u32)>,
    /// Chunks that had gone to the allocator, and how often it is still to be asked for them.
    passed_on: Cell<(u64, u32)>,
    /// When the allocator was reminded of large pieces that are free.
    reminded: Cell<Millis>,
    surveyor: RefCell<Surveyor>,
}

impl Worker {
    /// Index of the worker that runs on this thread; threads of the pool have indices behind them.
    pub fn current() -> usize {
        CURRENT.get()
    }

    /// Gives the calling thread its index.
    pub(crate) fn set_current(index: usize) {
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
        if self.dozes.get() {
            self.stirred.notify_one();
        }
        let ran;
        {
            let guard = self.epoch.pin();
            let Reading { now, monotonic_ns: began } = self.server.clock.read();
            self.now.set(now);
            let allowed = self.sentinel.turn_begins(session.client.shared.id, began);
            let (server, stats) = (self.server, self.stats());
            let mut held = None;
            let ctx = Context { server, stats, guard: &guard, now, began, pooled: false };
            ran = match session.turn(&ctx, allowed, &mut held) {
                Turn::Block => park(server, session, held.as_mut()),
                turn => Ran::Home(session, turn),
            };
            self.sentinel.turn_ended(began);
        }
        self.leftovers();
        let limbo = self.server.keyspace.limbo();
        if limbo > LIMBO_RELAXED {
            self.server.keyspace.free_slice(FREED_PER_TURN);
            self.hold_writes_if_it_stays(limbo);
        }
        ran
    }

    /// There is much removed memory. If it is too much, and does not come back, writes wait.
    #[cold]
    fn hold_writes_if_it_stays(&self, limbo: u64) {
        let (server, now) = (self.server, self.now.get());
        let garbage = &server.overload.garbage;
        if garbage.is_much(limbo)
            && let Some(until) = garbage.look(&self.epoch.pin(), now)
        {
            server.pause.start(PauseKind::Write, until, now);
        }
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
        start: &Start,
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
            .build_local(tokio::runtime::LocalOptions::default());
        if !start.all_can(runtime.is_ok()) {
            return runtime.map(drop);
        }
        let runtime = runtime?;
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
            dozes: Cell::default(),
            stirred: Notify::new(),
            looked: Cell::new(server.clock.now()),
            quiet: Cell::default(),
            passed_on: Cell::default(),
            reminded: Cell::default(),
            surveyor: RefCell::default(),
        });
        let body: Body = Box::pin(worker.main(inbox, duties));
        let end = runtime.block_on(body);
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
            tokio::task::spawn_local(chunks::keep());
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
        shared.set_flag(ClientShared::TLS, matches!(stream, Stream::Tls(_)));
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
}

/// Runs on each background thread when it starts.
fn yield_to_workers() {
    // A system that does not allow it still runs the thread, as equal among equals.
    let _ = rustix::process::nice(BACKGROUND_NICE);
    let _ = scheduling::ask_for_usual_slices();
}
