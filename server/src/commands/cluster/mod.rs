//! Commands about the cluster. What it is and how it works: [`crate::cluster`].
//!
//! What shows the map answers from the [view](crate::cluster::view), which is rendered already. What
//! changes the map becomes a proposal to all members, so it is answered later ([`later`]). Slots are
//! placed by the cluster itself: the commands of Redis that place them by hand are there and say so
//! ([`refused`]).

mod admin;
mod later;
mod links;
mod moves;
mod refused;
mod session;
mod slots;
#[cfg(test)]
mod tests;
mod topology;

use super::call::Call;
use super::docs::{Docs, Group};
use super::error::{ReplyError, quoting};
use super::help;
use super::spec::{Arity, Command, Flags, Outcome};
use crate::cluster::Cluster;
use crate::cluster::node::NodeId;
use crate::cluster::view::View;
use dunlin_protocol::number;

pub(super) static COMMANDS: &[Command] =
    &[session::ASKING, CLUSTER, session::READONLY, session::READWRITE];

/// Flags of what shows the map.
const SHOWS: Flags = flag_set!(LOADING | STALE);
/// Flags of what changes something.
const CHANGES: Flags = flag_set!(ADMIN | STALE | NO_ASYNC_LOADING);

const UNORDERED: &[&str] = &["nondeterministic_output"];

const DISABLED: ReplyError = ReplyError::new("ERR This instance has cluster support disabled");
const INVALID_SLOT: ReplyError = ReplyError::new("ERR Invalid or out of range slot");

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::Cluster, since, complexity, summary)
}

const CLUSTER: Command = Command::new("cluster", Arity::at_least(2), help::container)
    .docs(docs("3.0.0", "Depends on subcommand.", "Commands about the cluster."))
    .subcommands(&[
        refused::ADDSLOTS,
        refused::ADDSLOTSRANGE,
        admin::BUMPEPOCH,
        moves::CANCELSLOTMIGRATIONS,
        links::COUNT_FAILURE_REPORTS,
        slots::COUNTKEYSINSLOT,
        refused::DELSLOTS,
        refused::DELSLOTSRANGE,
        topology::EPOCH,
        admin::FAILOVER,
        refused::FLUSHSLOTS,
        admin::FORGET,
        slots::GETKEYSINSLOT,
        moves::GETSLOTMIGRATIONS,
        HELP,
        topology::INFO,
        slots::KEYSLOT,
        admin::LEAVE,
        links::LINKS,
        admin::MEET,
        moves::MIGRATESLOTS,
        moves::MIGRATION,
        topology::MYID,
        topology::MYSHARDID,
        topology::NODES,
        topology::REPLICAS,
        refused::REPLICATE,
        admin::RESET,
        admin::SAVECONFIG,
        admin::SET_CONFIG_EPOCH,
        refused::SETSLOT,
        topology::SHARDS,
        topology::SLAVES,
        slots::SLOT_STATS,
        topology::SLOTS,
        admin::WEIGHT,
    ]);

/// This node's part in its cluster.
fn node<'g>(call: &Call<'_, 'g>) -> Result<&'g Cluster, ReplyError> {
    call.server.cluster.as_deref().ok_or(DISABLED)
}

/// A member, by the identity in argument `i`.
fn member(call: &Call<'_, '_>, i: usize, view: &View) -> Result<NodeId, ReplyError> {
    let id = identity(call.arg(i)).filter(|id| view.map().members.contains_key(id));
    id.ok_or_else(|| quoting("ERR Unknown node ", call.arg(i), ""))
}

fn identity(text: &[u8]) -> Option<NodeId> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Argument `i` as a slot.
fn slot(call: &Call<'_, '_>, i: usize) -> Result<u16, ReplyError> {
    slot_of(call.arg(i)).ok_or(INVALID_SLOT)
}

fn slot_of(text: &[u8]) -> Option<u16> {
    let slot = u16::try_from(number::parse_i64(text)?).ok()?;
    (slot < crate::cluster::slot::SLOTS).then_some(slot)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help).flags(SHOWS).docs(docs(
    "5.0.0",
    "O(1)",
    "Explains the subcommands.",
));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    help::reply(
        call,
        &[
            "BUMPEPOCH",
            "    The epoch of the map, which rises by itself.",
            "CANCELSLOTMIGRATIONS",
            "    Give up all moves of slots to or from this node.",
            "COUNT-FAILURE-REPORTS <node-id>",
            "    Always 0: the members agree on failures.",
            "COUNTKEYSINSLOT <slot>",
            "    Number of keys of a slot on this node.",
            "EPOCH",
            "    The epoch of the map.",
            "FAILOVER [FORCE|TAKEOVER]",
            "    Give all slots of this node to others; it stays, with a weight of 0.",
            "FORGET <node-id>",
            "    Remove a node from the cluster; copies of its slots take its place.",
            "GETKEYSINSLOT <slot> <count>",
            "    Keys of a slot on this node.",
            "GETSLOTMIGRATIONS",
            "    Moves of slots to and from this node.",
            "INFO",
            "    State of the cluster as this node sees it.",
            "KEYSLOT <key>",
            "    The slot of a key.",
            "LEAVE [CANCEL]",
            "    Give all slots of this node to others, then leave the cluster.",
            "LINKS",
            "    Connections to and from other nodes.",
            "MEET <ip> <port> [<bus-port>]",
            "    Join the cluster of another node, or have it join this one.",
            "MIGRATESLOTS SLOTSRANGE <start> <end> [<start> <end> ...] NODE <node-id> [...]",
            "    Move slots of this node to others.",
            "MIGRATION IMPORT <start> <end> [<start> <end> ...]",
            "    Move slots of another node to this one.",
            "MIGRATION (CANCEL|STATUS) (ID <task-id>|ALL)",
            "    Give up moves of slots, or show how far they are.",
            "MYID",
            "    Identity of this node.",
            "MYSHARDID",
            "    Identity of this node's shard, which is the node.",
            "NODES",
            "    The members, a line each:",
            "    <id> <ip:port@bus-port[,hostname]> <flags> - 0 0 <epoch> <link> <slot> ...",
            "REPLICAS <node-id>",
            "    Always empty: copies of slots are not shown.",
            "RESET [HARD|SOFT]",
            "    Leave the cluster at once and begin a new one; HARD: with a new identity.",
            "SAVECONFIG",
            "    Nothing to do: what the members agree on is saved before it counts.",
            "SET-CONFIG-EPOCH <epoch>",
            "    Nothing to do: the members agree on epochs.",
            "SHARDS",
            "    Slots by the node that owns them.",
            "SLOT-STATS (SLOTSRANGE <start> <end>|ORDERBY <metric> [LIMIT <limit>] [ASC|DESC])",
            "    Keys of the slots of this node.",
            "SLOTS",
            "    Ranges of slots with the node that owns them.",
            "WEIGHT <node-id> [<weight>]",
            "    How many slots a node takes in proportion to others, or set it.",
        ],
    )
}
