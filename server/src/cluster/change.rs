//! Changes of the map: the entries of the log. What they do is in [`super::apply`].

use super::node::{Endpoint, NodeId};
use serde::{Deserialize, Serialize};

/// A node in one of its lives: what it had in memory is lost with its incarnation, so a proposal that
/// is about that memory is void when the node has begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Life {
    /// Which node.
    pub node: NodeId,
    /// Which start of its process.
    pub incarnation: u64,
}

/// Why a member is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gone {
    /// Nothing was heard of it for too long. It may be alive, and comes back empty.
    Silent,
    /// It has left (CLUSTER LEAVE).
    Left,
    /// Somebody wanted it to go (CLUSTER FORGET).
    Forgotten,
}

/// Slots from the first to the last.
pub type Range = (u16, u16);

/// A change that somebody proposes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A node comes, or comes back: with a higher incarnation it has nothing of what it had, and
    /// those who have copies follow it at once.
    Join {
        /// Who.
        life: Life,
        /// Where it is.
        endpoint: Endpoint,
        /// Its weight, unless it is a member already.
        weight: u32,
        /// Its zone.
        zone: String,
        /// The highest epoch that it has seen, maybe in another cluster: for those who look at it, too,
        /// epochs rise.
        seen: u64,
    },
    /// A member shall give its slots away and go, or shall not any more.
    Leave {
        /// Who.
        node: NodeId,
        /// Whether it goes.
        leaving: bool,
    },
    /// A member is gone. Its backups follow it.
    Remove {
        /// Who, and in which life: one that has come back meanwhile stays.
        life: Life,
        /// Why.
        why: Gone,
    },
    /// A member's weight.
    Weight {
        /// Who.
        node: NodeId,
        /// How much.
        weight: u32,
    },
    /// How many backups slots shall have.
    Replicas(u8),
    /// Somebody wants these slots to be owned by a member (CLUSTER MIGRATION IMPORT).
    Want {
        /// Which slots.
        slots: Vec<Range>,
        /// Who shall own them.
        owner: NodeId,
    },
    /// The owner of slots has handed everything over to their taker, and neither serves them: the
    /// taker owns them from here on, and the former owner is a backup in sync.
    Commit {
        /// Which slots.
        slots: Vec<Range>,
        /// Who has owned them.
        from: Life,
        /// Who owns them now.
        to: Life,
    },
    /// An owner says whether a backup of slots has everything.
    Sync {
        /// Which slots.
        slots: Vec<Range>,
        /// Who owns them.
        owner: Life,
        /// Who keeps copies.
        backup: Life,
        /// Whether it has everything.
        in_sync: bool,
    },
}

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The map is what was asked for.
    Done,
    /// The map is as before: what the proposal was about is not so any more, or never was. Why, as a
    /// reply to whoever asked says it.
    Void(String),
}
