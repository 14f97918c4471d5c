//! The open-loop load: requests have planned times, whatever the server does.
//!
//! Arrivals are planned ahead, at a fixed rate or as a Poisson process, and dealt to the connections
//! in turn. A request whose time has come is handed to its socket at the next turn of the loop, even
//! while earlier ones are unanswered; its latency is **reply minus planned time** (wrk2's rule), so
//! a stall is felt by every request that should have been sent meanwhile. The loop polls without
//! sleeping; its own longest pause is reported, because no latency below it means anything.
//!
//! Actions are requests sent once, at a given time, over a connection of their own: the command
//! whose side effects are looked for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::Outcome;
use crate::link::{Link, wait};
use crate::load::{Keys, Tally, wheel};
use crate::request::{Op, Requests, Ttl, ValueSize};
use crate::rng::{Rng, Zipf};
use crate::scan::Wire;

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    Fixed,
    /// As a Poisson process.
    Poisson,
}

/// An open-loop load.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Requests per second.
    pub rate: f64,
    /// Requests that arrive together on one connection.
    pub pipeline: u32,
    /// Spacing of the arrivals.
    pub arrivals: Arrivals,
    /// Requests in all.
    pub ops: u64,
    /// Connections.
    pub connections: usize,
    /// Requests and their shares.
    pub mix: Vec<(Op, u32)>,
    /// Key numbers are below this.
    pub key_space: u64,
    /// How they are drawn.
    pub keys: Keys,
    /// Lengths of values.
    pub size: ValueSize,
    /// Lifetime of values.
    pub ttl: Ttl,
    /// Sent once each, at these times after the start.
    pub actions: Vec<(Duration, Vec<u8>)>,
    /// A request answered later than this counts as failed.
    pub deadline: Duration,
    /// Seed of everything random.
    pub seed: u64,
}

/// What came of an open-loop load.
#[derive(Clone, Debug)]
pub struct Result {
    /// Counts and latencies (from the planned times).
    pub tally: Tally,
    /// When, after the start, the request with the slowest reply was due.
    pub slowest_at: Duration,
    /// Replies later than the deadline.
    pub late: u64,
    /// Slowest reply per tenth of a second in which requests were due.
    pub timeline: Vec<Duration>,
    /// Longest time the generator itself was away from its loop.
    pub own_pause: Duration,
    /// How long each action took to be answered, and the answer if it was an error.
    pub actions: Vec<(Duration, Option<String>)>,
}

struct Conn {
    link: Link,
    /// Planned times of the unanswered requests, in ns after the start.
    planned: VecDeque<u64>,
}

struct Run<'a> {
    spec: &'a Spec,
    wire: Wire,
    requests: Requests,
    rng: Rng,
    zipf: Option<Zipf>,
    wheel: Vec<Op>,
    conns: Vec<Conn>,
    begin: Instant,
    issued: u64,
    /// Planned time of the next arrival, in ns after the start.
    next: f64,
    slowest: u64,
    result: Result,
}

const SLICE: Duration = Duration::from_millis(100);
/// Runs an open-loop load; gives up when nothing is answered for 60 seconds.
///
/// # Errors
///
/// When a connection fails or a reply is no reply.
pub fn run(addr: SocketAddr, wire: Wire, spec: &Spec) -> Outcome<Result> {
    let mut poll = Poll::new()?;
    let connect = |i| Ok(Conn { link: Link::connect(addr, &poll, i)?, planned: VecDeque::new() });
    // The last connection is the one of the actions.
    let conns = (0..=spec.connections).map(connect).collect::<Outcome<Vec<Conn>>>()?;
    let mut run = Run {
        spec,
        wire,
        requests: Requests::new(wire, spec.size, spec.ttl).among(spec.key_space),
        rng: Rng::new(spec.seed),
        zipf: match spec.keys {
            Keys::Zipf(s) => Some(Zipf::new(spec.key_space, s)),
            _ => None,
        },
        wheel: wheel(&spec.mix),
        conns,
        begin: Instant::now(),
        issued: 0,
        next: 0.0,
        slowest: 0,
        result: Result {
            tally: Tally::new(),
            slowest_at: Duration::ZERO,
            late: 0,
            timeline: Vec::new(),
            own_pause: Duration::ZERO,
            actions: Vec::new(),
        },
    };
    run.turns(&mut poll)?;
    run.result.tally.elapsed = run.begin.elapsed();
    Ok(run.result)
}

