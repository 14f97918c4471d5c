//! A non-blocking connection of a load: bytes to be sent, bytes received, replies scanned.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Outcome;
use crate::scan::{Reply, Scan, Wire, scan};

/// Smallest receive buffer; it doubles when one reply does not fit.
const ROOM: usize = 64 * 1024;

/// Waits for events, also over a time in which the process was stopped.
pub(crate) fn wait(poll: &mut Poll, events: &mut Events, limit: Duration) -> Outcome<()> {
    loop {
        match poll.poll(events, Some(limit)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Ok(done?),
        }
    }
}

/// A connection with its buffers.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// Requests, of which `sent` bytes have gone out.
    pub(crate) out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl Link {
    /// Connects and registers for edge-triggered readiness under `token`.
    pub(crate) fn connect(addr: SocketAddr, poll: &Poll, token: usize) -> Outcome<Self> {
        let stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(token), interest)?;
        Ok(Self { stream, out: Vec::new(), sent: 0, input: vec![0; ROOM], start: 0, end: 0 })
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.out.len()
    }

    /// Forgets what was sent; called with nothing unsent.
    pub(crate) fn clear_out(&mut self) {
        self.out.clear();
        self.sent = 0;
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        while self.has_unsent() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Reads once; true when there may be more to read.
    pub(crate) fn receive(&mut self) -> Outcome<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.input.len() && self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.end == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        let room = self.input.len() - self.end;
        match self.stream.read(&mut self.input[self.end..]) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(n) => {
                self.end += n;
                // Edge-triggered: a read that did not fill the room has emptied the socket.
                Ok(n == room)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes the next whole reply out of what was received.
    #[inline]
    pub(crate) fn next_reply(&mut self, wire: Wire) -> Outcome<Option<Reply<'_>>> {
        Ok(self.next_raw(wire)?.map(|(reply, _)| reply))
    }

    /// The same, with the reply's bytes.
    #[inline]
    pub(crate) fn next_raw(&mut self, wire: Wire) -> Outcome<Option<(Reply<'_>, &[u8])>> {
        if self.start == self.end {
            return Ok(None);
        }
        let bytes = &self.input[self.start..self.end];
        match scan(wire, bytes) {
            Scan::Whole(reply, used) => {
                self.start += used;
                Ok(Some((reply, &bytes[..used])))
            }
            Scan::Partial => Ok(None),
            Scan::Broken => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
                Err(format!("not a reply: {text:?}").into())
            }
        }
    }
}
