//! The only control flow between a parsed command and its handler: lookup, arity, authentication,
//! rights, pause, memory, roles, run, account.
//!
//! # How a command gets at the keyspace
//!
//! The table says which arguments are keys; the keys say which shards.
//!
//! - A **write** needs the writer role of all its shards. Free roles are taken with one
//!   compare-and-swap each, and a writer stays held while the next commands of the pipeline write
//!   to the same shard. If a role is taken, the session goes into the busy shard's queue
//!   ([`Step::Handover`]): the thread that holds the role runs the command and sends the session
//!   home. No thread waits.
//! - A **read of one shard** runs without any role. It reads the shard's `multi_seq` before and
//!   after: if a write over several shards was in progress, the reply is rolled back and the
//!   command runs under the role.
//! - A **read of several shards** checks their `write_seq` in the same way, tries twice, then
//!   takes the roles: MGET sees one instant.
//! - A **script** that is known to keep to the keys it names is a write of these; any other one
//!   takes all roles. One that turns out to need more is run again under all.
//! - Commands without keys, and those which may see shards at different instants (SCAN, KEYS),
//!   run at once.

mod admission;
mod timing;
mod unrun;

use crate::Roles;
use crate::acl::LogContext;
use crate::client::{Client, ReplyMode};
use crate::commands::call::Call;
use crate::commands::error::{self, ReplyError};
use crate::commands::scripting;
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, KeyShape};
use crate::interest;
use crate::notify::tell_misses;
use crate::server::Server;
use crate::session::{Prepared, Wait};
use crate::stats::WorkerStats;
use admission::{Admission, admit};
pub(crate) use admission::{echo, is_short_of_memory, log_denial};
use dunlin_protocol::{Mark, Reply, Request};
use dunlin_storage::{DbId, Guard, KeyHash, Millis, ShardId, ShardSet};
use std::sync::atomic::Ordering;
pub(crate) use timing::Run;
use unrun::{queue, refuse};

/// Tries of a read over several shards before it takes their roles.
const OPTIMISTIC_TRIES: usize = 2;

/// What a turn needs from its surroundings.
#[derive(Clone, Copy)]
pub struct Context<'a, 'g> {
    /// The server.
    pub server: &'g Server,
    /// Counters of the worker that runs the turn.
    pub stats: &'a WorkerStats,
    /// The pinned epoch.
    pub guard: &'g Guard,
    /// Time of the turn.
    pub now: Millis,
    /// When the turn began, in nanoseconds of the monotonic clock.
    pub began: u64,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Step {
    Done,
    Close,
    Block(Wait),
    /// Not run: these roles are taken.
    Handover(ShardSet),
    /// Not run: execution is paused until then.
    Paused(Millis),
    /// Not run: it has to look into a large collection, under the role of its shard.
    NeedsRole,
}

/// Runs one command, taking the roles it needs.
pub(crate) fn execute<'g>(
    ctx: &Context<'_, 'g>,
    run: &mut Run,
    held: &mut Option<Roles<'g>>,
    prepared: Prepared,
    request: Request<'_>,
    reply: &mut Reply,
    client: &mut Client,
) -> Step {
    let entry = match admit(ctx, prepared, request, client) {
        Admission::Run(entry) => entry,
        Admission::Refuse(error, entry) => {
            *held = None;
            if let Some(shards) = ends_watches(entry, client) {
                *held = ctx.server.keyspace.try_enter(&shards, ctx.guard);
                match held {
                    Some(roles) => interest::end_all(ctx.server, client, roles),
                    None => return Step::Handover(shards),
                }
            }
            return refuse(ctx, entry, request, &error, reply, client);
        }
        Admission::Pause(until) => return Step::Paused(until),
        Admission::Queue(entry) => {
            *held = None;
            return queue(ctx, entry, prepared, request, reply, client);
        }
    };
    let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
    let step = env.run_with_roles(held);
    env.tell_misses();
    step
}

/// Runs a command of a transaction, inside the call of EXEC, which holds its roles. What could refuse
/// it was looked at when it was queued, but rights may have changed since. Its reply is a part of
/// EXEC's.
pub(crate) fn execute_queued<'g>(
    ctx: &Context<'_, 'g>,
    exec: &mut Call<'_, 'g>,
    run: &mut Run,
    prepared: Prepared,
    request: Request<'_>,
) -> Step {
    let Some(entry) = prepared.entry else {
        return Step::Done;
    };
    let (reply, client) = (&mut *exec.reply, &mut *exec.client);
    let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
    env.run_queued(exec.writer.as_deref_mut())
}

/// Runs a command of a script, which has been admitted, inside the call that runs the script. The
/// roles are those of [`shards_to_see`], or none for a read that may look without.
pub(crate) fn execute_called<'g>(
    ctx: &Context<'_, 'g>,
    writer: Option<&mut Roles<'g>>,
    entry: &'static Entry,
    hash: KeyHash,
    request: Request<'_>,
    reply: &mut Reply,
    client: &mut Client,
) -> Step {
    let mut run = Run::start(ctx);
    let step = Env { ctx, run: &mut run, request, reply, client, entry, hash }.call(writer);
    if let Step::Block(wait) = &step {
        (wait.on_timeout)(reply);
    }
    run.finish(ctx);
    step
}

