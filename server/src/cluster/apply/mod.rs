//! What the entries of the log do to the map.
//!
//! Every node applies the same changes in the same order and must come to the same map, so this uses
//! nothing but its arguments: no clock, no randomness, no hash map's order. A change is looked at as a
//! whole before anything is changed: one that is void leaves the map as it was.
//!
//! ```text
//!   Join, Leave, Weight,      -> members, and a new goal: where slots shall be
//!   Remove, Replicas, Want
//!   Join again, Remove        -> the node's slots fall to a backup in sync, else they begin empty
//!   Commit                    -> the taker owns; the giver keeps a copy in sync
//!   Sync                      -> who may follow the owner
//! ```
//!
//! Only three of them give a slot to another owner: a removal, a return with a new life, and a commit.

mod slots;
#[cfg(test)]
mod tests;

use super::change::{Change, Gone, Life, Range, Verdict};
use super::map::{Former, MAX_BACKUPS, MAX_FORMER, Map};
use super::node::{Endpoint, Member, NodeId};
use super::plan;

/// The highest weight that a member can have.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// The highest epoch that a node can claim to have seen.
const MAX_SEEN: u64 = 1 << 48;

/// What a change comes to, or why it is void.
type Applied = Result<(), String>;

impl Map {
    /// Applies a change.
    pub fn apply(&mut self, change: Change) -> Verdict {
        let applied = match change {
            Change::Join { life, endpoint, weight, zone, seen } => {
                self.join(life, endpoint, weight, zone, seen)
            }
            Change::Leave { node, leaving } => self.leave(node, leaving),
            Change::Remove { life, why } => self.remove(life, why),
            Change::Weight { node, weight } => self.weight(node, weight),
            Change::Replicas(replicas) => self.replicas(replicas),
            Change::Want { slots, owner } => self.want(&slots, owner),
            Change::Commit { slots, from, to } => self.commit(&slots, from, to),
            Change::Sync { slots, owner, backup, in_sync } => {
                self.sync(&slots, owner, backup, in_sync)
            }
        };
        match applied {
            Ok(()) => Verdict::Done,
            Err(why) => Verdict::Void(why),
        }
    }

    fn join(
        &mut self,
        life: Life,
        endpoint: Endpoint,
        weight: u32,
        zone: String,
        seen: u64,
    ) -> Applied {
        let former = self.former.get(&life.node);
        if former.is_some_and(|former| life.incarnation <= former.incarnation) {
            return Err(format!("node {} is gone in this incarnation", life.node));
        }
        let incarnation = life.incarnation;
        let before = self.members.get(&life.node).cloned();
        let member = match &before {
            Some(member) if incarnation < member.incarnation => {
                return Err(format!("node {} has a newer incarnation", life.node));
            }
            // What it was told by an operator holds across its restarts, and while it goes it may
            // still have to say where it is.
            Some(member) => {
                let leaving = member.leaving && incarnation == member.incarnation;
                Member { endpoint, incarnation, weight: member.weight, zone, leaving }
            }
            None => {
                let weight = weight.min(MAX_WEIGHT);
                Member { endpoint, incarnation, weight, zone, leaving: false }
            }
        };
        if before.as_ref() == Some(&member) {
            return Ok(());
        }
        self.epoch = self.epoch.max(seen.min(MAX_SEEN)) + 1;
        self.former.remove(&life.node);
        self.members.insert(life.node, member);
        if before.is_some_and(|before| before.incarnation < incarnation) {
            self.lose(life.node);
        }
        self.replan();
        Ok(())
    }

    fn leave(&mut self, node: NodeId, leaving: bool) -> Applied {
        let member = self.member(node)?;
        if member.leaving == leaving {
            return Ok(());
        }
        if leaving && !self.has_owner_beside(node) {
            return Err("nobody would be left to own its slots".to_owned());
        }
        self.change_member(node, |member| member.leaving = leaving);
        Ok(())
    }

    fn weight(&mut self, node: NodeId, weight: u32) -> Applied {
        if weight > MAX_WEIGHT {
            return Err(format!("a weight is at most {MAX_WEIGHT}"));
        }
        if self.member(node)?.weight == weight {
            return Ok(());
        }
        if weight == 0 && !self.has_owner_beside(node) {
            return Err("nobody would be left to own its slots".to_owned());
        }
        self.change_member(node, |member| member.weight = weight);
        Ok(())
    }

