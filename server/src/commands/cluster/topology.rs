//! What shows the map and this node in it.

use super::{DISABLED, SHOWS, UNORDERED, docs, later, member, node};
use crate::client::ClientShared;
use crate::cluster::Cluster;
use crate::cluster::keeper::Streams;
use crate::cluster::link::Fault;
use crate::cluster::map::Map;
use crate::cluster::meta::Status;
use crate::cluster::operations::Operations;
use crate::cluster::view::{Kind, View};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Flags, Handler, Outcome};
use std::fmt::{Display, Write as _};
use std::sync::Arc;

const DOWN: ReplyError = ReplyError::new("CLUSTERDOWN The cluster is down");
const PER_NODE: &str = "O(N) where N is the total number of Cluster nodes";

const fn row(name: &'static str, handler: Handler) -> Command {
    Command::new(name, Arity::exactly(2), handler).flags(SHOWS)
}

pub(super) const SLOTS: Command = row("slots", slots)
    .docs(docs("3.0.0", PER_NODE, "Lists ranges of slots with the node that owns them.").history(
        &[("4.0.0", "Added node IDs."), ("7.0.0", "Added additional networking metadata field.")],
    ))
    .tips(UNORDERED);

fn slots(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    show_to_clients(call, Kind::Slots)
}

pub(super) const SHARDS: Command = row("shards", shards)
    .docs(docs("7.0.0", PER_NODE, "Lists the nodes with the slots that they own."))
    .tips(UNORDERED);

fn shards(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    show_to_clients(call, Kind::Shards)
}

/// A node that may not serve does not answer clients, so that they ask another one: its map may be
/// old, or it has none yet.
fn show_to_clients(call: &mut Call<'_, '_>, kind: Kind) -> Result<Outcome, ReplyError> {
    if !node(call)?.shows(call.began) {
        return Err(DOWN);
    }
    show(call, kind)
}

fn is_up(cluster: &Cluster, call: &Call<'_, '_>) -> bool {
    cluster.lease.lasts(call.began)
}

fn show(call: &mut Call<'_, '_>, kind: Kind) -> Result<Outcome, ReplyError> {
    let tls = call.client.shared.has_flag(ClientShared::TLS);
    let proto = call.reply.proto();
    let bytes = node(call)?.view().with(|view| view.reply(kind, proto, tls));
    call.reply.raw_shared(bytes);
    Ok(Outcome::Done)
}

pub(super) const NODES: Command = row("nodes", nodes)
    .docs(docs("3.0.0", PER_NODE, "Lists the nodes of the cluster as lines."))
    .tips(UNORDERED);

fn nodes(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if let Some(wait) = later::until_known(call)? {
        return Ok(wait);
    }
    show(call, Kind::Nodes)
}

pub(super) const MYID: Command =
    row("myid", my_id).docs(docs("3.0.0", "O(1)", "Answers the identity of the node."));

fn my_id(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let id = node(call)?.view().with(View::me);
    call.reply.bulk(id.to_string().as_bytes());
    Ok(Outcome::Done)
}

/// A shard is a node: it has no replicas.
pub(super) const MYSHARDID: Command = row("myshardid", my_id)
    .docs(docs("7.2.0", "O(1)", "Answers the identity of the node's shard."))
    .tips(UNORDERED);

pub(super) const EPOCH: Command = row("epoch", epoch).docs(docs(
    "8.6.0",
    "O(1)",
    "Answers the epoch of the map that the node shows (Dunlin only).",
));

fn epoch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let epoch = node(call)?.view().with(|view| view.map().epoch);
    call.reply.int(i64::try_from(epoch).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

const REPLICA_FLAGS: Flags = flag_set!(ADMIN | STALE);
const NODE_ID: &[Arg] = &[Arg::string("node-id")];
const PER_REPLICA: &str = "O(N) where N is the number of replicas.";

pub(super) const REPLICAS: Command = Command::new("replicas", Arity::exactly(3), replicas)
    .flags(REPLICA_FLAGS)
    .docs(docs("5.0.0", PER_REPLICA, "Lists the replicas of a node: none.").args(NODE_ID))
    .tips(UNORDERED);

pub(super) const SLAVES: Command = Command::new("slaves", Arity::exactly(3), replicas)
    .flags(REPLICA_FLAGS)
    .docs(
        docs("3.0.0", PER_REPLICA, "Lists the replicas of a node: none.")
            .deprecated("5.0.0", "`CLUSTER REPLICAS`")
            .args(NODE_ID),
    )
    .tips(UNORDERED);

fn replicas(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let view = node(call)?.view().get();
    member(call, 2, &view)?;
    call.reply.array(0);
    Ok(Outcome::Done)
}

pub(super) const INFO: Command = row("info", info)
    .docs(docs("3.0.0", "O(1)", "Answers the state of the cluster as the node sees it."))
    .tips(UNORDERED);

fn info(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cluster = call.server.cluster.as_deref().ok_or(DISABLED)?;
    let view = cluster.view().get();
    let operations = cluster.operations();
    let mut text = Text::default();
    state(&mut text, &view, is_up(cluster, call));
    let streams = cluster.streams();
    traffic(&mut text, operations);
    faults(&mut text, operations, streams);
    if let Some(operations) = operations {
        agreement(&mut text, &operations.meta.status());
    }
    work(&mut text, view.map());
    fences(&mut text, streams);
    call.reply.verbatim("txt", text.0.as_bytes());
    Ok(Outcome::Done)
}

/// The text under construction.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, field: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{field}:{value}\r\n");
    }
}

