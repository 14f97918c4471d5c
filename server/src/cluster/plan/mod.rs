//! Where slots shall be.
//!
//! Consistent hashing in the form of fixed equal partitions: the slot of a key never changes, and
//! every member owns its share of the slots ("Q/S tokens per node, equal-sized partitions", DeCandia
//! et al., Dynamo, SOSP 2007, section 6.2, strategy 3). Which slots is a table that the members
//! agree on, so it can be exactly even and change by the minimum, which points on a ring cannot:
//! `dunlin-bench placement` prints the comparison.
//!
//! [`goal`] makes the next table from the one before, from who has what now, and from who is there:
//!
//! 1. **Shares** ([`owners`]). Each member's share is its weight's part of all slots; who has more gives
//!    the difference, and who has less takes it. Nothing else moves.
//! 2. **Heirs.** A slot whose owner is gone or goes falls to who has its keys already: the owner that
//!    it still has, else a backup. So little has to be copied.
//! 3. **Backups** ([`backups`]). Each owner's slots are backed up by many others, a piece each, in
//!    another zone if there is one. Who had to give a slot becomes its backup and keeps its copy.
//!
//! It is pure and uses integers only: every member computes the same from the same.

mod backups;
mod owners;
#[cfg(test)]
mod tests;

use super::map::{Goal, Holders};
use super::node::{Member, NodeId};
use super::runs::{Run, Runs};
pub use owners::{Weights, owners};
use std::collections::BTreeMap;

/// Where slots shall be, given where they were to be, where they are, who is there, and how many
/// backups each shall have. Who leaves and who has no weight gets nothing. While nobody can own
/// anything all stays as it is.
#[must_use]
pub fn goal(
    previous: &Runs<Goal>,
    slots: &Runs<Holders>,
    members: &BTreeMap<NodeId, Member>,
    replicas: u8,
) -> Runs<Goal> {
    let stays =
        |(id, member): (&NodeId, &Member)| (!member.leaving).then_some((*id, member.weight));
    let mut weights: Weights = members.iter().filter_map(stays).collect();
    weights.retain(|_, weight| *weight > 0);
    let known = Runs::of(previous.zip(slots));
    let heirs = known.map(|(goal, holders)| heir(&goal, &holders, &weights));
    let before = previous.map(|goal| goal.owner);
    let Some(owners) = owners(&before, &heirs, &weights) else { return previous.clone() };
    let nodes = backups::Nodes::new(&weights, members);
    if owners == before && backups::stand(previous, &nodes, replicas) {
        return previous.clone();
    }
    let piece = |run: Run<((Goal, Holders), Option<NodeId>)>| {
        let ((goal, holders), owner) = run.value;
        let owner = owner.unwrap_or_default();
        Run { first: run.first, last: run.last, value: (owner, copies(&goal, &holders, owner)) }
    };
    let pieces = known.zip(&owners).into_iter().map(piece).collect();
    backups::backups(pieces, &nodes, replicas)
}

/// Who takes a slot whose owner is gone: who has its keys.
fn heir(goal: &Goal, holders: &Holders, weights: &Weights) -> Option<NodeId> {
    let in_sync = holders.backups().filter(|backup| backup.in_sync).map(|backup| backup.node);
    let hopes = holders.owner.into_iter().chain(in_sync);
    let planned = goal.backups.into_iter().flatten();
    hopes.chain(planned).find(|node| weights.contains_key(node))
}

/// Those who shall keep copies of a slot if they may, the best first.
fn copies(goal: &Goal, holders: &Holders, owner: NodeId) -> backups::Wishes {
    let moves = goal.owner != Some(owner);
    let giver = holders.owner.filter(|_| moves);
    let [first, second] = goal.backups;
    let [third, fourth] = holders.backups.map(|backup| backup.map(|backup| backup.node));
    [giver, first, second, third.filter(|_| moves), fourth.filter(|_| moves)]
}
