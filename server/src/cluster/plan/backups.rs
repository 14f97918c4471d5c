//! Who shall back up what.
//!
//! When a member is gone its backups follow it, and each carries what it has backed up until the slots
//! are even again. So a member's slots are cut in pieces and spread, by two limits:
//!
//! - **of a pair**: what one node backs up of one owner is a [`SPREAD`]th of its own share at most, so
//!   no death adds more than that to anybody, and a node need not send its backups to all others; with
//!   fewer nodes than that, it is what comes to it when all others share by their weights.
//! - **of a node**: what comes to it when the backups of every owner are shared by weights.
//!
//! Who may back up a slot is anybody but its owner; in another zone, if there is one. Slots stay with
//! those who have copies as far as the limits allow, and what is left goes to the least loaded, in long
//! pieces. A limit is exceeded rather than that a slot has no backup.

use super::super::map::{Goal, MAX_BACKUPS};
use super::super::node::{Member, NodeId};
use super::super::runs::{Run, Runs};
use super::super::slot::SLOTS;
use super::owners::Weights;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Those who back up a member weigh together as much as this many of it, if there are so many.
const SPREAD: u64 = 16;
/// Fractions of a slot are counted in units of one to this many.
const UNIT: u64 = 1 << 16;

/// How many wishes a slot has.
const WISHES: usize = 5;

/// Who shall have copies of a slot if they may, the best first.
pub(super) type Wishes = [Option<NodeId>; WISHES];

/// Those who can own slots and back them up; in here a node is its place in these lists.
pub(super) struct Nodes<'a> {
    ids: Vec<NodeId>,
    weights: Vec<u64>,
    zones: Vec<&'a str>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(weights: &Weights, members: &'a BTreeMap<NodeId, Member>) -> Self {
        let zone = |id| members.get(id).map_or("", |member| member.zone.as_str());
        Nodes {
            ids: weights.keys().copied().collect(),
            weights: weights.values().map(|weight| u64::from(*weight)).collect(),
            zones: weights.keys().map(zone).collect(),
        }
    }

    fn find(&self, id: NodeId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Who may back up a slot of `owner` of which `other` has a backup already; ascending.
    fn choices(&self, owner: usize, other: Option<usize>) -> Vec<usize> {
        let all = (0..self.ids.len()).filter(|node| *node != owner && Some(*node) != other);
        let all: Vec<usize> = all.collect();
        let elsewhere = |from: &[usize], than: usize| -> Vec<usize> {
            from.iter().copied().filter(|node| self.zones[*node] != self.zones[than]).collect()
        };
        let far = elsewhere(&all, owner);
        let farthest = other.map(|other| elsewhere(&far, other)).unwrap_or_default();
        [farthest, far, all].into_iter().find(|some| !some.is_empty()).unwrap_or_default()
    }
}

/// Consecutive slots with everything in common.
#[derive(Clone, Copy)]
struct Piece {
    first: u16,
    last: u16,
    owner: usize,
    wishes: [Option<usize>; WISHES],
    backups: [Option<usize>; MAX_BACKUPS],
}

impl Piece {
    fn count(&self) -> i64 {
        i64::from(self.last - self.first + 1)
    }
}

/// Whether the backups of a goal can stay if its owners do.
pub(super) fn stand(goal: &Runs<Goal>, nodes: &Nodes<'_>, replicas: u8) -> bool {
    goal.runs().iter().all(|run| {
        let Some(owner) = run.value.owner.and_then(|id| nodes.find(id)) else { return false };
        let mut other = None;
        run.value.backups.iter().enumerate().all(|(rank, backup)| {
            let choices = nodes.choices(owner, other);
            let wanted = rank < replicas.into() && !choices.is_empty();
            other = backup.and_then(|id| nodes.find(id));
            match other {
                Some(node) => wanted && choices.contains(&node),
                None => !wanted && backup.is_none(),
            }
        })
    })
}

