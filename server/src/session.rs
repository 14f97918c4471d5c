//! A connection's work, apart from its socket: decoder, reply and client state, and the turn that
//! runs a pipeline as a batch.
//!
//! A session is one box. Whoever holds the box runs it: its own worker, or, when a shard's writer
//! role is taken, the thread that holds the role (see [`crate::dispatch`]). So a connection never
//! passes its own unapplied write: while the box is away there is nothing to run.

use crate::Roles;
use crate::blocking::End;
use crate::client::{Client, ClientShared};
use crate::commands::spec::Flags;
use crate::commands::table::{Entry, KeyShape, table};
use crate::dispatch::{self, Context, Step};
use crate::insight::Before;
use crate::overload::dear::{self, Forecast};
use crate::overload::sentinel::Allowance;
use crate::server::Server;
use crate::stats::WorkerStats;
use dunlin_protocol::{ArgValue, Decoder, Limits, Proto, Reply, Request};
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

/// A dear command that costs less than this may begin in front of a worker that goes on.
const SHORT_MICROS: u64 = 250;

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
    /// Whether the decoder has the limits of an authenticated client.
    trusted: bool,
    /// See [`Session::has_outlived_lease`].
    outlived: bool,
}

impl Session {
    /// A session that has received nothing.
    pub fn new(client: Client, limits: Limits) -> Self {
        let trusted = client.authenticated;
        Session {
            decoder: Decoder::new(limits),
            reply: Reply::new(Proto::Resp2),
            client,
            prepared: Vec::new(),
            next: 0,
            trusted,
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

    fn has_more(&self) -> bool {
        self.next < self.decoder.len() || self.decoder.buffered() > 0
    }

    /// Parses and prefetches the next batch of at most so many commands; false if there is no
    /// complete one.
    fn next_batch(&mut self, ctx: &Context<'_, '_>, budget: usize) -> bool {
        self.decoder.clear();
        self.next = 0;
        self.prepared.clear();
        // Limits change with authentication: what follows AUTH is parsed after it has run.
        let max = if self.client.authenticated { WINDOW.min(budget) } else { 1 };
        if self.trusted != self.client.authenticated {
            self.change_limits(ctx);
        }
        let count = self.decoder.parse(max);
        if count < max && self.client.is_restricted() {
            self.skip_denied();
        }
        if self.decoder.has_big() {
            (0..count).for_each(|index| self.settle(index));
        }
        let skipped = self.decoder.skipped();
        let keyspace = &ctx.server.keyspace;
        let mut last: Option<(&[u8], &'static Entry)> = None;
        let prepared = &mut self.prepared;
        let decoder = &self.decoder;
        let hashes = (0..count).filter_map(|index| {
            let request = decoder.request(index);
            let name = request.arg(0);
            let entry = match last {
                Some((known, entry)) if known == name => Some(entry),
                _ => table().get(name),
            };
            last = entry.map(|entry| (name, entry));
            let entry = entry.filter(|_| skipped != Some(index));
            let entry = entry.map(|entry| table().leaf(entry, request));
            let mut hash = KeyHash(0);
            if let Some(KeyShape::One(at)) = entry.map(|entry| entry.shape)
                && let Some(key) = request.get(at)
            {
                hash = keyspace.key(key).hash;
            }
            prepared.push(Prepared { entry, hash });
            (hash.0 != 0).then_some(hash)
        });
        match count {
            1 => hashes.for_each(drop),
            _ => keyspace.prefetch(self.client.db, hashes, ctx.guard),
        }
        count > 0
    }

    /// A command is arriving that needs more than one read. If its name tells that the user may not
    /// run it, its arguments are not kept: what is refused anyway must cost no memory.
    #[cold]
    fn skip_denied(&mut self) {
        let Some(request) = self.decoder.arriving() else { return };
        let word = |i: usize| match (i < request.len()).then(|| request.value(i)) {
            Some(ArgValue::Slice(word)) => Some(word),
            Some(ArgValue::Chunks { .. }) | None => None,
        };
        let Some(entry) = word(0).and_then(|name| table().get(name)) else { return };
        let entry = match entry.subcommands.is_empty() {
            true => Some(entry),
            false => word(1).and_then(|name| table().sub(entry, name)),
        };
        if entry.is_some_and(|entry| !self.client.user().may_begin(entry, &request)) {
            self.decoder.skip_rest();
        }
    }

    /// The limits follow AUTH and RESET.
    #[cold]
    fn change_limits(&mut self, ctx: &Context<'_, '_>) {
        self.trusted = self.client.authenticated;
        self.decoder.set_limits(if self.trusted {
            ctx.server.settings().protocol_limits()
        } else {
            Limits::UNAUTHENTICATED
        });
    }

    /// Makes the big arguments of a command contiguous, unless they all are values of a command
    /// that takes those in chunks. Names, keys and options are always contiguous from here on.
    #[cold]
    fn settle(&mut self, index: usize) {
        let request = self.decoder.request(index);
        if request.has_chunks() && !takes_chunks(request) {
            self.decoder.flatten(index);
        }
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

    /// Runs the command that waited for roles, with `writer`, and those which follow it as long as
    /// they need no other role. Returns how the connection goes on.
    pub(crate) fn run_handed_over<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        if !self.client.follow(&ctx.server.acl) {
            return Some(Turn::Close);
        }
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::start(ctx);
        let mut end = None;
        while end.is_none() && self.next < self.decoder.len() {
            let prepared = self.prepared[self.next];
            let request = self.decoder.request(self.next);
            if !dispatch::runs_with(ctx, writer, prepared, request, &self.client) {
                break;
            }
            end = self.step_held(ctx, &mut run, writer);
        }
        let nanos = run.finish(ctx);
        self.check_lease(ctx, lasted, nanos);
        end
    }

    /// Runs the command that was brought to the pool, with its roles. Nothing else: others may wait for
    /// them. `None`: they are not those that it needs any more.
    pub(crate) fn run_pooled<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        if !self.client.follow(&ctx.server.acl) {
            return Some(Turn::Close);
        }
        let entry = self.prepared[self.next].entry?;
        if !dispatch::fits(ctx, writer, entry, self.current(), &self.client) {
            return None;
        }
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::start(ctx);
        let end = self.step_held(ctx, &mut run, writer);
        let nanos = run.finish(ctx);
        self.check_lease(ctx, lasted, nanos);
        end
    }

    /// Runs one command with roles that are held. `Some`: the thread that holds them has to leave it at
    /// that.
    fn step_held<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        run: &mut dispatch::Run,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        let (first, prepared) = (self.next, self.prepared[self.next]);
        let (_, sample) = self.plan(ctx, 1);
        let request = self.decoder.request(self.next);
        let (reply, client) = (&mut self.reply, &mut self.client);
        match dispatch::execute_held(ctx, run, writer, prepared, request, reply, client) {
            Step::Done => {
                self.advance();
                self.account(ctx, first, sample);
                self.client.collect(&mut self.reply);
                None
            }
            Step::Close => {
                self.advance();
                Some(Turn::Close)
            }
            Step::Block => Some(Turn::Block),
            Step::Paused(until) => Some(Turn::Paused(until)),
            Step::Handover(shards) => Some(Turn::Handover(shards)),
            Step::Pool(shards) => Some(Turn::Pool(shards)),
            // The roles of the keys that its row names are not enough for it.
            Step::NeedsRole => {
                let all = ShardSet::all(&ctx.server.keyspace);
                Some(if ctx.pooled { Turn::Pool(all) } else { Turn::Handover(all) })
            }
            // At home it is sent to the pool.
            Step::NeedsTime => Some(Turn::Yield),
        }
    }

    /// Whether the next command, which is to run on the pool, has to pass the gate of dear commands.
    pub(crate) fn is_dear(&self) -> bool {
        let next = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        next.is_some_and(|entry| entry.may_be_dear)
    }

    /// Whether that is over soon, as far as it is known.
    pub(crate) fn is_short(&self, server: &Server) -> bool {
        let next = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        next.is_some_and(|entry| {
            let db = self.client.db;
            match server.overload.forecast(server, entry, self.current(), db) {
                Forecast::Dear(micros) => (1..SHORT_MICROS).contains(&micros),
                Forecast::Cheap | Forecast::Suspect => true,
            }
        })
    }

    /// The gate has turned the next command away.
    pub(crate) fn turn_away(&mut self, stats: &WorkerStats) {
        let entry = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        dispatch::turn_away(stats, entry, &dear::SHED, &mut self.reply, &mut self.client);
        self.advance();
    }

    /// Whether the next command is to be told that a script keeps it waiting.
    pub(crate) fn gives_way(&self) -> bool {
        let next = self.prepared.get(self.next).and_then(|prepared| prepared.entry);
        next.is_some_and(|entry| dispatch::gives_way(entry, &self.client))
    }

    /// The command that runs next, or waits.
    pub(crate) fn current(&self) -> Request<'_> {
        self.decoder.request(self.next)
    }

