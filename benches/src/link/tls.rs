//! TLS over a non-blocking socket, to be read and written like one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};

use crate::Outcome;
use crate::tls::connection;

/// A server that does not shake hands within this time will not.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session after its handshake.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: TcpStream,
    session: ClientConnection,
}

impl TlsStream {
    /// Connects and shakes hands, which no load is charged with: it begins afterwards.
    pub(super) fn connect(addr: SocketAddr, config: &Arc<ClientConfig>) -> Outcome<Self> {
        let mut socket = std::net::TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut session = connection(config)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpStream::from_std(socket), session })
    }

    /// What is to be waited for.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether enciphered bytes wait for the socket.
    pub(super) fn holds_bytes(&self) -> bool {
        self.session.wants_write()
    }
}

impl Read for TlsStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(room) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for TlsStream {
    /// Enciphers as much as the session takes at once, and sends of it what the socket takes; the
    /// rest goes with the next write or flush.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}
