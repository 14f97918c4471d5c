//! One client that moves a huge value there and back, again and again.

use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;
use mio::event::Event;

use super::socket::Duplex;
use super::{Neighbour, Span};
use crate::Outcome;

/// Bytes read or written in one turn.
const PORTION: usize = 16 * 1024;
const BODY: [u8; PORTION] = [b'v'; PORTION];

/// Where the client is with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Sending SET; so many bytes of the request have gone.
    Setting(usize),
    /// Waiting for its reply.
    Stored,
    /// Sending GET.
    Asking(usize),
    /// Receiving the value; so many bytes of the reply have come.
    Getting(usize),
}

/// The client.
#[derive(Debug)]
pub(in crate::overload) struct Mover {
    link: Duplex,
    span: Span,
    size: usize,
    head: Vec<u8>,
    ask: Vec<u8>,
    /// The reply to GET up to the value.
    header: Vec<u8>,
    step: Step,
    token: usize,
    room: Vec<u8>,
    /// Bytes of values moved.
    pub(in crate::overload) moved: u64,
}

impl Mover {
    /// A client that moves `size` bytes at a time during `span`.
    pub(in crate::overload) fn new(addr: SocketAddr, span: Span, size: usize) -> Self {
        Self {
            link: Duplex::new(addr),
            span,
            size,
            head: format!("*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n${size}\r\n").into_bytes(),
            ask: b"*2\r\n$3\r\nGET\r\n$4\r\nhuge\r\n".to_vec(),
            header: format!("${size}\r\n").into_bytes(),
            step: Step::Setting(0),
            token: 0,
            room: vec![0; PORTION],
            moved: 0,
        }
    }

    /// Whether the server closed the connection or a reply was wrong.
    pub(in crate::overload) fn broken(&self) -> bool {
        self.link.broken
    }

    /// What follows `at` in the bytes made of a head, the value and CRLF; empty at the end.
    fn piece(head: &[u8], size: usize, at: usize) -> &[u8] {
        match at {
            at if at < head.len() => &head[at..],
            at if at < head.len() + size => &BODY[..PORTION.min(head.len() + size - at)],
            at => b"\r\n".get(at - head.len() - size..).unwrap_or_default(),
        }
    }

    fn send(&mut self) {
        let piece = match self.step {
            Step::Setting(at) => Self::piece(&self.head, self.size, at),
            Step::Asking(at) => &self.ask[at..],
            Step::Stored | Step::Getting(_) => return,
        };
        let Some(n) = self.link.write(piece) else { return };
        self.step = match self.step {
            Step::Setting(at) if at + n == self.head.len() + self.size + 2 => Step::Stored,
            Step::Setting(at) => Step::Setting(at + n),
            Step::Asking(at) if at + n == self.ask.len() => Step::Getting(0),
            Step::Asking(at) => Step::Asking(at + n),
            step => step,
        };
        if matches!(self.step, Step::Setting(_) | Step::Stored) {
            self.moved += n as u64;
        }
    }

    fn receive(&mut self) {
        let Some(n) = self.link.read(&mut self.room) else { return };
        match self.step {
            Step::Stored if self.room[..n] == *b"+OK\r\n" => self.step = Step::Asking(0),
            Step::Getting(at) => self.take(at, n),
            _ => self.link.broken = true,
        }
    }

    /// Compares `n` bytes of the value's reply, from `at` on.
    fn take(&mut self, mut at: usize, n: usize) {
        let mut seen = 0;
        while seen < n && !self.link.broken {
            let piece = Self::piece(&self.header, self.size, at);
            let step = piece.len().min(n - seen);
            self.link.broken = step == 0 || piece[..step] != self.room[seen..seen + step];
            seen += step;
            at += step;
        }
        self.moved += n as u64;
        let whole = self.header.len() + self.size + 2;
        self.step = if at == whole { Step::Setting(0) } else { Step::Getting(at) };
    }
}

impl Neighbour for Mover {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_make_the_request() {
        let head = b"head".to_vec();
        let (size, mut at, mut all) = (PORTION + 3, 0, Vec::new());
        loop {
            let piece = Mover::piece(&head, size, at);
            if piece.is_empty() {
                break;
            }
            all.extend_from_slice(piece);
            at += piece.len();
        }
        assert_eq!(all.len(), head.len() + size + 2);
        assert!(all.starts_with(b"headv") && all.ends_with(b"v\r\n"));
    }
}
