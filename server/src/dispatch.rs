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
//! - Commands without keys, and those which may see shards at different instants (SCAN, KEYS),
//!   run at once.
//!
//! Roles that are held are also what it takes to serve clients that wait for the keys
//! ([`crate::blocking`]): directly after the command, before the roles are free again. If that may
//! move elements to other shards, their roles are taken before the command runs.

use crate::Roles;
use crate::acl::{Denied, LogContext, Reason};
use crate::blocking;
use crate::client::{Client, ReplyMode};
use crate::commands::call::Call;
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Flags, Outcome};
use crate::commands::table::{Entry, KeyShape, table};
use crate::notify::{Class, notify};
use crate::runtime::logging::Every;
use crate::server::Server;
use crate::session::Prepared;
use crate::stats::WorkerStats;
use dunlin_protocol::{Mark, Reply, Request};
use dunlin_storage::{DbId, Guard, KeyHash, Millis, ShardId, ShardSet};
use std::sync::atomic::Ordering;

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
    /// It waits, as the client's `wait` says. The roles of the keys that it waits for are held.
    Block,
    /// Not run: these roles are taken.
    Handover(ShardSet),
    /// Not run: execution is paused until then.
    Paused(Millis),
    /// Not run: it has to look into a large collection, under the role of its shard.
    NeedsRole,
}

/// Accounts the time of commands. Reading the clock costs as much as a quarter of a GET, so
/// constant-time commands are timed in runs and the time is divided evenly; others one by one.
pub(crate) struct Run {
    started: u64,
    /// Commands of the current run: entry and calls. A pipeline seldom mixes more than a few.
    calls: [(u16, u32); Run::KINDS],
    kinds: usize,
    total: u64,
}

impl Run {
    const KINDS: usize = 4;

    /// The first run of a turn; its time includes that of reading the arguments.
    pub(crate) fn start(ctx: &Context<'_, '_>) -> Run {
        Run { started: ctx.began, calls: [(0, 0); Run::KINDS], kinds: 0, total: 0 }
    }

    #[inline]
    fn add(&mut self, ctx: &Context<'_, '_>, entry: &Entry) {
        let known = self.calls[..self.kinds].iter_mut().find(|(id, _)| *id == entry.id);
        if let Some((_, calls)) = known {
            *calls += 1;
        } else {
            if self.kinds == Run::KINDS {
                self.close(ctx);
            }
            self.calls[self.kinds] = (entry.id, 1);
            self.kinds += 1;
        }
        self.total += 1;
    }

    /// Ends the run: divides its time among its commands. Returns nanoseconds per command.
    fn close(&mut self, ctx: &Context<'_, '_>) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let now = ctx.server.clock.monotonic_ns();
        let each = now.saturating_sub(self.started) / self.total;
        let histogram = ctx.server.latency_tracking();
        for (id, calls) in &self.calls[..self.kinds] {
            let stats = ctx.stats.command(*id);
            stats.calls.add(u64::from(*calls));
            stats.time(u64::from(*calls), each * u64::from(*calls), histogram);
        }
        self.started = now;
        self.kinds = 0;
        self.total = 0;
        each
    }

    pub(crate) fn finish(mut self, ctx: &Context<'_, '_>) {
        self.close(ctx);
    }
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
            return refuse(ctx, entry, request, &error, reply, client);
        }
        Admission::Pause(until) => return Step::Paused(until),
    };
    let mut env = Env { ctx, run, request, reply, client, entry, hash: prepared.hash };
    let step = env.run_with_roles(held);
    env.tell_misses();
    step
}

/// Whether a following command of a handed-over session can run with `writer`.
pub(crate) fn runs_with(
    ctx: &Context<'_, '_>,
    writer: &Roles<'_>,
    prepared: Prepared,
    request: Request<'_>,
    db: DbId,
) -> bool {
    let Some(entry) = prepared.entry else {
        return false;
    };
    match entry.shape {
        KeyShape::One(at) => {
            request.get(at).is_some() && writer.holds(ctx.server.keyspace.shard_of(prepared.hash))
        }
        KeyShape::Many => {
            let shards = shards_of(ctx, entry, request, db);
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
            let step = env.run_with(writer);
            env.tell_misses();
            step
        }
        Admission::Refuse(error, entry) => refuse(ctx, entry, request, &error, reply, client),
        Admission::Pause(until) => Step::Paused(until),
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
        Admission::Refuse(error, entry) => refuse(ctx, entry, request, &error, reply, client),
        Admission::Pause(until) => Step::Paused(until),
    }
}

