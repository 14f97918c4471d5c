//! A connection's work, apart from its socket: decoder, reply and client state, and the turn that
//! runs a pipeline as a batch.
//!
//! A session is one box. Whoever holds the box runs it: its own worker, or, when a shard's writer
//! role is taken, the thread that holds the role (see [`crate::dispatch`]). So a connection never
//! passes its own unapplied write: while the box is away there is nothing to run.

mod batch;
mod elsewhere;

use crate::Roles;
use crate::client::{Client, ClientShared};
use crate::commands::table::Entry;
use crate::dispatch::{self, Context, Step};
use crate::insight::Before;
use crate::overload::sentinel::Allowance;
use dunlin_protocol::{Decoder, Limits, Proto, Reply, Request};
use dunlin_storage::{KeyHash, Millis, ShardSet};
use std::sync::atomic::Ordering;

/// Commands parsed, hashed and prefetched together. Their buckets and entries must survive in the
/// first-level cache until they run: 64 commands touch about 12 KiB.
pub const WINDOW: usize = 64;
/// Reply bytes per turn before they are flushed.
pub const TURN_OUTPUT: usize = 256 * 1024;
/// Messages that a turn may send to subscribers before other connections get theirs: about a
/// millisecond. One command may send more.
pub const TURN_DELIVERIES: usize = 8 * 1024;

/// What a turn leaves to the connection.
#[derive(Debug)]
pub enum Turn {
    /// Everything received has been executed.
    Idle,
    /// The budget is used up and there is more to run.
    Yield,
    /// The next command needs roles that are taken: hand the session over.
    Handover(ShardSet),
    /// The next command has to run on the pool, with these roles.
    Pool(ShardSet),
    /// The next command has run and waits (see [`crate::blocking`]).
    Block,
    /// Execution is paused (CLIENT PAUSE) until then; the next command has not run.
    Paused(Millis),
    /// Flush, then close.
    Close,
}

impl Turn {
    /// Whether nothing of it is to run elsewhere.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self, Turn::Handover(_) | Turn::Pool(_))
    }
}

/// Why a batch ends.
enum Stop {
    /// All of it has run.
    Batch,
    /// The turn has done as much as it may.
    Spent,
    /// The turn ends with the last command.
    Turn(Turn),
}

/// Whether commands of a turn that begins now run with the node's lease.
#[inline]
fn has_lease(ctx: &Context<'_, '_>) -> bool {
    ctx.server.cluster.as_ref().is_some_and(|cluster| cluster.lease.lasts(ctx.began))
}

/// A parsed command, looked up and hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    /// The row; `None`: unknown, or the user may not run it and its arguments were not kept.
    pub(crate) entry: Option<&'static Entry>,
    /// Hash of its key if it has exactly one.
    pub(crate) hash: KeyHash,
}

/// Everything of a connection but its socket.
#[derive(Debug)]
pub struct Session {
    /// Received bytes and the batch parsed from them.
    pub decoder: Decoder,
    /// Replies not yet sent.
    pub reply: Reply,
    /// State of the client.
    pub client: Client,
    /// Reused room for lists of arguments.
    prepared: Vec<Prepared>,
    /// Index in the batch of the next command.
    next: usize,
    /// The longest argument that the decoder takes: that tells whose limits it has.
    max_bulk: usize,
    /// See [`Session::has_outlived_lease`].
    outlived: bool,
}

impl Session {
    /// A session that has received nothing.
    pub fn new(client: Client, limits: Limits) -> Self {
        Session {
            decoder: Decoder::new(limits),
            reply: Reply::new(Proto::Resp2),
            client,
            prepared: Vec::new(),
            next: 0,
            max_bulk: limits.max_bulk,
            outlived: false,
        }
    }