    fn remove(&mut self, life: Life, why: Gone) -> Applied {
        self.alive(life)?;
        if self.members.len() == 1 {
            return Err("the last member cannot be removed".to_owned());
        }
        self.epoch += 1;
        self.members.remove(&life.node);
        let former = Former { incarnation: life.incarnation, epoch: self.epoch, why };
        self.former.insert(life.node, former);
        if self.former.len() > MAX_FORMER {
            let oldest = self.former.iter().min_by_key(|(_, former)| former.epoch);
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                self.former.remove(&oldest);
            }
        }
        self.lose(life.node);
        self.replan();
        Ok(())
    }

    fn replicas(&mut self, replicas: u8) -> Applied {
        if usize::from(replicas) > MAX_BACKUPS {
            return Err(format!("a slot has at most {MAX_BACKUPS} backups"));
        }
        if self.replicas != replicas {
            self.replicas = replicas;
            self.replan();
        }
        Ok(())
    }

    fn want(&mut self, slots: &[Range], owner: NodeId) -> Applied {
        slots::check(slots)?;
        if self.member(owner)?.leaving {
            return Err(format!("node {owner} is leaving"));
        }
        let keep = usize::from(self.replicas);
        slots::update(&mut self.goal, slots, |goal| {
            if goal.owner == Some(owner) {
                return;
            }
            let copies = goal.owner.into_iter().chain(goal.backups.into_iter().flatten());
            let mut copies = copies.filter(|node| *node != owner).take(keep);
            goal.backups = std::array::from_fn(|_| copies.next());
            goal.owner = Some(owner);
        });
        self.tidy();
        Ok(())
    }

    fn commit(&mut self, slots: &[Range], from: Life, to: Life) -> Applied {
        slots::check(slots)?;
        self.alive(from)?;
        self.alive(to)?;
        if from.node == to.node {
            return Err("a node hands nothing over to itself".to_owned());
        }
        self.owns(slots, from.node)?;
        self.epoch += 1;
        slots::update(&mut self.slots, slots, |holders| slots::hand_over(holders, to.node));
        self.tidy();
        Ok(())
    }

    fn sync(&mut self, slots: &[Range], owner: Life, backup: Life, in_sync: bool) -> Applied {
        slots::check(slots)?;
        self.alive(owner)?;
        self.owns(slots, owner.node)?;
        if owner.node == backup.node {
            return Err("an owner is no backup of itself".to_owned());
        }
        if in_sync {
            self.alive(backup)?;
            let wanted = |node| slots::wanted(&self.goal, slots, node);
            if !wanted(backup.node) && !slots::held_by(&self.slots, slots, backup.node) {
                return Err(format!("node {} is not to have copies", backup.node));
            }
        }
        let goal = &self.goal;
        slots::update_with(&mut self.slots, goal, slots, |holders, goal| {
            slots::mark(holders, goal, backup.node, in_sync);
        });
        self.tidy();
        Ok(())
    }

    /// A node has lost what it had: others follow it, or its slots begin empty.
    fn lose(&mut self, node: NodeId) {
        self.slots = self.slots.map(|holders| slots::follow(holders, node));
    }

    /// Thinks again about where slots shall be. Whatever has no owner falls to whoever shall have it,
    /// empty.
    fn replan(&mut self) {
        self.goal = plan::goal(&self.goal, &self.slots, &self.members, self.replicas);
        let heir = self.members.keys().next().copied();
        let members = &self.members;
        let is_member = |node: &NodeId| members.contains_key(node);
        // While all members leave or have no weight, the plan is as it was; but every slot has an owner.
        self.goal = self.goal.map(|mut goal| {
            goal.owner = goal.owner.filter(is_member).or(heir);
            let may = |node: &NodeId| is_member(node) && Some(*node) != goal.owner;
            let mut copies = goal.backups.into_iter().flatten().filter(may);
            goal.backups = std::array::from_fn(|_| copies.next());
            goal
        });
        let epoch = self.epoch;
        self.slots = slots::with(&self.slots, &self.goal, |holders, goal| {
            slots::begin_empty(holders, goal, epoch)
        });
        self.tidy();
    }

    /// Lets go of copies that nobody needs any more.
    fn tidy(&mut self) {
        self.slots = slots::with(&self.slots, &self.goal, slots::tidy);
    }

    fn change_member(&mut self, node: NodeId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(&node) {
            change(member);
            self.epoch += 1;
            self.replan();
        }
    }

    fn member(&self, node: NodeId) -> Result<&Member, String> {
        self.members.get(&node).ok_or_else(|| format!("Unknown node {node}"))
    }

    /// Whether a life is that of a member.
    fn alive(&self, life: Life) -> Applied {
        let member = self.member(life.node)?;
        if member.incarnation == life.incarnation {
            return Ok(());
        }
        Err(format!("node {} has another incarnation", life.node))
    }

    fn owns(&self, slots: &[Range], node: NodeId) -> Applied {
        if slots::all(&self.slots, slots, |holders| holders.owner == Some(node)) {
            return Ok(());
        }
        Err(format!("node {node} does not own all of these slots"))
    }

    /// Whether there is a member beside `node` that can own slots.
    fn has_owner_beside(&self, node: NodeId) -> bool {
        let owns = |member: &Member| !member.leaving && member.weight > 0;
        self.members.iter().any(|(id, member)| *id != node && owns(member))
    }
}
