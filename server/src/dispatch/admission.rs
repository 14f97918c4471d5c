//! Everything that can keep a command from running: it does not exist or does not fit, the client may
//! not run it, memory is short, execution is paused, or it has to wait for EXEC.

use super::Context;
use super::routing::reroute;
use crate::acl::{Denied, LogContext, Reason};
use crate::client::Client;
use crate::commands::error::{self, ReplyError};
use crate::commands::scripting;
use crate::commands::spec::Flags;
use crate::commands::table::{Entry, table};
use crate::server::Server;
use crate::session::Prepared;
use crate::tracking::Mode;
use dunlin_protocol::Request;
use dunlin_storage::{Millis, ShardId};
use std::sync::atomic::Ordering;

/// What is to be done with a command.
pub(super) enum Admission {
    Run(&'static Entry),
    Refuse(ReplyError, Option<&'static Entry>),
    Pause(Millis),
    /// It runs, for a client that tracks keys.
    Track(&'static Entry),
    /// It waits for EXEC.
    Queue(&'static Entry),
}

/// Everything that can refuse a command before it runs.
#[inline]
pub(super) fn admit(
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
    if client.is_special() {
        return admit_special(ctx, prepared, entry, request, client);
    }
    if let Some(admission) = reroute(ctx, prepared, entry, request, client) {
        return admission;
    }
    match hold_back(ctx, entry, request, entry.command.flags, client) {
        Some(admission) => admission,
        None => Admission::Run(entry),
    }
}

/// What can refuse a command of a client that is restricted or in an unusual state.
#[cold]
fn admit_special(
    ctx: &Context<'_, '_>,
    prepared: Prepared,
    entry: &'static Entry,
    request: Request<'_>,
    client: &Client,
) -> Admission {
    if !client.authenticated && !entry.has(Flags::NO_AUTH) {
        return Admission::Refuse(error::NO_AUTH, Some(entry));
    }
    if client.transaction().is_some() && entry.has(Flags::NO_MULTI) {
        return Admission::Refuse(error::NO_MULTI, Some(entry));
    }
    if client.is_restricted()
        && let Err(denied) = client.user().check(entry, &request)
    {
        return Admission::Refuse(deny(ctx, entry, request, client, denied), Some(entry));
    }
    if let Some(admission) = reroute(ctx, prepared, entry, request, client) {
        return admission;
    }
    if client.in_subscriber_mode() && !entry.has(Flags::SUBSCRIBER) {
        return Admission::Refuse(error::subscriber_mode(&entry.full_name), Some(entry));
    }
    if client.monitor && entry.command.flags.any(flag_set!(WRITE | READONLY | MAY_REPLICATE)) {
        return Admission::Refuse(error::MONITORING, Some(entry));
    }
    let mut flags = entry.command.flags;
    if entry.has(Flags::EXEC)
        && let Some(transaction) = client.transaction()
    {
        flags = flags.with(transaction.flags());
    }
    match hold_back(ctx, entry, request, flags, client) {
        Some(admission) => admission,
        None if client.transaction().is_some() && !entry.has(Flags::UNQUEUED) => {
            Admission::Queue(entry)
        }
        None if client.tracking.mode() != Mode::Off => Admission::Track(entry),
        None => Admission::Run(entry),
    }
}

/// What the state of the server has against a command now. `flags`: its own, and those of the
/// commands that it runs.
#[inline(always)]
fn hold_back(
    ctx: &Context<'_, '_>,
    entry: &'static Entry,
    request: Request<'_>,
    flags: Flags,
    client: &Client,
) -> Option<Admission> {
    if flags.any(flag_set!(DENYOOM | PROTECTED | SCRIPT)) {
        if flags.has(Flags::SCRIPT) && ctx.server.keyspace.over_limit() {
            // Its commands find out whether that was enough: under roles nothing is evicted for them.
            make_space(ctx);
        }
        if flags.has(Flags::DENYOOM) && ctx.server.keyspace.over_limit() && !make_space(ctx) {
            return Some(Admission::Refuse(error::OOM, Some(entry)));
        }
        if entry.has(Flags::PROTECTED) && !may_debug(ctx, client) {
            return Some(Admission::Refuse(error::PROTECTED, Some(entry)));
        }
    }
    if ctx.server.phases.is_loading() && !entry.has(Flags::LOADING) {
        return Some(Admission::Refuse(error::LOADING, Some(entry)));
    }
    let until = ctx.server.pause.blocks(flags.any(CHANGES), ctx.now)?;
    if flags.has(Flags::SCRIPT)
        && entry.has(Flags::SCRIPT)
        && !flags_of(ctx, entry, request).any(CHANGES)
        && ctx.server.pause.blocks(false, ctx.now).is_none()
    {
        return None;
    }
    (entry.full_name != UNPAUSE).then_some(Admission::Pause(until))
}

/// What a pause of writes holds back.
const CHANGES: Flags = flag_set!(WRITE | MAY_REPLICATE);

/// The flags of a command as it is called: a script may declare that it changes nothing.
pub(super) fn flags_of(ctx: &Context<'_, '_>, entry: &Entry, request: Request<'_>) -> Flags {
    let flags = entry.command.flags;
    if flags.has(Flags::SCRIPT) && scripting::declares_no_writes(ctx.server, entry, request) {
        return flags.without(CHANGES);
    }
    flags
}

/// The one command that never waits. Redis makes it wait, too, so that nothing ends a pause of all.
const UNPAUSE: &str = "client|unpause";

#[cold]
fn may_debug(ctx: &Context<'_, '_>, client: &Client) -> bool {
    ctx.server.settings().enable_debug_command.allows(client.shared.is_local())
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
    let context = match client.transaction() {
        Some(_) => LogContext::Multi,
        None => LogContext::TopLevel,
    };
    log_denial(ctx, entry, request, client, denied, context);
    denied.error(client.user(), entry)
}

pub(crate) fn log_denial(
    ctx: &Context<'_, '_>,
    entry: &Entry,
    request: Request<'_>,
    client: &Client,
    denied: Denied,
    context: LogContext,
) {
    let object = match denied.reason {
        Reason::Command | Reason::Login => entry.full_name.as_bytes(),
        Reason::Key | Reason::Channel => request.get(denied.at).unwrap_or_default(),
    };
    let user = client.user().name();
    ctx.server.log_denied(client, denied.reason, context, object, user, ctx.now);
}

/// Whether what needs memory is refused now: where [`make_space`] has been called before.
pub(crate) fn is_short_of_memory(server: &Server) -> bool {
    server.keyspace.over_limit() && !server.keyspace.can_evict()
}

/// Items evicted for one command while the store is above its budget: about 10 us.
const EVICT_PER_COMMAND: usize = 64;

/// The budget is exceeded although every insertion evicts (`maxmemory` was lowered, or values are
/// large): evicts some more. As in Redis a command is refused only if nothing can be evicted, or found
/// for long; while eviction is under way it runs, and pays with a bounded share of the work.
#[cold]
fn make_space(ctx: &Context<'_, '_>) -> bool {
    let keyspace = &ctx.server.keyspace;
    let first = ctx.server.random() % keyspace.shards() as u64;
    let first = ShardId(u16::try_from(first).unwrap_or(0));
    keyspace.make_space(first, EVICT_PER_COMMAND, ctx.now, ctx.guard)
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
