//! Moves of slots to other owners: when one begins, fences, is proposed, and ends.

use super::{
    BATCH, Duty, Effect, FENCE, FENCE_MAX, Moment, Move, Phase, Proposal, REST, REST_CANCELLED,
    REST_MOVE,
};
use crate::cluster::change::{Change, Life, Verdict};
use crate::cluster::meta::Unsettled;
use crate::cluster::node::NodeId;
use crate::cluster::stream::ranges::Ranges;
use std::time::Duration;

impl Duty {
    pub(super) fn fenced(&mut self, taker: NodeId, group: u32, slots: Ranges, now: Moment) {
        if let Some(moving) = self.moves.get_mut(&taker)
            && (moving.phase, moving.group) == (Phase::Fence, group)
        {
            (moving.phase, moving.since) = (Phase::Drain, now);
            self.effects.push(Effect::Fin(taker, group, slots));
            return;
        }
        // The move was given up meanwhile, perhaps before the fence had begun.
        let fenced = self.moves.values().filter(|moving| moving.phase != Phase::Copy);
        let slots = fenced.fold(slots, |slots, moving| slots.without(&moving.slots));
        if !slots.is_empty() {
            self.effects.push(Effect::Unfence(slots));
        }
    }

    pub(super) fn confirmed(&mut self, taker: NodeId, group: u32, now: Moment) {
        let Some(moving) = self.moves.get_mut(&taker) else { return };
        if (moving.phase, moving.group) == (Phase::Drain, group) {
            (moving.phase, moving.since) = (Phase::Commit, now);
            self.propose_commit(taker);
        }
    }

    fn propose_commit(&mut self, taker: NodeId) {
        let (Some(from), Some(moving)) = (self.life(self.me), self.moves.get(&taker)) else {
            return;
        };
        let slots = moving.slots.as_slice().to_vec();
        let change = Change::Commit { slots, from, to: moving.to };
        self.effects.push(Effect::Propose(Proposal::Commit(taker, moving.group, change)));
    }

    /// Of commits whose outcome is not known: if the first has been made, the second is void, and its
    /// verdict comes after both.
    pub(super) fn propose_again(&mut self, now: Moment) {
        let is_due = |moving: &&mut Move| moving.again.is_some_and(|at| at <= now);
        let due = self.moves.values_mut().filter(is_due);
        let due: Vec<NodeId> = due.map(|moving| (moving.again = None, moving.to.node).1).collect();
        due.into_iter().for_each(|taker| self.propose_commit(taker));
    }

    pub(super) fn settled(
        &mut self,
        proposal: Proposal,
        outcome: &Result<Verdict, Unsettled>,
        now: Moment,
    ) {
        match proposal {
            Proposal::Sync(node, number, change) => {
                self.sync_settled(node, number, change, outcome, now);
            }
            Proposal::Commit(taker, group, _) => self.commit_settled(taker, group, outcome, now),
        }
    }

    fn commit_settled(
        &mut self,
        taker: NodeId,
        group: u32,
        outcome: &Result<Verdict, Unsettled>,
        now: Moment,
    ) {
        let Some(moving) = self.moves.get_mut(&taker) else { return };
        // The map may have ended the move already, and its verdict comes during the next one.
        if (moving.phase, moving.group) != (Phase::Commit, group) {
            return;
        }
        match outcome {
            Ok(Verdict::Done) => {
                (moving.phase, moving.since) = (Phase::Done, now);
                self.patience.remove(&taker);
                self.check_move(taker, now);
                // If they are here still, they have come back since.
                if self.moves.get(&taker).is_some_and(|moving| moving.phase == Phase::Done) {
                    self.give_up(taker, REST_MOVE, now);
                }
            }
            // This node's map is now as new as the verdict: the slots are its own still, or an earlier
            // attempt has given them away.
            Ok(Verdict::Void(_)) => {
                moving.phase = Phase::Drain;
                self.give_up(taker, REST_MOVE, now);
            }
            Err(Unsettled::NotProposed(_)) if !moving.unknown => {
                moving.phase = Phase::Drain;
                self.give_up(taker, REST_MOVE, now);
            }
            Err(_) => {
                moving.unknown = true;
                moving.again = Some(now + REST);
            }
        }
    }