impl Run<'_> {
    fn turns(&mut self, poll: &mut Poll) -> Outcome<()> {
        let mut events = Events::with_capacity(1024);
        let (mut last_turn, mut last_reply) = (self.begin, self.begin);
        let mut answered = 0;
        loop {
            let now = Instant::now();
            self.result.own_pause = self.result.own_pause.max(now - last_turn);
            last_turn = now;
            self.act((now - self.begin).as_nanos() as u64)?;
            self.issue((now - self.begin).as_nanos() as f64)?;
            wait(poll, &mut events, Duration::ZERO)?;
            for event in &events {
                let i = event.token().0;
                if event.is_writable() {
                    self.conns[i].flush()?;
                }
                if event.is_readable() {
                    self.receive(i)?;
                }
            }
            let total = self.result.tally.ops + self.result.actions.len() as u64;
            if total > answered {
                (answered, last_reply) = (total, now);
            }
            if answered == self.spec.ops + self.spec.actions.len() as u64 {
                return Ok(());
            }
            let in_flight = self.issued > self.result.tally.ops;
            if in_flight && now - last_reply > Duration::from_secs(60) {
                return Err("no reply for 60 s".into());
            }
        }
    }

    /// Sends the actions that are due, one at a time: the next waits for the reply.
    fn act(&mut self, now: u64) -> Outcome<()> {
        let conn = &mut self.conns[self.spec.connections];
        let done = self.result.actions.len();
        if !conn.planned.is_empty() || done == self.spec.actions.len() {
            return Ok(());
        }
        let (at, request) = &self.spec.actions[done];
        // Actions planned after the last request are sent when the load is over.
        let over = self.result.tally.ops == self.spec.ops;
        if over || now >= at.as_nanos() as u64 {
            conn.planned.push_back(now);
            conn.link.out.extend_from_slice(request);
            conn.flush()?;
        }
        Ok(())
    }

    /// Hands every request that is due to its connection.
    fn issue(&mut self, now: f64) -> Outcome<()> {
        while self.next <= now && self.issued < self.spec.ops {
            let i = (self.issued / u64::from(self.spec.pipeline)) as usize % self.spec.connections;
            let n = u64::from(self.spec.pipeline).min(self.spec.ops - self.issued);
            for _ in 0..n {
                let op = match self.wheel.len() {
                    1 => self.wheel[0],
                    len => self.wheel[self.rng.below(len as u64) as usize],
                };
                let key = match (&self.spec.keys, &self.zipf) {
                    (Keys::Sequence, _) => self.issued % self.spec.key_space,
                    (_, Some(z)) => crate::rng::mix(z.sample(&mut self.rng)) % self.spec.key_space,
                    _ => self.rng.below(self.spec.key_space),
                };
                let conn = &mut self.conns[i];
                self.requests.append(&mut conn.link.out, op, key, &mut self.rng);
                conn.planned.push_back(self.next as u64);
                self.issued += 1;
            }
            self.conns[i].flush()?;
            let mean = f64::from(self.spec.pipeline) * 1e9 / self.spec.rate;
            self.next += match self.spec.arrivals {
                Arrivals::Fixed => mean,
                Arrivals::Poisson => self.rng.exponential(mean),
            };
        }
        Ok(())
    }

    fn receive(&mut self, i: usize) -> Outcome<()> {
        loop {
            let more = self.conns[i].link.receive()?;
            let now = self.begin.elapsed().as_nanos() as u64;
            let conn = &mut self.conns[i];
            while let Some(reply) = conn.link.next_reply(self.wire)? {
                let planned = conn.planned.pop_front().ok_or("more replies than requests")?;
                let took = now.saturating_sub(planned);
                if i == self.spec.connections {
                    let error = match reply {
                        crate::scan::Reply::Error(text) => {
                            Some(String::from_utf8_lossy(text).into_owned())
                        }
                        _ => None,
                    };
                    self.result.actions.push((Duration::from_nanos(took), error));
                    continue;
                }
                self.result.tally.count(reply);
                self.result.tally.latency.saturating_record(took);
                self.result.late += u64::from(took > self.spec.deadline.as_nanos() as u64);
                note(&mut self.result, &mut self.slowest, planned, took);
            }
            if !more {
                return Ok(());
            }
        }
    }
}

fn note(result: &mut Result, slowest: &mut u64, planned: u64, took: u64) {
    let slice = (planned / SLICE.as_nanos() as u64) as usize;
    if slice >= result.timeline.len() {
        result.timeline.resize(slice + 1, Duration::ZERO);
    }
    let took_time = Duration::from_nanos(took);
    result.timeline[slice] = result.timeline[slice].max(took_time);
    if took > *slowest {
        *slowest = took;
        result.slowest_at = Duration::from_nanos(planned);
    }
}

impl Conn {
    fn flush(&mut self) -> Outcome<()> {
        self.link.flush()?;
        if !self.link.has_unsent() {
            self.link.clear_out();
        }
        Ok(())
    }
}
