//! Non-blocking sockets as neighbours need them.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

/// What a socket is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Bytes the system keeps for a reader, if not its own choice.
    pub(super) receive_buffer: Option<usize>,
    /// Closing resets: thousands of closed connections would otherwise hold their ports for a
    /// minute.
    pub(super) reset: bool,
}

/// Begins to connect.
pub(super) fn open(addr: SocketAddr, options: Options) -> io::Result<TcpStream> {
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

fn not_now(error: &io::Error) -> Moved {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => Moved::Later,
        _ => Moved::Closed,
    }
}
