//! What this node has of slots that others own, and who may write to it.
//!
//! Copies are in the same keyspace as everything else. So it has to be certain that nobody writes to a
//! slot but its owner's newest stream, until the slot is this node's own: each slot has the number of
//! the **session** that may write to it, and whatever arrives looks at that number under the role of the
//! slot's shard, directly before it is stored.
//!
//! ```text
//! writers:  | 7 | 7 | 0 | own | own | 9 | ...      0: nobody; own: those who serve clients
//!             |
//!             session 7: a connection of the owner, which has said Begin or Resume of these slots
//! ```
//!
//! When slots become this node's own, the numbers change first and the routes afterwards: a command
//! that finds a slot served here, and then takes the role, comes after everything that streams have
//! stored.
//!
//! What is here of a slot may be shown to clients if it is **complete** and of the same time of the
//! slot (`empty_since`) as the map says; otherwise it is removed first. The map says who follows an
//! owner, and it knows who is in sync; but maps may be skipped, and what a node remembers may be of
//! before the slot began empty with somebody else.

use super::frame::Why;
use super::ranges::Ranges;
use crate::cluster::change::Life;
use crate::cluster::map::Map;
use crate::cluster::node::NodeId;
use crate::cluster::runs::Runs;
use crate::cluster::slot::SLOTS;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nobody may write.
const NOBODY: u32 = 0;
/// The slot is this node's own.
const OWN: u32 = u32::MAX;

/// A copy of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    owner: Life,
    /// The base is here, and everything that was acknowledged.
    complete: bool,
    empty_since: u64,
}

/// Slots that are this node's own, and were not before, or have begun empty since.
#[derive(Debug, Default)]
pub struct Gained {
    /// What is here of them may be shown.
    pub ready: Ranges,
    /// What is here of them must not.
    pub unready: Ranges,
}

#[derive(Debug, Default)]
struct State {
    copies: Runs<Option<Copy>>,
    owned: Ranges,
    /// By the map that was followed last.
    empty_since: Runs<u64>,
    me: Option<Life>,
    sessions: u32,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Copies {
    writers: Box<[AtomicU32]>,
    state: Mutex<State>,
}

impl Default for Copies {
    fn default() -> Self {
        Copies {
            writers: (0..SLOTS).map(|_| AtomicU32::new(NOBODY)).collect(),
            state: Mutex::default(),
        }
    }
}

impl Copies {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self, slot: u16) -> u32 {
        self.writers.get(usize::from(slot)).map_or(NOBODY, |writer| writer.load(Ordering::Acquire))
    }

    fn set_writer(&self, slots: &Ranges, session: u32) {
        for slot in slots.slots() {
            if let Some(writer) = self.writers.get(usize::from(slot)) {
                writer.store(session, Ordering::Release);
            }
        }
    }

    /// A new session, which may write to nothing yet.
    pub fn session(&self) -> u32 {
        let mut state = self.lock();
        state.sessions = (state.sessions + 1) % (OWN - 1);
        state.sessions + 1
    }

    /// Whether a session may write to a slot. Under the role of its shard that stays so.
    #[must_use]
    pub fn admits(&self, slot: u16, session: u32) -> bool {
        self.writer(slot) == session
    }

    /// Whether nobody has a use for what is here of a slot. Under the role of its shard that stays
    /// so until [`Copies::begin`].
    #[must_use]
    pub fn is_idle(&self, slot: u16) -> bool {
        self.writer(slot) == NOBODY
    }

    /// Whether a slot is this node's own.
    #[must_use]
    pub fn is_own(&self, slot: u16) -> bool {
        self.writer(slot) == OWN
    }

    /// The session of an owner begins anew with these slots: what is here is worth nothing.
    ///
    /// # Errors
    /// The map does not say that it owns them.
    pub fn begin(&self, session: u32, owner: Life, slots: &Ranges, map: &Map) -> Result<(), Why> {
        let mut state = self.lock();
        is_owned_by(map, owner, slots, &state)?;
        for run in within(&map.slots, slots) {
            let copy = Copy { owner, complete: false, empty_since: run.2.empty_since };
            state.copies.set(run.0, run.1, Some(copy));
        }
        self.set_writer(slots, session);
        Ok(())
    }

