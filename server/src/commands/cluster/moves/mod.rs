//! Moves of slots from node to node, as operators ask for them and watch them: in the words of Redis
//! 8.4 ([`redis`]) and in those of Valkey 9 ([`valkey`]). Both are the same job; the cluster's own moves,
//! after a node has come or its weight has changed, are shown as well.

mod redis;
mod valkey;

pub(super) use redis::MIGRATION;
pub(super) use valkey::{CANCELSLOTMIGRATIONS, GETSLOTMIGRATIONS, MIGRATESLOTS};

use crate::cluster::change::Range;
use crate::cluster::node::NodeId;
use crate::cluster::operations::{Move, Operations};
use crate::cluster::view::View;
use crate::commands::error::ReplyError;
use dunlin_protocol::Reply;

/// Whether two ranges have a slot in common.
fn overlap(a: Range, b: Range) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

/// Who owns the first slot that nobody or somebody else owns than the one before.
enum Owner {
    /// All of them.
    One(NodeId),
    /// Nobody owns this one.
    Nobody(u16),
    /// They have several owners.
    Several,
}

/// The owner of slots, of which there is at least one.
fn owner_of(view: &View, ranges: &[Range]) -> Owner {
    let mut one = None;
    for slot in ranges.iter().flat_map(|range| range.0..=range.1) {
        match view.map().owner(slot) {
            None => return Owner::Nobody(slot),
            owner if one.is_some() && one != owner => return Owner::Several,
            owner => one = owner,
        }
    }
    one.map_or(Owner::Several, Owner::One)
}

/// `0-5 7-7`
fn text_of(ranges: &[Range]) -> String {
    let texts: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}-{b}")).collect();
    texts.join(" ")
}

/// Moves that have not ended.
fn under_way(operations: &Operations) -> impl Iterator<Item = Move> {
    operations.moves.status().into_iter().filter(|job| !job.stage.is_over())
}

/// Starts a job; its name.
async fn start(
    operations: &Operations,
    slots: Vec<Range>,
    to: NodeId,
) -> Result<String, ReplyError> {
    let started = operations.moves.start(slots, to).await;
    started.map_err(|why| super::later::failed(&why))
}

fn text(reply: &mut Reply, field: &str, value: &str) {
    reply.bulk(field.as_bytes());
    reply.bulk(value.as_bytes());
}

fn number(reply: &mut Reply, field: &str, value: i64) {
    reply.bulk(field.as_bytes());
    reply.int(value);
}
