//! What the store tells of changes, on its way into the outboxes of peers.
//!
//! ```text
//! writer of shard s --- changed(key) ---> Interests ---> Taps: lane s
//!                                                         |  outbox for peer A   slots of A
//!                                                         |  outbox for peer B   slots of B
//!                                                         `- ...                     |
//!                                                               source of A <--------' pop
//! ```
//!
//! There is a lane per shard. It is changed under the shard's role and by those who pop, so the lock
//! around it is held for one key at a time. A shard without peers is not observed for their sake, and a
//! server without a cluster has no taps.

use super::outbox::{Changed, Outbox, Turn};
use super::ranges::Ranges;
use crate::cluster::change::Life;
use crate::cluster::slot;
use dunlin_storage::{Key, ShardId, SlotSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// Wakes the thread that sends to a peer.
#[derive(Debug, Default)]
pub struct Bell {
    /// It has looked at everything, found nothing, and sleeps.
    asleep: AtomicBool,
    thread: Mutex<Option<Thread>>,
    /// It rests between two looks, while there is something to do now and then.
    napping: AtomicBool,
    /// Somebody waits for what it does: it does not rest.
    hurried: AtomicBool,
    /// The connection that may pop: one that is over may have a thread still.
    session: AtomicU64,
}

/// Numbers of connections, all different.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

impl Bell {
    /// From here on it wakes the calling thread, which may pop with the number that comes back.
    pub fn is_mine(&self) -> u64 {
        *self.thread() = Some(std::thread::current());
        let session = SESSIONS.fetch_add(1, Ordering::SeqCst) + 1;
        self.session.store(session, Ordering::SeqCst);
        session
    }

    /// There is something to do. Costs next to nothing if the thread is awake.
    #[inline]
    pub fn ring(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            let thread = self.thread().clone();
            thread.iter().for_each(Thread::unpark);
        }
    }

    /// Sleeps for up to `limit`, unless there is something to do. Who rings does so after making it
    /// known; `has_work` is asked after saying that one is asleep: one of the two sees the other.
    pub fn sleep(&self, limit: Duration, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        if !has_work() {
            std::thread::park_timeout(limit);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Rests for `limit`, unless somebody is in a hurry.
    pub fn nap(&self, limit: Duration) {
        self.napping.store(true, Ordering::SeqCst);
        if !self.hurried.swap(false, Ordering::SeqCst) {
            std::thread::park_timeout(limit);
        }
        self.napping.store(false, Ordering::SeqCst);
    }

    /// As [`Bell::ring`], and it does not rest either: somebody waits.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::SeqCst);
        if self.napping.load(Ordering::SeqCst) {
            let thread = self.thread().clone();
            thread.iter().for_each(Thread::unpark);
        }
        self.ring();
    }

    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Tap {
    peer: Life,
    bell: Arc<Bell>,
    outbox: Outbox,
}

/// The taps of one shard. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane(Mutex<Vec<Tap>>);

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Vec<Tap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a lane has for a peer.
#[derive(Debug, Default)]
pub struct Popped {
    /// Keys, and their slots.
    pub changed: Vec<Changed>,
    /// How many changes were taken out, with those that nobody wants any more.
    pub count: usize,
    /// How many the peer has not acknowledged of all that were taken out.
    pub under_way: usize,
    /// The peer may be told this number when they have been sent.
    pub taken: u64,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Taps {
    lanes: Box<[Lane]>,
}

impl Taps {
    /// Nobody is to be told of anything.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Taps { lanes: (0..shards).map(|_| Lane::default()).collect() }
    }

    /// How many lanes there are.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn lane(&self, lane: usize) -> Option<MutexGuard<'_, Vec<Tap>>> {
        self.lanes.get(lane).map(Lane::lock)
    }

    /// Whether anybody is to be told of changes in a shard.
    #[must_use]
    pub fn wants(&self, shard: ShardId) -> bool {
        let lane = self.lane(shard.0.into());
        lane.is_some_and(|lane| lane.iter().any(|tap| !tap.outbox.slots().is_empty()))
    }

    /// A key of a shard has changed. Under the role.
    pub fn changed(&self, shard: ShardId, key: &Key<'_>) {
        let Some(mut lane) = self.lane(shard.0.into()) else { return };
        if lane.is_empty() {
            return;
        }
        let slot = slot::of(key.bytes);
        for tap in lane.iter_mut() {
            if tap.outbox.mark(key, slot) {
                tap.bell.ring();
            }
        }
    }

    /// All keys of these slots were removed. Under all roles.
    pub fn flushed(&self, slots: &SlotSet) {
        for lane in &self.lanes {
            for tap in lane.lock().iter_mut() {
                if tap.outbox.flush(slots) {
                    tap.bell.ring();
                }
            }
        }
    }

    /// From here on changes in these slots, too, are marked for a peer, as far as their shards are
    /// observed. `shard_of`: where each slot is.
    pub fn add(
        &self,
        peer: Life,
        bell: &Arc<Bell>,
        slots: &Ranges,
        shard_of: impl Fn(u16) -> ShardId,
    ) {
        let mut by_lane: Vec<Ranges> = vec![Ranges::default(); self.lanes.len()];
        for slot in slots.slots() {
            if let Some(lane) = by_lane.get_mut(usize::from(shard_of(slot).0)) {
                lane.insert((slot, slot));
            }
        }
        for (lane, slots) in self.lanes.iter().zip(by_lane) {
            let mut lane = lane.lock();
            let at = lane.iter().position(|tap| tap.peer == peer).unwrap_or_else(|| {
                lane.push(Tap { peer, bell: Arc::clone(bell), outbox: Outbox::default() });
                lane.len() - 1
            });
            if let Some(tap) = lane.get_mut(at) {
                tap.outbox.add(&slots);
            }
        }
    }

    /// Changes in these slots are not marked for a peer any more.
    pub fn remove(&self, peer: Life, slots: &Ranges) {
        self.each(peer, |_, outbox| outbox.remove(slots));
    }

    /// Nothing is marked for a peer any more, and what was is forgotten.
    pub fn close(&self, peer: Life) {
        self.lanes.iter().for_each(|lane| lane.lock().retain(|tap| tap.peer != peer));
    }

    /// A new connection to a peer that has kept what it has acknowledged.
    pub fn reconnect(&self, peer: Life) {
        self.each(peer, |_, outbox| outbox.reconnect());
    }

    /// Up to `most` changes of a lane, in their order. Those in slots that are not marked any more are
    /// left out. `open`: what the connection has begun or resumed; a change elsewhere waits until that is
    /// so, because the peer would not take it, and what comes behind it waits with it. None: there is
    /// nothing for this peer, or its connection is another one by now.
    pub fn pop(
        &self,
        lane: usize,
        peer: Life,
        session: u64,
        open: &Ranges,
        most: usize,
    ) -> Option<Popped> {
        let mut lane = self.lane(lane)?;
        let tap = lane.iter_mut().find(|tap| tap.peer == peer)?;
        if tap.bell.session.load(Ordering::SeqCst) != session {
            return None;
        }
        let outbox = &mut tap.outbox;
        let (mut changed, mut count) = (Vec::new(), 0);
        while count < most
            && let Some(turn) = outbox.turn(open)
        {
            if turn == Turn::Waits {
                break;
            }
            count += 1;
            changed.extend(outbox.pop().filter(|_| turn == Turn::Goes));
        }
        let under_way = outbox.under_way();
        Some(Popped { changed, count, under_way, taken: outbox.taken() })
    }

    /// Whether there is anything to [pop](Taps::pop) for a peer.
    #[must_use]
    pub fn has_work(&self, peer: Life, open: &Ranges) -> bool {
        self.lanes.iter().any(|lane| {
            let lane = lane.lock();
            let tap = lane.iter().find(|tap| tap.peer == peer);
            let turn = tap.and_then(|tap| tap.outbox.turn(open));
            turn.is_some_and(|turn| turn != Turn::Waits)
        })
    }

    /// The number of the newest mark in each lane.
    #[must_use]
    pub fn newest(&self, peer: Life) -> Vec<u64> {
        let mut newest = vec![0; self.lanes.len()];
        self.each(peer, |lane, outbox| newest[lane] = outbox.newest());
        newest
    }

    /// Whether a peer has acknowledged these numbers, a lane each.
    #[must_use]
    pub fn has_acknowledged(&self, peer: Life, numbers: &[u64]) -> bool {
        let mut has = true;
        let mut lanes = 0;
        self.each(peer, |lane, outbox| {
            lanes += 1;
            has &= numbers.get(lane).is_some_and(|number| outbox.acknowledged() >= *number);
        });
        has && lanes == self.lanes.len()
    }

    /// A peer has acknowledged everything of a lane up to a number.
    pub fn acknowledge(&self, peer: Life, lane: u16, number: u64) {
        let Some(mut lane) = self.lane(lane.into()) else { return };
        if let Some(tap) = lane.iter_mut().find(|tap| tap.peer == peer) {
            tap.outbox.acknowledge(number);
        }
    }

    /// How many changes a peer has not acknowledged.
    #[must_use]
    pub fn lag(&self, peer: Life) -> usize {
        let mut lag = 0;
        self.each(peer, |_, outbox| lag += outbox.lag());
        lag
    }

    fn each(&self, peer: Life, mut visit: impl FnMut(usize, &mut Outbox)) {
        for (number, lane) in self.lanes.iter().enumerate() {
            let mut lane = lane.lock();
            if let Some(tap) = lane.iter_mut().find(|tap| tap.peer == peer) {
                visit(number, &mut tap.outbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::node::NodeId;
    use dunlin_storage::KeyHash;

    fn life(number: u32) -> Life {
        Life { node: NodeId::from(number), incarnation: 1 }
    }

    fn change(taps: &Taps, name: &str) {
        let slot = slot::of(name.as_bytes());
        let key = Key { bytes: name.as_bytes(), hash: KeyHash(u64::from(slot)) };
        taps.changed(ShardId(slot % 4), &key);
    }

    #[test]
    fn each_peer_hears_of_its_own_slots() {
        let taps = Taps::new(4);
        let bell: Arc<Bell> = Arc::default();
        let session = bell.is_mine();
        let shard_of = |slot| ShardId(slot % 4);
        assert!(!taps.wants(ShardId(0)));
        taps.add(life(1), &bell, &[(0, 8191)].into_iter().collect(), shard_of);
        taps.add(life(2), &bell, &[(8192, 16383)].into_iter().collect(), shard_of);
        assert!(taps.wants(ShardId(0)));
        let names: Vec<String> = (0..100).map(|i| format!("key:{i}")).collect();
        names.iter().for_each(|name| change(&taps, name));
        let open: Ranges = [(0, 16383)].into_iter().collect();
        let all = |peer| -> Vec<Changed> {
            (0..4)
                .flat_map(|lane| taps.pop(lane, peer, session, &open, 1000).expect("a tap").changed)
                .collect()
        };
        let (first, second) = (all(life(1)), all(life(2)));
        assert_eq!(first.len() + second.len(), 100);
        let is_low = |changed: &Changed| match changed {
            Changed::Key(name) => slot::of(name) < 8192,
            Changed::Slots(_) => false,
        };
        assert!(first.iter().all(is_low) && !second.iter().any(is_low));
        assert_eq!(taps.lag(life(1)), first.len());
        let newest = taps.newest(life(1));
        assert!(!taps.has_acknowledged(life(1), &newest));
        for (lane, number) in newest.iter().enumerate() {
            taps.acknowledge(life(1), lane as u16, *number);
        }
        assert!(taps.has_acknowledged(life(1), &newest) && taps.lag(life(1)) == 0);
        assert!(!taps.has_acknowledged(life(3), &newest), "nobody knows it");

        assert!(taps.pop(0, life(1), session + 1, &open, 1).is_none(), "another connection");
        change(&taps, "key:1");
        change(&taps, "key:2");
        taps.remove(life(1), &[(0, 16383)].into_iter().collect());
        taps.close(life(2));
        assert!(!taps.wants(ShardId(0)));
        assert!(all(life(1)).is_empty(), "what is marked of other slots is left out");
        assert!(taps.pop(0, life(2), session, &open, 1).is_none());
    }

    #[test]
    fn what_a_connection_has_not_opened_waits_for_that() {
        let taps = Taps::new(1);
        let bell: Arc<Bell> = Arc::default();
        let session = bell.is_mine();
        let all: Ranges = [(0, 16383)].into_iter().collect();
        taps.add(life(1), &bell, &all, |_| ShardId(0));
        let change = |name: &str| {
            let key = Key { bytes: name.as_bytes(), hash: KeyHash(1) };
            taps.changed(ShardId(0), &key);
        };
        let (first, second) = (slot::of(b"first"), slot::of(b"second"));
        let pop = |open: &Ranges| taps.pop(0, life(1), session, open, 10).expect("a tap");
        let only = |slot: u16| -> Ranges { [(slot, slot)].into_iter().collect() };
        change("first");
        change("second");
        assert_eq!(pop(&only(second)).taken, 0, "what is behind it waits, too");
        assert!(!taps.has_work(life(1), &only(second)) && taps.has_work(life(1), &only(first)));
        let popped = pop(&only(first));
        assert_eq!((popped.changed.len(), popped.taken), (1, 1));
        // Nobody wants it any more.
        taps.remove(life(1), &only(second));
        assert!(taps.has_work(life(1), &only(first)));
        let popped = pop(&only(first));
        assert_eq!((popped.changed.len(), popped.taken), (0, 2));
        // That all keys were removed is said of all slots at once, and of no others.
        taps.flushed(&SlotSet::all());
        assert!(pop(&only(first)).changed.is_empty());
        let flushed = all.without(&only(second));
        taps.add(life(1), &bell, &only(second), |_| ShardId(0));
        assert_eq!(pop(&flushed).changed, [Changed::Slots(flushed.clone())]);
    }

    #[test]
    fn a_bell_wakes_who_sleeps() {
        let bell = Arc::new(Bell::default());
        let (ringing, work) = (Arc::clone(&bell), Arc::new(AtomicBool::new(false)));
        let made = Arc::clone(&work);
        bell.is_mine();
        let ringer = std::thread::spawn(move || {
            made.store(true, Ordering::SeqCst);
            ringing.ring();
        });
        while !work.load(Ordering::SeqCst) {
            bell.sleep(Duration::from_secs(60), || work.load(Ordering::SeqCst));
        }
        ringer.join().unwrap();
    }
}