enum Admission {
    Run(&'static Entry),
    Refuse(ReplyError, Option<&'static Entry>),
    Pause(Millis),
}

/// Everything that can refuse a command before it runs.
#[inline]
fn admit(
    ctx: &Context<'_, '_>,
    prepared: Prepared,
    request: Request<'_>,
    client: &Client,
) -> Admission {
    let Some(entry) = prepared.entry else {
        return refuse_unprepared(ctx, request, client);
    };
    if !entry.subcommands.is_empty() && request.len() > 1 {
        return Admission::Refuse(unknown_subcommand(entry, request), None);
    }
    if !entry.command.arity.accepts(request.len()) {
        return Admission::Refuse(error::wrong_arity(&entry.full_name), Some(entry));
    }
    if !client.authenticated && !entry.has(Flags::NO_AUTH) {
        return Admission::Refuse(error::NO_AUTH, Some(entry));
    }
    if client.is_restricted()
        && let Err(denied) = client.user().check(entry, &request)
    {
        return Admission::Refuse(deny(ctx, entry, request, client, denied), Some(entry));
    }
    if client.in_subscriber_mode() && !entry.has(Flags::SUBSCRIBER) {
        return Admission::Refuse(error::subscriber_mode(&entry.full_name), Some(entry));
    }
    if client.monitor && entry.command.flags.any(flag_set!(WRITE | READONLY | MAY_REPLICATE)) {
        return Admission::Refuse(error::MONITORING, Some(entry));
    }
    if entry.has(Flags::DENYOOM) && ctx.server.keyspace.over_limit() && !make_space(ctx) {
        return Admission::Refuse(error::OOM, Some(entry));
    }
    if let Some(until) = ctx.server.pause.blocks(pauses(entry), ctx.now)
        && !entry.command.flags.any(flag_set!(ADMIN | NO_AUTH))
    {
        return Admission::Pause(until);
    }
    Admission::Run(entry)
}

/// There is no such command, or there is, but its arguments were not kept.
#[cold]
fn refuse_unprepared(ctx: &Context<'_, '_>, request: Request<'_>, client: &Client) -> Admission {
    let Some(entry) = table().get(request.arg(0)) else {
        return Admission::Refuse(unknown_command(request), None);
    };
    let entry = table().leaf(entry, request);
    let denied = Denied { reason: Reason::Command, at: 0 };
    Admission::Refuse(deny(ctx, entry, request, client, denied), Some(entry))
}

/// The user has no right to a command, key or channel: notes it and returns the error.
#[cold]
fn deny(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    request: Request<'_>,
    client: &Client,
    denied: Denied,
) -> ReplyError {
    // The log shows it as the client's command, although it does not run.
    client.shared.last_command.store(u32::from(entry.id) + 1, Ordering::Relaxed);
    let object = match denied.reason {
        Reason::Command | Reason::Login => entry.full_name.as_bytes(),
        Reason::Key | Reason::Channel => request.get(denied.at).unwrap_or_default(),
    };
    let user = client.user();
    ctx.server.log_denied(
        client,
        denied.reason,
        LogContext::TopLevel,
        object,
        user.name(),
        ctx.now,
    );
    denied.error(user, entry)
}

/// Items evicted for one command while the store is above its budget: about 10 us.
const EVICT_PER_COMMAND: usize = 64;

/// The budget is exceeded although every insertion evicts (`maxmemory` was lowered, or values are
/// large): evicts some more. As in Redis a command is refused only if nothing can be evicted; while
/// eviction is under way it runs, and pays with a bounded share of the work.
#[cold]
fn make_space(ctx: &Context<'_, '_>) -> bool {
    let keyspace = &ctx.server.keyspace;
    let first = ctx.server.random() % keyspace.shards() as u64;
    let first = ShardId(u16::try_from(first).unwrap_or(0));
    keyspace.make_space(first, EVICT_PER_COMMAND, ctx.now, ctx.guard) || keyspace.can_evict()
}

fn pauses(entry: &Entry) -> bool {
    entry.command.flags.any(flag_set!(WRITE | MAY_REPLICATE))
}

fn refuse(
    ctx: &Context<'_, '_>,
    entry: Option<&Entry>,
    request: Request<'_>,
    error: &ReplyError,
    reply: &mut Reply,
    client: &mut Client,
) -> Step {
    if entry.is_none() && is_http(request) {
        if let Some(folded) = HTTP.admit(ctx.now) {
            tracing::warn!(folded, "a POST or Host: line of HTTP came as a command: closed");
        }
        return Step::Close;
    }
    if let Some(entry) = entry {
        ctx.stats.command(entry.id).rejected.add(1);
    }
    ctx.stats.error(error.text());
    client.wait = None;
    match client.reply_mode {
        ReplyMode::On => reply.error(error.text()),
        ReplyMode::Off => {}
        ReplyMode::Skip | ReplyMode::SkipNext => client.reply_mode = ReplyMode::On,
    }
    Step::Done
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
                match self.run(None) {
                    // Keys that the row does not name: DEBUG.
                    Step::NeedsRole => {
                        self.undo(mark);
                        self.with_roles(held, ShardSet::all(&ctx.server.keyspace))
                    }
                    step => step,
                }
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
            for key in std::mem::take(&mut self.client.missed) {
                let (server, db) = (self.ctx.server, self.client.db);
                self.client.deliveries += notify(server, Class::KEY_MISS, "keymiss", &key, db);
            }
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
            return self.with_roles(held, ShardSet::one(shard));
        }
        self.run_held(held)
    }

