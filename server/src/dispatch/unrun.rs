//! Commands that do not run now: refused ones, and those that wait for EXEC.

use super::admission::flags_of;
use super::{Context, Step, shards_to_see, slots_of};
use crate::client::Client;
use crate::cluster::redirect::is_redirection;
use crate::cluster::slot::Slots;
use crate::commands::error::ReplyError;
use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::runtime::logging::Every;
use crate::session::Prepared;
use crate::stats::WorkerStats;
use dunlin_protocol::{Reply, Request};
use std::sync::atomic::Ordering;

/// Answers a command that must not run.
pub(super) fn refuse(
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
    client.wait = None;
    (client.begins_anew, client.flushes) = (false, false);
    client.fail_transaction();
    client.tracking.command_done(entry, client.transaction().is_some());
    let exec = entry.filter(|entry| entry.has(Flags::EXEC));
    let aborted = match is_redirection(error) {
        // The client goes elsewhere and begins anew.
        true => {
            exec.into_iter().for_each(|_| end_transaction(client));
            None
        }
        false => exec.map(|_| abort(ctx, request, error, client)),
    };
    let error = aborted.as_ref().unwrap_or(error);
    ctx.stats.error(error.text());
    if client.wants_answer() {
        reply.error(error.text());
    }
    Step::Done
}

/// Answers a command that could run, and is turned away for the load.
pub(crate) fn turn_away(
    stats: &WorkerStats,
    entry: Option<&Entry>,
    error: &ReplyError,
    reply: &mut Reply,
    client: &mut Client,
) {
    if let Some(entry) = entry {
        stats.command(entry.id).rejected.add(1);
    }
    client.tracking.command_done(entry, false);
    stats.error(error.text());
    if client.wants_answer() {
        reply.error(error.text());
    }
}

fn end_transaction(client: &mut Client) {
    client.end_transaction();
    client.settle();
}

/// EXEC itself is refused: the transaction is over, and the error says why.
#[cold]
fn abort(
    ctx: &Context<'_, '_>,
    request: Request<'_>,
    error: &ReplyError,
    client: &mut Client,
) -> ReplyError {
    end_transaction(client);
    // Monitors have seen MULTI and see that this is the end of it.
    if ctx.server.monitors.active() {
        ctx.server.monitors.feed(ctx.server.clock.wall_us(), client, &request);
    }
    let text = error.text();
    let why = text.strip_prefix(b"ERR ").unwrap_or(text);
    [b"EXECABORT Transaction discarded because of: ", why].concat().into()
}

/// Keeps a command for EXEC.
#[cold]
pub(super) fn queue(
    ctx: &Context<'_, '_>,
    entry: &'static Entry,
    prepared: Prepared,
    request: Request<'_>,
    reply: &mut Reply,
    client: &mut Client,
) -> Step {
    client.shared.last_command.store(u32::from(entry.id) + 1, Ordering::Relaxed);
    let shards = shards_to_see(ctx, entry, prepared.hash, request, client.db);
    let slots = match ctx.server.cluster {
        Some(_) => slots_of(entry, request),
        None => Slots::None,
    };
    client.queue(prepared, request, flags_of(ctx, entry, request), &shards, slots);
    if client.wants_answer() {
        reply.simple("QUEUED");
    }
    Step::Done
}

static HTTP: Every = Every::millis(60_000);

/// Whether the command is a line of an HTTP request: a web page that tries to talk to the cache
/// through somebody's browser. What follows must not run.
fn is_http(request: Request<'_>) -> bool {
    let name = request.arg(0);
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
