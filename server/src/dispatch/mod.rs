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
//! - What may **take long** (a script that does or has not run yet, a command that will be dear, a
//!   transaction with one) is not run here at all: the session takes the roles to a thread of the pool ([`Step::Pool`]), and
//!   comes home from there.
//! - Commands without keys, and those which may see shards at different instants (SCAN, KEYS),
//!   run at once.
//!
//! Roles that are held are also what it takes to serve clients that wait for the keys
//! ([`crate::blocking`]): directly after the command, before the roles are free again. If that may
//! move elements to other shards, their roles are taken before the command runs.

mod admission;
mod env;
mod long;
mod routing;
mod timing;
mod track;
mod unrun;

use crate::Roles;
use crate::client::Client;
use crate::commands::call::Call;
use crate::commands::spec::Flags;
use crate::commands::table::{Entry, KeyShape};
use crate::interest;
use crate::server::Server;
use crate::session::Prepared;
use crate::stats::WorkerStats;
use admission::{Admission, admit};
pub(crate) use admission::{echo, is_short_of_memory, log_denial};
use dunlin_protocol::{Reply, Request};
use dunlin_storage::{DbId, Guard, KeyHash, Millis, ShardSet};
use env::{Env, shards_of};
pub(crate) use long::{fits, gives_way};
pub(crate) use routing::{LOOK_AGAIN, slots_of};
pub(crate) use timing::Run;
pub(crate) use track::remember;
pub(crate) use unrun::turn_away;
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
        env.bury(held.as_mut());
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
        if ctx.guard.take_expired() {
            env.bury_held(writer);
        }
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
            if ctx.guard.take_expired() {
                env.bury_held(writer);
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