/// The goal with these owners: `pieces` are all slots in order, each with its owner and its wishes.
pub(super) fn backups(
    pieces: Vec<Run<(NodeId, Wishes)>>,
    nodes: &Nodes<'_>,
    replicas: u8,
) -> Runs<Goal> {
    let piece = |run: Run<(NodeId, Wishes)>| {
        let (owner, wishes) = run.value;
        let wishes = wishes.map(|wish| wish.and_then(|id| nodes.find(id)));
        let owner = nodes.find(owner).unwrap_or_default();
        Piece { first: run.first, last: run.last, owner, wishes, backups: [None; MAX_BACKUPS] }
    };
    let mut pieces: Vec<Piece> = pieces.into_iter().map(piece).collect();
    for rank in 0..MAX_BACKUPS.min(replicas.into()) {
        Spreading::new(&mut pieces, nodes, rank).run();
    }
    pieces.sort_unstable_by_key(|piece| piece.first);
    let goal = |piece: Piece| {
        let id = |node: usize| nodes.ids[node];
        let value =
            Goal { owner: Some(id(piece.owner)), backups: piece.backups.map(|b| b.map(id)) };
        Run { first: piece.first, last: piece.last, value }
    };
    Runs::of(pieces.into_iter().map(goal).collect())
}

/// What slots have in common for which the same nodes may be backups: their owner, and another backup of
/// theirs if it is the second one that is looked for.
type Key = (usize, Option<usize>);

/// Slots with a [`Key`] in common.
struct Group {
    owner: usize,
    choices: Vec<usize>,
    /// Places of pieces that have no backup yet, the last slots first.
    free: Vec<usize>,
}

/// One backup for every slot, the first or the second.
struct Spreading<'a> {
    pieces: &'a mut Vec<Piece>,
    rank: usize,
    groups: BTreeMap<Key, Group>,
    /// How many slots of an owner (row) a node may still back up.
    pairs: Vec<Vec<i64>>,
    /// How many slots a node should still back up; below zero: it has too many.
    rooms: Vec<i64>,
    /// Slots of an owner without a backup.
    free: Vec<i64>,
}

impl<'a> Spreading<'a> {
    fn new(pieces: &'a mut Vec<Piece>, nodes: &Nodes<'_>, rank: usize) -> Self {
        let mut groups = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for piece in &*pieces {
            let other = if rank == 0 { None } else { piece.backups[0] };
            let key: Key = (piece.owner, other);
            groups.entry(key).or_insert_with(|| {
                let choices = nodes.choices(piece.owner, other);
                Group { owner: piece.owner, choices, free: Vec::new() }
            });
            *counts.entry(key).or_default() += piece.count();
        }
        let (pairs, rooms) = limits(&groups, &counts, nodes);
        let free = vec![0; nodes.ids.len()];
        Spreading { pieces, rank, groups, pairs, rooms, free }
    }

    fn run(&mut self) {
        self.keep();
        // What was left of pieces is in the lists already; now they are in order.
        self.free.fill(0);
        self.groups.values_mut().for_each(|group| group.free.clear());
        self.pieces.sort_unstable_by_key(|piece| Reverse(piece.first));
        for at in 0..self.pieces.len() {
            if self.pieces[at].backups[self.rank].is_none() {
                self.leave(at);
            }
        }
        while self.place() {}
    }

    /// Slots go to those whom they wish for, as far as the limits allow.
    fn keep(&mut self) {
        for wish in 0..WISHES {
            let wishes = |at: &usize| {
                let piece = &self.pieces[*at];
                piece.backups[self.rank].is_none() && piece.wishes[wish].is_some()
            };
            let mut open: Vec<usize> = (0..self.pieces.len()).filter(wishes).collect();
            // The long ones first, so that it is the short ones that go and may join something.
            let length = |at: &usize| (Reverse(self.pieces[*at].count()), self.pieces[*at].first);
            open.sort_unstable_by_key(length);
            for at in open {
                let piece = self.pieces[at];
                let Some(node) = piece.wishes[wish] else { continue };
                let room = self.rooms[node].min(self.pairs[piece.owner][node]);
                if room > 0 && self.is_choice(self.key(&piece), node) {
                    self.give(at, node, room);
                }
            }
        }
    }

