//! Accepting connections and placing them on workers.
//!
//! Each listener has one task, all of them on the first worker. [`crate::placement`] says which worker
//! a new connection goes to.

use super::doors::Door;
use super::listen::{self, UnixSocket};
use super::worker::{Incoming, Socket, WorkerHandle};
use crate::server::Server;
use std::io::{self, Write};
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
        let mut stop = self.server.shutdown.watch();
        tokio::select! {
            end = self.accept_all(listener) => end,
            () = stop.requested() => Ok(()),
        }
    }

    async fn accept_all(&self, listener: Listener) -> io::Result<()> {
        match listener {
            Listener::Tcp(door) => self.accept_tcp(door, Socket::Tcp).await,
            Listener::Tls(door) => self.accept_tcp(door, Socket::Tls).await,
            Listener::Unix(socket) => {
                let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
                let name = format!("{}:0", socket.path().display());
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
        door: Arc<Door>,
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
                Ok((stream, peer)) => {
                    let stream = stream.into_std()?;
                    let keepalive = self.server.settings().tcp_keepalive;
                    // An option that cannot be set is no reason to refuse the client.
                    let _ = listen::prepare_tcp(&stream, keepalive);
                    let laddr = stream
                        .local_addr()
                        .map_or_else(|_| "?:0".to_owned(), |addr| addr.to_string());
                    self.place(kind(stream), peer.to_string(), laddr);
                }
                Err(error) => failed(&error).await,
            }
        }
    }

    fn place(&self, socket: Socket, addr: String, laddr: String) {
        let connected: usize =
            self.workers.iter().map(|w| w.load.connections.load(Ordering::Relaxed)).sum();
        if connected >= self.server.max_clients() {
            self.server.stats.rejected_connections.fetch_add(1, Ordering::Relaxed);
            refuse(socket);
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