    /// The session of an owner goes on with what is here of these slots.
    ///
    /// # Errors
    /// The map does not say that it owns them, or not all is here.
    pub fn resume(&self, session: u32, owner: Life, slots: &Ranges, map: &Map) -> Result<(), Why> {
        let state = self.lock();
        is_owned_by(map, owner, slots, &state)?;
        let has = |copy: Option<Copy>| copy.is_some_and(|c| c.complete && c.owner == owner);
        if !within(&state.copies, slots).all(|(_, _, copy)| has(copy)) {
            return Err(Why::Lost);
        }
        self.set_writer(slots, session);
        Ok(())
    }

    /// The base of these slots is here.
    pub fn complete(&self, session: u32, slots: &Ranges) {
        let mut state = self.lock();
        self.change(&mut state, session, slots, |copy| Some(Copy { complete: true, ..copy }));
    }

    /// These slots are not kept up any more.
    pub fn forget(&self, session: u32, slots: &Ranges) {
        let mut state = self.lock();
        self.change(&mut state, session, slots, |_| None);
        for slot in slots.slots().filter(|slot| self.admits(*slot, session)) {
            self.set_writer(&[(slot, slot)].into_iter().collect(), NOBODY);
        }
    }

    /// A session has ended. What is complete may be gone on with.
    pub fn end(&self, session: u32) {
        let mut state = self.lock();
        let all: Ranges = [(0, SLOTS - 1)].into_iter().collect();
        self.change(&mut state, session, &all, |copy| copy.complete.then_some(copy));
        for slot in (0..SLOTS).filter(|slot| self.admits(*slot, session)) {
            self.set_writer(&[(slot, slot)].into_iter().collect(), NOBODY);
        }
    }

    /// Changes the copies of those of these slots that a session may write to.
    fn change(
        &self,
        state: &mut State,
        session: u32,
        slots: &Ranges,
        change: impl Fn(Copy) -> Option<Copy>,
    ) {
        let pieces: Vec<_> = within(&state.copies, slots).collect();
        for (first, last, copy) in pieces {
            let Some(copy) = copy else { continue };
            for slot in (first..=last).filter(|slot| self.admits(*slot, session)) {
                state.copies.set(slot, slot, change(copy));
            }
        }
    }

    /// Nobody needs what is here of these slots, as far as nobody writes to them: it may be removed.
    pub fn discard(&self, slots: &Ranges) {
        let mut state = self.lock();
        for slot in slots.slots().filter(|slot| self.is_idle(*slot)) {
            state.copies.set(slot, slot, None);
        }
    }

    /// Nothing that is here counts any more, until the next map.
    pub fn forget_everything(&self) {
        let mut state = self.lock();
        *state = State { sessions: state.sessions, ..State::default() };
        self.set_writer(&[(0, SLOTS - 1)].into_iter().collect(), NOBODY);
    }

