//! What a node has to do about data, given the map: the decisions, without sockets, threads or clocks.
//!
//! [`Duty`] is told what happens, and when, and says what is to be done. It knows of each **peer** what of
//! this node's slots it has:
//!
//! ```text
//!   missing --Begin--> basing --Taken--> live        a base was sent, and changes follow it
//!                                         |
//!               Forget: not wanted <------+------> lost: the peer says so, or has begun anew
//! ```
//!
//! A peer gets slots as the map or the goal says: as a backup, or to take them over. When it is live and
//! near, the map is told that it is **in sync**; when nothing was heard of it for [`CUT`], that it is not.
//! No base begins while the map calls the peer in sync: it drops what it has, and must not follow the
//! owner then. Before the map may call it so, replies **wait** for it
//! ([`crate::cluster::stream::hold`]), and they do so until the map certainly does not any more.
//!
//! Slots are handed over in **moves**, one at a time for each taker:
//!
//! ```text
//!   Copy ---> Fence ---> Drain ---> Commit ---> gone from here
//!    ^          |          |          |  void: the map says why
//!    `- later --+- limit --+ <--------'  unknown: proposed again until there is a verdict
//! ```
//!
//! From the moment at which the commit was proposed until its verdict is known, the slots stay fenced,
//! whatever happens.

use super::fences::Fence;
use crate::cluster::change::{Change, Life, Verdict};
use crate::cluster::map::Map;
use crate::cluster::meta::Unsettled;
use crate::cluster::node::NodeId;
use crate::cluster::stream::frame::Why;
use crate::cluster::stream::ranges::Ranges;
pub use moving::{Move, Phase};
use peer::{Peer, Waiting};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod moving;
mod peer;
#[cfg(test)]
mod tests;

/// A time, from any beginning.
pub type Moment = Duration;

/// Slots that are handed over at once.
pub const BATCH: usize = 512;
/// A peer that was not heard of for so long is in sync no more.
pub const CUT: Duration = Duration::from_millis(1500);
/// The same for one that was never heard of yet. Who has given slots away is in sync before the new owner
/// has a connection to it, which may take seconds; if it is not there, it is removed meanwhile.
pub const FIRST: Duration = Duration::from_secs(4);
/// Changes that may be under way to a peer which counts as near.
pub const NEAR: usize = 2_000;
/// How long slots are fenced at most before their commit is proposed. If that is not enough, as on a
/// machine with too much to do, the next attempt has twice the time.
pub const FENCE: Duration = Duration::from_millis(800);
/// The limit of that.
const FENCE_MAX: Duration = Duration::from_secs(5);
/// How long a peer rests after something went wrong with it.
const REST: Duration = Duration::from_millis(500);
/// How long it rests if its memory is used up.
const REST_FULL: Duration = Duration::from_secs(10);
/// How long a move rests that was given up.
const REST_MOVE: Duration = Duration::from_secs(1);
/// How long a move rests that an operator has stopped.
const REST_CANCELLED: Duration = Duration::from_secs(60);
/// Bases that may be under way to a peer.
const MAX_BASES: usize = 4;
/// Changes that are remembered for a peer which is away; with more it begins anew.
pub const MAX_AWAY: usize = 1 << 20;

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
    /// The peer has these slots: go on.
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
    /// The end of the move to a taker.
    Commit(NodeId, Change),
    /// Of what a backup has.
    Sync(NodeId, Change),
}

impl Proposal {
    /// The change.
    #[must_use]
    pub fn change(&self) -> &Change {
        match self {
            Proposal::Commit(_, change) | Proposal::Sync(_, change) => change,
        }
    }
}

