//! Accepting connections and placing them on workers.
//!
//! Each listener has one task, all of them on the first worker: trouble of one does not hold up the
//! others. A task accepts a few connections in a turn and then lets the established ones go on; how
//! fast while workers are overloaded is decided by [`crate::overload::accept`], and so is what an error
//! means. [`crate::placement`] says which worker a new connection goes to.

use super::doors::Door;
use super::listen::{self, UnixSocket};
use super::refuse::{Refusals, Spare, refuse_at_once};
use super::standing::{Standing, standing_of};
use super::worker::{Incoming, Socket, WorkerHandle};
use crate::config::Settings;
use crate::overload::accept::{BackOff, Failure, failure_of};
use crate::server::Server;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tracing::{error, warn};

/// A turn ends after so many nanoseconds, however few it has accepted.
const TURN_NS: u64 = 50_000;
/// Clients that are told, between two pauses, that there are no descriptors.
const TURNED_AWAY: usize = 64;
/// Of these, before others get their turn.
const TURNED_AWAY_PER_TURN: usize = 16;
/// Trouble that comes and goes is logged once in so many nanoseconds.
const LOG_INTERVAL_NS: u64 = 10_000_000_000;

/// What connections come from.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(Arc<Door>),
    /// TCP for TLS.
    Tls(Arc<Door>),
    /// Unix socket.
    Unix(UnixSocket),
}

impl Listener {
    /// Accepts one connection, without waiting.
    fn accept(&self, settings: &Settings) -> io::Result<Incoming> {
        match self {
            Listener::Tcp(door) => accept_tcp(door, Socket::Tcp, settings),
            Listener::Tls(door) => accept_tcp(door, Socket::Tls, settings),
            Listener::Unix(socket) => {
                let (stream, _) = socket.listener.accept()?;
                stream.set_nonblocking(true)?;
                let addr = format!("{}:0", socket.path().display());
                Ok(Incoming { socket: Socket::Unix(stream), laddr: addr.clone(), addr })
            }
        }
    }

    /// Whether it is the supervisor's: then its queue waits for the next process.
    fn is_inherited(&self) -> bool {
        match self {
            Listener::Tcp(door) | Listener::Tls(door) => door.is_inherited(),
            Listener::Unix(socket) => socket.is_inherited(),
        }
    }

    /// Connections accepted in one turn.
    fn per_turn(&self, settings: &Settings) -> u32 {
        match self {
            Listener::Tls(_) => settings.arrivals.tls_per_turn,
            Listener::Tcp(_) | Listener::Unix(_) => settings.arrivals.per_turn,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(door) | Listener::Tls(door) => door.socket().as_fd(),
            Listener::Unix(socket) => socket.listener.as_fd(),
        }
    }
}

fn accept_tcp(
    door: &Door,
    kind: fn(std::net::TcpStream) -> Socket,
    settings: &Settings,
) -> io::Result<Incoming> {
    let (stream, peer) = door.socket().accept()?;
    stream.set_nonblocking(true)?;
    // Any other option that cannot be set is no reason to refuse the client.
    let _ = listen::prepare_tcp(&stream, settings.tcp_keepalive);
    let laddr = stream.local_addr().map_or_else(|_| "?:0".to_owned(), |addr| addr.to_string());
    Ok(Incoming { socket: kind(stream), addr: peer.to_string(), laddr })
}

/// Places accepted connections.
#[derive(Clone)]
pub struct Acceptor {
    /// The server.
    pub server: &'static Server,
    /// The workers.
    pub workers: Vec<WorkerHandle>,
    /// Tells those for whom there is no place.
    pub refusals: Refusals,
}

/// A listener, and what its task has to remember.
struct Entrance {
    listener: Listener,
    /// The listener as the runtime sees it. Its own listeners register each connection that they accept,
    /// only for it to be taken out again, because it belongs to another worker; so it is a stream, of
    /// which nothing but the readiness is used.
    bell: TcpStream,
    spare: Spare,
    back_off: BackOff,
    /// One that was accepted and waits until the rate lets it in.
    waiting: Option<Incoming>,
    /// When trouble was logged.
    logged: Option<u64>,
}

impl Entrance {
    fn new(listener: Listener) -> io::Result<Entrance> {
        let bell = listener.as_fd().try_clone_to_owned()?;
        Ok(Entrance {
            bell: TcpStream::from_std(bell.into())?,
            spare: Spare::of(&listener),
            back_off: BackOff::default(),
            waiting: None,
            logged: None,
            listener,
        })
    }
}

impl Acceptor {
    /// Accepts from all these listeners, and from those which come while the server runs.
    pub async fn accept_from(self, mut listeners: mpsc::UnboundedReceiver<Listener>) {
        while let Some(listener) = listeners.recv().await {
            // Here and not in its task: what it needs is taken before anybody is accepted.
            match Entrance::new(listener) {
                Ok(entrance) => drop(tokio::task::spawn_local(self.clone().accept(entrance))),
                Err(error) => error!(%error, "cannot accept from a listener"),
            }
        }
    }

