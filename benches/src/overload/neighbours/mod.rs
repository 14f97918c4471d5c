//! Noisy neighbours of a load: clients that take more than their share, run inside the engine's loop.

mod info;
mod mover;
mod pipeline;
mod readers;
mod socket;
mod storm;
mod tls;

use std::time::Duration;

use mio::Registry;
use mio::event::Event;

pub(super) use info::{Info, Reading};
pub(super) use mover::Mover;
pub(super) use pipeline::Pipeline;
pub(super) use readers::Readers;
pub(super) use socket::{Options as SocketOptions, open};
pub(super) use storm::{Handshake, Storm};
pub(super) use tls::Hello;

use crate::Outcome;

/// How many tokens of the poll belong to each neighbour.
pub(super) const TOKENS: usize = 1 << 20;

/// A client, or many, beside the load. Each call does little: the load's latencies are measured by
/// the same thread.
pub(super) trait Neighbour {
    /// Called once before the first turn; `token` is the first of [`TOKENS`] it may use.
    fn begin(&mut self, registry: &Registry, token: usize) -> Outcome<()>;
    /// Called at every turn of the loop, with the time since its start.
    fn turn(&mut self, registry: &Registry, now: Duration) -> Outcome<()>;
    /// Called for each event; `token` counts from the first.
    fn event(&mut self, token: usize, event: &Event, now: Duration) -> Outcome<()>;
}

/// When a neighbour is at work, counted from the start of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// From then on.
    pub(super) from: Duration,
    /// Until then.
    pub(super) until: Duration,
}

impl Span {
    /// Whether `now` lies in it.
    pub(super) fn holds(&self, now: Duration) -> bool {
        self.from <= now && now < self.until
    }
}
