//! A command that was admitted, run under the roles that it needs.

use super::unrun::refuse;
use super::{Context, OPTIMISTIC_TRIES, Run, Step, gives_way, log_denial, long, remember};
use crate::Roles;
use crate::acl::LogContext;
use crate::blocking;
use crate::client::{Client, ReplyMode};
use crate::commands::call::Call;
use crate::commands::error::{self, ReplyError};
use crate::commands::scripting;
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, KeyShape};
use crate::insight::Done;
use crate::notify::tell_misses;
use dunlin_protocol::{Mark, Reply, Request};
use dunlin_storage::{DbId, KeyHash, ShardId, ShardSet};
use std::sync::atomic::Ordering;

/// One admitted command.
pub(super) struct Env<'e, 'a, 'g> {
    pub(super) ctx: &'e Context<'a, 'g>,
    pub(super) run: &'e mut Run,
    pub(super) request: Request<'e>,
    pub(super) reply: &'e mut Reply,
    pub(super) client: &'e mut Client,
    pub(super) entry: &'static Entry,
    pub(super) hash: KeyHash,
}

impl<'g> Env<'_, '_, 'g> {
    /// Runs the command as its keys ask for.
    #[inline]
    pub(super) fn run_with_roles(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        let (ctx, entry) = (self.ctx, self.entry);
        if entry.may_be_dear(&self.request)
            && let Some(step) = self.run_if_dear(held)
        {
            return step;
        }
        match entry.shape {
            KeyShape::None if !entry.command.flags.any(flag_set!(ALL_SHARDS | LONG)) => {
                *held = None;
                let mark = self.reply.mark();
                let step = match self.run(None) {
                    // Keys that the row does not name: DEBUG.
                    Step::NeedsRole => {
                        self.undo(mark);
                        self.with_all_roles(held)
                    }
                    step => step,
                };
                self.client.settle();
                step
            }
            KeyShape::Own => {
                *held = None;
                let shards = self.client.own_shards(entry);
                if long::takes_long(ctx, entry, self.request, self.client) {
                    return self.send_to_pool(shards);
                }
                let step = match shards.is_empty() {
                    true => self.run(None),
                    false => self.with_roles(held, shards),
                };
                self.client.settle();
                step
            }
            KeyShape::One(_) => {
                let shard = ctx.server.keyspace.shard_of(self.hash);
                if entry.has(Flags::WRITE) {
                    self.write_one(held, shard)
                } else {
                    *held = None;
                    self.read_one(held, shard)
                }
            }
            KeyShape::Script => self.run_script(held),
            KeyShape::None if entry.has(Flags::LONG) => {
                *held = None;
                self.send_to_pool(std::iter::empty().collect())
            }
            _ => {
                *held = None;
                let shards = shards_of(ctx, entry, self.request, self.client.db);
                if shards.is_empty() {
                    // The arguments do not fit: the handler finds the error before it needs a key.
                    return self.run(None);
                }
                if long::is_slow_flush(ctx, entry) {
                    return self.send_to_pool(shards);
                }
                if entry.has(Flags::WRITE) {
                    self.with_roles(held, shards)
                } else {
                    self.read_many(held, shards)
                }
            }
        }
    }

    /// Publishes the misses of a read, now that it stands.
    #[inline]
    pub(super) fn tell_misses(&mut self) {
        if !self.client.missed.is_empty() {
            tell_misses(self.ctx.server, self.client);
        }
    }

