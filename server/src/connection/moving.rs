//! A connection that goes to another worker.
//!
//! It goes between two commands: everything that has come as a whole has been executed and its replies
//! are with the kernel, and what has come of the next command is in the session, which goes along. So
//! the other worker goes on where this one has stopped. The socket leaves this runtime and is registered
//! with the other one, which looks at once whether it is ready; nothing that arrives in between is missed.
//! A signal that arrives in between is kept: the connection leaves with its signal set.
//!
//! The worker it goes to counts it before it is sent, and one that ends waits for all that it counts. A
//! parcel that nobody takes any more comes back.

use super::tls::TlsStream;
use super::{Connection, Stream, serve};
use crate::client::ClientShared;
use crate::runtime::worker::Worker;
use crate::session::Session;
use rustls::ServerConnection;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::{TcpStream, UnixStream};

/// A connection on its way from one worker to another.
#[derive(Debug)]
pub(crate) struct Parcel {
    socket: Socket,
    session: Box<Session>,
}

/// A [`Stream`] that belongs to no runtime.
#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
    Tls(std::net::TcpStream, Box<ServerConnection>, bool),
}

/// A client that others find, and that its worker counts, until this is dropped.
pub(super) struct Presence {
    pub(super) worker: Rc<Worker>,
    pub(super) shared: Arc<ClientShared>,
    /// Only its worker counts it no more.
    pub(super) moves: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if !self.moves {
            self.worker.server.clients.remove(self.shared.id);
            self.worker.server.overload.bytes.forget(&self.shared);
            self.worker.server.tracker().gone(&self.shared);
        }
        self.worker.closed();
    }
}

impl Connection {
    /// Where the connection is to go, if it is asked to and can now. What cannot be sent yet keeps it
    /// for as long as it takes; what the client does ends the request.
    pub(super) fn destination(&self) -> Option<usize> {
        let session = self.session.as_ref()?;
        let unsent = !session.reply.is_empty() || self.stream.has_unsent();
        if unsent || self.shared.inbox.waiting() > 0 {
            return None;
        }
        let to = self.shared.take_destination()?;
        let server = self.worker.server;
        if to == self.worker.index || server.shutdown.requested() {
            return None;
        }
        let may = self.shared.may_move();
        if !may {
            server.placement.counts.stayed.fetch_add(1, Ordering::Relaxed);
        }
        may.then_some(to)
    }

    /// Sends the connection to another worker. It comes back if that has ended; if it can be
    /// registered nowhere, it ends.
    pub(super) fn depart(self, to: usize) -> Option<Connection> {
        let Connection { mut presence, stream, shared, worker, session, .. } = self;
        let (socket, session) = (Socket::from_stream(stream).ok()?, session?);
        let placement = &worker.server.placement;
        // Whatever it was signalled for is looked at when it has arrived.
        shared.signal.notify();
        match placement.send(Parcel { socket, session }, to) {
            Ok(()) => {
                placement.counts.moved.fetch_add(1, Ordering::Relaxed);
                presence.moves = true;
                None
            }
            Err(Parcel { socket, session }) => {
                let stream = socket.into_stream().ok()?;
                Some(Connection::new(presence, stream, session))
            }
        }
    }
}

/// Serves a connection that has come from another worker.
pub(crate) fn arrive(parcel: Parcel, worker: Rc<Worker>) {
    let Parcel { socket, session } = parcel;
    let shared = session.client.shared.clone();
    shared.settle_at(worker.index, worker.server.clock.now());
    match socket.into_stream() {
        Ok(stream) => drop(tokio::task::spawn_local(async move {
            get_known().await;
            serve(stream, session, worker).await;
        })),
        Err(error) => {
            tracing::warn!(id = shared.id, %error, "closing a client: it could not be moved");
            drop(Presence { worker, shared, moves: false });
        }
    }
}

/// Lets the runtime ask the system once. Until then it does not know whether a socket that has just been
/// registered is ready, and whoever reads without waiting, as at a shutdown, finds nothing.
pub(super) async fn get_known() {
    tokio::task::yield_now().await;
}

impl Socket {
    fn from_stream(stream: Stream) -> io::Result<Socket> {
        Ok(match stream {
            Stream::Tcp(socket) => Socket::Tcp(socket.into_std()?),
            Stream::Unix(socket) => Socket::Unix(socket.into_std()?),
            Stream::Tls(stream) => {
                let (socket, records, ended) = stream.into_parts();
                Socket::Tls(socket.into_std()?, Box::new(records), ended)
            }
        })
    }

    fn into_stream(self) -> io::Result<Stream> {
        Ok(match self {
            Socket::Tcp(socket) => Stream::Tcp(TcpStream::from_std(socket)?),
            Socket::Unix(socket) => Stream::Unix(UnixStream::from_std(socket)?),
            Socket::Tls(socket, records, ended) => {
                let socket = TcpStream::from_std(socket)?;
                Stream::Tls(Box::new(TlsStream::from_parts(socket, *records, ended)))
            }
        })
    }
}
