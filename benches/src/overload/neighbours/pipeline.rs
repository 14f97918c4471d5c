//! One client that never waits: it keeps a pipeline of so many GETs full.

use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::socket::{Moved, Options, open, read, write};
use super::{Neighbour, Span};
use crate::Outcome;
use crate::overload::traffic::Fixed;

/// Bytes read or written in one turn.
const PORTION: usize = 16 * 1024;

/// The client.
#[derive(Debug)]
pub(in crate::overload) struct Pipeline {
    addr: SocketAddr,
    span: Span,
    depth: u64,
    requests: Periodic,
    replies: Periodic,
    stream: Option<TcpStream>,
    token: usize,
    room: Vec<u8>,
    writable: bool,
    readable: bool,
    /// Whether the server closed the connection or a reply was wrong.
    pub(in crate::overload) broken: bool,
}

/// The same bytes again and again, and how many of them have passed.
#[derive(Debug)]
struct Periodic {
    block: Vec<u8>,
    period: usize,
    passed: u64,
}

impl Periodic {
    fn new(unit: &[u8]) -> Self {
        let block = unit.repeat(PORTION / unit.len() + 2);
        Self { block, period: unit.len(), passed: 0 }
    }

    /// The next `n` bytes, at most a portion.
    fn next(&self, n: usize) -> &[u8] {
        let from = (self.passed % self.period as u64) as usize;
        &self.block[from..from + n.min(PORTION)]
    }

    fn whole(&self) -> u64 {
        self.passed / self.period as u64
    }
}

impl Pipeline {
    /// A client that has `depth` requests on the way during `span`.
    pub(in crate::overload) fn new(
        addr: SocketAddr,
        span: Span,
        depth: u64,
        fixed: &Fixed,
    ) -> Self {
        Self {
            addr,
            span,
            depth,
            requests: Periodic::new(&fixed.bytes),
            replies: Periodic::new(&fixed.reply),
            stream: None,
            token: 0,
            room: vec![0; PORTION],
            writable: true,
            readable: false,
            broken: false,
        }
    }

    /// Requests answered, all of them rightly unless [`Pipeline::broken`].
    pub(in crate::overload) fn answered(&self) -> u64 {
        self.replies.whole()
    }

    fn receive(&mut self, stream: &mut TcpStream) {
        match read(stream, &mut self.room) {
            Moved::Bytes(n) => {
                self.broken |= self.room[..n] != *self.replies.next(n);
                self.replies.passed += n as u64;
            }
            Moved::Later => self.readable = false,
            Moved::Closed => self.broken = true,
        }
    }

    fn send(&mut self, stream: &mut TcpStream) {
        let most = (self.replies.whole() + self.depth) * self.requests.period as u64;
        let left = most.saturating_sub(self.requests.passed).min(PORTION as u64) as usize;
        if left == 0 {
            return;
        }
        match write(stream, self.requests.next(left)) {
            Moved::Bytes(n) => self.requests.passed += n as u64,
            Moved::Later => self.writable = false,
            Moved::Closed => self.broken = true,
        }
    }
}

impl Neighbour for Pipeline {
    fn begin(&mut self, _: &Registry, token: usize) -> Outcome<()> {
        self.token = token;
        Ok(())
    }

    fn turn(&mut self, registry: &Registry, now: Duration) -> Outcome<()> {
        if self.broken || !self.span.holds(now) {
            self.stream = None;
            return Ok(());
        }
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let mut stream = open(self.addr, Options::default())?;
                let both = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut stream, Token(self.token), both)?;
                stream
            }
        };
        if self.readable {
            self.receive(&mut stream);
        }
        if self.writable && !self.broken {
            self.send(&mut stream);
        }
        self.stream = Some(stream);
        Ok(())
    }

    fn event(&mut self, _: usize, event: &Event, _: Duration) -> Outcome<()> {
        self.readable |= event.is_readable();
        self.writable |= event.is_writable();
        Ok(())
    }
}
