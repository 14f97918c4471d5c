//! A move: slots on their way to one taker.

use super::Moment;
use crate::cluster::change::Life;
use crate::cluster::keeper::fences::Fence;
use crate::cluster::stream::ranges::Ranges;

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The taker gets the slots.
    Copy,
    /// Those who use them come to an end.
    Fence,
    /// The taker gets the last changes.
    Drain,
    /// All members are asked.
    Commit,
    /// It is done; the map that says so is on its way.
    Done,
}

/// A move that is under way.
#[derive(Clone, Debug)]
pub struct Move {
    /// Who takes over.
    pub to: Life,
    /// Which slots.
    pub slots: Ranges,
    /// How far it is.
    pub phase: Phase,
    /// Since when this phase lasts.
    pub since: Moment,
    /// Since when the move lasts.
    pub began: Moment,
    pub(super) fenced: Moment,
    pub(super) group: u32,
    /// The commit was proposed, and nobody knows what has become of it: when to propose it again.
    pub(super) again: Option<Moment>,
    /// An attempt of the commit may have been decided on, or may be still.
    pub(super) unknown: bool,
}

impl Move {
    pub(super) fn begin(to: Life, slots: Ranges, now: Moment) -> Move {
        Move {
            to,
            slots,
            phase: Phase::Copy,
            since: now,
            began: now,
            fenced: now,
            group: 0,
            again: None,
            unknown: false,
        }
    }

    /// The commit may have been made: only the map, or a verdict, says more.
    pub(super) fn is_open(&self) -> bool {
        self.phase >= Phase::Commit
    }

    /// The fence that ends with the move, if there is one; `given`: the slots are the taker's.
    pub(super) fn fence(&self, given: bool, now: Moment) -> Option<Fence> {
        let lasted = now.saturating_sub(self.fenced);
        (self.phase != Phase::Copy).then(|| Fence { slots: self.slots.clone(), lasted, given })
    }
}
