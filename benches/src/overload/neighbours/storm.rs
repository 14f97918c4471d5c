//! Thousands of new connections per second, each for one PING, by clients that give up.
//!
//! They arrive as a Poisson process. A client that has not got its reply in time closes, which is
//! also what it does when it has got it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;

use super::socket::{Moved, Options, open, read, write};
use super::tls::{Hello, Progress, TlsClient};
use super::{Neighbour, Span};
use crate::Outcome;
use crate::rng::Rng;

/// Clients begun in one turn.
const PORTION: usize = 1;
const PING: &[u8] = b"PING\r\n";

/// What a client of the storm does first.
#[derive(Clone, Debug)]
pub(in crate::overload) enum Handshake {
    /// Nothing: PING at once.
    Plain,
    /// The whole handshake of TLS.
    Tls(Arc<ClientConfig>),
    /// Only the first message of it.
    Hello(Hello),
}

enum State {
    /// What is to be sent next.
    Plain(&'static [u8]),
    Tls(Box<TlsClient>),
    Hello(usize),
}

struct Attempt {
    stream: TcpStream,
    state: State,
    /// When the client came.
    due: Duration,
    id: u64,
}

/// The clients.
pub(in crate::overload) struct Storm {
    addr: SocketAddr,
    span: Span,
    rate: f64,
    patience: Duration,
    handshake: Handshake,
    rng: Rng,
    token: usize,
    next: Duration,
    attempts: Vec<Option<Attempt>>,
    free: Vec<usize>,
    /// Clients in the order of their coming.
    begun: VecDeque<(Duration, usize, u64)>,
    /// Clients that came.
    pub(in crate::overload) came: u64,
    /// Those that got their reply.
    pub(in crate::overload) served: u64,
    /// Those that gave up.
    pub(in crate::overload) gave_up: u64,
    /// Those that were refused or reset.
    pub(in crate::overload) refused: u64,
    /// How long those served waited, in nanoseconds.
    pub(in crate::overload) latency: Histogram<u64>,
}

impl Storm {
    /// So many clients per second during `span`.
    pub(in crate::overload) fn new(
        addr: SocketAddr,
        span: Span,
        rate: f64,
        patience: Duration,
        handshake: Handshake,
    ) -> Self {
        Self {
            addr,
            span,
            rate,
            patience,
            handshake,
            rng: Rng::new(rate as u64),
            token: 0,
            next: span.from,
            attempts: Vec::new(),
            free: Vec::new(),
            begun: VecDeque::new(),
            came: 0,
            served: 0,
            gave_up: 0,
            refused: 0,
            latency: Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds"),
        }
    }

    fn begin_one(&mut self, registry: &Registry, now: Duration) -> Outcome<()> {
        let due = self.next;
        self.next += Duration::from_secs_f64(self.rng.exponential(1.0 / self.rate));
        self.came += 1;
        let state = match &self.handshake {
            Handshake::Plain => State::Plain(PING),
            Handshake::Tls(config) => State::Tls(Box::new(TlsClient::new(config)?)),
            Handshake::Hello(_) => State::Hello(0),
        };
        // No port, no descriptor: the clients' own trouble, but they are not served.
        let Ok(mut stream) = open(self.addr, Options { reset: true, ..Options::default() }) else {
            self.refused += 1;
            return Ok(());
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.attempts.push(None);
            self.attempts.len() - 1
        });
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(self.token + slot), both)?;
        self.attempts[slot] = Some(Attempt { stream, state, due, id: self.came });
        self.begun.push_back((due, slot, self.came));
        self.go_on(slot, now);
        Ok(())
    }

    fn go_on(&mut self, slot: usize, now: Duration) {
        let Some(attempt) = self.attempts.get_mut(slot).and_then(Option::as_mut) else { return };
        let stream = &mut attempt.stream;
        let progress = match &mut attempt.state {
            State::Plain(rest) => plain(stream, rest),
            State::Tls(client) => client.go_on(stream),
            State::Hello(sent) => match &self.handshake {
                Handshake::Hello(hello) => greet(stream, &hello.0, sent),
                _ => Progress::Failed,
            },
        };
        match progress {
            Progress::Waiting => return,
            Progress::Done => {
                self.served += 1;
                let took = now.saturating_sub(attempt.due).as_nanos() as u64;
                self.latency.saturating_record(took.max(1));
            }
            Progress::Failed => self.refused += 1,
        }
        self.attempts[slot] = None;
        self.free.push(slot);
    }

    /// Those whose patience is over go.
    fn give_up(&mut self, now: Duration) {
        while let Some(&(due, slot, id)) = self.begun.front() {
            if now < due + self.patience {
                break;
            }
            self.begun.pop_front();
            if self.attempts[slot].as_ref().is_some_and(|attempt| attempt.id == id) {
                self.attempts[slot] = None;
                self.free.push(slot);
                self.gave_up += 1;
            }
        }
    }
}

/// Sends PING, waits for PONG.
fn plain(stream: &mut TcpStream, rest: &mut &'static [u8]) -> Progress {
    while !rest.is_empty() {
        match write(stream, rest) {
            Moved::Bytes(n) => *rest = &rest[n..],
            Moved::Later => return Progress::Waiting,
            Moved::Closed => return Progress::Failed,
        }
    }
    let mut reply = [0; 64];
    match read(stream, &mut reply) {
        Moved::Bytes(n) if reply[..n] == *b"+PONG\r\n" => Progress::Done,
        Moved::Later => Progress::Waiting,
        _ => Progress::Failed,
    }
}

/// Sends the first message and lets the server wait.
fn greet(stream: &mut TcpStream, hello: &[u8], sent: &mut usize) -> Progress {
    while *sent < hello.len() {
        match write(stream, &hello[*sent..]) {
            Moved::Bytes(n) => *sent += n,
            Moved::Later => return Progress::Waiting,
            Moved::Closed => return Progress::Failed,
        }
    }
    Progress::Waiting
}

impl Neighbour for Storm {
    fn begin(&mut self, _: &Registry, token: usize) -> Outcome<()> {
        self.token = token;
        Ok(())
    }

    fn turn(&mut self, registry: &Registry, now: Duration) -> Outcome<()> {
        for _ in 0..PORTION {
            if self.next > now || self.next >= self.span.until {
                break;
            }
            self.begin_one(registry, now)?;
        }
        self.give_up(now);
        Ok(())
    }

    fn event(&mut self, token: usize, _: &Event, now: Duration) -> Outcome<()> {
        self.go_on(token, now);
        Ok(())
    }
}
