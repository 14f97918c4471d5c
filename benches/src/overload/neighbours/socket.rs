//! Non-blocking sockets as neighbours need them.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

/// What a socket is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::overload) struct Options {
    /// Bytes the system keeps for a reader, if not its own choice.
    pub(in crate::overload) receive_buffer: Option<usize>,
    /// Closing resets: thousands of closed connections would otherwise hold their ports for a
    /// minute.
    pub(in crate::overload) reset: bool,
}

/// Begins to connect.
pub(in crate::overload) fn open(addr: SocketAddr, options: Options) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if options.reset {
        socket.set_linger(Some(std::time::Duration::ZERO))?;
    }
    match socket.connect(&addr.into()) {
        Err(e) if e.raw_os_error() != Some(EINPROGRESS) => Err(e),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// "Operation now in progress" on Linux.
const EINPROGRESS: i32 = 115;

/// What came of reading or writing once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Later,
    /// The other side is gone.
    Closed,
}

/// Reads once.
pub(super) fn read(stream: &mut TcpStream, room: &mut [u8]) -> Moved {
    match stream.read(room) {
        Ok(0) => Moved::Closed,
        Ok(n) => Moved::Bytes(n),
        Err(e) => not_now(&e),
    }
}

/// Writes once.
pub(super) fn write(stream: &mut TcpStream, bytes: &[u8]) -> Moved {
    match stream.write(bytes) {
        Ok(n) => Moved::Bytes(n),
        Err(e) => not_now(&e),
    }
}

/// One connection that is read and written whenever it can be.
#[derive(Debug)]
pub(super) struct Duplex {
    addr: SocketAddr,
    stream: Option<TcpStream>,
    readable: bool,
    writable: bool,
    /// Whether the server has closed it, or has said something wrong.
    pub(super) broken: bool,
}

impl Duplex {
    pub(super) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None, readable: false, writable: true, broken: false }
    }

    /// Connects unless it is connected.
    pub(super) fn open(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        if self.stream.is_none() {
            let mut stream = open(self.addr, Options::default())?;
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(token), both)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.readable |= event.is_readable();
        self.writable |= event.is_writable();
    }

    /// Reads once, if there may be something; how many bytes.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Option<usize> {
        let stream = self.stream.as_mut().filter(|_| self.readable && !self.broken)?;
        match read(stream, room) {
            Moved::Bytes(n) => return Some(n),
            Moved::Later => self.readable = false,
            Moved::Closed => self.broken = true,
        }
        None
    }

    /// Writes once, if there may be room; how many bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        let stream = self.stream.as_mut().filter(|_| self.writable && !self.broken)?;
        match write(stream, bytes) {
            Moved::Bytes(n) => return Some(n),
            Moved::Later => self.writable = false,
            Moved::Closed => self.broken = true,
        }
        None
    }
}

fn not_now(error: &io::Error) -> Moved {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => Moved::Later,
        _ => Moved::Closed,
    }
}
