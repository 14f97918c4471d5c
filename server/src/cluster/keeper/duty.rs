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
//! whatever happens. A taker that may have confirmed slots and does not get them is told so until it has
//! heard it: what it remembers of their changes holds up whatever else it has for this node.

use super::fences::Fence;
use crate::cluster::change::Life;
use crate::cluster::map::Map;
use crate::cluster::node::NodeId;
use crate::cluster::stream::frame::Why;
use crate::cluster::stream::ranges::Ranges;
pub use message::{Effect, Event, Proposal};
pub use moving::{Move, Phase};
use peer::{Peer, Waiting};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod copies;
mod handover;
mod message;
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
    /// Groups, and what is proposed of backups, have numbers: all different.
    groups: u32,
    /// What it has asked the leader then was answered: if a peer is silent since before, that is not
    /// because this node is deaf. The latest moment: it need not ask.
    heard: Moment,
    effects: Vec<Effect>,
    /// Slots of this node's own of which somebody else's keys are being removed: whoever is to have a copy
    /// of them gets it after that.
    pub clearing: Ranges,
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
            clearing: Ranges::default(),
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

    /// The slots that anybody may have handed over to this node, and nobody knows yet.
    #[must_use]
    pub fn all_kept(&self) -> Ranges {
        self.peers.values().fold(Ranges::default(), |all, peer| all.with(&peer.kept))
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
            Event::Thinned(slots) => self.thinned(&slots),
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
        let before = std::mem::replace(&mut self.map, map);
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
        self.lose_what_began_empty(&before);
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
        let open = self.moves.get(&node).filter(|moving| moving.is_open());
        let open = open.map(|moving| moving.slots.clone()).unwrap_or_default();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        (peer.up, peer.since, peer.silent) = (true, now, None);
        peer.is_new = false;
        peer.basing.clear();
        peer.resuming.clear();
        // Whoever goes on with slots does not hand them over, and nobody knows that of those.
        let (live, lost) = (peer.live.without(&open), peer.recalled.without(&peer.live));
        self.resume(node, live);
        if !lost.is_empty() {
            // It has to hear that of these, too.
            self.resume(node, lost.clone());
            self.effects.push(Effect::Forget(node, lost));
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
        let resumed = peer.resuming.extract_if(.., |(number, _)| *number == group);
        let mut heard = resumed.fold(Ranges::default(), |all, (_, slots)| all.with(&slots));
        if let Some(slots) = peer.basing.remove(&group) {
            peer.live = peer.live.with(&slots);
            heard = slots;
        }
        peer.recalled = peer.recalled.without(&heard);
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
                if let Some(heard) = &slots {
                    peer.recalled = peer.recalled.without(heard);
                }
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
}
