//! Accepting connections and placing them on workers.
//!
//! Each listener has one task, all of them on the first worker. A new connection goes to the less
//! loaded of two workers drawn at random ("power of two choices"): with the few connections of a
//! sidecar that is far more even than SO_REUSEPORT's hash of addresses.

use super::doors::Door;
use super::listen::{self, UnixSocket};
use super::worker::{Incoming, Socket, WorkerHandle};
use crate::server::Server;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tracing::warn;

/// Pause after a failed accept (no descriptors left): the listener would be ready at once again.
const BACK_OFF: Duration = Duration::from_millis(50);
const REFUSAL: &[u8] = b"-ERR max number of clients reached\r\n";

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
    /// Whether it is the supervisor's: then its queue waits for the next process.
    fn is_inherited(&self) -> bool {
        match self {
            Listener::Tcp(door) | Listener::Tls(door) => door.is_inherited(),
            Listener::Unix(socket) => socket.is_inherited(),
        }
    }
}

/// Places accepted connections.
#[derive(Clone)]
pub struct Acceptor {
    /// The server.
    pub server: &'static Server,
    /// The workers.
    pub workers: Vec<WorkerHandle>,
}

impl Acceptor {
    /// Accepts from all these listeners, and from those which come while the server runs.
    pub async fn accept_from(self, mut listeners: mpsc::UnboundedReceiver<Listener>) {
        while let Some(listener) = listeners.recv().await {
            tokio::task::spawn_local(self.clone().accept(listener));
        }
    }

    /// Accepts until shutdown, or until the listener is closed.
    async fn accept(self, listener: Listener) -> io::Result<()> {
        let _open = self.server.shutdown.open_door();
        let mut stop = self.server.shutdown.watch();
        tokio::select! {
            end = self.accept_all(&listener) => end,
            () = stop.draining() => {
                if !listener.is_inherited() {
                    self.accept_rest(&listener);
                }
                Ok(())
            }
        }
    }

    /// Lets in who stands at the door when it is to be closed: the kernel has told them that they are
    /// connected, and would reset them.
    fn accept_rest(&self, listener: &Listener) {
        for _ in 0..self.server.settings().tcp_backlog.saturating_add(1) {
            let accepted = match listener {
                Listener::Tcp(door) => self.accept_one(door, Socket::Tcp),
                Listener::Tls(door) => self.accept_one(door, Socket::Tls),
                Listener::Unix(socket) => socket.listener.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    let name = name_of(socket);
                    self.place(Socket::Unix(stream), name.clone(), name);
                    Ok(())
                }),
            };
            match accepted {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A connection that is gone already; the next one may not be.
                _ => {}
            }
        }
        if let Listener::Tcp(door) | Listener::Tls(door) = listener {
            door.close();
        }
    }

    fn accept_one(&self, door: &Door, kind: fn(std::net::TcpStream) -> Socket) -> io::Result<()> {
        let (stream, peer) = door.socket().accept()?;
        self.admit(stream, peer, kind);
        Ok(())
    }

    async fn accept_all(&self, listener: &Listener) -> io::Result<()> {
        match listener {
            Listener::Tcp(door) => self.accept_tcp(door, Socket::Tcp).await,
            Listener::Tls(door) => self.accept_tcp(door, Socket::Tls).await,
            Listener::Unix(socket) => {
                let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
                let name = name_of(socket);
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            let stream = stream.into_std()?;
                            self.place(Socket::Unix(stream), name.clone(), name.clone());
                        }
                        Err(error) => failed(&error).await,
                    }
                }
            }
        }
    }

    async fn accept_tcp(
        &self,
        door: &Door,
        kind: fn(std::net::TcpStream) -> Socket,
    ) -> io::Result<()> {
        let listener = door.listener()?;
        loop {
            let accepted = tokio::select! {
                biased;
                () = door.closed() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream.into_std()?, peer, kind),
                Err(error) => failed(&error).await,
            }
        }
    }

    fn admit(
        &self,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        kind: fn(std::net::TcpStream) -> Socket,
    ) {
        let keepalive = self.server.settings().tcp_keepalive;
        // An option that cannot be set is no reason to refuse the client.
        let _ = listen::prepare_tcp(&stream, keepalive);
        let laddr = stream.local_addr().map_or_else(|_| "?:0".to_owned(), |addr| addr.to_string());
        self.place(kind(stream), peer.to_string(), laddr);
    }

    fn place(&self, socket: Socket, addr: String, laddr: String) {
        let connected: usize =
            self.workers.iter().map(|w| w.load.connections.load(Ordering::Relaxed)).sum();
        if connected >= self.server.max_clients() {
            self.server.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
            refuse(socket);
            return;
        }
        let worker = self.choose();
        worker.load.connections.fetch_add(1, Ordering::Relaxed);
        if worker.inbox.try_send(Incoming { socket, addr, laddr }).is_err() {
            worker.load.connections.fetch_sub(1, Ordering::Relaxed);
            self.server.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn choose(&self) -> &WorkerHandle {
        let count = self.workers.len();
        let random = self.server.random();
        let first = (random & 0xffff_ffff) as usize % count;
        let second = (random >> 32) as usize % count;
        let load = |i: usize| self.workers[i].load.connections.load(Ordering::Relaxed);
        // Of two equal ones the lower index would fill up first: draw decides already.
        if load(second) < load(first) { &self.workers[second] } else { &self.workers[first] }
    }
}

fn name_of(socket: &UnixSocket) -> String {
    format!("{}:0", socket.path().display())
}

async fn failed(error: &io::Error) {
    warn!(%error, "accepting a connection failed");
    tokio::time::sleep(BACK_OFF).await;
}

/// Says why and closes. The socket's buffer is empty, so the write does not block. A TLS client
/// could read no text before a handshake, and that is what there is no room for.
fn refuse(socket: Socket) {
    let _ = match socket {
        Socket::Tcp(mut stream) => stream.write_all(REFUSAL),
        Socket::Unix(mut stream) => stream.write_all(REFUSAL),
        Socket::Tls(_) => Ok(()),
    };
}
