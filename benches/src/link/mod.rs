//! A non-blocking connection of a load: bytes to be sent, bytes received, replies scanned.

mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Poll};

use self::stream::Stream;
use crate::Outcome;
use crate::peer::Target;
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
    stream: Stream,
    /// Requests, of which `sent` bytes have gone out.
    pub(crate) out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl Link {
    /// Connects over TCP and registers for edge-triggered readiness under `token`.
    pub(crate) fn connect(addr: SocketAddr, poll: &Poll, token: usize) -> Outcome<Self> {
        Self::over(Stream::tcp(addr)?, poll, token)
    }

    /// The same over whatever `target` is reached by.
    pub(crate) fn to(target: &Target, poll: &Poll, token: usize) -> Outcome<Self> {
        Self::over(Stream::connect(target)?, poll, token)
    }

    fn over(mut stream: Stream, poll: &Poll, token: usize) -> Outcome<Self> {
        stream.register(poll, token)?;
        Ok(Self { stream, out: Vec::new(), sent: 0, input: vec![0; ROOM], start: 0, end: 0 })
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn has_unsent(&self) -> bool {
        self.sent < self.out.len() || self.stream.holds_bytes()
    }

    /// Forgets what was sent; called with nothing unsent.
    pub(crate) fn clear_out(&mut self) {
        self.out.clear();
        self.sent = 0;
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        match self.stream.flush() {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e.into()),
            _ => Ok(()),
        }
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
                Ok(n == room || !self.stream.short_reads_are_last())
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
