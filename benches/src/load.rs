//! The closed-loop load: each connection sends a pipeline, waits for its replies, sends the next.
//!
//! One thread, non-blocking sockets, edge-triggered readiness: a batch costs one write, one read
//! and its share of a poll. Latency is counted from the batch's write to its last reply. Replies
//! are scanned, not decoded ([`crate::scan`]); the first reply of every batch, if it is a value, is
//! compared byte by byte with what must be stored.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll};

use crate::Outcome;
use crate::link::{Link, wait};
use crate::request::{Op, Requests, Ttl, ValueSize};
use crate::rng::{Rng, Zipf};
use crate::scan::{Reply, Wire};

/// Which keys are asked for.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Each number once, ascending.
    Sequence,
    /// All alike.
    Uniform,
    /// Zipf-distributed with this exponent; ranks are scattered over the key numbers.
    Zipf(f64),
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many requests.
    Ops(u64),
    /// After this time.
    Time(Duration),
}

/// A load.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Connections.
    pub connections: usize,
    /// Requests per batch.
    pub pipeline: u32,
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
    /// End of the load.
    pub until: Until,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            connections: 50,
            pipeline: 1,
            mix: vec![(Op::Get, 1)],
            key_space: 1_000_000,
            keys: Keys::Uniform,
            size: ValueSize::Fixed(64),
            ttl: Ttl::None,
            until: Until::Time(Duration::from_secs(2)),
            seed: 1,
        }
    }
}