    /// There is a newer map, which is not followed by anything else yet.
    pub fn follow(&self, me: Life, map: &Map) -> Gained {
        let mut state = self.lock();
        let is_first = state.me != Some(me);
        if is_first {
            *state = State { sessions: state.sessions, me: Some(me), ..State::default() };
            self.set_writer(&[(0, SLOTS - 1)].into_iter().collect(), NOBODY);
        }
        // A node that is alone has what it has from nobody else, and nobody has anything newer.
        let is_alone = is_first && map.members.len() == 1;
        let mut unready = Ranges::default();
        let (mut owned, before) = (Ranges::default(), std::mem::take(&mut state.owned));
        // What has begun empty since is not what it was, whoever has had it meanwhile.
        let began = map.slots.zip(&state.empty_since).into_iter();
        let began = began.filter(|run| run.value.0.empty_since != run.value.1);
        let same = before.without(&began.map(|run| (run.first, run.last)).collect());
        state.empty_since = map.slots.map(|holders| holders.empty_since);
        let life = |node: NodeId| {
            let incarnation = map.members.get(&node)?.incarnation;
            Some(Life { node, incarnation })
        };
        for run in map.slots.zip(&state.copies.clone()) {
            let range: Ranges = [(run.first, run.last)].into_iter().collect();
            let (holders, copy) = run.value;
            if holders.owner == Some(me.node) {
                owned.insert((run.first, run.last));
                let is_ready = copy
                    .is_some_and(|copy| copy.complete && copy.empty_since == holders.empty_since);
                if !is_ready && !is_alone {
                    unready = unready.with(&range.without(&same));
                }
                state.copies.set(run.first, run.last, None);
                self.set_writer(&range, OWN);
                continue;
            }
            let owner = holders.owner.and_then(life);
            let given = range.both(&before);
            let in_sync = holders.backups().any(|backup| backup.node == me.node && backup.in_sync);
            if let Some(owner) = owner.filter(|_| in_sync) {
                // What was handed over is here as it was then.
                let empty_since = holders.empty_since;
                for &(first, last) in given.both(&same).as_slice() {
                    let copy = Copy { owner, complete: true, empty_since };
                    state.copies.set(first, last, Some(copy));
                }
            }
            self.set_writer(&given, NOBODY);
            let rest = range.without(&given);
            if copy.is_some_and(|copy| Some(copy.owner) != owner) {
                for &(first, last) in rest.as_slice() {
                    state.copies.set(first, last, None);
                }
                self.set_writer(&rest, NOBODY);
            }
        }
        let gained = owned.without(&same).without(&unready);
        state.owned = owned;
        Gained { ready: gained, unready }
    }
}

/// Whether the map says that `owner` owns all these slots.
fn is_owned_by(map: &Map, owner: Life, slots: &Ranges, state: &State) -> Result<(), Why> {
    let member = map.members.get(&owner.node);
    let lives = member.is_some_and(|member| member.incarnation == owner.incarnation);
    let is_other = state.me.is_some_and(|me| me.node != owner.node);
    let mut pieces = within(&map.slots, slots);
    let owns = pieces.all(|(_, _, holders)| holders.owner == Some(owner.node));
    if lives && is_other && owns { Ok(()) } else { Err(Why::Old) }
}

