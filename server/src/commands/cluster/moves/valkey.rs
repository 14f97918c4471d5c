//! CLUSTER MIGRATESLOTS, GETSLOTMIGRATIONS and CANCELSLOTMIGRATIONS, as in Valkey 9: slots go away from
//! the node that is asked.

use super::{Owner, number, overlap, owner_of, start, text, text_of, under_way};
use crate::blocking::Word;
use crate::cluster::change::Range;
use crate::cluster::node::NodeId;
use crate::cluster::operations::{Move, Operations, Stage};
use crate::cluster::view::View;
use crate::commands::call::Call;
use crate::commands::cluster::later::{self, Begun, failed};
use crate::commands::cluster::{CHANGES, docs, identity, node, slot};
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX, quoting};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::{Reply, number::parse_i64};
use std::sync::Arc;

const RANGE: &[Arg] = &[Arg::integer("start-slot"), Arg::integer("end-slot")];

pub(crate) const MIGRATESLOTS: Command =
    Command::new("migrateslots", Arity::at_least(4), migrate_slots).flags(CHANGES).docs(
        docs(
            "9.0.0",
            "O(N) where N is the total number of the slots between all start slot and end slot \
             arguments.",
            "Moves slots of the node to other nodes.",
        )
        .args(&[Arg::block(
            "migration-group",
            &[
                Arg::flag("slotsrange-token", "SLOTSRANGE"),
                Arg::block("range", RANGE).multiple(),
                Arg::flag("node-token", "NODE"),
                Arg::string("node-id"),
            ],
        )
        .multiple()]),
    );

/// Slots and where they are to go.
type Group = (Vec<Range>, NodeId);

fn migrate_slots(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, cluster, operations| {
        let groups = groups(call, &cluster.view().get(), operations)?;
        let operations = operations.clone();
        Ok(Begun::later(async move {
            for (slots, to) in groups {
                start(&operations, slots, to).await?;
            }
            Ok(Word::Ok)
        }))
    })
}

fn groups(
    call: &Call<'_, '_>,
    view: &View,
    operations: &Operations,
) -> Result<Vec<Group>, ReplyError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut i = 2;
    while i < call.argc() {
        if !call.is(i, "SLOTSRANGE") {
            return Err(SYNTAX);
        }
        let slots = ranges(call, i + 1, view)?;
        i += 1 + 2 * slots.len();
        if let Some(slot) = moving(&slots, view.me(), operations) {
            return Err(format!("ERR I am already migrating slot {slot}.").into());
        }
        let twice =
            |(other, _): &Group| other.iter().any(|a| slots.iter().any(|b| overlap(*a, *b)));
        if groups.iter().any(twice) {
            return Err("ERR Slot ranges in migrations overlap".into());
        }
        if i + 1 >= call.argc() || !call.is(i, "NODE") {
            return Err(SYNTAX);
        }
        groups.push((slots, target(call.arg(i + 1), view)?));
        i += 2;
    }
    Ok(groups)
}

/// Ranges from argument `from` on, up to what is no number.
fn ranges(call: &Call<'_, '_>, from: usize, view: &View) -> Result<Vec<Range>, ReplyError> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut i = from;
    while i < call.argc() && parse_i64(call.arg(i)).is_some() {
        let first = slot(call, i)?;
        if i + 1 == call.argc() {
            return Err("ERR No end slot for final slot range".into());
        }
        let last = slot(call, i + 1)?;
        if first > last {
            let text =
                format!("ERR Start slot number {first} is greater than end slot number {last}.");
            return Err(text.into());
        }
        ranges.push((first, last));
        match owner_of(view, &ranges) {
            Owner::Nobody(slot) => {
                return Err(format!("ERR Slot {slot} has no node served.").into());
            }
            Owner::Several => return Err("ERR Requested slots span multiple shards".into()),
            Owner::One(_) => {}
        }
        let earlier = &ranges[..ranges.len() - 1];
        if let Some((a, b)) = earlier.iter().find(|other| overlap(**other, (first, last))) {
            let text =
                format!("ERR Slot range {first}-{last} overlaps with previous range {a}-{b}.");
            return Err(text.into());
        }
        i += 2;
    }
    match owner_of(view, &ranges) {
        _ if ranges.is_empty() => Err("ERR No slot ranges specified".into()),
        Owner::One(owner) if owner == view.me() => Ok(ranges),
        _ => Err("ERR Slots are not served by this node.".into()),
    }
}

