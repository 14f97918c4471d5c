//! The open loop over all nodes of a cluster: one thread that polls without sleeping, as in
//! [`crate::open`].
//!
//! A request goes to the node that is known to own its slot. On MOVED it goes on to the node that is
//! named, and the slot with it; its latency counts from its planned time all the same, so whatever a
//! hand-over costs a client is in it.
//!
//! Each connection has one request on the way at most, as in a pool: a request whose slot is fenced holds
//! up its own connection and no other. One that finds no connection waits in the client, which counts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll};

use super::keys::Keys;
use crate::Outcome;
use crate::link::{Link, wait};
use crate::load::wheel;
use crate::request::{Op, Requests, Ttl, ValueSize};
use crate::rng::Rng;
use crate::scan::{Reply, Wire};

/// How hard.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many requests per second, as a Poisson process.
    Open(f64),
    /// So many requests on the way at any time.
    Closed(usize),
    /// The same, and each key once.
    Once(usize),
}

/// A load.
#[derive(Clone, Debug)]
pub(super) struct Spec<'a> {
    pub(super) nodes: &'a [SocketAddr],
    /// Which node owns each slot, by its place among them.
    pub(super) owners: Vec<usize>,
    pub(super) keys: &'a Keys,
    /// Connections to each node.
    pub(super) connections: usize,
    pub(super) pace: Pace,
    pub(super) mix: &'a [(Op, u32)],
    pub(super) size: usize,
    pub(super) seed: u64,
}

/// What has come of the requests that were due in one phase.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) replies: u64,
    /// Sent on to another node.
    pub(super) moved: u64,
    /// Reads that found nothing, or not the only value there is.
    pub(super) lost: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) latency: Histogram<u64>,
    /// From the first to the last reply.
    pub(super) length: Duration,
    /// The longest that the generator itself was away.
    pub(super) own_pause: Duration,
}

#[derive(Clone, Copy)]
struct Pending {
    due: u64,
    key: usize,
    op: Op,
    phase: usize,
}

struct Connection {
    link: Link,
    sent: Option<Pending>,
}

/// The connections to a node that have nothing on the way, and requests that found none.
#[derive(Default)]
struct Pool {
    free: Vec<usize>,
    waiting: VecDeque<Pending>,
}

struct Engine<'a> {
    spec: &'a Spec<'a>,
    owners: Vec<usize>,
    requests: Requests,
    wheel: Vec<Op>,
    rng: Rng,
    connections: Vec<Connection>,
    pools: Vec<Pool>,
    next: f64,
    /// Requests that were made, and those of them that are on the way.
    made: usize,
    open: usize,
    phases: Vec<Phase>,
}

/// Runs the load through phases 0, 1, ... as `phase` says, until it says `phases`; then waits for what
/// is on the way.
pub(super) fn run(spec: &Spec<'_>, phase: &AtomicUsize, phases: usize) -> Outcome<Vec<Phase>> {
    let mut poll = Poll::new()?;
    let connections = (0..spec.nodes.len() * spec.connections).map(|i| {
        let link = Link::connect(spec.nodes[i / spec.connections], &poll, i)?;
        Ok(Connection { link, sent: None })
    });
    let mut engine = Engine {
        owners: spec.owners.clone(),
        requests: Requests::new(Wire::Resp, ValueSize::Fixed(spec.size), Ttl::None),
        wheel: wheel(spec.mix),
        rng: Rng::new(spec.seed),
        connections: connections.collect::<Outcome<_>>()?,
        pools: (0..spec.nodes.len()).map(|node| pool(node, spec.connections)).collect(),
        next: 0.0,
        made: 0,
        open: 0,
        phases: vec![Phase::new(); phases],
        spec,
    };
    engine.turns(&mut poll, phase)?;
    Ok(engine.phases)
}

/// Nothing is answered for so long: it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