/// What the map says of one peer, as far as this node's own slots go.
#[derive(Debug, Default)]
struct Wanted {
    /// It is, or is to be, a backup of these.
    copies: Ranges,
    /// The map calls it in sync.
    in_sync: Ranges,
    /// It is to take these over.
    moves: Ranges,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Duty {
    me: NodeId,
    map: Arc<Map>,
    peers: BTreeMap<NodeId, Peer>,
    moves: BTreeMap<NodeId, Move>,
    /// How long slots are fenced for a taker with which it has taken too long.
    patience: BTreeMap<NodeId, Duration>,
    /// Moves to a taker rest until then.
    rests: BTreeMap<NodeId, Moment>,
    /// What an operator has stopped, and until when.
    cancelled: Vec<(Ranges, Moment)>,
    groups: u32,
    /// What it has asked the leader then was answered: if a peer is silent since before, that is not
    /// because this node is deaf. The latest moment: it need not ask.
    heard: Moment,
    effects: Vec<Effect>,
    /// Slots that were handed over since the start.
    pub handed_over: u64,
    /// Fences that are over, until somebody takes them.
    pub fences: Vec<Fence>,
}

impl Duty {
    /// Of a node that knows no map yet.
    #[must_use]
    pub fn new(me: NodeId) -> Self {
        Duty {
            me,
            map: Arc::default(),
            peers: BTreeMap::new(),
            moves: BTreeMap::new(),
            patience: BTreeMap::new(),
            rests: BTreeMap::new(),
            cancelled: Vec::new(),
            groups: 0,
            heard: Moment::MAX,
            effects: Vec::new(),
            handed_over: 0,
            fences: Vec::new(),
        }
    }

    /// The moves that are under way, by their takers.
    pub fn moves(&self) -> impl Iterator<Item = &Move> {
        self.moves.values()
    }

    /// What a peer has, and is getting.
    #[must_use]
    pub fn has(&self, peer: NodeId) -> (Ranges, Ranges) {
        self.peers.get(&peer).map(|peer| (peer.live.clone(), peer.all_basing())).unwrap_or_default()
    }

    /// The slots that a peer may have handed over to this node, and nobody knows yet.
    #[must_use]
    pub fn kept(&self, peer: Life) -> Ranges {
        let known = self.peers.get(&peer.node).filter(|known| known.life == peer);
        known.map(|peer| peer.kept.clone()).unwrap_or_default()
    }

