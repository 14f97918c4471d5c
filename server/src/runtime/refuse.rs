//! Turning connections away so that the client learns why.
//!
//! A socket that is closed while something unread lies in it resets the connection, and a reset can
//! overtake the text that says why. So what the client has sent is read first, and as far as there is
//! room the socket is kept until the client has closed its side, for [`PATIENCE`] at most.
//!
//! When there are no descriptors, `accept` fails and the client would wait in the kernel's queue for
//! nothing, while the listener stays ready for ever. A [`Spare`] descriptor, held for this case only,
//! is closed, the client accepted in its place, told and closed again. Somebody else may be quicker to
//! take that place; then the next one that is free is the spare's, before anybody is accepted.

use super::worker::Socket;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const REFUSAL: &[u8] = b"-ERR max number of clients reached\r\n";
/// Sockets of refused clients that are kept at once: half of the descriptors that no client gets.
const KEPT: usize = 16;
/// How long one is kept.
const PATIENCE: Duration = Duration::from_millis(500);
/// Reads of what a refused client has sent, in one go.
const READS: usize = 16;

/// Refuses connections.
#[derive(Clone, Debug)]
pub struct Refusals {
    kept: Arc<Semaphore>,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals { kept: Arc::new(Semaphore::new(KEPT)) }
    }
}

impl Refusals {
    /// Says why, and closes the connection once the client knows.
    pub fn refuse(&self, socket: Socket) {
        let Some(socket) = tell(socket) else { return };
        let Ok(place) = Arc::clone(&self.kept).try_acquire_owned() else { return };
        tokio::task::spawn_local(async move {
            // Whoever goes on sending is cut off.
            let _ = tokio::time::timeout(PATIENCE, until_closed(socket)).await;
            drop(place);
        });
    }
}

/// Says why, and closes the connection at once.
pub fn refuse_at_once(socket: Socket) {
    drop(tell(socket));
}

/// Says why and reads what has come. The socket, if the client has not closed its side. A TLS client
/// could read no text before a handshake, and that is what there is no room for.
fn tell(socket: Socket) -> Option<TcpStream> {
    let mut socket = match socket {
        Socket::Tcp(stream) => stream,
        // Reading, writing and closing are the same for both.
        Socket::Unix(stream) => TcpStream::from(OwnedFd::from(stream)),
        Socket::Tls(_) => return None,
    };
    // The socket's buffer is empty, so the write does not block.
    let told = socket.write_all(REFUSAL).and_then(|()| socket.shutdown(Shutdown::Write));
    (told.is_ok() && !is_read_out(|room| socket.read(room))).then_some(socket)
}

/// Reads what there is; whether nothing more can come.
fn is_read_out(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> bool {
    let mut room = [0; 4096];
    for _ in 0..READS {
        match read(&mut room) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
    false
}

async fn until_closed(socket: TcpStream) -> io::Result<()> {
    let socket = tokio::net::TcpStream::from_std(socket)?;
    loop {
        socket.readable().await?;
        if is_read_out(|room| socket.try_read(room)) {
            return Ok(());
        }
    }
}

/// A descriptor that is held to be given up.
#[derive(Debug)]
pub struct Spare(Option<OwnedFd>);

impl Spare {
    /// A second descriptor of something that is open anyway.
    pub fn of(open: impl AsFd) -> Spare {
        Spare(open.as_fd().try_clone_to_owned().ok())
    }

    /// Makes room for one descriptor; false: there was none to give.
    pub fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Holds one again, if there is room.
    pub fn regain(&mut self, open: impl AsFd) -> io::Result<()> {
        if self.0.is_none() {
            self.0 = Some(open.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }
}