/// The lines of Redis. A node knows of no other that it would be down: who does not renew its lease is
/// removed, and until then its slots are its own.
fn state(text: &mut Text, view: &View, is_up: bool) {
    let (assigned, map) = (view.assigned(), view.map());
    let all = assigned == usize::from(crate::cluster::slot::SLOTS);
    text.line("cluster_state", if is_up && all { "ok" } else { "fail" });
    text.line("cluster_slots_assigned", assigned);
    text.line("cluster_slots_ok", assigned);
    text.line("cluster_slots_pfail", 0);
    text.line("cluster_slots_fail", 0);
    text.line("cluster_known_nodes", map.members.len().max(1));
    text.line("cluster_size", view.owning());
    text.line("cluster_current_epoch", map.epoch);
    text.line("cluster_my_epoch", map.epoch);
}

fn traffic(text: &mut Text, operations: Option<&Operations>) {
    let kinds = operations.map(|operations| operations.admin.traffic()).unwrap_or_default();
    let (mut sent, mut received) = (0, 0);
    for kind in kinds.iter().filter(|kind| kind.sent > 0) {
        text.line(&format!("cluster_stats_messages_{}_sent", kind.kind), kind.sent);
        sent += kind.sent;
    }
    text.line("cluster_stats_messages_sent", sent);
    for kind in kinds.iter().filter(|kind| kind.received > 0) {
        text.line(&format!("cluster_stats_messages_{}_received", kind.kind), kind.received);
        received += kind.received;
    }
    text.line("cluster_stats_messages_received", received);
    text.line("total_cluster_links_buffer_limit_exceeded", 0);
}

/// What was wrong with what came over the bus: links, and what data goes over.
fn faults(text: &mut Text, operations: Option<&Operations>, streams: Option<&Arc<Streams>>) {
    let count = |fault| {
        let links = operations.map_or(0, |operations| operations.admin.faults(fault));
        links + streams.map_or(0, |streams| streams.totals().faults.get(fault))
    };
    text.line("cluster_links_refused", count(Fault::Refused));
    text.line("cluster_links_truncated", count(Fault::Truncated));
    text.line("cluster_links_malformed", count(Fault::Malformed));
}

/// How long commands had to wait for slots that were handed over by this node, and how many changes
/// are on their way to others.
fn fences(text: &mut Text, streams: Option<&Arc<Streams>>) {
    let fences = streams.map(|streams| streams.fences()).unwrap_or_default();
    text.line("cluster_fences", fences.count);
    text.line("cluster_fences_in_vain", fences.vain);
    text.line("cluster_fence_last_ms", fences.last().as_millis());
    text.line("cluster_fence_longest_ms", fences.longest.as_millis());
    text.line("cluster_stream_lag", streams.map_or(0, |streams| streams.lag()));
}

fn agreement(text: &mut Text, status: &Status) {
    text.line("cluster_raft_role", status.role);
    text.line("cluster_raft_term", status.term);
    text.line("cluster_raft_applied_index", status.applied);
    text.line("cluster_raft_commit_index", status.committed);
    let leader = status.leader.map(|leader| leader.to_string());
    text.line("cluster_raft_leader", leader.unwrap_or_default());
}

/// What is still to be done until the map is as it shall be.
fn work(text: &mut Text, map: &Map) {
    let (mut to_move, mut unprotected) = (0_u32, 0_u32);
    for run in map.slots.zip(&map.goal) {
        let (holders, goal) = run.value;
        let count = u32::from(run.count());
        if goal.owner.is_some() && goal.owner != holders.owner {
            to_move += count;
        }
        if !holders.backups().any(|backup| backup.in_sync) {
            unprotected += count;
        }
    }
    text.line("cluster_replicas", map.replicas);
    text.line("cluster_slots_to_move", to_move);
    text.line("cluster_slots_without_backup", unprotected);
}
