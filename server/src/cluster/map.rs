//! The map: which node owns which slot, and who holds copies. All members agree on it (see
//! [`super::meta`]); a node acts on the newest one that it has seen, and only while it holds a lease.

use super::change::Gone;
use super::node::{Member, NodeId};
use super::runs::Runs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Backups of a slot at most (`cluster-replicas`).
pub const MAX_BACKUPS: usize = 2;
/// Nodes at most that are remembered after they have gone.
pub const MAX_FORMER: usize = 1000;

/// A node that keeps a copy of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Who.
    pub node: NodeId,
    /// It has everything that the owner has acknowledged under the promise that is set
    /// (`cluster-replication`); only such a backup may follow the owner.
    pub in_sync: bool,
}

/// Who has a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    /// Who serves it. None: nobody ever did.
    pub owner: Option<NodeId>,
    /// Who keeps copies; those that are there come first.
    pub backups: [Option<Backup>; MAX_BACKUPS],
    /// The epoch in which the slot began empty, because nobody had everything of it. Whatever a node
    /// has of the slot from before is not to be seen again: maps may be skipped, so an owner cannot
    /// know otherwise that what it remembers is not the newest.
    pub empty_since: u64,
}

impl Holders {
    /// The backups.
    pub fn backups(&self) -> impl Iterator<Item = Backup> + '_ {
        self.backups.iter().flatten().copied()
    }

    /// Whether `node` is a backup.
    #[must_use]
    pub fn is_backup(&self, node: NodeId) -> bool {
        self.backups().any(|backup| backup.node == node)
    }

    /// Sets the backups, of which the first [`MAX_BACKUPS`] are kept.
    pub fn set_backups(&mut self, backups: impl IntoIterator<Item = Backup>) {
        self.backups = [None; MAX_BACKUPS];
        for (place, backup) in self.backups.iter_mut().zip(backups) {
            *place = Some(backup);
        }
    }
}

/// Where a slot shall be once everything has moved: what the [planner](super::plan) wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// Who shall own it.
    pub owner: Option<NodeId>,
    /// Who shall keep copies.
    pub backups: [Option<NodeId>; MAX_BACKUPS],
}

/// A node that is a member no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its last incarnation as a member: it comes back with a higher one only, and so without what it
    /// had in memory.
    pub incarnation: u64,
    /// The epoch in which it went.
    pub epoch: u64,
    /// Why. Who was forgotten or has left does not come back by itself.
    pub why: Gone,
}

/// What all members agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Rises with every change that clients can see: of members, addresses or owners.
    pub epoch: u64,
    /// The members.
    pub members: BTreeMap<NodeId, Member>,
    /// Who has each slot now.
    pub slots: Runs<Holders>,
    /// Who shall have it.
    pub goal: Runs<Goal>,
    /// How many backups a slot shall have (`cluster-replicas`).
    pub replicas: u8,
    /// Those who have been members, the latest [`MAX_FORMER`].
    pub former: BTreeMap<NodeId, Former>,
}

impl Map {
    /// The owner of a slot.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<NodeId> {
        self.slots.get(slot).owner
    }

    /// Whether a node owns any slot.
    #[must_use]
    pub fn is_owner(&self, node: NodeId) -> bool {
        self.slots.runs().iter().any(|run| run.value.owner == Some(node))
    }

    /// Whether slots have still to move, or copies to be made.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        let owners = self.slots.map(|holders| holders.owner);
        owners != self.goal.map(|goal| goal.owner)
    }
}
