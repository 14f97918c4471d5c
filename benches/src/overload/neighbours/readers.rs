//! Many clients that ask for more than they read.
//!
//! Each asks for a big value several times at once. Half of them never read; the others share a
//! small bandwidth. Their sockets hold little, so what is not read has to stay with the server,
//! or not to be made.

use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;
use mio::event::Event;
use mio::net::TcpStream;

use super::socket::{Moved, Options, open, read, write};
use super::{Neighbour, Span};
use crate::Outcome;

/// Bytes read in one turn.
const PORTION: usize = 16 * 1024;

/// The clients.
#[derive(Debug)]
pub(in crate::overload) struct Readers {
    addr: SocketAddr,
    span: Span,
    count: usize,
    request: Vec<u8>,
    /// Bytes per second all that read at all read together.
    bandwidth: f64,
    /// A closed one is gone.
    clients: Vec<Option<TcpStream>>,
    asked: usize,
    turn: usize,
    room: Vec<u8>,
    /// Bytes read.
    pub(in crate::overload) received: u64,
}

impl Readers {
    /// So many clients, sending `request` each; `bandwidth` is that of those that read.
    pub(in crate::overload) fn new(
        addr: SocketAddr,
        span: Span,
        count: usize,
        request: Vec<u8>,
        bandwidth: f64,
    ) -> Self {
        let (clients, room) = (Vec::new(), vec![0; PORTION]);
        Self {
            addr,
            span,
            count,
            request,
            bandwidth,
            clients,
            asked: 0,
            turn: 0,
            room,
            received: 0,
        }
    }

    /// The next client asks.
    fn ask(&mut self) {
        if let Some(Some(stream)) = self.clients.get_mut(self.asked) {
            match write(stream, &self.request) {
                Moved::Later => return,
                Moved::Bytes(_) => {}
                Moved::Closed => self.clients[self.asked] = None,
            }
        }
        self.asked += 1;
    }

    /// The next client of those that read reads a little.
    fn read(&mut self) {
        // Every other one reads.
        self.turn = (self.turn + 2) % self.count.max(2);
        if let Some(Some(stream)) = self.clients.get_mut(self.turn) {
            match read(stream, &mut self.room) {
                Moved::Bytes(n) => self.received += n as u64,
                Moved::Later => {}
                Moved::Closed => self.clients[self.turn] = None,
            }
        }
    }
}

impl Neighbour for Readers {
    fn begin(&mut self, _: &Registry, _: usize) -> Outcome<()> {
        let options = Options { receive_buffer: Some(PORTION), ..Options::default() };
        for _ in 0..self.count {
            self.clients.push(Some(open(self.addr, options)?));
        }
        Ok(())
    }

    fn turn(&mut self, _: &Registry, now: Duration) -> Outcome<()> {
        if now >= self.span.until {
            // One at a time: what a closed socket holds has to be freed.
            self.clients.pop();
        }
        if !self.span.holds(now) {
            return Ok(());
        }
        if self.asked < self.count {
            self.ask();
        }
        let passed = (now - self.span.from).as_secs_f64();
        if (self.received as f64) < passed * self.bandwidth {
            self.read();
        }
        Ok(())
    }

    fn event(&mut self, _: usize, _: &Event, _: Duration) -> Outcome<()> {
        Ok(())
    }
}
