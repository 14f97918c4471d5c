//! `floor`: a server that counts commands and answers each with a constant.
//!
//! It parses nothing, keeps nothing and looks nothing up: what it costs is what the system asks
//! for a socket that is waited for, read and written once per batch. No server that is driven
//! by readiness can be cheaper, so a ratio to a peer that is better than the floor's is out of
//! reach, and what is left above it is the server's own. For values so large that the bytes are what
//! counts, [`LARGE`], it is told their length, and what it answers is as long.

mod large;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use self::large::{Client, Shape};
use crate::Outcome;

/// The answer to everything; a client that begins with PING takes it for a server.
const ANSWER: &[u8] = b"+PONG\r\n";
/// From so many bytes on `compare` tells the floor the length of values.
pub const LARGE: usize = 4096;
const LISTENER: Token = Token(usize::MAX);
/// Bytes of one read, as much as a server reads at once.
const READ: usize = 64 * 1024;

/// Serves 127.0.0.1 until the process ends, GETs with values of `value` bytes if given.
///
/// # Errors
///
/// When the port is taken or the system refuses to poll.
pub fn run(port: u16, value: Option<usize>) -> Outcome<()> {
    let mut shape = value.map(Shape::new);
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut streams: HashMap<usize, (TcpStream, Client)> = HashMap::new();
    let (mut next, mut events) = (0, Events::with_capacity(1024));
    let (mut room, mut answers) = (vec![0; READ], Vec::new());
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let interest = match shape {
                        None => Interest::READABLE,
                        Some(_) => Interest::READABLE | Interest::WRITABLE,
                    };
                    poll.registry().register(&mut stream, Token(next), interest)?;
                    streams.insert(next, (stream, Client::default()));
                    next += 1;
                }
            } else if let Some((stream, client)) = streams.get_mut(&event.token().0) {
                let open = match &mut shape {
                    None => serve(stream, &mut room, &mut answers),
                    Some(shape) => client.serve(stream, shape, &mut room),
                };
                if !open {
                    streams.remove(&event.token().0);
                }
            }
        }
    }
}

/// Reads what there is and answers it; false at the end of the connection.
fn serve(stream: &mut TcpStream, room: &mut [u8], answers: &mut Vec<u8>) -> bool {
    loop {
        let read = match stream.read(room) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let wanted = commands(&room[..read]) * ANSWER.len();
        while answers.len() < wanted {
            answers.extend_from_slice(ANSWER);
        }
        // A client that does not take its answers is not one of a benchmark.
        if stream.write_all(&answers[..wanted]).is_err() {
            return false;
        }
        if read < room.len() {
            return true;
        }
    }
}

/// Commands that begin in `bytes`: arrays, or lines where there is none.
fn commands(bytes: &[u8]) -> usize {
    let count = |byte: u8| bytes.iter().filter(|b| **b == byte).count();
    match bytes.first() {
        Some(b'P') => count(b'\n'),
        _ => count(b'*'),
    }
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn commands_are_counted_where_they_begin() {
        assert_eq!(commands(b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), 2);
        assert_eq!(commands(b"PING\r\nPING\r\nPING\r\n"), 3);
        assert_eq!(commands(b"$3\r\nGET\r\n"), 0);
    }
}