/// The parts of runs that are in these slots.
fn within<'a, T: std::marker::Copy + PartialEq>(
    runs: &'a Runs<T>,
    slots: &'a Ranges,
) -> impl Iterator<Item = (u16, u16, T)> + 'a {
    slots.as_slice().iter().flat_map(move |&(first, last)| {
        let from = runs.runs().partition_point(|run| run.last < first);
        let parts = runs.runs().get(from..).unwrap_or_default().iter();
        parts
            .take_while(move |run| run.first <= last)
            .map(move |run| (run.first.max(first), run.last.min(last), run.value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::map::{Backup, Holders};
    use crate::cluster::node::{Endpoint, Member};

    fn life(number: u32) -> Life {
        Life { node: NodeId::from(number), incarnation: 1 }
    }

    fn slots(first: u16, last: u16) -> Ranges {
        [(first, last)].into_iter().collect()
    }

    fn is_complete(copies: &Copies, slot: u16) -> bool {
        copies.lock().copies.get(slot).is_some_and(|copy| copy.complete)
    }

    /// Nodes 1 and 2: the second owns the slots, and the first is what it is.
    fn map(owner: u32, in_sync: Option<bool>, empty_since: u64) -> Map {
        let endpoint = Endpoint {
            ip: "127.0.0.1".parse().unwrap(),
            hostname: String::new(),
            port: 1,
            tls_port: 0,
            bus_port: 2,
        };
        let member =
            Member { endpoint, incarnation: 1, weight: 100, zone: String::new(), leaving: false };
        let mut map = Map { epoch: 5, ..Map::default() };
        for number in 1..4 {
            map.members.insert(NodeId::from(number), member.clone());
        }
        let mut holders =
            Holders { owner: Some(NodeId::from(owner)), empty_since, ..Holders::default() };
        holders.set_backups(in_sync.map(|in_sync| Backup { node: NodeId::from(1), in_sync }));
        map.slots.set(0, SLOTS - 1, holders);
        map
    }

    #[test]
    fn a_complete_copy_is_shown_and_any_other_is_not() {
        for (is_complete, began, shown) in [(true, 3, true), (false, 3, false), (true, 4, false)] {
            let copies = Copies::default();
            assert!(copies.follow(life(1), &map(2, None, 3)).unready.is_empty());
            let session = copies.session();
            let all = slots(0, SLOTS - 1);
            copies.begin(session, life(2), &all, &map(2, None, 3)).unwrap();
            assert!(copies.admits(7, session) && !copies.is_idle(7));
            if is_complete {
                copies.complete(session, &all);
            }
            let unready = copies.follow(life(1), &map(1, None, began)).unready;
            assert_eq!(unready.is_empty(), shown, "{is_complete} {began}");
            assert!(!copies.admits(7, session), "it is our own");
            assert_eq!(copies.begin(session, life(2), &all, &map(1, None, 3)), Err(Why::Old));
        }
    }

    #[test]
    fn only_the_owner_in_its_present_life_may_write() {
        let copies = Copies::default();
        let map = map(2, None, 0);
        copies.follow(life(1), &map);
        let some = slots(5, 9);
        assert_eq!(copies.begin(1, life(3), &some, &map), Err(Why::Old));
        let reborn = Life { incarnation: 2, ..life(2) };
        assert_eq!(copies.begin(1, reborn, &some, &map), Err(Why::Old));
        assert_eq!(copies.begin(1, life(2), &some, &map), Ok(()));
        assert_eq!(copies.resume(2, life(2), &some, &map), Err(Why::Lost), "its base is not here");
        copies.complete(1, &some);
        assert_eq!(copies.resume(2, life(2), &some, &map), Ok(()));
        assert!(copies.admits(5, 2) && !copies.admits(5, 1) && !copies.admits(4, 2));
        copies.end(1);
        assert!(copies.admits(5, 2), "the end of an old session changes nothing");
        copies.end(2);
        assert!(copies.is_idle(5) && is_complete(&copies, 5));
        assert_eq!(copies.resume(3, life(2), &slots(5, 10), &map), Err(Why::Lost));
        copies.begin(3, life(2), &some, &map).unwrap();
        copies.end(3);
        assert!(!is_complete(&copies, 5), "half a base is nothing");
    }

    #[test]
    fn what_was_handed_over_can_be_gone_on_with() {
        let copies = Copies::default();
        let all = slots(0, SLOTS - 1);
        assert!(
            !copies.follow(life(1), &map(1, None, 0)).unready.is_empty(),
            "nobody knows what is here"
        );
        assert!(copies.follow(life(1), &map(1, None, 0)).unready.is_empty());
        let after = map(2, Some(true), 0);
        copies.follow(life(1), &after);
        assert!(copies.is_idle(0), "it is neither served nor written");
        assert_eq!(copies.resume(1, life(2), &all, &after), Ok(()));
        let other = map(3, None, 0);
        copies.follow(life(1), &other);
        assert!(copies.is_idle(0) && !is_complete(&copies, 0), "another owner followed");
    }

    #[test]
    fn what_has_begun_empty_is_not_what_it_was() {
        let copies = Copies::default();
        copies.follow(life(1), &map(1, None, 0));
        let unready = copies.follow(life(1), &map(1, None, 7)).unready;
        assert_eq!(unready.count(), usize::from(SLOTS), "somebody else had it and is gone");
        assert!(copies.follow(life(1), &map(1, None, 7)).unready.is_empty());
        copies.follow(life(1), &map(2, Some(true), 9));
        assert!(copies.is_idle(0) && !is_complete(&copies, 0), "its backups have begun anew");
    }

    #[test]
    fn who_is_alone_keeps_what_it_has() {
        let mut alone = map(1, None, 0);
        alone.members.retain(|node, _| *node == NodeId::from(1));
        let gained = Copies::default().follow(life(1), &alone);
        assert!(gained.unready.is_empty() && gained.ready.count() == usize::from(SLOTS));
    }
}