impl Spec {
    /// The load that writes every key once.
    #[must_use]
    pub fn fill(key_space: u64, size: ValueSize, ttl: Ttl) -> Self {
        Self {
            pipeline: 64,
            mix: vec![(Op::Set, 1)],
            key_space,
            keys: Keys::Sequence,
            size,
            ttl,
            until: Until::Ops(key_space),
            ..Self::default()
        }
    }
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Replies received.
    pub ops: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// Error replies.
    pub errors: u64,
    /// Text of the first error reply.
    pub first_error: Option<String>,
    /// Error replies whose text differs from the first one's.
    pub other_errors: u64,
    /// Values compared.
    pub checked: u64,
    /// Values that differed.
    pub wrong: u64,
    /// From the first write to the last reply.
    pub elapsed: Duration,
    /// Latencies, one per request, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Tally {
    /// An empty tally.
    ///
    /// # Panics
    ///
    /// Never: the bounds of the histogram are constants.
    #[must_use]
    pub fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds");
        Self {
            ops: 0,
            misses: 0,
            errors: 0,
            first_error: None,
            other_errors: 0,
            checked: 0,
            wrong: 0,
            elapsed: Duration::ZERO,
            latency,
        }
    }

    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Fails unless all replies were good ones.
    ///
    /// # Errors
    ///
    /// When there were error replies or wrong values.
    pub fn expect_clean(&self, what: &str) -> Outcome<()> {
        if self.errors == 0 && self.wrong == 0 {
            return Ok(());
        }
        let first = self.first_error.as_deref().unwrap_or("-");
        Err(format!("{what}: {} errors ({first}), {} wrong values", self.errors, self.wrong).into())
    }

    /// Counts a reply; `key` is the number of the key whose value it should be, if known.
    #[inline]
    pub(crate) fn count(&mut self, reply: Reply<'_>, key: Option<u64>, requests: &Requests) {
        self.ops += 1;
        match reply {
            Reply::Error(text) => self.count_error(text),
            Reply::Miss => self.misses += 1,
            Reply::Value(value) => {
                if let Some(key) = key {
                    self.checked += 1;
                    self.wrong += u64::from(!requests.check(key, value));
                }
            }
            Reply::Line(_) | Reply::Aggregate => {}
        }
    }

    #[cold]
    fn count_error(&mut self, text: &[u8]) {
        self.errors += 1;
        match &self.first_error {
            None => self.first_error = Some(String::from_utf8_lossy(text).into_owned()),
            Some(first) if first.as_bytes() != text => self.other_errors += 1,
            Some(_) => {}
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

struct Conn {
    link: Link,
    batch: u32,
    awaited: u32,
    sent_at: Instant,
    sample: Option<u64>,
}

/// A load with its connections made.
pub struct Load {
    spec: Spec,
    wire: Wire,
    requests: Requests,
    conns: Vec<Conn>,
    poll: Poll,
    rng: Rng,
    zipf: Option<Zipf>,
    wheel: Vec<Op>,
    issued: u64,
    stop: bool,
    active: usize,
    tally: Tally,
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn connect(addr: SocketAddr, wire: Wire, spec: Spec) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut conns = Vec::with_capacity(spec.connections);
        for i in 0..spec.connections {
            let link = Link::connect(addr, &poll, i)?;
            let sent_at = Instant::now();
            conns.push(Conn { link, batch: 0, awaited: 0, sent_at, sample: None });
        }
        let zipf = match spec.keys {
            Keys::Zipf(s) => Some(Zipf::new(spec.key_space, s)),
            _ => None,
        };
        Ok(Self {
            requests: Requests::new(wire, spec.size, spec.ttl),
            rng: Rng::new(spec.seed),
            wheel: wheel(&spec.mix),
            zipf,
            spec,
            wire,
            conns,
            poll,
            issued: 0,
            stop: false,
            active: 0,
            tally: Tally::new(),
        })
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// When a connection fails, a reply is no reply, or nothing comes for 30 seconds.
    pub fn run(mut self) -> Outcome<Tally> {
        let begin = Instant::now();
        let deadline = match self.spec.until {
            Until::Time(time) => Some(begin + time),
            Until::Ops(_) => None,
        };
        for i in 0..self.conns.len() {
            self.active += usize::from(self.start_batch(i, begin)?);
        }
        let mut events = Events::with_capacity(1024);
        while self.active > 0 {
            wait(&mut self.poll, &mut events, Duration::from_secs(30))?;
            if events.is_empty() {
                return Err("no reply for 30 s".into());
            }
            for event in &events {
                let i = event.token().0;
                if event.is_writable() {
                    self.conns[i].link.flush()?;
                }
                if event.is_readable() {
                    self.receive(i)?;
                }
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                self.stop = true;
            }
        }
        self.tally.elapsed = begin.elapsed();
        Ok(self.tally)
    }

    fn next_key(&mut self) -> u64 {
        match (&self.spec.keys, &self.zipf) {
            (Keys::Sequence, _) => self.issued % self.spec.key_space,
            (_, Some(zipf)) => crate::rng::mix(zipf.sample(&mut self.rng)) % self.spec.key_space,
            _ => self.rng.below(self.spec.key_space),
        }
    }

    /// Sends the next batch of connection `i`; false when the load is over for it.
    fn start_batch(&mut self, i: usize, now: Instant) -> Outcome<bool> {
        let mut n = u64::from(self.spec.pipeline);
        if let Until::Ops(ops) = self.spec.until {
            n = n.min(ops - self.issued);
        }
        if n == 0 || self.stop {
            return Ok(false);
        }
        self.conns[i].link.clear_out();
        let mut out = std::mem::take(&mut self.conns[i].link.out);
        let mut sample = None;
        for first in (0..n).map(|k| k == 0) {
            let op = match self.wheel.len() {
                1 => self.wheel[0],
                len => self.wheel[self.rng.below(len as u64) as usize],
            };
            let key = self.next_key();
            self.requests.append(&mut out, op, key, &mut self.rng);
            self.issued += 1;
            if first && op == Op::Get {
                sample = Some(key);
            }
        }
        let conn = &mut self.conns[i];
        conn.link.out = out;
        conn.batch = n as u32;
        conn.awaited = n as u32;
        conn.sample = sample;
        conn.sent_at = now;
        conn.link.flush()?;
        Ok(true)
    }

    fn receive(&mut self, i: usize) -> Outcome<()> {
        loop {
            let more = self.conns[i].link.receive()?;
            self.take_replies(i)?;
            let conn = &mut self.conns[i];
            if conn.awaited == 0 && conn.batch > 0 {
                let now = Instant::now();
                let took = (now - conn.sent_at).as_nanos() as u64;
                self.tally.latency.saturating_record_n(took, u64::from(conn.batch));
                conn.batch = 0;
                if !self.start_batch(i, now)? {
                    self.active -= 1;
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn take_replies(&mut self, i: usize) -> Outcome<()> {
        let conn = &mut self.conns[i];
        while let Some(reply) = conn.link.next_reply(self.wire)? {
            if conn.awaited == 0 {
                return Err("more replies than requests".into());
            }
            conn.awaited -= 1;
            let sample = conn.sample.take();
            self.tally.count(reply, sample, &self.requests);
        }
        Ok(())
    }
}

/// The kinds of request, each as often as its share says.
pub(crate) fn wheel(mix: &[(Op, u32)]) -> Vec<Op> {
    if let [(op, _)] = mix {
        return vec![*op];
    }
    mix.iter().flat_map(|&(op, share)| std::iter::repeat_n(op, share as usize)).collect()
}
