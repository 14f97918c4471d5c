//! What a [`Link`](super::Link) is made over: a TCP connection, a unix socket, or TLS.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Poll, Token};

use super::tls::TlsStream;
use crate::Outcome;
use crate::peer::Target;

/// A connected, non-blocking stream.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    pub(super) fn connect(target: &Target) -> Outcome<Self> {
        Ok(match target {
            Target::Tcp(addr) => Self::tcp(*addr)?,
            Target::Unix(path) => {
                let stream = StdUnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Self::Unix(UnixStream::from_std(stream))
            }
            Target::Tls(addr, config) => Self::Tls(Box::new(TlsStream::connect(*addr, config)?)),
        })
    }

    pub(super) fn tcp(addr: SocketAddr) -> Outcome<Self> {
        let stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpStream::from_std(stream)))
    }

    /// Asks for edge-triggered readiness under `token`.
    pub(super) fn register(&mut self, poll: &Poll, token: usize) -> Outcome<()> {
        let (registry, token) = (poll.registry(), Token(token));
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, interest)?,
            Self::Unix(stream) => registry.register(stream, token, interest)?,
            Self::Tls(stream) => registry.register(stream.socket(), token, interest)?,
        }
        Ok(())
    }

    /// Whether a read that leaves room says that the socket is empty; a TLS session reads as much as
    /// it likes of the socket and gives what it has deciphered.
    pub(super) fn short_reads_are_last(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Whether bytes that were taken by [`Write::write`] still wait for the socket.
    pub(super) fn holds_bytes(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(stream) => stream.holds_bytes(),
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(room),
            Self::Unix(stream) => stream.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