    /// Runs the command that waits once more, with the role of a key that it waits for. How the
    /// connection goes on; `None`: the command still waits.
    pub(crate) fn run_again<'g>(
        &mut self,
        ctx: &Context<'_, 'g>,
        writer: &mut Roles<'g>,
    ) -> Option<Turn> {
        if !self.client.follow(&ctx.server.acl) {
            return Some(Turn::Close);
        }
        // Its time is not that of the command that has woken it.
        let ctx = &Context { began: ctx.server.clock.monotonic_ns(), ..*ctx };
        let lasted = has_lease(ctx);
        let mut run = dispatch::Run::start(ctx);
        let prepared = self.prepared[self.next];
        let request = self.decoder.request(self.next);
        let messages = self.client.shared.inbox.count();
        let (reply, client) = (&mut self.reply, &mut self.client);
        let step = dispatch::execute_again(ctx, &mut run, writer, prepared, request, reply, client);
        let nanos = run.finish(ctx);
        self.check_lease(ctx, lasted, nanos);
        match step {
            Step::Block => None,
            Step::Done => {
                self.enclose(messages);
                self.end_wait();
                Some(Turn::Yield)
            }
            Step::Close => {
                self.enclose(messages);
                self.end_wait();
                Some(Turn::Close)
            }
            // It runs again at home.
            Step::Paused(until) => Some(Turn::Paused(until)),
            Step::Handover(_) | Step::Pool(_) | Step::NeedsRole | Step::NeedsTime => {
                Some(Turn::Yield)
            }
        }
    }

    /// Ends the command that waits, which has not run again; how the connection goes on.
    pub(crate) fn give_up(&mut self, end: End, stats: &WorkerStats) -> Turn {
        let Some(wait) = self.client.wait.as_ref() else { return Turn::Yield };
        let on_timeout = wait.on_timeout;
        let stats_of = self.prepared[self.next].entry.map(|entry| stats.command(entry.id));
        let mark = self.reply.mark();
        match end {
            End::Ran(turn) => return turn,
            End::Closed => return Turn::Close,
            End::Timeout => on_timeout(&mut self.reply),
            End::Unblocked => {
                self.reply.error(UNBLOCKED);
                stats.error(UNBLOCKED.as_bytes());
                if let Some(stats) = stats_of {
                    stats.failed.add(1);
                }
            }
        }
        if let Some(stats) = stats_of {
            stats.calls.add(1);
        }
        self.client.silence(&mut self.reply, mark);
        self.end_wait();
        Turn::Yield
    }

    /// Puts the messages that came before the command ran in front of its reply, and those which it
    /// has caused behind it.
    fn enclose(&mut self, before: usize) {
        if before > 0 {
            let mut earlier = Reply::new(self.reply.proto());
            self.client.shared.inbox.drain_first(before, &mut earlier);
            self.put_reply_before(earlier);
        }
        self.client.collect(&mut self.reply);
    }

    fn end_wait(&mut self) {
        self.client.wait = None;
        self.advance();
    }

    /// A command has run that is not counted with the others of its batch.
    fn advance(&mut self) {
        self.next += 1;
        self.client.shared.commands.add(1);
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

/// CLIENT UNBLOCK ... ERROR.
const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// Whether every chunked argument of the command stands where its handler takes a value in chunks.
#[cold]
fn takes_chunks(request: Request<'_>) -> bool {
    let chunked = |i: &usize| matches!(request.value(*i), ArgValue::Chunks { .. });
    if chunked(&0) {
        return false;
    }
    let Some(entry) = table().get(request.arg(0)) else { return false };
    let is_value = |i: usize| match entry.command.name {
        "mset" | "msetnx" => i.is_multiple_of(2),
        "setex" | "psetex" => i == 3,
        _ => i == 2,
    };
    entry.has(Flags::CHUNKED) && (1..request.len()).filter(chunked).all(is_value)
}
