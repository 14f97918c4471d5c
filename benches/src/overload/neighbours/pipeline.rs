//! One client that never waits: it keeps a pipeline of so many GETs full.

use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;
use mio::event::Event;

use super::socket::Duplex;
use super::{Neighbour, Span};
use crate::Outcome;
use crate::overload::traffic::Fixed;

/// Bytes read or written in one turn.
const PORTION: usize = 16 * 1024;

/// The client.
#[derive(Debug)]
pub(in crate::overload) struct Pipeline {
    link: Duplex,
    span: Span,
    depth: u64,
    requests: Periodic,
    replies: Periodic,
    token: usize,
    room: Vec<u8>,
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
            link: Duplex::new(addr),
            span,
            depth,
            requests: Periodic::new(&fixed.bytes),
            replies: Periodic::new(&fixed.reply),
            token: 0,
            room: vec![0; PORTION],
        }
    }

    /// Whether the server closed the connection or a reply was wrong.
    pub(in crate::overload) fn broken(&self) -> bool {
        self.link.broken
    }

    /// Requests answered, all of them rightly unless [`Pipeline::broken`].
    pub(in crate::overload) fn answered(&self) -> u64 {
        self.replies.whole()
    }

    fn receive(&mut self) {
        if let Some(n) = self.link.read(&mut self.room) {
            self.link.broken |= self.room[..n] != *self.replies.next(n);
            self.replies.passed += n as u64;
        }
    }

    fn send(&mut self) {
        let most = (self.replies.whole() + self.depth) * self.requests.period as u64;
        let left = most.saturating_sub(self.requests.passed).min(PORTION as u64) as usize;
        if left > 0
            && let Some(n) = self.link.write(self.requests.next(left))
        {
            self.requests.passed += n as u64;
        }
    }
}

impl Neighbour for Pipeline {
    fn begin(&mut self, _: &Registry, token: usize) -> Outcome<()> {
        self.token = token;
        Ok(())
    }

    fn turn(&mut self, registry: &Registry, now: Duration) -> Outcome<()> {
        if self.link.broken || !self.span.holds(now) {
            self.link.close();
            return Ok(());
        }
        self.link.open(registry, self.token)?;
        self.receive();
        self.send();
        Ok(())
    }

    fn event(&mut self, _: usize, event: &Event, _: Duration) -> Outcome<()> {
        self.link.event(event);
        Ok(())
    }
}
