//! What an open-loop experiment sends: classes of requests, phases of load, the pool of clients.

use std::time::Duration;

use crate::request::ValueSize;
use crate::rng::Rng;

/// A request whose bytes and reply are known beforehand.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    /// What is sent.
    pub(super) bytes: Vec<u8>,
    /// The one correct reply.
    pub(super) reply: Vec<u8>,
}

/// What a class of requests asks for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// Reads a key; its value is known.
    Get,
    /// Writes a key.
    Set,
    /// Always the same.
    Fixed(Fixed),
}

/// A class of requests, counted apart.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Share of the arrivals; the shares of all classes add up to one.
    pub(super) share: f64,
    /// What it asks for.
    pub(super) request: Request,
}

/// A time of constant load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// How long.
    pub(super) time: Duration,
    /// Arrivals per second.
    pub(super) rate: f64,
}

impl Phase {
    /// A phase of so many seconds.
    pub(super) fn new(seconds: f64, rate: f64) -> Self {
        Self { time: Duration::from_secs_f64(seconds), rate }
    }
}

/// An open-loop load.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    /// Connections of the pool.
    pub(super) connections: usize,
    /// Requests a connection has on the way at most.
    pub(super) window: usize,
    /// Classes of requests.
    pub(super) classes: Vec<Class>,
    /// Phases, one after the other.
    pub(super) phases: Vec<Phase>,
    /// A request answered later counts as failed.
    pub(super) deadline: Duration,
    /// Sent in the same packet before every request, to make it dearer for the server only.
    pub(super) padding: Option<Fixed>,
    /// Key numbers are below this; all keys are in place.
    pub(super) keys: u64,
    /// Length of their values.
    pub(super) size: usize,
    /// Whether the fate of every request is kept ([`super::tally::Sample`]).
    pub(super) trace: bool,
    /// Seed of everything random.
    pub(super) seed: u64,
}

impl Traffic {
    /// How long a request waits for a free connection before its client gives it up: half the
    /// deadline, as a pool's timeout is shorter than that of a reply. A request sent later would
    /// only keep the server busy with what nobody waits for any more.
    pub(super) fn patience(&self) -> Duration {
        self.deadline / 2
    }

    /// Lengths of the values as requests want them.
    pub(super) fn value_size(&self) -> ValueSize {
        ValueSize::Fixed(self.size)
    }

    /// Draws the class of an arrival.
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        let mut at = rng.unit();
        for (i, class) in self.classes.iter().enumerate() {
            at -= class.share;
            if at < 0.0 {
                return i;
            }
        }
        self.classes.len() - 1
    }
}

/// Encodes a command.
pub(super) fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}