    /// Something has happened; what is to be done.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        match event {
            Event::Map(map) => self.new_map(map, now),
            Event::Up(peer) => self.up(peer, now),
            Event::Down(peer) => self.down(peer, now),
            Event::Taken(peer, group) => self.taken(peer, group),
            Event::Confirmed(peer, group) => self.confirmed(peer, group, now),
            Event::Refused(peer, group, why) => self.refused(peer, group, why, now),
            Event::Lag(peer, lag, acknowledges) => self.lag(peer, lag, acknowledges, now),
            Event::Kept(owner, slots) => self.keep(owner, &slots, now),
            Event::Held(peer) => {
                if let Some(peer) = self.peers.get_mut(&peer)
                    && peer.replies == Waiting::Since
                {
                    peer.replies = Waiting::Fully;
                }
            }
            Event::Unkept(owner, slots) => {
                if let Some(peer) = self.peers.get_mut(&owner) {
                    peer.kept = peer.kept.without(&slots);
                }
            }
            Event::Fenced(taker, group, slots) => self.fenced(taker, group, slots, now),
            Event::Settled(proposal, outcome) => self.settled(proposal, &outcome, now),
            Event::Cancel(slots) => self.cancel(slots, now),
            Event::Heard(asked) => self.heard = asked,
            Event::Tick => {}
        }
        self.look_at_moves(now);
        self.propose_again(now);
        self.look_at_peers(now);
        std::mem::take(&mut self.effects)
    }

    fn new_map(&mut self, map: Arc<Map>, now: Moment) {
        self.map = map;
        let map = Arc::clone(&self.map);
        let lives = |life: &Life| {
            map.members.get(&life.node).is_some_and(|m| m.incarnation == life.incarnation)
        };
        for (node, peer) in &self.peers {
            if !lives(&peer.life) {
                self.effects.push(Effect::Close(*node));
            }
        }
        self.peers.retain(|_, peer| lives(&peer.life));
        for taker in self.moves.keys().copied().collect::<Vec<_>>() {
            self.check_move(taker, now);
        }
    }

    /// Whether a move is over, or cannot be gone on with, by the present map.
    fn check_move(&mut self, taker: NodeId, now: Moment) {
        let Some(moving) = self.moves.get(&taker) else { return };
        let mine = moving.slots.both(&self.owned());
        if mine.is_empty() {
            if moving.slots.slots().all(|slot| self.map.owner(slot) == Some(taker)) {
                self.handed_over += moving.slots.count() as u64;
            }
            // What is not ours is fenced no more than any other slot of others.
            let moved = self.moves.remove(&taker);
            self.fences.extend(moved.and_then(|moved| moved.fence(true, now)));
            return;
        }
        let is_there = self.peers.get(&taker).is_some_and(|peer| peer.life == moving.to);
        let wanted = self.wanted(taker).moves;
        let stands = is_there && mine == moving.slots && moving.slots.without(&wanted).is_empty();
        if !stands && !moving.is_open() {
            self.give_up(taker, REST_MOVE, now);
        }
    }

    /// The slots that this node owns.
    fn owned(&self) -> Ranges {
        let runs = self.map.slots.runs().iter().filter(|run| run.value.owner == Some(self.me));
        runs.map(|run| (run.first, run.last)).collect()
    }

    fn life(&self, node: NodeId) -> Option<Life> {
        let member = self.map.members.get(&node)?;
        Some(Life { node, incarnation: member.incarnation })
    }

    /// What the map says of all peers.
    fn all_wanted(&self) -> BTreeMap<NodeId, Wanted> {
        let mut all: BTreeMap<NodeId, Wanted> = BTreeMap::new();
        for run in self.map.slots.zip(&self.map.goal) {
            let (holders, goal) = run.value;
            if holders.owner != Some(self.me) {
                continue;
            }
            let range = (run.first, run.last);
            for backup in holders.backups() {
                let wanted = all.entry(backup.node).or_default();
                wanted.copies.insert(range);
                if backup.in_sync {
                    wanted.in_sync.insert(range);
                }
            }
            let copies = goal.backups.into_iter().flatten();
            copies.for_each(|node| all.entry(node).or_default().copies.insert(range));
            if let Some(node) = goal.owner {
                all.entry(node).or_default().moves.insert(range);
            }
        }
        all.retain(|node, _| *node != self.me && self.map.members.contains_key(node));
        all
    }

    fn wanted(&self, node: NodeId) -> Wanted {
        self.all_wanted().remove(&node).unwrap_or_default()
    }

    fn up(&mut self, node: NodeId, now: Moment) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        (peer.up, peer.since, peer.silent) = (true, now, None);
        peer.is_new = false;
        peer.basing.clear();
        peer.resuming.clear();
        if !peer.live.is_empty() {
            self.groups += 1;
            let (group, live) = (self.groups, peer.live.clone());
            peer.resuming.push((group, live.clone()));
            self.effects.push(Effect::Resume(node, group, live));
        }
    }

    fn down(&mut self, node: NodeId, now: Moment) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.up {
            (peer.up, peer.since) = (false, now);
        }
        // Half a base is nothing, and what changes in it is not remembered any longer.
        let lost = peer.all_basing();
        peer.basing.clear();
        peer.resuming.clear();
        if !lost.is_empty() {
            self.effects.push(Effect::Forget(node, lost));
        }
        if self.moves.get(&node).is_some_and(|moving| !moving.is_open()) {
            self.give_up(node, REST_MOVE, now);
        }
    }

    fn taken(&mut self, node: NodeId, group: u32) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.resuming.retain(|(number, _)| *number != group);
        if let Some(slots) = peer.basing.remove(&group) {
            peer.live = peer.live.with(&slots);
        }
    }

    fn refused(&mut self, node: NodeId, group: u32, why: Why, now: Moment) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match why {
            // It will have seen the map soon.
            Why::Old => peer.rests = now + REST,
            Why::Full => {
                peer.rests = now + REST_FULL;
                let live = std::mem::take(&mut peer.live);
                self.effects.push(Effect::Forget(node, live));
                self.rests.insert(node, now + REST_FULL);
            }
            Why::Lost | Why::Differs | Why::Malformed => {
                peer.rests = now + REST;
                let resumed = peer.resuming.iter().find(|(number, _)| *number == group);
                let moved = self.moves.get(&node).filter(|moving| moving.group == group);
                let slots = resumed.map(|(_, slots)| slots.clone());
                let slots = slots.or_else(|| moved.map(|moving| moving.slots.clone()));
                let lost = slots.unwrap_or_else(|| peer.live.clone());
                let lost = peer.lose(&lost);
                self.effects.push(Effect::Forget(node, lost));
            }
        }
        self.down(node, now);
    }

    fn lag(&mut self, node: NodeId, lag: usize, acknowledges: bool, now: Moment) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.lag = lag;
        peer.silent = if acknowledges { None } else { peer.silent.or(Some(now)) };
    }

    fn keep(&mut self, owner: Life, slots: &Ranges, now: Moment) {
        if self.life(owner.node) != Some(owner) {
            return;
        }
        let peer = self.open(owner, now);
        peer.kept = peer.kept.with(slots);
        // It will be in sync from the commit on.
        self.let_replies_wait(owner.node);
    }

    fn let_replies_wait(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.replies == Waiting::No
        {
            peer.replies = Waiting::Since;
            self.effects.push(Effect::Hold(peer.life));
        }
    }

    fn open(&mut self, life: Life, now: Moment) -> &mut Peer {
        self.peers.entry(life.node).or_insert_with(|| {
            self.effects.push(Effect::Open(life));
            Peer::new(life, now)
        })
    }

    fn fenced(&mut self, taker: NodeId, group: u32, slots: Ranges, now: Moment) {
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

    fn confirmed(&mut self, taker: NodeId, group: u32, now: Moment) {
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
        self.effects.push(Effect::Propose(Proposal::Commit(taker, change)));
    }

    /// Of commits whose outcome is not known: if the first has been made, the second is void, and its
    /// verdict comes after both.
    fn propose_again(&mut self, now: Moment) {
        let is_due = |moving: &&mut Move| moving.again.is_some_and(|at| at <= now);
        let due = self.moves.values_mut().filter(is_due);
        let due: Vec<NodeId> = due.map(|moving| (moving.again = None, moving.to.node).1).collect();
        due.into_iter().for_each(|taker| self.propose_commit(taker));
    }

    fn settled(&mut self, proposal: Proposal, outcome: &Result<Verdict, Unsettled>, now: Moment) {
        match proposal {
            Proposal::Sync(node, change) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.syncing = false;
                    match (outcome, change) {
                        // It comes after everything that was proposed before.
                        (Ok(_), _) => peer.unsure = Ranges::default(),
                        (Err(Unsettled::Unknown(_)), Change::Sync { slots, in_sync: true, .. }) => {
                            slots.into_iter().for_each(|range| peer.unsure.insert(range));
                        }
                        (Err(_), _) => {}
                    }
                    if outcome != &Ok(Verdict::Done) {
                        peer.rests = peer.rests.max(now + REST);
                    }
                }
            }
            Proposal::Commit(taker, _) => self.commit_settled(taker, outcome, now),
        }
    }

    fn commit_settled(&mut self, taker: NodeId, outcome: &Result<Verdict, Unsettled>, now: Moment) {
        let Some(moving) = self.moves.get_mut(&taker) else { return };
        if moving.phase != Phase::Commit {
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

    fn cancel(&mut self, slots: Ranges, now: Moment) {
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
    fn give_up(&mut self, taker: NodeId, rest: Duration, now: Moment) {
        let Some(moving) = self.moves.remove(&taker) else { return };
        self.fences.extend(moving.fence(false, now));
        if moving.phase != Phase::Copy {
            self.effects.push(Effect::Unfence(moving.slots));
        }
        let rests = self.rests.entry(taker).or_default();
        *rests = (*rests).max(now + rest);
    }

    fn look_at_moves(&mut self, now: Moment) {
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

    fn look_at_peers(&mut self, now: Moment) {
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

    /// Whether there is nothing to be sent to a peer.
    fn is_needless(&self, node: NodeId, wanted: Option<&Wanted>) -> bool {
        let is_wanted = |wanted: &Wanted| !wanted.copies.is_empty() || !wanted.moves.is_empty();
        let has_copies = wanted.is_some_and(is_wanted);
        let keeps = self.peers.get(&node).is_some_and(|peer| !peer.kept.is_empty());
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
        let unwanted = peer.live.with(&peer.all_basing()).without(&all).without(later);
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
            let startable = next.without(&wanted.in_sync).without(&open);
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
        if peer.up && !needed.is_empty() {
            self.groups += 1;
            peer.resuming.push((self.groups, needed.clone()));
            self.effects.push(Effect::Resume(node, self.groups, needed));
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
        if peer.syncing {
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
        peer.syncing = true;
        let (slots, backup) = (slots.as_slice().to_vec(), peer.life);
        let change = Change::Sync { slots, owner, backup, in_sync };
        self.effects.push(Effect::Propose(Proposal::Sync(node, change)));
    }
}
