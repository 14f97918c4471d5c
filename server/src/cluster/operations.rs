//! What the commands about the cluster ask of its other parts.
//!
//! Most of what operators want is a change of the map, and goes to [`Meta::propose`] as it is. What
//! is not has a trait here, so that the commands know nothing of sockets or streams, and tests put
//! doubles in their place.

use super::change::Range;
use super::link::Fault;
use super::meta::{Later, Meta};
use super::node::NodeId;
use dunlin_storage::Millis;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// This node and others: what no entry of the log can do.
pub trait Admin: Send + Sync {
    /// Joins the cluster that the node at this address is in, if this node is alone, or else has that
    /// node join this one's (CLUSTER MEET). `bus_port` as the operator has given it. An error is a
    /// text for the operator.
    fn meet(&self, host: String, port: u16, bus_port: Option<u16>)
    -> Later<'_, Result<(), String>>;

    /// Removes a member (CLUSTER FORGET): first it gets no more leases, and when those it may hold are
    /// over, copies of its slots take its place.
    fn forget(&self, node: NodeId) -> Later<'_, Result<(), String>>;

    /// Leaves the cluster at once and begins one of its own (CLUSTER RESET); `hard`: as a new node.
    fn reset(&self, hard: bool) -> Later<'_, Result<(), String>>;

    /// Whether this node stays a member when it has given its slots away: until it begins anew
    /// (CLUSTER FAILOVER), or not (CLUSTER LEAVE).
    fn stay(&self, stays: bool) {
        let _ = stays;
    }

    /// Hands over what this node owns before the process ends, so that others need not miss it first.
    /// Comes back when that is done or cannot be, after `limit` at the latest.
    fn hand_over(&self, limit: Duration) -> Later<'_, ()> {
        let _ = limit;
        Box::pin(async {})
    }

    /// The connections to and from other nodes.
    fn links(&self) -> Vec<LinkState>;

    /// What has been sent to other nodes and has come from them.
    fn traffic(&self) -> Vec<Traffic>;

    /// How often there was something wrong with what came over the bus.
    fn faults(&self, fault: Fault) -> u64 {
        let _ = fault;
        0
    }
}

/// A connection between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// This node has opened it.
    pub outgoing: bool,
    /// The other end.
    pub node: NodeId,
    /// When it was opened.
    pub created: Millis,
    /// Whether something waits to be sent.
    pub writes: bool,
    /// Bytes of the buffer for what is to be sent.
    pub allocated: u64,
    /// Bytes that wait to be sent.
    pub used: u64,
}

/// Frames of one kind between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The kind, as a part of the name of a figure.
    pub kind: &'static str,
    /// How many were sent.
    pub sent: u64,
    /// How many have come.
    pub received: u64,
}

/// Moves of slots.
pub trait Moves: Send + Sync {
    /// Wants slots of one owner to be another one's. The name of the job, or why not as a text for the
    /// operator.
    fn start(&self, slots: Vec<Range>, to: NodeId) -> Later<'_, Result<String, String>>;

    /// Gives up the moves in which this node takes part: the one with this name, or all. How many.
    fn cancel(&self, name: Option<String>) -> Later<'_, Result<usize, String>>;

    /// The moves in which this node takes or has taken part: those that go on, then those that have
    /// ended, the latest first.
    fn status(&self) -> Vec<Move>;
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for its turn.
    Waiting,
    /// What the source has is copied, and what changes there follows.
    Copying,
    /// The source serves the slots no more, and the last changes are under way.
    HandingOver,
    /// The slots are the target's.
    Done,
    /// It was given up.
    Cancelled,
}

impl Stage {
    /// Whether it has ended.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Stage::Done | Stage::Cancelled)
    }
}

/// A move of slots from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its name: 40 hexadecimal digits.
    pub name: String,
    /// The slots.
    pub slots: Vec<Range>,
    /// Who has owned them.
    pub from: NodeId,
    /// Who shall own them.
    pub to: NodeId,
    /// How far it is.
    pub stage: Stage,
    /// What has failed, or other news.
    pub message: String,
    /// How often it was begun again.
    pub retries: u64,
    /// When it was asked for.
    pub created: Millis,
    /// When it has begun; 0: not yet.
    pub started: Millis,
    /// When it has ended; 0: not yet.
    pub ended: Millis,
    /// When something has happened last.
    pub updated: Millis,
    /// When the other node was heard last.
    pub heard: Millis,
    /// For how many milliseconds commands had to wait in the end.
    pub paused: Millis,
    /// Bytes that are left to send, as far as it is known.
    pub left: u64,
}

/// Messages of channels that go to all members.
pub trait Spread: Send + Sync {
    /// Sends a message of a channel to all other members, for those who have subscribed there. It
    /// does not wait, and drops what a member does not take in time: publishing promises nothing.
    fn publish(&self, channel: &[u8], message: &[u8]);
}

/// The parts of a node that is up.
#[derive(Clone)]
pub struct Operations {
    /// Agreement.
    pub meta: Arc<dyn Meta>,
    /// This node and others.
    pub admin: Arc<dyn Admin>,
    /// Moves of slots.
    pub moves: Arc<dyn Moves>,
    /// Messages to all.
    pub spread: Arc<dyn Spread>,
    /// The thread on which everything runs that has to wait.
    pub thread: Handle,
}