    pub(super) fn cancel(&mut self, slots: Ranges, now: Moment) {
        let touched = |moving: &&Move| !moving.slots.both(&slots).is_empty();
        let takers: Vec<_> =
            self.moves.values().filter(touched).map(|moving| moving.to.node).collect();
        for taker in takers {
            if self.moves.get(&taker).is_some_and(|moving| !moving.is_open()) {
                self.give_up(taker, REST_MOVE, now);
            }
        }
        self.cancelled.push((slots, now + REST_CANCELLED));
    }

    /// Ends a move without a result. Its slots are served here again.
    pub(super) fn give_up(&mut self, taker: NodeId, rest: Duration, now: Moment) {
        let Some(moving) = self.moves.remove(&taker) else { return };
        self.fences.extend(moving.fence(false, now));
        if moving.phase >= Phase::Drain {
            self.recall(moving.to, &moving.slots);
        }
        if moving.phase != Phase::Copy {
            self.effects.push(Effect::Unfence(moving.slots));
        }
        let rests = self.rests.entry(taker).or_default();
        *rests = (*rests).max(now + rest);
    }

    /// A taker may have confirmed these slots, and they are not handed over. It has to hear that: until
    /// then it remembers what changes in them, which this node does not take, nor what comes behind it.
    fn recall(&mut self, taker: Life, slots: &Ranges) {
        let slots = slots.both(&self.owned());
        let peer = self.peers.get_mut(&taker.node).filter(|peer| peer.life == taker);
        let Some(peer) = peer else { return };
        peer.recalled = peer.recalled.with(&slots);
        let live = peer.live.both(&slots);
        self.resume(taker.node, live);
    }

    pub(super) fn look_at_moves(&mut self, now: Moment) {
        self.cancelled.retain(|(_, until)| now < *until);
        for (taker, wanted) in self.all_wanted() {
            match self.moves.get(&taker).map(|moving| moving.phase) {
                None => self.begin_move(taker, &wanted.moves, now),
                Some(Phase::Copy) => self.fence_if_near(taker, now),
                Some(Phase::Fence | Phase::Drain) => {
                    let fenced = self.moves.get(&taker).map_or(now, |moving| moving.fenced);
                    let patience = self.patience.get(&taker).copied().unwrap_or(FENCE);
                    if now.saturating_sub(fenced) >= patience {
                        self.patience.insert(taker, (patience * 2).min(FENCE_MAX));
                        self.give_up(taker, REST_MOVE, now);
                    }
                }
                Some(Phase::Commit | Phase::Done) => {}
            }
        }
    }

    fn begin_move(&mut self, taker: NodeId, slots: &Ranges, now: Moment) {
        let rests = self.rests.get(&taker).is_some_and(|until| now < *until);
        let Some(to) = self.life(taker).filter(|_| !rests && !slots.is_empty()) else { return };
        let stopped = self.cancelled.iter().map(|(cancelled, _)| cancelled);
        let moving = self.moves.values().map(|moving| &moving.slots);
        let allowed = stopped.chain(moving).fold(slots.clone(), |slots, not| slots.without(not));
        // What it has already can go at once.
        let there = self.peers.get(&taker).map(|peer| allowed.both(&peer.live));
        let first = there.filter(|there| !there.is_empty()).unwrap_or(allowed).first(BATCH);
        if first.is_empty() {
            return;
        }
        self.open(to, now);
        self.moves.insert(taker, Move::begin(to, first, now));
    }

    fn fence_if_near(&mut self, taker: NodeId, now: Moment) {
        let Some(peer) = self.peers.get(&taker) else { return };
        let Some(moving) = self.moves.get_mut(&taker) else { return };
        if !peer.is_near(now) || !moving.slots.without(&peer.live).is_empty() {
            return;
        }
        self.groups += 1;
        (moving.phase, moving.since, moving.fenced) = (Phase::Fence, now, now);
        moving.group = self.groups;
        self.effects.push(Effect::Fence(taker, moving.group, moving.slots.clone()));
    }
}