    /// Runs what has been received, within what one turn may do. When the last command waits, the
    /// roles of the keys that it waits for are left in `held`.
    pub fn turn<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        allowed: Allowance,
        held: &mut Option<Roles<'g>>,
    ) -> Turn {
        if !self.client.follow(&ctx.server.acl) {
            return Turn::Close;
        }
        self.client.deliveries = 0;
        self.client.collect(&mut self.reply);
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::within(ctx, allowed.nanos);
        let turn = self.run_batches(ctx, &mut run, allowed.commands, held);
        let nanos = run.finish(ctx);
        ctx.stats.turn_nanos.add(nanos);
        self.check_lease(ctx, lasted, nanos);
        turn
    }

    /// After commands have run for so many nanoseconds: whether the node's lease has lasted, as it did
    /// before. Where it was over from the beginning, nothing has run that needs it. (It may have been
    /// ended meanwhile, as if it had never been: so what was before has to be asked before.)
    #[inline]
    fn check_lease(&mut self, ctx: &Context<'_, '_>, lasted: bool, nanos: u64) {
        if let Some(cluster) = &ctx.server.cluster {
            self.outlived |= lasted && !cluster.lease.lasts(ctx.began + nanos);
        }
    }

    /// Whether the node's lease has ended while something ran. Nobody knows whether that was still true
    /// when it ran, because the process may have been stopped in between, so its reply must not be sent.
    /// What has run before the end may be told later: it happened before it was told.
    pub(crate) fn has_outlived_lease(&self) -> bool {
        self.outlived
    }

    fn run_batches<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        run: &mut dispatch::Run,
        mut budget: usize,
        held: &mut Option<Roles<'g>>,
    ) -> Turn {
        loop {
            if self.next == self.decoder.len() && !self.next_batch(ctx, budget) {
                return match self.decoder.error() {
                    Some(error) => {
                        self.reply.error(error.to_string());
                        ctx.stats.error(b"ERR");
                        Turn::Close
                    }
                    None => Turn::Idle,
                };
            }
            let before = self.next;
            let end = self.run_batch(ctx, run, held);
            budget = budget.saturating_sub(self.next - before);
            match end {
                Stop::Turn(turn) => return turn,
                Stop::Batch if budget > 0 => {}
                Stop::Batch | Stop::Spent if self.has_more() => return Turn::Yield,
                Stop::Batch | Stop::Spent => return Turn::Idle,
            }
        }
    }

    /// Whether the turn has written or delivered as much as one may.
    fn is_spent(&self) -> bool {
        self.reply.pending() >= TURN_OUTPUT || self.client.deliveries >= TURN_DELIVERIES
    }

    /// Whether something has been received and not executed, be it half a command.
    pub(crate) fn has_more(&self) -> bool {
        self.next < self.decoder.len() || self.decoder.buffered() > 0
    }

    /// Runs the rest of the batch, or as much of it as the turn may.
    fn run_batch<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        run: &mut dispatch::Run,
        held: &mut Option<Roles<'g>>,
    ) -> Stop {
        let first = self.next;
        let mut end = Stop::Batch;
        while matches!(end, Stop::Batch) && self.next < self.decoder.len() {
            let from = self.next;
            let (count, sample) = self.plan(ctx, self.decoder.len() - from);
            end = self.run_until(from + count, ctx, run, held);
            self.account(ctx, from, sample);
        }
        if !matches!(end, Stop::Turn(Turn::Block)) {
            *held = None;
        }
        let ran = (self.next - first) as u64;
        self.client.shared.commands.add(ran);
        ctx.stats.turn_commands.add(ran);
        end
    }

    /// How many of the next commands can run before anything has to be done about samples, of `count`,
    /// and whether the first is one (see [`crate::insight`]).
    #[inline]
    fn plan(&self, ctx: &Context<'_, '_>, count: usize) -> (usize, Option<Before>) {
        ctx.stats.samples.plan(ctx.stats, count, self.reply.pending())
    }

    /// After commands of a plan have run, from `first` on.
    #[inline]
    fn account(&self, ctx: &Context<'_, '_>, first: usize, sample: Option<Before>) {
        let samples = &ctx.stats.samples;
        match sample {
            None => samples.pass(self.next - first),
            Some(before) if self.next > first => {
                let request = self.decoder.request(first);
                let (entry, db) = (self.prepared[first].entry, self.client.db);
                samples.sampled(ctx, before, entry, &request, db, self.reply.pending());
            }
            // It has not run here, so the next one is the sample.
            Some(_) => {}
        }
    }

    /// Runs the batch as far as the command `stop`.
    #[inline(always)]
    fn run_until<'g>(
        &mut self,
        stop: usize,
        ctx: &Context<'_, 'g>,
        run: &mut dispatch::Run,
        held: &mut Option<Roles<'g>>,
    ) -> Stop {
        while self.next < stop {
            match self.step(ctx, run, held) {
                Step::Done => {
                    self.next += 1;
                    self.client.collect(&mut self.reply);
                }
                Step::Close => {
                    self.next += 1;
                    return Stop::Turn(Turn::Close);
                }
                Step::Block => return Stop::Turn(Turn::Block),
                Step::Handover(shards) => return Stop::Turn(Turn::Handover(shards)),
                Step::Pool(shards) => return Stop::Turn(Turn::Pool(shards)),
                Step::Paused(until) => return Stop::Turn(Turn::Paused(until)),
                Step::NeedsRole | Step::NeedsTime => {
                    unreachable!("dispatch runs it again where it has what it needs")
                }
            }
            if self.is_spent() || run.is_late() {
                return Stop::Spent;
            }
        }
        Stop::Batch
    }

    fn step<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        run: &mut dispatch::Run,
        held: &mut Option<Roles<'g>>,
    ) -> Step {
        let prepared = self.prepared[self.next];
        let request = self.decoder.request(self.next);
        dispatch::execute(ctx, run, held, prepared, request, &mut self.reply, &mut self.client)
    }

    /// The command that runs next, or waits.
    pub(crate) fn current(&self) -> Request<'_> {
        self.decoder.request(self.next)
    }

    /// Takes the replies out that are not sent yet.
    pub(crate) fn take_reply(&mut self) -> Reply {
        let proto = self.reply.proto();
        std::mem::replace(&mut self.reply, Reply::new(proto))
    }

    /// Puts replies in front of those that are not sent yet.
    pub(crate) fn put_reply_before(&mut self, mut earlier: Reply) {
        // What has run since may have chosen another version: HELLO in a transaction.
        earlier.set_proto(self.reply.proto());
        earlier.append(self.take_reply());
        self.reply = earlier;
    }

    /// Copies the figures that CLIENT LIST shows.
    pub(crate) fn publish(&self, now: Millis) {
        let shared = &self.client.shared;
        shared.last_active.store(now, Ordering::Relaxed);
        shared.set_output(&self.reply);
        shared.query_buffer.store(self.decoder.buffered() as u64, Ordering::Relaxed);
        shared.query_room.store(self.decoder.capacity() as u64, Ordering::Relaxed);
        let half = self.decoder.is_mid_command();
        if half != shared.has_flag(ClientShared::HALF_COMMAND) {
            shared.set_flag(ClientShared::HALF_COMMAND, half);
        }
        let stranger = !self.client.authenticated;
        if stranger != (shared.stranger_since.load(Ordering::Relaxed) > 0) {
            shared.stranger_since.store(if stranger { now } else { 0 }, Ordering::Relaxed);
        }
    }
}
