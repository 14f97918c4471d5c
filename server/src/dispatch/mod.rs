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
//! - A read of a client that **tracks** keys takes the roles, so that nobody writes between the read
//!   and the note that the client has to hear of the next write.
//! - A **script** that is known to keep to the keys it names is a write of these; any other one
//!   takes all roles. One that turns out to need more is run again under all.
//! - What may **take long** (a script that does or has not run yet, a transaction with one) is not
//!   run here at all: the session takes the roles to a thread of the pool ([`Step::Pool`]), and
//!   comes home from there.
//! - Commands without keys, and those which may see shards at different instants (SCAN, KEYS),
//!   run at once.
//!
//! Roles that are held are also what it takes to serve clients that wait for the keys
//! ([`crate::blocking`]): directly after the command, before the roles are free again. If that may
//! move elements to other shards, their roles are taken before the command runs.

mod admission;
mod long;
mod timing;
mod track;
mod unrun;

use crate::Roles;
use crate::acl::LogContext;
use crate::blocking;
use crate::client::{Client, ReplyMode};
use crate::commands::call::Call;
use crate::commands::error::{self, ReplyError};
use crate::commands::scripting;
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, KeyShape};
use crate::interest;
use crate::notify::tell_misses;
use crate::server::Server;
use crate::session::Prepared;
use crate::stats::WorkerStats;
use admission::{Admission, admit};
pub(crate) use admission::{echo, is_short_of_memory, log_denial};
use dunlin_protocol::{Mark, Reply, Request};
use dunlin_storage::{DbId, Guard, KeyHash, Millis, ShardId, ShardSet};
pub(crate) use long::{fits, gives_way};
use std::sync::atomic::Ordering;
pub(crate) use timing::Run;
pub(crate) use track::remember;
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
    /// It runs on the pool, where a command may take its time.
    pub pooled: bool,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Step {
    Done,
    Close,
    /// It waits, as the client's `wait` says. The roles of the keys that it waits for are held.
    Block,
    /// Not run: these roles are taken.
    Handover(ShardSet),
    /// Not run: it has to run on the pool, with these roles.
    Pool(ShardSet),
    /// Not run: execution is paused until then.
    Paused(Millis),
    /// Not run: it has to look into a large collection, under the role of its shard.
    NeedsRole,
    /// Not run: it takes too long for the thread that has tried.
    NeedsTime,
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
        Admission::Track(entry) => {
            let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
            return env.track(held);
        }
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
    if ctx.guard.take_expired() {
        env.bury();
    }
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
    mut writer: Option<&mut Roles<'g>>,
    entry: &'static Entry,
    hash: KeyHash,
    request: Request<'_>,
    reply: &mut Reply,
    client: &mut Client,
) -> Step {
    let mut run = Run::start(ctx);
    let mut env = Env { ctx, run: &mut run, request, reply, client, entry, hash };
    let step = env.call(writer.as_deref_mut());
    if let Some(writer) = writer {
        remember(ctx.server, client, entry, &request, writer);
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
        KeyShape::Script => long::shards_of_script(ctx, entry, request, db),
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
    if long::takes_long(ctx, entry, request, client) {
        return false;
    }
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
            if matches!(step, Step::NeedsRole | Step::NeedsTime) {
                env.undo(mark);
            }
            env.tell_misses();
            step
        }
        Admission::Track(entry) => {
            let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
            env.track_held(writer)
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

/// Runs a command that waits once more, with the roles at hand. Whom it makes keys ready for is
/// served by the caller.
pub(crate) fn execute_again<'g>(
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
            let step = env.run(Some(writer));
            env.tell_misses();
            step
        }
        Admission::Track(entry) => {
            let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
            env.track_again(writer)
        }
        Admission::Refuse(error, entry) => refuse(ctx, entry, request, &error, reply, client),
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
        match held.as_mut().filter(|writer| writer.holds(shard)) {
            Some(roles) => match self.run_held(roles) {
                Step::Handover(more) => self.with_roles(held, more),
                step => step,
            },
            None => self.with_roles(held, ShardSet::one(shard)),
        }
    }

    #[inline]
    fn with_roles(&mut self, held: &mut Option<Roles<'g>>, shards: ShardSet) -> Step {
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
    fn hand_over(&mut self, shards: ShardSet) -> Step {
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
    fn run_held(&mut self, roles: &mut Roles<'g>) -> Step {
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
        if matches!(self.entry.shape, KeyShape::One(_)) {
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
    fn run(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
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
    fn run_queued(&mut self, mut writer: Option<&mut Roles<'g>>) -> Step {
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
    fn call(&mut self, writer: Option<&mut Roles<'g>>) -> Step {
        let (ctx, entry) = (self.ctx, self.entry);
        let each = !entry.command.flags.any(flag_set!(FAST | CHEAP)) || ctx.server.time_each();
        if each {
            self.run.close(ctx);
        }
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
            self.slow(nanos);
        }
        step
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
