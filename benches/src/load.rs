//! The closed-loop load: each connection sends a pipeline, waits for its replies, sends the next.
//!
//! One thread, non-blocking sockets, edge-triggered readiness: a batch costs one write, one read
//! and its share of a poll. Latency is counted from the batch's write to its last reply. Replies
//! are scanned, not decoded ([`crate::scan`]); the first reply of every batch, if it is a value or an
//! array of them, is compared byte by byte with what must be stored.

mod tally;

use std::time::{Duration, Instant};

use mio::{Events, Poll};

use self::tally::Sample;
pub use self::tally::Tally;
use crate::Outcome;
use crate::link::{Link, wait};
use crate::peer::Target;
use crate::request::{Op, Requests, Ttl, ValueSize};
use crate::rng::{Rng, Zipf};
use crate::scan::Wire;

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

/// Bytes of values in one batch of [`Spec::fill`], at most.
const FILL_BYTES: f64 = 1_048_576.0;

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
    /// The load that writes every key once, in batches of 64, or less where values are large: a batch
    /// is made whole before it is sent, on every connection.
    #[must_use]
    pub fn fill(key_space: u64, size: ValueSize, ttl: Ttl) -> Self {
        Self {
            pipeline: (FILL_BYTES / size.mean().max(1.0)).clamp(1.0, 64.0) as u32,
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

struct Conn {
    link: Link,
    batch: u32,
    awaited: u32,
    sent_at: Instant,
    sample: Option<Sample>,
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
    pub fn connect(target: &Target, wire: Wire, spec: Spec) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut conns = Vec::with_capacity(spec.connections);
        for i in 0..spec.connections {
            let link = Link::to(target, &poll, i)?;
            let sent_at = Instant::now();
            conns.push(Conn { link, batch: 0, awaited: 0, sent_at, sample: None });
        }
        let zipf = match spec.keys {
            Keys::Zipf(s) => Some(Zipf::new(spec.key_space, s)),
            _ => None,
        };
        Ok(Self {
            requests: Requests::new(wire, spec.size, spec.ttl).among(spec.key_space),
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
            if first && op.reads() {
                sample = Some(Sample { op, key, rng: self.rng.clone() });
            }
            self.requests.append(&mut out, op, key, &mut self.rng);
            self.issued += 1;
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
        while let Some((reply, raw)) = conn.link.next_raw(self.wire)? {
            if conn.awaited == 0 {
                return Err("more replies than requests".into());
            }
            conn.awaited -= 1;
            self.tally.count(reply);
            if let Some(sample) = conn.sample.take() {
                self.tally.compare(sample, reply, raw, &self.requests);
            }
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