    /// Finds a backup for some slots that have none; false: there are no such slots.
    fn place(&mut self) -> bool {
        // First the owner whose own slots and own room are most: when only its own room is left at
        // the end, its own slots cannot use it.
        let load = |group: &Group| self.free[group.owner] + self.rooms[group.owner].max(0);
        let open = self.groups.iter().filter(|(_, group)| !group.free.is_empty());
        let open = open.filter(|(_, group)| !group.choices.is_empty());
        let most = open.max_by_key(|(key, group)| (load(group), Reverse(**key)));
        let Some((&key, group)) = most else { return false };
        let owner = group.owner;
        let rank = |node: &usize| (self.pairs[owner][*node] > 0, self.rooms[*node], Reverse(*node));
        let Some(node) = group.choices.iter().copied().max_by_key(rank) else { return false };
        let limit = self.pairs[owner][node].min(self.rooms[node]);
        if limit <= 0 {
            return self.exceed(key, node);
        }
        let mut left = limit;
        while left > 0
            && let Some(at) = self.take(key)
        {
            left -= self.give(at, node, left);
        }
        true
    }

    /// Gives one piece of a group to somebody who has no room: to one that it wishes for, because that
    /// one has it already, or to the `least` loaded.
    fn exceed(&mut self, key: Key, least: usize) -> bool {
        let Some(at) = self.take(key) else { return false };
        let piece = self.pieces[at];
        let pairs = &self.pairs[piece.owner];
        let wished = piece
            .wishes
            .into_iter()
            .flatten()
            .find(|node| self.is_choice(key, *node) && (pairs[*node] > 0 || pairs[least] <= 0));
        let node = wished.unwrap_or(least);
        let limit = Some(pairs[node]).filter(|limit| *limit > 0);
        self.give(at, node, limit.unwrap_or(SLOTS.into()));
        true
    }

    /// The first slots of a group that have no backup.
    fn take(&mut self, key: Key) -> Option<usize> {
        let group = self.groups.get_mut(&key)?;
        let at = group.free.pop()?;
        self.free[group.owner] -= self.pieces[at].count();
        Some(at)
    }

    /// Gives slots back to their group, to be placed later.
    fn leave(&mut self, at: usize) {
        let piece = self.pieces[at];
        self.free[piece.owner] += piece.count();
        let group = self.groups.get_mut(&self.key(&piece));
        group.into_iter().for_each(|group| group.free.push(at));
    }

    /// Makes `node` the backup of the first slots of a piece, `most` at most; says of how many. What is
    /// left of it is a piece of its own.
    fn give(&mut self, at: usize, node: usize, most: i64) -> i64 {
        let piece = self.pieces[at];
        let count = most.min(piece.count());
        let last = piece.first + (count as u16 - 1);
        self.pieces[at].last = last;
        self.pieces[at].backups[self.rank] = Some(node);
        self.rooms[node] -= count;
        self.pairs[piece.owner][node] -= count;
        if last < piece.last {
            self.pieces.push(Piece { first: last + 1, ..piece });
            self.leave(self.pieces.len() - 1);
        }
        count
    }

    fn key(&self, piece: &Piece) -> Key {
        (piece.owner, if self.rank == 0 { None } else { piece.backups[0] })
    }

    fn is_choice(&self, key: Key, node: usize) -> bool {
        self.groups.get(&key).is_some_and(|group| group.choices.binary_search(&node).is_ok())
    }
}

/// How many slots each node may back up of each owner, and how many in all.
fn limits(
    groups: &BTreeMap<Key, Group>,
    counts: &BTreeMap<Key, i64>,
    nodes: &Nodes<'_>,
) -> (Vec<Vec<i64>>, Vec<i64>) {
    let count = nodes.ids.len();
    let mut pairs = vec![vec![0_u64; count]; count];
    let mut rooms = vec![0_u64; count];
    for (key, group) in groups {
        let slots = counts.get(key).copied().unwrap_or(0) as u64 * UNIT;
        let others: u64 = group.choices.iter().map(|node| nodes.weights[*node]).sum();
        let spread = others.min(nodes.weights[group.owner].saturating_mul(SPREAD));
        for &node in &group.choices {
            let weight = nodes.weights[node];
            pairs[group.owner][node] += (slots * weight).div_ceil(spread);
            rooms[node] += (slots * weight).div_ceil(others);
        }
    }
    let whole = |units: u64| units.div_ceil(UNIT) as i64;
    let pairs = pairs.into_iter().map(|row| row.into_iter().map(whole).collect()).collect();
    (pairs, rooms.into_iter().map(whole).collect())
}