/// One of the slots that goes away already.
fn moving(slots: &[Range], me: NodeId, operations: &Operations) -> Option<u16> {
    let exports = under_way(operations).filter(|job| job.from == me);
    let other: Vec<Range> = exports.flat_map(|job| job.slots).collect();
    let both = slots.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    both.filter(|(a, b)| overlap(*a, *b)).map(|(a, b)| a.0.max(b.0)).min()
}

fn target(text: &[u8], view: &View) -> Result<NodeId, ReplyError> {
    if text.len() != 40 {
        return Err(quoting("ERR Invalid node name: ", text, ""));
    }
    match identity(text).filter(|id| view.map().members.contains_key(id)) {
        None => Err(quoting("ERR Unknown node name: ", text, "")),
        Some(id) if id == view.me() => Err("ERR Target node can not be this node.".into()),
        Some(id) => Ok(id),
    }
}

pub(crate) const CANCELSLOTMIGRATIONS: Command =
    Command::new("cancelslotmigrations", Arity::exactly(2), cancel).flags(CHANGES).docs(docs(
        "9.0.0",
        "O(N), where N is the number of slot migration operations being cancelled.",
        "Gives up all moves of slots in which the node takes part.",
    ));

fn cancel(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |_, cluster, operations| {
        if !under_way(operations).any(|job| job.from == cluster.me()) {
            return Err("ERR No migrations ongoing".into());
        }
        let moves = Arc::clone(&operations.moves);
        Ok(Begun::later(async move {
            moves.cancel(None).await.map(|_| Word::Ok).map_err(|why| failed(&why))
        }))
    })
}

pub(crate) const GETSLOTMIGRATIONS: Command =
    Command::new("getslotmigrations", Arity::exactly(2), status).flags(CHANGES).docs(docs(
        "9.0.0",
        "O(N), where N is the number of active slot import and export jobs.",
        "Shows moves of slots to and from the node.",
    ));

fn status(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cluster = node(call)?;
    let moves = cluster.operations().map(|operations| operations.moves.status());
    let moves = moves.unwrap_or_default();
    let me = cluster.me();
    call.reply.array(moves.len());
    moves.iter().for_each(|job| write(call.reply, job, me));
    Ok(Outcome::Done)
}

fn write(reply: &mut Reply, job: &Move, me: NodeId) {
    let imports = job.to == me;
    reply.map(12);
    text(reply, "name", &job.name);
    text(reply, "operation", if imports { "IMPORT" } else { "EXPORT" });
    text(reply, "slot_ranges", &text_of(&job.slots));
    text(reply, "target_node", &job.to.to_string());
    text(reply, "source_node", &job.from.to_string());
    number(reply, "create_time", job.created / 1000);
    number(reply, "last_update_time", job.updated / 1000);
    number(reply, "last_ack_time", job.heard / 1000);
    text(reply, "state", state(job.stage, imports));
    text(reply, "message", &job.message);
    // Nothing forks.
    number(reply, "cow_size", 0);
    number(reply, "remaining_repl_size", i64::try_from(job.left).unwrap_or(i64::MAX));
}

/// Valkey's word for a stage, which depends on the side.
fn state(stage: Stage, imports: bool) -> &'static str {
    match (stage, imports) {
        (Stage::Waiting, true) => "waiting-for-ack",
        (Stage::Waiting, false) => "waiting-to-snapshot",
        (Stage::Copying, true) => "receiving-snapshot",
        (Stage::Copying, false) => "snapshotting",
        (Stage::HandingOver, true) => "failover-requested",
        (Stage::HandingOver, false) => "failover-paused",
        (Stage::Done, _) => "success",
        (Stage::Cancelled, _) => "cancelled",
    }
}
