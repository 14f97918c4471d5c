//! CLUSTER MIGRATION, as in Redis 8.4: slots come to the node that is asked.

use super::{Owner, number, overlap, owner_of, start, text, text_of, under_way};
use crate::blocking::Word;
use crate::cluster::change::Range;
use crate::cluster::node::NodeId;
use crate::cluster::operations::{Move, Operations, Stage};
use crate::cluster::view::View;
use crate::commands::call::Call;
use crate::commands::cluster::later::{self, Begun, failed};
use crate::commands::cluster::{CHANGES, docs, slot};
use crate::commands::docs::Arg;
use crate::commands::error::{self, ReplyError};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::Reply;
use std::sync::Arc;

const RANGE: &[Arg] = &[Arg::integer("start-slot"), Arg::integer("end-slot")];
const WHICH: &[Arg] = &[Arg::string("task-id").token("ID"), Arg::flag("all", "ALL")];

pub(crate) const MIGRATION: Command =
    Command::new("migration", Arity::at_least(4), migration).flags(CHANGES).docs(
        docs(
            "8.4.0",
            "O(N) where N is the total number of the slots between the start slot and end slot \
             arguments.",
            "Moves slots to the node, shows how far moves are, or gives them up.",
        )
        .args(&[Arg::one_of(
            "subcommand",
            &[
                Arg::block("import", RANGE).token("IMPORT").multiple(),
                Arg::one_of("cancel", WHICH).token("CANCEL"),
                Arg::one_of("status", WHICH).token("STATUS"),
            ],
        )]),
    );

const UNKNOWN: ReplyError = ReplyError::new("ERR unknown argument");

fn migration(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.is(2, "STATUS") {
        return status(call);
    }
    later::answer(call, |call, cluster, operations| {
        if call.is(2, "IMPORT") {
            return import(call, &cluster.view().get(), operations);
        }
        if !call.is(2, "CANCEL") {
            return Err(UNKNOWN);
        }
        let name = which(call)?;
        let moves = Arc::clone(&operations.moves);
        Ok(Begun::later(async move {
            let count = moves.cancel(name).await.map_err(|why| failed(&why))?;
            Ok(Word::Int(i64::try_from(count).unwrap_or(i64::MAX)))
        }))
    })
}

fn import(call: &Call<'_, '_>, view: &View, operations: &Operations) -> Result<Begun, ReplyError> {
    let slots = ranges(call)?;
    for range in &slots {
        let same = |job: &Move| {
            job.to == view.me() && job.slots.iter().any(|other| overlap(*range, *other))
        };
        if under_way(operations).any(|job| same(&job)) {
            let (first, last) = range;
            let text = format!("ERR overlapping import exists for slot range: {first}-{last}");
            return Err(text.into());
        }
    }
    match owner_of(view, &slots) {
        Owner::Nobody(slot) => return Err(format!("ERR slot has no owner: {slot}").into()),
        Owner::Several => return Err("ERR slots belong to different source nodes".into()),
        Owner::One(owner) if owner == view.me() => {
            return Err("ERR this node is already the owner of the slot range".into());
        }
        Owner::One(_) => {}
    }
    let (operations, me) = (operations.clone(), view.me());
    Ok(Begun::later(async move { start(&operations, slots, me).await.map(Word::Text) }))
}

/// The arguments from 3 on as ranges that have no slot in common.
fn ranges(call: &Call<'_, '_>) -> Result<Vec<Range>, ReplyError> {
    if !call.argc().is_multiple_of(2) {
        let mut ranges: Vec<Range> = Vec::new();
        for i in (3..call.argc()).step_by(2) {
            let (first, last) = (slot(call, i)?, slot(call, i + 1)?);
            if first > last {
                let text =
                    format!("ERR start slot number {first} is greater than end slot number {last}");
                return Err(text.into());
            }
            if let Some(other) = ranges.iter().find(|other| overlap(**other, (first, last))) {
                let slot = first.max(other.0);
                return Err(format!("ERR Slot {slot} specified multiple times").into());
            }
            ranges.push((first, last));
        }
        return Ok(ranges);
    }
    Err(error::wrong_arity(&call.entry.full_name))
}

/// `ID task-id` or `ALL`.
fn which(call: &Call<'_, '_>) -> Result<Option<String>, ReplyError> {
    match call.argc() {
        4 if call.is(3, "ALL") => Ok(None),
        5 if call.is(3, "ID") => Ok(Some(String::from_utf8_lossy(call.arg(4)).into_owned())),
        4 | 5 if !call.is(3, "ALL") && !call.is(3, "ID") => Err(UNKNOWN),
        _ => Err(error::wrong_arity(&call.entry.full_name)),
    }
}

fn status(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cluster = crate::commands::cluster::node(call)?;
    let name = which(call)?;
    let moves = cluster.operations().map(|operations| operations.moves.status());
    let wanted = |job: &Move| name.as_ref().is_none_or(|name| *name == job.name);
    let moves: Vec<Move> = moves.into_iter().flatten().filter(wanted).collect();
    let me = cluster.me();
    call.reply.array(moves.len());
    moves.iter().for_each(|job| write(call.reply, job, me));
    Ok(Outcome::Done)
}

fn write(reply: &mut Reply, job: &Move, me: NodeId) {
    let imports = job.to == me;
    reply.map(12);
    text(reply, "id", &job.name);
    text(reply, "slots", &text_of(&job.slots));
    text(reply, "source", &job.from.to_string());
    text(reply, "dest", &job.to.to_string());
    text(reply, "operation", if imports { "import" } else { "migrate" });
    text(reply, "state", state(job.stage, imports));
    text(reply, "last_error", &job.message);
    number(reply, "retries", i64::try_from(job.retries).unwrap_or(i64::MAX));
    number(reply, "create_time", job.created);
    number(reply, "start_time", job.started);
    number(reply, "end_time", job.ended);
    let pauses = !imports && job.stage == Stage::Done;
    number(reply, "write_pause_ms", if pauses { job.paused } else { 0 });
}

/// Redis's word for a stage, which depends on the side.
fn state(stage: Stage, imports: bool) -> &'static str {
    match (stage, imports) {
        (Stage::Waiting, _) => "none",
        (Stage::Copying, true) => "accumulate-buffer",
        (Stage::Copying, false) => "send-bulk-and-stream",
        (Stage::HandingOver, true) => "takeover",
        (Stage::HandingOver, false) => "handoff",
        (Stage::Done, _) => "completed",
        (Stage::Cancelled, _) => "canceled",
    }
}