/// The shards whose roles a command needs to be a part of something bigger that happens at one
/// instant: those of all keys that it reads or writes.
pub(crate) fn shards_to_see(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    hash: KeyHash,
    request: Request<'_>,
    db: DbId,
) -> ShardSet {
    match entry.shape {
        _ if entry.looks_anywhere() => ShardSet::all(&ctx.server.keyspace),
        KeyShape::One(at) if request.get(at).is_some() => {
            ShardSet::one(ctx.server.keyspace.shard_of(hash))
        }
        KeyShape::Many => shards_of(ctx, entry, request, db),
        KeyShape::Script => shards_of_script(ctx, entry, request, db),
        KeyShape::None | KeyShape::One(_) | KeyShape::Own => std::iter::empty().collect(),
    }
}

/// Whether a following command of a handed-over session can run with `writer`.
pub(crate) fn runs_with(
    ctx: &Context<'_, '_>,
    writer: &Roles<'_>,
    prepared: Prepared,
    request: Request<'_>,
    client: &Client,
) -> bool {
    let Some(entry) = prepared.entry else {
        return false;
    };
    match entry.shape {
        KeyShape::One(at) => {
            request.get(at).is_some() && writer.holds(ctx.server.keyspace.shard_of(prepared.hash))
        }
        KeyShape::Many | KeyShape::Script => {
            let shards = shards_to_see(ctx, entry, prepared.hash, request, client.db);
            !shards.is_empty() && shards.iter().all(|shard| writer.holds(shard))
        }
        KeyShape::Own => {
            let shards = client.own_shards(entry);
            !shards.is_empty() && shards.iter().all(|shard| writer.holds(shard))
        }
        KeyShape::None => {
            ShardSet::all(&ctx.server.keyspace).iter().all(|shard| writer.holds(shard))
        }
    }
}

/// Runs one command with roles that somebody else took for it.
pub(crate) fn execute_held<'g>(
    ctx: &Context<'_, 'g>,
    run: &mut Run,
    writer: &mut Roles<'g>,
    prepared: Prepared,
    request: Request<'_>,
    reply: &mut Reply,
    client: &mut Client,
) -> Step {
    match admit(ctx, prepared, request, client) {
        Admission::Run(entry) => {
            let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
            let mark = env.reply.mark();
            let step = env.run_held(writer);
            if matches!(step, Step::NeedsRole) {
                env.undo(mark);
            }
            env.tell_misses();
            step
        }
        Admission::Refuse(error, entry) => {
            if ends_watches(entry, client).is_some() {
                interest::end_all(ctx.server, client, writer);
            }
            refuse(ctx, entry, request, &error, reply, client)
        }
        Admission::Pause(until) => Step::Paused(until),
        Admission::Queue(entry) => queue(ctx, entry, prepared, request, reply, client),
    }
}

/// The roles that a command needs although it is refused: EXEC ends a transaction and its watches in
/// any case.
fn ends_watches(entry: Option<&Entry>, client: &Client) -> Option<ShardSet> {
    let exec = entry.filter(|entry| entry.has(Flags::EXEC))?;
    (!client.watched.is_empty()).then(|| client.own_shards(exec))
}

/// One admitted command.
struct Env<'e, 'a, 'g> {
    ctx: &'e Context<'a, 'g>,
    run: &'e mut Run,
    request: Request<'e>,
    reply: &'e mut Reply,
    client: &'e mut Client,
    entry: &'static Entry,
    hash: KeyHash,
}