    #[inline]
    fn with_roles(&mut self, held: &mut Option<Roles<'g>>, shards: ShardSet) -> Step {
        *held = None;
        *held = self.ctx.server.keyspace.try_enter(&shards, self.ctx.guard);
        if held.is_none() {
            return Step::Handover(shards);
        }
        self.run_held(held)
    }

    /// Runs the command with roles that are held.
    #[inline]
    fn run_held(&mut self, held: &mut Option<Roles<'g>>) -> Step {
        let Some(writer) = held.as_mut() else { return self.run(None) };
        if !writer.is_any_observed() {
            return self.run(Some(writer));
        }
        match self.run_watched(writer) {
            // Roles are taken in ascending order: those at hand have to be given back first.
            Step::Handover(more) => self.with_roles(held, more),
            step => step,
        }
    }

    /// Runs the command with roles that somebody else took for it.
    fn run_with(&mut self, writer: &mut Roles<'g>) -> Step {
        match writer.is_any_observed() {
            false => self.run(Some(writer)),
            true => self.run_watched(writer),
        }
    }

    /// Runs the command while clients may wait for keys of its shards, and serves them.
    #[cold]
    fn run_watched(&mut self, writer: &mut Roles<'g>) -> Step {
        let ctx = self.ctx;
        if ctx.server.interests.queues.are_quiet(writer) {
            return self.run(Some(writer));
        }
        if let Some(more) = self.more_roles(writer) {
            return Step::Handover(more);
        }
        let step = self.run(Some(writer));
        blocking::serve(ctx, writer);
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
            KeyShape::None | KeyShape::Many => None,
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
        let (ctx, entry) = (self.ctx, self.entry);
        let each = !entry.command.flags.any(flag_set!(FAST | CHEAP)) || ctx.server.time_each();
        if each {
            self.run.close(ctx);
        }
        self.client.shared.last_command.store(u32::from(entry.id) + 1, Ordering::Relaxed);
        let silent = self.client.reply_mode != ReplyMode::On;
        let mark = silent.then(|| self.reply.mark());
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
            guard: ctx.guard,
            writer,
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
        if let Some(mark) = mark {
            // Messages are sent in any case.
            let mark = if entry.has(Flags::ANSWERS_BY_PUSH) { self.reply.mark() } else { mark };
            self.client.silence(self.reply, mark);
        }
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

static HTTP: Every = Every::millis(60_000);

/// Whether the command is a line of an HTTP request: a web page that tries to talk to the cache
/// through somebody's browser. What follows must not run.
fn is_http(request: Request<'_>) -> bool {
    let name = request.arg(0);
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Echo of at most this much of a client's input in an error.
const ECHO: usize = 128;

fn unknown_command(request: Request<'_>) -> ReplyError {
    let mut args = Vec::new();
    for arg in request.iter().skip(1) {
        if args.len() >= ECHO {
            break;
        }
        let room = ECHO - args.len();
        args.push(b'\'');
        args.extend_from_slice(echo(arg, room));
        args.extend_from_slice(b"' ");
    }
    let name = echo(request.arg(0), ECHO);
    [b"ERR unknown command '", name, b"', with args beginning with: ", args.as_slice()]
        .concat()
        .into()
}

fn unknown_subcommand(container: &Entry, request: Request<'_>) -> ReplyError {
    let name = echo(request.arg(1), ECHO);
    let container = container.command.name.to_ascii_uppercase();
    [b"ERR unknown subcommand '", name, b"'. Try ", container.as_bytes(), b" HELP."].concat().into()
}

/// The first `max` bytes of `text`, up to a NUL: what C's `%.128s` prints.
pub(crate) fn echo(text: &[u8], max: usize) -> &[u8] {
    let cut = &text[..text.len().min(max)];
    &cut[..cut.iter().position(|b| *b == 0).unwrap_or(cut.len())]
}
