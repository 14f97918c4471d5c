//! What each peer is to have: bases for those who lack something, and who counts as in sync.

use super::peer::{Peer, Waiting};
use super::{Duty, Effect, MAX_AWAY, MAX_BASES, Moment, Proposal, REST, Wanted};
use crate::cluster::change::{Change, Verdict};
use crate::cluster::map::Map;
use crate::cluster::meta::Unsettled;
use crate::cluster::node::NodeId;
use crate::cluster::stream::ranges::Ranges;

impl Duty {
    pub(super) fn look_at_peers(&mut self, now: Moment) {
        let mut wanted = self.all_wanted();
        let owned = self.owned();
        for (node, wanted) in &wanted {
            if let Some(life) = self.life(*node).filter(|_| !wanted.copies.is_empty()) {
                self.open(life, now);
            }
        }
        for node in self.peers.keys().copied().collect::<Vec<_>>() {
            if self.is_needless(node, wanted.get(&node)) {
                self.peers.remove(&node);
                self.effects.push(Effect::Close(node));
                continue;
            }
            let mut wanted = wanted.remove(&node).unwrap_or_default();
            let moving = self.moves.get(&node).map(|moving| moving.slots.clone());
            let later = std::mem::replace(&mut wanted.moves, moving.unwrap_or_default());
            self.look_at(node, &wanted, &later, &owned, now);
        }
    }

    /// What peers have of slots that have begun empty since is of before, also if these are this node's
    /// own again: maps may be skipped.
    pub(super) fn lose_what_began_empty(&mut self, before: &Map) {
        let began = before.slots.zip(&self.map.slots).into_iter();
        let began = began.filter(|run| run.value.0.empty_since != run.value.1.empty_since);
        let began: Ranges = began.map(|run| (run.first, run.last)).collect();
        for (node, peer) in &mut self.peers {
            let lost = peer.live.with(&peer.all_basing()).both(&began);
            if !lost.is_empty() {
                let lost = peer.lose(&lost);
                self.effects.push(Effect::Forget(*node, lost));
            }
        }
    }

    /// Whether there is nothing to be sent to a peer.
    fn is_needless(&self, node: NodeId, wanted: Option<&Wanted>) -> bool {
        let is_wanted = |wanted: &Wanted| !wanted.copies.is_empty() || !wanted.moves.is_empty();
        let has_copies = wanted.is_some_and(is_wanted);
        let keeps = |peer: &Peer| !peer.kept.is_empty() || !peer.recalled.is_empty();
        let keeps = self.peers.get(&node).is_some_and(keeps);
        !has_copies && !keeps && !self.moves.contains_key(&node)
    }

    /// `later`: what it is to take over, now or at some time.
    fn look_at(
        &mut self,
        node: NodeId,
        wanted: &Wanted,
        later: &Ranges,
        owned: &Ranges,
        now: Moment,
    ) {
        self.take_up_kept(node, &wanted.copies, owned);
        let all = wanted.copies.with(&wanted.moves);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.recalled = peer.recalled.both(owned);
        // What has been recalled it does not lose before it knows of that.
        let needed = all.with(later).with(&peer.recalled);
        let unwanted = peer.live.with(&peer.all_basing()).without(&needed);
        if !unwanted.is_empty() {
            // The rest of a base of which a part is not wanted any more is begun anew.
            let lost = peer.lose(&unwanted);
            self.effects.push(Effect::Forget(node, lost));
        }
        if !peer.up && peer.lag > MAX_AWAY && !peer.live.is_empty() {
            let live = std::mem::take(&mut peer.live);
            self.effects.push(Effect::Forget(node, live));
        }
        let missing = all.without(&peer.live).without(&peer.all_basing());
        // What is to move goes first.
        let first = missing.both(&wanted.moves);
        let next = match (first.is_empty(), wanted.moves.is_empty()) {
            (false, _) => first,
            (true, true) => missing.clone(),
            (true, false) => Ranges::default(),
        };
        if !next.is_empty() && peer.up && now >= peer.rests && peer.basing.len() < MAX_BASES {
            // What it has confirmed may be its own already.
            let open = self.moves.get(&node).filter(|moving| moving.is_open());
            let open = open.map(|moving| moving.slots.clone()).unwrap_or_default();
            let startable = next.without(&wanted.in_sync).without(&open).without(&self.clearing);
            if !startable.is_empty() {
                self.groups += 1;
                peer.basing.insert(self.groups, startable.clone());
                self.effects.push(Effect::Begin(node, self.groups, startable));
            }
        }
        self.propose_sync(node, wanted, &missing, owned, now);
    }

