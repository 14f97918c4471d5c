//! Whether a command may run on this node of a cluster: see [`crate::cluster::routes`].
//!
//! The check comes where rights are checked, as in Redis, and is made again wherever a session runs:
//! under the pin under which the command then runs.

use super::Context;
use super::admission::Admission;
use crate::client::{Client, ClientShared};
use crate::cluster::Cluster;
use crate::cluster::here::Errand;
use crate::cluster::redirect::Way;
use crate::cluster::slot::{self, Slots};
use crate::commands::spec::{Flags, KeyFlags};
use crate::commands::table::{Entry, KeyShape};
use crate::session::Prepared;
use dunlin_protocol::Request;
use dunlin_storage::Millis;
use std::sync::atomic::Ordering;

/// Milliseconds after which a command that waits for a fenced slot looks again in any case.
pub(crate) const LOOK_AGAIN: Millis = 20;

/// What a cluster has against a command.
#[inline(always)]
pub(super) fn reroute(
    ctx: &Context<'_, '_>,
    prepared: Prepared,
    entry: &'static Entry,
    request: Request<'_>,
    client: &Client,
) -> Option<Admission> {
    let cluster = ctx.server.cluster.as_deref()?;
    if entry.command.flags.any(flag_set!(WRITE | EXEC)) || entry.shape == KeyShape::Script {
        client.shared.wrote.store(true, Ordering::Relaxed);
    }
    match entry.shape {
        KeyShape::None if entry.command.keys.is_empty() && !entry.has(Flags::ALL_SHARDS) => None,
        KeyShape::One(_)
            if cluster.serves(ctx.server.keyspace.slot_of(prepared.hash), ctx.began) =>
        {
            None
        }
        _ => look_closer(ctx, cluster, entry, request, client),
    }
}

#[inline(never)]
fn look_closer(
    ctx: &Context<'_, '_>,
    cluster: &Cluster,
    entry: &'static Entry,
    request: Request<'_>,
    client: &Client,
) -> Option<Admission> {
    let (slots, flags) = match client.transaction() {
        Some(transaction) if entry.has(Flags::EXEC) => (transaction.slots(), transaction.flags()),
        _ => (slots_of(entry, request), entry.command.flags),
    };
    let flushes = client.flushes || flags.has(flag_set!(WRITE | ALL_SHARDS));
    let is_queued = client.transaction().is_some() && !entry.has(Flags::UNQUEUED);
    match cluster.way(&errand(ctx, client, slots, flags.has(Flags::WRITE))) {
        // Who takes slots over would have what was flushed here after the last change was sent.
        Way::Here if !flushes || !cluster.routes.has_fenced() => None,
        // Its EXEC will wait.
        Way::Here | Way::Wait if is_queued => None,
        Way::Here | Way::Wait => Some(Admission::Pause(ctx.now + LOOK_AGAIN)),
        Way::Away(error) => Some(Admission::Refuse(error, Some(entry))),
    }
}

fn errand(ctx: &Context<'_, '_>, client: &Client, slots: Slots, writes: bool) -> Errand {
    Errand { slots, writes, tls: client.shared.has_flag(ClientShared::TLS), began: ctx.began }
}

/// The slots of what a command line names; none if it does not fit the command, which will say so.
pub(crate) fn slots_of(entry: &Entry, request: Request<'_>) -> Slots {
    let mut slots = Slots::None;
    let mut note = |at| slots = slots.and(slot::of(request.arg(at)));
    let fits = match entry.shape {
        // Channels of a slot.
        KeyShape::None => {
            let specs = entry.command.keys.iter().filter(|spec| spec.flags.has(KeyFlags::NOT_KEY));
            specs.fold(true, |fits, spec| fits & spec.each(&request, &mut note))
        }
        KeyShape::One(_) | KeyShape::Many | KeyShape::Script | KeyShape::Own => {
            entry.command.each_key(&request, &mut note)
        }
    };
    if fits { slots } else { Slots::None }
}
