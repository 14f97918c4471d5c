//! What [`super::Duty`] is told, and what it says.

use super::Moment;
use crate::cluster::change::{Change, Life, Verdict};
use crate::cluster::map::Map;
use crate::cluster::meta::Unsettled;
use crate::cluster::node::NodeId;
use crate::cluster::stream::frame::Why;
use crate::cluster::stream::ranges::Ranges;
use std::sync::Arc;

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// There is a new map.
    Map(Arc<Map>),
    /// A peer is connected.
    Up(NodeId),
    /// It is not any more, or could not be reached.
    Down(NodeId),
    /// It has a base, or has kept what it had.
    Taken(NodeId, u32),
    /// It has everything of a group that is fenced.
    Confirmed(NodeId, u32),
    /// It does not take a group; 0: anything.
    Refused(NodeId, u32, Why),
    /// How many changes are under way to it, and whether it acknowledges them.
    Lag(NodeId, usize, bool),
    /// Slots are being handed over to this node, and whatever changes in them from here on is
    /// remembered for their former owner.
    Kept(Life, Ranges),
    /// A peer has everything that was written before replies began to wait for it.
    Held(NodeId),
    /// They are not handed over after all.
    Unkept(NodeId, Ranges),
    /// Keys of these slots were evicted here before the slots were this node's own.
    Thinned(Ranges),
    /// Nothing touches the slots of the move to this taker any more.
    Fenced(NodeId, u32, Ranges),
    /// How a proposal has ended.
    Settled(Proposal, Result<Verdict, Unsettled>),
    /// An operator wants no moves of these slots.
    Cancel(Ranges),
    /// The leader has answered what this node has asked at that time.
    Heard(Moment),
    /// Time goes by.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect to a peer, again and again.
    Open(Life),
    /// Do not, and forget what was to be sent to it.
    Close(NodeId),
    /// Remember from here on what changes in the slots, have the peer drop what it has of them, and send
    /// them.
    Begin(NodeId, u32, Ranges),
    /// The peer has these slots: go on. They are not handed over, whatever it has confirmed.
    Resume(NodeId, u32, Ranges),
    /// The peer does not get these slots any more.
    Forget(NodeId, Ranges),
    /// Let replies wait for a peer, and say when it has what was written before.
    Hold(Life),
    /// Let them not any more.
    Release(NodeId),
    /// Let nobody touch these slots, and say when that is so.
    Fence(NodeId, u32, Ranges),
    /// Send what is left of the group, and ask for a confirmation.
    Fin(NodeId, u32, Ranges),
    /// Serve these slots again.
    Unfence(Ranges),
    /// Propose a change.
    Propose(Proposal),
}

/// A change that this node proposes, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// The end of the move to a taker, with the group of that move.
    Commit(NodeId, u32, Change),
    /// Of what a backup has, with a number.
    Sync(NodeId, u32, Change),
}

impl Proposal {
    /// The change.
    #[must_use]
    pub fn change(&self) -> &Change {
        match self {
            Proposal::Commit(_, _, change) | Proposal::Sync(_, _, change) => change,
        }
    }
}