    /// Takes back what the command has done, to run it again.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.reply.rollback(mark);
        self.client.missed.clear();
    }

    #[inline]
    fn write_one(&mut self, held: &mut Option<Roles<'g>>, shard: ShardId) -> Step {
        match held.as_mut().filter(|writer| writer.holds(shard)) {
            Some(roles) => match self.run_held(roles) {
                Step::Handover(more) => self.with_roles(held, more),
                step => step,
            },
            None => self.with_roles(held, ShardSet::one(shard)),
        }
    }

    #[inline]
    pub(super) fn with_roles(&mut self, held: &mut Option<Roles<'g>>, shards: ShardSet) -> Step {
        *held = None;
        *held = self.ctx.server.keyspace.try_enter(&shards, self.ctx.guard);
        let mark = self.reply.mark();
        let step = match held {
            Some(roles) => self.run_held(roles),
            None => return self.hand_over(shards),
        };
        match step {
            // Roles are taken in ascending order: those at hand have to be given back first.
            Step::Handover(more) => self.with_roles(held, more),
            Step::NeedsRole => {
                self.undo(mark);
                *held = None;
                self.with_all_roles(held)
            }
            step => step,
        }
    }

    /// Runs a command that has to look into a large collection of a key which its row does not name.
    #[cold]
    fn with_all_roles(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        let all = ShardSet::all(&self.ctx.server.keyspace);
        *held = self.ctx.server.keyspace.try_enter(&all, self.ctx.guard);
        match held {
            Some(roles) => self.run_held(roles),
            None => self.hand_over(all),
        }
    }

    /// Its roles are taken: their holder runs it, unless that is a script which takes its time.
    #[cold]
    pub(super) fn hand_over(&mut self, shards: ShardSet) -> Step {
        match self.ctx.server.runs.busy_with(&shards) {
            Some(kind) if gives_way(self.entry, self.client) => {
                let (error, entry) = (scripting::busy(kind), Some(self.entry));
                refuse(self.ctx, entry, self.request, &error, self.reply, self.client)
            }
            _ => Step::Handover(shards),
        }
    }

    /// Runs the command with roles that are held, and serves those who wait for what it has changed.
    /// Not run, but a handover, if that takes more roles.
    #[inline]
    pub(super) fn run_held(&mut self, roles: &mut Roles<'g>) -> Step {
        if roles.is_any_observed() {
            return self.run_watched(roles);
        }
        self.run_as_one(roles)
    }

    /// Runs the command while clients may wait for keys of its shards, and serves them.
    #[cold]
    fn run_watched(&mut self, roles: &mut Roles<'g>) -> Step {
        let ctx = self.ctx;
        if ctx.server.interests.queues.are_quiet(roles) {
            return self.run_as_one(roles);
        }
        if let Some(more) = self.more_roles(roles) {
            return Step::Handover(more);
        }
        let step = self.run_as_one(roles);
        blocking::serve(ctx, roles);
        step
    }

    #[inline]
    fn run_as_one(&mut self, roles: &mut Roles<'g>) -> Step {
        if matches!(self.entry.shape, KeyShape::One(_)) || self.leaves_readers_alone() {
            return self.run(Some(roles));
        }
        // Readers without a role must not see the half of it, in one shard neither.
        roles.make_atomic();
        let count = roles.shards().len();
        let step = self.run(Some(roles));
        if roles.shards().len() > count {
            // A script has got more roles, of keys that others may wait for.
            blocking::serve(self.ctx, roles);
        }
        self.client.settle();
        step
    }

    /// Whether nobody can see the half of a command that takes its time on the pool: readers of other
    /// keys need not wait for it.
    fn leaves_readers_alone(&self) -> bool {
        if !self.ctx.pooled || self.entry.shape != KeyShape::Many {
            return false;
        }
        let mut keys = 0;
        self.entry.command.each_key(&self.request, &mut |_| keys += 1);
        keys <= 1 || self.entry.has(Flags::READONLY)
    }

    /// All the roles that the command needs if more are needed than these, so that those can be
    /// served whom it makes keys ready for.
    fn more_roles(&self, writer: &Roles<'g>) -> Option<ShardSet> {
        if self.entry.has(Flags::READONLY) {
            return None;
        }
        let key = match self.entry.shape {
            KeyShape::One(at) => self.request.get(at),
            KeyShape::None | KeyShape::Own | KeyShape::Many | KeyShape::Script => None,
        };
        let key = key.map(|key| (self.ctx.server.keyspace.shard_of(self.hash), key));
        let more = self.ctx.server.interests.queues.reach(writer, key);
        (!more.is_empty()).then(|| writer.shards().iter().chain(more).collect())
    }

    #[inline]
    fn read_one(&mut self, held: &mut Option<Roles<'g>>, shard: ShardId) -> Step {
        let keyspace = &self.ctx.server.keyspace;
        let before = keyspace.multi_seq(shard);
        if before.is_multiple_of(2) {
            let mark = self.reply.mark();
            let step = self.run(None);
            let looks = matches!(step, Step::NeedsRole);
            if !looks && keyspace.multi_seq(shard) == before {
                return step;
            }
            self.undo(mark);
        }
        self.with_roles(held, ShardSet::one(shard))
    }

    fn read_many(&mut self, held: &mut Option<Roles<'g>>, shards: ShardSet) -> Step {
        let keyspace = &self.ctx.server.keyspace;
        for _ in 0..OPTIMISTIC_TRIES {
            let before: Vec<u64> = shards.iter().map(|s| keyspace.write_seq(s)).collect();
            if before.iter().any(|seq| !seq.is_multiple_of(2)) {
                continue;
            }
            let mark = self.reply.mark();
            let step = self.run(None);
            if matches!(step, Step::NeedsRole) {
                self.undo(mark);
                break;
            }
            if shards.iter().zip(&before).all(|(s, seq)| keyspace.write_seq(s) == *seq) {
                return step;
            }
            self.undo(mark);
        }
        self.with_roles(held, shards)
    }

    /// Calls the handler and accounts for it.
    #[inline]
    pub(super) fn run(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
        self.client.shared.last_command.store(u32::from(self.entry.id) + 1, Ordering::Relaxed);
        let silent = self.client.reply_mode != ReplyMode::On;
        let mark = silent.then(|| self.reply.mark());
        let step = self.call(writer);
        if let Some(mark) = mark
            && !matches!(step, Step::NeedsRole | Step::NeedsTime | Step::Block)
        {
            // Messages are sent in any case.
            let pushes = self.entry.has(Flags::ANSWERS_BY_PUSH);
            let mark = if pushes { self.reply.mark() } else { mark };
            self.client.silence(self.reply, mark);
        }
        step
    }

    /// As [`Env::run`], inside EXEC.
    pub(super) fn run_queued(&mut self, mut writer: Option<&mut Roles<'g>>) -> Step {
        if let Some(error) = self.lost_right() {
            self.ctx.stats.error(error.text());
            if self.client.answers() {
                self.reply.error(error.text());
            }
            return Step::Done;
        }
        let silent = !self.client.answers();
        let mark = self.reply.mark();
        let step = self.call(writer.as_deref_mut());
        if let Some(writer) = writer {
            if self.ctx.guard.take_expired() {
                self.bury_held(writer);
            }
            remember(self.ctx.server, self.client, self.entry, &self.request, writer);
        }
        if silent && !self.client.answers() && !self.entry.has(Flags::ANSWERS_BY_PUSH) {
            self.reply.rollback(mark);
        }
        if !silent && self.client.reply_mode == ReplyMode::Skip {
            // CLIENT REPLY SKIP: what follows EXEC is meant, not what follows in it.
            self.client.reply_mode = ReplyMode::SkipNext;
        }
        step
    }

    /// The error for a queued command that the user has no right to any more.
    fn lost_right(&self) -> Option<ReplyError> {
        if !self.client.is_restricted() {
            return None;
        }
        let denied = self.client.user().check(self.entry, &self.request).err()?;
        let context = LogContext::Multi;
        log_denial(self.ctx, self.entry, self.request, self.client, denied, context);
        Some(denied.error_in_exec())
    }

    /// Always inlined: a frame of its own would cost a GET two per cent.
    #[inline(always)]
    pub(super) fn call(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
        let (ctx, entry) = (self.ctx, self.entry);
        let each = entry.is_timed(&self.request) || ctx.server.time_each();
        if each {
            self.run.close(ctx);
            if ctx.pooled {
                // Others take their part of the time in between.
                self.run.measure_processor(true);
            }
        }
        let written = if each { self.reply.pending() } else { 0 };
        let (again, has_roles) = (self.client.wait.is_some(), writer.is_some());
        let mut call = Call {
            request: self.request,
            reply: self.reply,
            client: self.client,
            server: ctx.server,
            stats: ctx.stats,
            entry,
            hash: self.hash,
            now: ctx.now,
            began: self.run.started(),
            guard: ctx.guard,
            writer,
            pooled: ctx.pooled,
        };
        let result = (entry.command.handler)(&mut call);
        let needs_role = match &result {
            Ok(Outcome::Block(wait)) => wait.on.is_some() && !has_roles,
            Ok(_) => false,
            Err(error) => *error == error::NEEDS_ROLE,
        };
        if needs_role {
            return Step::NeedsRole;
        }
        if matches!(&result, Err(error) if *error == error::NEEDS_TIME) {
            return Step::NeedsTime;
        }
        // Afterwards, so that SELECT shows the database it chose, as in Redis.
        if ctx.server.monitors.active() && !again {
            ctx.server.monitors.feed(ctx.server.clock.wall_us(), self.client, &self.request);
        }
        if let Ok(Outcome::Block(wait)) = result {
            // It counts when it ends.
            self.client.wait = Some(wait);
            return Step::Block;
        }
        if again {
            self.client.wait = None;
        }
        self.run.add(ctx, entry);
        let step = match result {
            Ok(Outcome::Done | Outcome::Block(_)) => Step::Done,
            Ok(Outcome::Close) => Step::Close,
            Err(error) => {
                self.reply.error(error.text());
                ctx.stats.command(entry.id).failed.add(1);
                ctx.stats.error(error.text());
                Step::Done
            }
        };
        if each {
            let nanos = self.run.close(ctx);
            self.slow(nanos, written);
            if entry.may_be_dear(&self.request) {
                self.learn(nanos);
            }
        }
        step
    }

    /// Notes what the command has cost.
    fn learn(&mut self, nanos: u64) {
        let (server, processor) = (self.ctx.server, self.run.processor());
        let (nanos, certain) = (processor.unwrap_or(nanos), processor.is_some());
        server.overload.note_cost(server, self.entry, self.request, nanos, certain);
    }

    /// After a command that was timed on its own; `written`: what waited to be sent before it.
    fn slow(&self, nanos: u64, written: usize) {
        let server = self.ctx.server;
        let tracking = &server.insight.tracking;
        // What a script runs is the script's.
        if tracking.is_active() && !self.client.in_script {
            let (entry, request, db) = (self.entry, &self.request, self.client.db);
            let reply = self.reply.pending().saturating_sub(written);
            tracking.record(self.ctx, &Done { entry, request, db, nanos, reply });
        }
        let (micros, seconds) = (nanos / 1_000, self.ctx.now / 1_000);
        server.slowlog.record(self.client, self.entry, &self.request, micros, seconds);
        let fast = self.entry.has(Flags::FAST);
        let event = if fast { "fast-command" } else { "command" };
        server.latency.record(event, micros / 1_000, seconds);
    }
}

pub(super) fn shards_of(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    request: Request<'_>,
    db: DbId,
) -> ShardSet {
    let keyspace = &ctx.server.keyspace;
    if entry.has(Flags::ALL_SHARDS) {
        return ShardSet::all(keyspace);
    }
    let mut keys = Vec::new();
    let mut note = |at| keys.push(keyspace.key(request.arg(at)).hash);
    if !entry.command.each_key(&request, &mut note) {
        return std::iter::empty().collect();
    }
    keyspace.prefetch(db, keys.iter().copied(), ctx.guard);
    keys.into_iter().map(|key| keyspace.shard_of(key)).collect()
}