impl<'g> Env<'_, '_, 'g> {
    /// Runs the command as its keys ask for.
    #[inline]
    fn run_with_roles(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        let (ctx, entry) = (self.ctx, self.entry);
        match entry.shape {
            KeyShape::None if !entry.has(Flags::ALL_SHARDS) => {
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
            KeyShape::Script => {
                *held = None;
                // With no key it runs under no role, and may still find that it needs some.
                let shards = shards_of_script(ctx, entry, self.request, self.client.db);
                let step = self.with_roles(held, shards);
                self.client.settle();
                step
            }
            _ => {
                *held = None;
                let shards = shards_of(ctx, entry, self.request, self.client.db);
                if shards.is_empty() {
                    // The arguments do not fit: the handler finds the error before it needs a key.
                    return self.run(None);
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
    fn tell_misses(&mut self) {
        if !self.client.missed.is_empty() {
            tell_misses(self.ctx.server, self.client);
        }
    }

    /// Takes back what the command has done, to run it again.
    fn undo(&mut self, mark: Mark) {
        self.reply.rollback(mark);
        self.client.missed.clear();
    }

    #[inline]
    fn write_one(&mut self, held: &mut Option<Roles<'g>>, shard: ShardId) -> Step {
        if !held.as_ref().is_some_and(|writer| writer.holds(shard)) {
            *held = None;
            return self.with_roles(held, ShardSet::one(shard));
        }
        self.run(held.as_mut())
    }

    #[inline]
    fn with_roles(&mut self, held: &mut Option<Roles<'g>>, shards: ShardSet) -> Step {
        *held = self.ctx.server.keyspace.try_enter(&shards, self.ctx.guard);
        let mark = self.reply.mark();
        let step = match held {
            Some(roles) => self.run_held(roles),
            None => return Step::Handover(shards),
        };
        if !matches!(step, Step::NeedsRole) {
            return step;
        }
        self.undo(mark);
        *held = None;
        self.with_all_roles(held)
    }

    /// Runs a command that has to look into a large collection of a key which its row does not name.
    #[cold]
    fn with_all_roles(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        let all = ShardSet::all(&self.ctx.server.keyspace);
        *held = self.ctx.server.keyspace.try_enter(&all, self.ctx.guard);
        match held {
            Some(roles) => self.run_held(roles),
            None => Step::Handover(all),
        }
    }

    /// Runs the command with roles that were taken for it.
    #[inline]
    fn run_held(&mut self, roles: &mut Roles<'g>) -> Step {
        if matches!(self.entry.shape, KeyShape::One(_)) {
            return self.run(Some(roles));
        }
        // Readers without a role must not see the half of it, in one shard neither.
        roles.make_atomic();
        let step = self.run(Some(roles));
        self.client.settle();
        step
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
    fn run(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
        self.client.shared.last_command.store(u32::from(self.entry.id) + 1, Ordering::Relaxed);
        let silent = self.client.reply_mode != ReplyMode::On;
        let mark = silent.then(|| self.reply.mark());
        let step = self.call(writer);
        if let Some(mark) = mark
            && !matches!(step, Step::NeedsRole)
        {
            self.silence(mark);
        }
        step
    }

    /// As [`Env::run`], inside EXEC.
    fn run_queued(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
        if let Some(error) = self.lost_right() {
            self.ctx.stats.error(error.text());
            if self.client.answers() {
                self.reply.error(error.text());
            }
            return Step::Done;
        }
        let silent = !self.client.answers();
        let mark = self.reply.mark();
        let step = self.call(writer);
        if let Step::Block(wait) = &step {
            (wait.on_timeout)(self.reply);
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
    fn call(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
        let (ctx, entry) = (self.ctx, self.entry);
        let each = !entry.command.flags.any(flag_set!(FAST | CHEAP)) || ctx.server.time_each();
        if each {
            self.run.close(ctx);
        }
        let mut call = Call {
            request: self.request,
            reply: self.reply,
            client: self.client,
            server: ctx.server,
            stats: ctx.stats,
            entry,
            hash: self.hash,
            now: ctx.now,
            guard: ctx.guard,
            writer,
        };
        let result = (entry.command.handler)(&mut call);
        if matches!(&result, Err(error) if *error == error::NEEDS_ROLE) {
            return Step::NeedsRole;
        }
        self.run.add(ctx, entry);
        // Afterwards, so that SELECT shows the database it chose, as in Redis.
        if ctx.server.monitors.active() {
            ctx.server.monitors.feed(ctx.server.clock.wall_us(), self.client, &self.request);
        }
        let step = match result {
            Ok(Outcome::Done) => Step::Done,
            Ok(Outcome::Close) => Step::Close,
            Ok(Outcome::Block(wait)) => Step::Block(wait),
            Err(error) => {
                self.reply.error(error.text());
                ctx.stats.command(entry.id).failed.add(1);
                ctx.stats.error(error.text());
                Step::Done
            }
        };
        if each {
            let nanos = self.run.close(ctx);
            self.slow(nanos);
        }
        step
    }

    /// CLIENT REPLY OFF and SKIP: drops what the command has written, unless these are messages.
    fn silence(&mut self, mark: Mark) {
        // CLIENT REPLY ON itself is answered.
        if self.client.reply_mode != ReplyMode::On && !self.entry.has(Flags::ANSWERS_BY_PUSH) {
            self.reply.rollback(mark);
        }
        self.client.reply_mode = match self.client.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode => mode,
        };
    }

    fn slow(&self, nanos: u64) {
        let server = self.ctx.server;
        let (micros, seconds) = (nanos / 1_000, self.ctx.now / 1_000);
        server.slowlog.record(self.client, self.entry, &self.request, micros, seconds);
        let fast = self.entry.has(Flags::FAST);
        let event = if fast { "fast-command" } else { "command" };
        server.latency.record(event, micros / 1_000, seconds);
    }
}

/// The shards that a script needs: all, unless it is known to keep to its keys.
#[cold]
fn shards_of_script(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    request: Request<'_>,
    db: DbId,
) -> ShardSet {
    match scripting::keeps_to_its_keys(ctx.server, entry, request) {
        true => shards_of(ctx, entry, request, db),
        false => ShardSet::all(&ctx.server.keyspace),
    }
}

fn shards_of(ctx: &Context<'_, '_>, entry: &Entry, request: Request<'_>, db: DbId) -> ShardSet {
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