    /// Slots that were handed over to this node: their former owner has them.
    fn take_up_kept(&mut self, node: NodeId, copies: &Ranges, owned: &Ranges) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let ours = peer.kept.both(owned);
        if ours.is_empty() {
            return;
        }
        peer.kept = peer.kept.without(&ours);
        let (needed, needless) = (ours.both(copies), ours.without(copies));
        if !needless.is_empty() {
            self.effects.push(Effect::Forget(node, needless));
        }
        peer.live = peer.live.with(&needed);
        self.resume(node, needed);
    }

    /// A peer is to go on with what it has of these slots.
    pub(super) fn resume(&mut self, node: NodeId, slots: Ranges) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.up && !slots.is_empty() {
            self.groups += 1;
            peer.resuming.push((self.groups, slots.clone()));
            self.effects.push(Effect::Resume(node, self.groups, slots));
        }
    }

    /// What was evicted here before was not marked for the former owner, which has it still and must not
    /// give it back: it gets these slots anew.
    pub(super) fn thinned(&mut self, slots: &Ranges) {
        for (node, peer) in &mut self.peers {
            let lost = slots.both(&peer.live);
            if !lost.is_empty() {
                let lost = peer.lose(&lost);
                self.effects.push(Effect::Forget(*node, lost));
            }
        }
    }

    fn propose_sync(
        &mut self,
        node: NodeId,
        wanted: &Wanted,
        missing: &Ranges,
        owned: &Ranges,
        now: Moment,
    ) {
        let Some(owner) = self.life(self.me) else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.syncing.is_some() {
            return;
        }
        peer.unsure = peer.unsure.both(owned);
        // It does not have these, whatever the map says.
        let mut lost = missing.both(&wanted.in_sync);
        // Who is deaf is about to be gone, and must not say before that nobody can follow it.
        if peer.is_cut_off(now, self.heard) {
            lost = wanted.in_sync.with(&peer.unsure);
        }
        let is_near = peer.is_near(now) && now >= peer.rests;
        let gained = peer.live.both(&wanted.copies).without(&wanted.in_sync);
        let is_gaining = is_near && !gained.is_empty();
        let may_be = !wanted.in_sync.is_empty() || !peer.kept.is_empty() || !peer.unsure.is_empty();
        match peer.replies {
            Waiting::No if may_be || is_gaining => {
                peer.replies = Waiting::Since;
                self.effects.push(Effect::Hold(peer.life));
            }
            Waiting::Since | Waiting::Fully if !may_be && (gained.is_empty() || !peer.up) => {
                peer.replies = Waiting::No;
                self.effects.push(Effect::Release(node));
            }
            _ => {}
        }
        let is_near = is_near && peer.replies == Waiting::Fully;
        let (slots, in_sync) = match (lost.is_empty(), gained.is_empty() || !is_near) {
            (false, _) => (lost, false),
            (true, false) => (gained, true),
            (true, true) => return,
        };
        self.groups += 1;
        peer.syncing = Some(self.groups);
        let (slots, backup) = (slots.as_slice().to_vec(), peer.life);
        let change = Change::Sync { slots, owner, backup, in_sync };
        self.effects.push(Effect::Propose(Proposal::Sync(node, self.groups, change)));
    }

    pub(super) fn sync_settled(
        &mut self,
        node: NodeId,
        number: u32,
        change: Change,
        outcome: &Result<Verdict, Unsettled>,
        now: Moment,
    ) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if let Change::Sync { slots, backup, in_sync: true, .. } = change
            && matches!(outcome, Err(Unsettled::Unknown(_)))
            && backup == peer.life
        {
            slots.into_iter().for_each(|range| peer.unsure.insert(range));
        }
        // If the peer was opened anew since, this says nothing of what is proposed now.
        if peer.syncing != Some(number) {
            return;
        }
        peer.syncing = None;
        if outcome.is_ok() {
            // It comes after everything that was proposed before.
            peer.unsure = Ranges::default();
        }
        if outcome != &Ok(Verdict::Done) {
            peer.rests = peer.rests.max(now + REST);
        }
    }
}