    /// Accepts until shutdown, or until the listener is closed.
    async fn accept(self, mut entrance: Entrance) {
        let _open = self.server.shutdown.open_door();
        let mut stop = self.server.shutdown.watch();
        let door = match &entrance.listener {
            Listener::Tcp(door) | Listener::Tls(door) => Some(Arc::clone(door)),
            Listener::Unix(_) => None,
        };
        let closed = async {
            match door {
                Some(door) => door.closed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.draining() => {
                self.place_waiting(&mut entrance);
                self.accept_rest(&entrance.listener);
            }
            () = closed => self.place_waiting(&mut entrance),
            Err(error) = self.accept_all(&mut entrance) => {
                error!(%error, "a listener does not accept any more");
            }
        }
    }

    /// Lets in who stands at the door when it is to be closed: the kernel has told them that they are
    /// connected, and would reset them.
    fn accept_rest(&self, listener: &Listener) {
        if listener.is_inherited() {
            return;
        }
        let settings = self.server.settings();
        for _ in 0..=settings.tcp_backlog {
            match listener.accept(&settings) {
                Ok(incoming) => self.place(incoming),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // One that is gone already; the next one may not be.
                Err(_) => {}
            }
        }
        if let Listener::Tcp(door) | Listener::Tls(door) = listener {
            door.close();
        }
    }

    async fn accept_all(&self, entrance: &mut Entrance) -> io::Result<Infallible> {
        loop {
            entrance.bell.readable().await?;
            self.turn(entrance).await;
            tokio::task::yield_now().await;
        }
    }

    /// Accepts as many as one turn may, or waits when accepting fails.
    async fn turn(&self, entrance: &mut Entrance) {
        let settings = self.server.settings();
        // Whoever was accepted in the spare's place would keep the others from being told.
        if let Err(error) = entrance.spare.regain(&entrance.listener) {
            return self.failed(&error, entrance, &settings).await;
        }
        let clock = &self.server.clock;
        let end = clock.monotonic_ns() + TURN_NS;
        let mut number = 0;
        while number < entrance.listener.per_turn(&settings) {
            if number > 0 && clock.monotonic_ns() > end {
                return;
            }
            let accept = || entrance.listener.accept(&settings);
            match entrance.bell.try_io(Interest::READABLE, accept) {
                Ok(incoming) => {
                    entrance.back_off.succeeded();
                    self.let_in(entrance, incoming, &settings).await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.server.overload.arrivals.failures.fetch_add(1, Ordering::Relaxed);
                    if failure_of(&error) != Failure::Connection {
                        return self.failed(&error, entrance, &settings).await;
                    }
                }
            }
            number += 1;
        }
    }

    /// Places a connection as soon as the rate allows it. Who has gone meanwhile does not wait.
    async fn let_in(&self, entrance: &mut Entrance, incoming: Incoming, settings: &Settings) {
        let arrivals = &self.server.overload.arrivals;
        if arrivals.wait(self.server, settings) == 0 {
            arrivals.accepted(self.server, false);
            return self.place(incoming);
        }
        match standing_of(&incoming.socket) {
            Standing::Gone => {
                arrivals.gone.fetch_add(1, Ordering::Relaxed);
            }
            Standing::Leaving => {
                arrivals.gone.fetch_add(1, Ordering::Relaxed);
                self.place(incoming);
            }
            Standing::There => {
                // Not in this future: if the door is closed meanwhile, it is let in all the same.
                entrance.waiting = Some(incoming);
                self.wait_for_admission(settings).await;
                arrivals.accepted(self.server, true);
                self.place_waiting(entrance);
            }
        }
    }

    /// Places the one that waits for the rate, if there is one.
    fn place_waiting(&self, entrance: &mut Entrance) {
        if let Some(incoming) = entrance.waiting.take() {
            self.place(incoming);
        }
    }

    /// The next call would fail as well: leaves the listener alone for a while.
    async fn failed(&self, error: &io::Error, entrance: &mut Entrance, settings: &Settings) {
        let now = self.server.clock.monotonic_ns();
        if entrance.logged.is_none_or(|then| now.saturating_sub(then) >= LOG_INTERVAL_NS) {
            entrance.logged = Some(now);
            warn!(%error, "accepting a connection failed");
        }
        if failure_of(error) == Failure::Descriptors {
            self.turn_away(&entrance.listener, settings, &mut entrance.spare).await;
        }
        tokio::time::sleep(Duration::from_millis(entrance.back_off.failed())).await;
    }

    /// Until the rate lets one more in.
    async fn wait_for_admission(&self, settings: &Settings) {
        loop {
            match self.server.overload.arrivals.wait(self.server, settings) {
                0 => return,
                nanos => tokio::time::sleep(Duration::from_nanos(nanos)).await,
            }
        }
    }

    /// There are no descriptors. Those who wait are told, one after the other in the place of the spare
    /// one: there is never more than one of them.
    async fn turn_away(&self, listener: &Listener, settings: &Settings, spare: &mut Spare) {
        let stats = &self.server.stats;
        for _ in 0..TURNED_AWAY / TURNED_AWAY_PER_TURN {
            if !spare.give_up() {
                return;
            }
            for _ in 0..TURNED_AWAY_PER_TURN {
                let Ok(incoming) = listener.accept(settings) else { break };
                refuse_at_once(incoming.socket);
                stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
                self.server.overload.arrivals.turned_away.fetch_add(1, Ordering::Relaxed);
            }
            // Not while others have their turn: they would take it.
            let _ = spare.regain(listener);
            tokio::task::yield_now().await;
        }
    }

    fn place(&self, Incoming { socket, addr, laddr }: Incoming) {
        let connected: usize =
            self.workers.iter().map(|w| w.load.connections.load(Ordering::Relaxed)).sum();
        if connected >= self.server.max_clients() {
            self.server.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
            self.refusals.refuse(socket);
            return;
        }
        let worker = &self.workers[self.server.placement.choose(self.server.random())];
        worker.load.connections.fetch_add(1, Ordering::Relaxed);
        if worker.inbox.try_send(Incoming { socket, addr, laddr }).is_err() {
            worker.load.connections.fetch_sub(1, Ordering::Relaxed);
            self.server.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
        }
    }
}