impl Engine<'_> {
    fn turns(&mut self, poll: &mut Poll, phase: &AtomicUsize) -> Outcome<()> {
        let mut events = Events::with_capacity(1024);
        let begin = Instant::now();
        let (mut last, mut heard, mut now_in, mut since) = (begin, begin, 0, begin);
        loop {
            let now = Instant::now();
            let told = phase.load(Ordering::Relaxed).min(self.phases.len());
            if told != now_in {
                self.phases[now_in].length = now - since;
                (now_in, since) = (told, now);
            }
            if let Some(phase) = self.phases.get_mut(now_in) {
                phase.own_pause = phase.own_pause.max(now - last);
                self.issue((now - begin).as_nanos() as u64, now_in)?;
            }
            let is_done = now_in == self.phases.len() || self.has_made_all();
            if is_done && self.open == 0 {
                return Ok(());
            }
            last = now;
            wait(poll, &mut events, Duration::ZERO)?;
            let before = self.open;
            for event in &events {
                let i = event.token().0;
                if event.is_writable() {
                    self.connections[i].link.flush()?;
                }
                if event.is_readable() {
                    self.receive(i, begin)?;
                }
            }
            if self.open != before || self.open == 0 {
                heard = now;
            } else if now - heard > PATIENCE {
                return Err(format!("{} requests were not answered", self.open).into());
            }
        }
    }

    /// Sends what is due.
    fn issue(&mut self, now: u64, phase: usize) -> Outcome<()> {
        match self.spec.pace {
            Pace::Closed(window) => {
                while self.open < window {
                    self.begin(now, phase)?;
                }
            }
            Pace::Once(window) => {
                while self.open < window && !self.has_made_all() {
                    self.begin(now, phase)?;
                }
            }
            Pace::Open(rate) => {
                while self.next <= now as f64 {
                    self.begin(self.next as u64, phase)?;
                    self.next += self.rng.exponential(1e9 / rate);
                }
            }
        }
        Ok(())
    }

    fn has_made_all(&self) -> bool {
        matches!(self.spec.pace, Pace::Once(_)) && self.made == self.spec.keys.len()
    }

    fn begin(&mut self, due: u64, phase: usize) -> Outcome<()> {
        let op = match self.wheel.len() {
            1 => self.wheel[0],
            len => self.wheel[self.rng.below(len as u64) as usize],
        };
        let key = match self.spec.pace {
            Pace::Once(_) => self.made,
            _ => self.rng.below(self.spec.keys.len() as u64) as usize,
        };
        self.made += 1;
        self.open += 1;
        self.hand(Pending { due, key, op, phase })
    }

    /// To the owner of the key's slot, as far as it is known.
    fn hand(&mut self, pending: Pending) -> Outcome<()> {
        let (_, slot) = self.spec.keys.get(pending.key);
        let pool = &mut self.pools[self.owners[usize::from(slot)]];
        match pool.free.pop() {
            Some(i) => self.send(i, pending),
            None => {
                pool.waiting.push_back(pending);
                Ok(())
            }
        }
    }

    fn send(&mut self, i: usize, pending: Pending) -> Outcome<()> {
        let (number, _) = self.spec.keys.get(pending.key);
        let Connection { link, sent } = &mut self.connections[i];
        link.clear_out();
        self.requests.append(&mut link.out, pending.op, number, &mut self.rng);
        *sent = Some(pending);
        link.flush()
    }

    fn receive(&mut self, i: usize, begin: Instant) -> Outcome<()> {
        loop {
            let more = self.connections[i].link.receive()?;
            let now = begin.elapsed().as_nanos() as u64;
            self.take_reply(i, now)?;
            if !more {
                return Ok(());
            }
        }
    }

    fn take_reply(&mut self, i: usize, now: u64) -> Outcome<()> {
        let Connection { link, sent } = &mut self.connections[i];
        let Some(reply) = link.next_reply(Wire::Resp)? else { return Ok(()) };
        let pending = sent.take().ok_or("more replies than requests")?;
        let (number, slot) = self.spec.keys.get(pending.key);
        let phase = &mut self.phases[pending.phase];
        let mut again = None;
        match reply {
            Reply::Error(text) if text.starts_with(b"MOVED ") => {
                self.owners[usize::from(slot)] = owner(self.spec.nodes, text)?;
                phase.moved += 1;
                again = Some(pending);
            }
            Reply::Error(text) => {
                phase.errors += 1;
                let text = || String::from_utf8_lossy(text).into_owned();
                phase.first_error.get_or_insert_with(text);
            }
            Reply::Value(value) => phase.lost += u64::from(!self.requests.check(number, value)),
            Reply::Miss => phase.lost += 1,
            Reply::Line(_) | Reply::Aggregate { .. } => {}
        }
        let pool = &mut self.pools[i / self.spec.connections];
        match pool.waiting.pop_front() {
            Some(next) => self.send(i, next)?,
            None => pool.free.push(i),
        }
        if let Some(pending) = again {
            return self.hand(pending);
        }
        let phase = &mut self.phases[pending.phase];
        phase.replies += 1;
        phase.latency.saturating_record(now.saturating_sub(pending.due));
        self.open -= 1;
        Ok(())
    }
}

fn pool(node: usize, connections: usize) -> Pool {
    let free = (node * connections..(node + 1) * connections).collect();
    Pool { free, ..Pool::default() }
}

/// Which node `MOVED slot host:port` names.
fn owner(nodes: &[SocketAddr], text: &[u8]) -> Outcome<usize> {
    let text = String::from_utf8_lossy(text);
    let address = text.rsplit(' ').next().and_then(|address| address.parse::<SocketAddr>().ok());
    let place = address.and_then(|address| nodes.iter().position(|node| *node == address));
    place.ok_or_else(|| format!("{text}: no such node").into())
}

impl Phase {
    fn new() -> Self {
        Self {
            replies: 0,
            moved: 0,
            lost: 0,
            errors: 0,
            first_error: None,
            latency: crate::load::Tally::new().latency,
            length: Duration::ZERO,
            own_pause: Duration::ZERO,
        }
    }

    /// Replies per second.
    pub(super) fn rate(&self) -> f64 {
        self.replies as f64 / self.length.as_secs_f64().max(1e-9)
    }

    /// A quantile of the latencies, in milliseconds.
    pub(super) fn ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named() {
        let nodes: Vec<SocketAddr> =
            ["127.0.0.1:7001", "127.0.0.1:7002"].iter().filter_map(|a| a.parse().ok()).collect();
        assert_eq!(owner(&nodes, b"MOVED 5 127.0.0.1:7002").ok(), Some(1));
        assert!(owner(&nodes, b"MOVED 5 127.0.0.1:7003").is_err());
        assert!(owner(&nodes, b"MOVED").is_err());
    }
}
