//! Why a key is not there: what was removed lately, and why, in two bytes per key.
//!
//! A reader that finds nothing can say no more than that. Whoever runs a cache wants to know whether
//! the key was never there, came to the end of its time, had to make room, or was taken away: that
//! tells a cold cache from a time to live that is too short, and a budget that is too small from an
//! application that removes too much. So every removal leaves a fingerprint of its key behind with
//! its [cause](Miss), and a miss looks for it. A hit pays nothing, neither does a key that is stored
//! again: while it is there nobody asks.
//!
//! ```text
//! per shard, sets of four, each one word:
//!     63     62..49      48 | 47  46..33  32 | 31  30..17  16 | 15 14  13 ...... 0
//!     oldest                                                  | cause | fingerprint   newest
//!
//! segments:  | 8 sets | 8 | 16 | 32 | ...     doubled without moving anything, never given back
//! ```
//!
//! A new fingerprint pushes the oldest of its set out; one that is known already takes its place in
//! front. A shard begins with one line of sets and doubles them while they overflow and there are
//! fewer places than keys; [`Options::miss_memory`](crate::Options::miss_memory) bounds the whole.
//! After a doubling half of the keys have another set: until that has filled, the one they had is
//! looked at too.
//!
//! What is wrong: a key that was never there is taken for one that was removed if it has the
//! fingerprint of one of the four or eight that are looked at, once in two to four thousand times.
//! And what was pushed out counts as never set.

use std::sync::OnceLock;

use crate::hash::{Hasher, KeyHash, ShardId};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Why a reader has not found a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// It was never stored, or so long ago that nothing is known.
    NeverSet,
    /// Its time was over.
    Expired,
    /// It was removed to make room.
    Evicted,
    /// Somebody has removed it, renamed it, taken its last element, or flushed its database.
    Deleted,
}

impl Miss {
    /// All of them, in the order of their numbers.
    pub const ALL: [Miss; 4] = [Miss::NeverSet, Miss::Expired, Miss::Evicted, Miss::Deleted];

    /// Its name in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Miss::NeverSet => "never_set",
            Miss::Expired => "expired",
            Miss::Evicted => "evicted",
            Miss::Deleted => "deleted",
        }
    }
}

/// Fingerprints per set: a word's worth.
const WAYS: usize = 4;
/// Bits of a place in a set.
const LANE_BITS: usize = 16;
/// Bits of a fingerprint; the cause has the rest of the place.
const PRINT_BITS: u32 = 14;
const PRINT_MASK: u16 = (1 << PRINT_BITS) - 1;
/// Sets of a shard at first: a cache line. Models have one, in which all keys meet.
const FIRST_SETS: usize = if cfg!(loom) { 1 } else { 8 };
/// Doublings at most.
const SEGMENTS: usize = 24;
/// Keys of the whole store that there is always room for, so that a store of few keys which come and
/// go remembers them.
const LEAST_KEYS: usize = 16 * 1024;

/// What was removed of one shard.
///
/// Words are written by the holder of the role and by whoever frees a flushed table, and read by
/// everybody, all without order (Relaxed): a word is whole, says nothing about another one, and is a
/// guess in any case. Two who write the same one at once lose one of both removals. The segments
/// order themselves ([`OnceLock`]); a reader that hears of more sets before it sees their segment
/// finds nothing there.
#[derive(Default)]
struct Ghosts {
    /// A power of two; 0 = none yet. Written under the role.
    sets: AtomicUsize,
    segments: [OnceLock<Box<[AtomicU64]>>; SEGMENTS],
}

impl Ghosts {
    /// The word of a set, of those that are there.
    fn word(&self, set: usize) -> Option<&AtomicU64> {
        let segment = segment_of(set);
        self.segments.get(segment)?.get()?.get(set - segment_start(segment))
    }

    fn why(&self, mixed: u64) -> Miss {
        let sets = self.sets.load(Ordering::Relaxed);
        if sets == 0 {
            return Miss::NeverSet;
        }
        let set = set_of(mixed) & (sets - 1);
        let known = |set| {
            let word = self.word(set)?.load(Ordering::Relaxed);
            lane_of(word, print_of(mixed)).map(|lane| cause_of(lane_at(word, lane)))
        };
        let before = || (set >= FIRST_SETS && set >= sets / 2).then(|| set - sets / 2);
        known(set).or_else(|| before().and_then(known)).unwrap_or(Miss::NeverSet)
    }

    /// Remembers a removal; true if an older one had to be forgotten for it.
    fn note(&self, mixed: u64, why: Miss) -> bool {
        let sets = self.sets.load(Ordering::Relaxed);
        if sets == 0 {
            return true;
        }
        let Some(word) = self.word(set_of(mixed) & (sets - 1)) else { return true };
        let old = word.load(Ordering::Relaxed);
        let (new, forgotten) = pushed(old, print_of(mixed), why);
        word.store(new, Ordering::Relaxed);
        forgotten
    }

    /// Doubles the sets; the bytes that it takes. Only under the role.
    fn grow(&self) -> usize {
        let sets = self.sets.load(Ordering::Relaxed);
        let (segment, more) = match sets {
            0 => (0, FIRST_SETS),
            _ => (segment_of(sets), sets),
        };
        let Some(room) = self.segments.get(segment) else { return 0 };
        room.get_or_init(|| (0..more).map(|_| AtomicU64::new(0)).collect());
        self.sets.store(sets + more, Ordering::Relaxed);
        more * size_of::<AtomicU64>()
    }
}

/// The segment that a set is in.
fn segment_of(set: usize) -> usize {
    match set / FIRST_SETS {
        0 => 0,
        times => times.ilog2() as usize + 1,
    }
}

/// The first set of a segment.
fn segment_start(segment: usize) -> usize {
    if segment == 0 { 0 } else { FIRST_SETS << (segment - 1) }
}

/// The set of a key, before it is cut to their number. Shards are told apart by the top bits of a
/// hash, fingerprints are the lowest.
fn set_of(mixed: u64) -> usize {
    (mixed >> PRINT_BITS) as usize
}

fn print_of(mixed: u64) -> u16 {
    mixed as u16 & PRINT_MASK
}

fn lane_at(word: u64, lane: usize) -> u16 {
    (word >> (lane * LANE_BITS)) as u16
}

fn cause_of(lane: u16) -> Miss {
    Miss::ALL[usize::from(lane >> PRINT_BITS)]
}

/// Where a set has a fingerprint. An empty place has no cause, and is not one of it.
fn lane_of(word: u64, print: u16) -> Option<usize> {
    (0..WAYS).find(|&lane| {
        let found = lane_at(word, lane);
        found & PRINT_MASK == print && cause_of(found) != Miss::NeverSet
    })
}

/// A set with a fingerprint in front: what was newer than its old place, or than the oldest, moves
/// up by one. Whether the oldest was forgotten for it.
fn pushed(word: u64, print: u16, why: Miss) -> (u64, bool) {
    let known = lane_of(word, print);
    let at = known.unwrap_or(WAYS - 1);
    let newer = word & !(u64::MAX << (at * LANE_BITS));
    let older = word & (u64::MAX << (at * LANE_BITS)) & !(0xffff << (at * LANE_BITS));
    let lane = (why as u16) << PRINT_BITS | print;
    let forgotten = known.is_none() && lane_at(word, at) != 0;
    (older | newer << LANE_BITS | u64::from(lane), forgotten)
}

/// What was removed, of all shards.
pub(crate) struct Misses {
    hasher: Hasher,
    shards: Box<[Ghosts]>,
    /// Sets that a shard may have, and places that it may have whatever it holds.
    most_sets: usize,
    least_places: usize,
}

impl Misses {
    /// For so many bytes; none if that is not enough for a line per shard.
    pub(crate) fn new(hasher: Hasher, shards: usize, bytes: u64) -> Option<Self> {
        let share = usize::try_from(bytes).unwrap_or(usize::MAX) / shards / size_of::<AtomicU64>();
        let most_sets = share.checked_ilog2().map_or(0, |bits| 1 << bits);
        (most_sets >= FIRST_SETS).then(|| Self {
            hasher,
            shards: (0..shards).map(|_| Ghosts::default()).collect(),
            most_sets,
            least_places: LEAST_KEYS / shards,
        })
    }

    /// Why a key is not there.
    pub(crate) fn why(&self, physical: usize, shard: ShardId, hash: KeyHash) -> Miss {
        self.of(shard).why(mix(physical, hash))
    }

    /// Remembers why a key was removed; how many bytes that has taken. `live` says how many keys the
    /// shard has. Only under the role.
    #[inline]
    pub(crate) fn note(
        &self,
        (physical, shard, hash): (usize, ShardId, KeyHash),
        why: Miss,
        live: impl Fn() -> usize,
    ) -> usize {
        let mixed = mix(physical, hash);
        if !self.of(shard).note(mixed, why) {
            return 0;
        }
        self.overflown(shard, mixed, why, live())
    }

    #[cold]
    fn overflown(&self, shard: ShardId, mixed: u64, why: Miss, live: usize) -> usize {
        let ghosts = self.of(shard);
        let is_new = ghosts.sets.load(Ordering::Relaxed) == 0;
        let grown = if self.wants_more(ghosts, live) { ghosts.grow() } else { 0 };
        if is_new {
            ghosts.note(mixed, why);
        }
        grown
    }

    fn wants_more(&self, ghosts: &Ghosts, keys: usize) -> bool {
        let sets = ghosts.sets.load(Ordering::Relaxed);
        sets < self.most_sets && sets * WAYS < keys.max(self.least_places)
    }

    /// Makes room for that many removals at once; how many bytes that has taken. Only under the role.
    pub(crate) fn make_room(&self, shard: ShardId, keys: usize) -> usize {
        let ghosts = self.of(shard);
        let mut grown = 0;
        while self.wants_more(ghosts, keys) {
            match ghosts.grow() {
                0 => break,
                bytes => grown += bytes,
            }
        }
        grown
    }

    /// A key of a flushed database is being freed. Needs no role.
    pub(crate) fn flushed(&self, physical: usize, key: &[u8]) {
        let hash = self.hasher.hash(key);
        self.of(self.hasher.shard(hash)).note(mix(physical, hash), Miss::Deleted);
    }

    /// Bytes taken.
    pub(crate) fn bytes(&self) -> u64 {
        let sets = |ghosts: &Ghosts| ghosts.sets.load(Ordering::Relaxed) as u64;
        self.shards.iter().map(sets).sum::<u64>() * size_of::<AtomicU64>() as u64
    }

    fn of(&self, shard: ShardId) -> &Ghosts {
        &self.shards[usize::from(shard.0)]
    }
}

/// The same key of two databases has two fingerprints.
fn mix(physical: usize, hash: KeyHash) -> u64 {
    hash.0 ^ (physical as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misses(bytes: u64) -> Misses {
        Misses::new(Hasher::new(Some([1, 2, 3, 4]), 0, None), 1, bytes).expect("enough bytes")
    }

    fn note(misses: &Misses, key: u64, why: Miss, live: usize) -> usize {
        let hash = misses.hasher.hash(&key.to_le_bytes());
        misses.note((0, ShardId(0), hash), why, || live)
    }

    fn why(misses: &Misses, key: u64) -> Miss {
        misses.why(0, ShardId(0), misses.hasher.hash(&key.to_le_bytes()))
    }

    #[test]
    fn a_set_is_a_queue_in_which_no_key_stands_twice() {
        let mut word = 0;
        let mut forgotten = Vec::new();
        for (print, why) in [
            (1, Miss::Expired),
            (2, Miss::Evicted),
            (3, Miss::Deleted),
            (1, Miss::Deleted),
            (4, Miss::Expired),
            (5, Miss::Evicted),
        ] {
            let (next, full) = pushed(word, print, why);
            word = next;
            forgotten.push(full);
        }
        assert_eq!(forgotten, [false, false, false, false, false, true]);
        let lanes: Vec<_> = (0..WAYS)
            .map(|i| (lane_at(word, i) & PRINT_MASK, cause_of(lane_at(word, i))))
            .collect();
        assert_eq!(
            lanes,
            [(5, Miss::Evicted), (4, Miss::Expired), (1, Miss::Deleted), (3, Miss::Deleted)]
        );
        assert_eq!(lane_of(0, 0), None, "an empty place is no fingerprint of nought");
    }

    #[test]
    fn sets_lie_in_segments_one_behind_the_other() {
        let mut expected = 0;
        for segment in 0..SEGMENTS {
            assert_eq!(segment_start(segment), expected, "{segment}");
            assert_eq!(segment_of(expected), segment);
            expected = if segment == 0 { FIRST_SETS } else { expected * 2 };
            assert_eq!(segment_of(expected - 1), segment);
        }
    }

    #[test]
    fn what_was_removed_last_is_known_with_its_cause() {
        let misses = misses(1 << 20);
        for i in 0..20_000 {
            note(&misses, i, Miss::ALL[1 + (i % 3) as usize], 20_000);
        }
        let right = (0..20_000).filter(|&i| why(&misses, i) == Miss::ALL[1 + (i % 3) as usize]);
        let right = right.count();
        assert!(right > 16_000, "{right} of 20000");
        note(&misses, 5, Miss::Evicted, 0);
        assert_eq!(why(&misses, 5), Miss::Evicted, "the last cause counts");
    }

    #[test]
    fn what_was_never_there_is_seldom_taken_for_something_else() {
        let misses = misses(1 << 20);
        (0..200_000).for_each(|i| {
            _ = note(&misses, i, Miss::Deleted, 200_000);
        });
        let wrong = (200_000..600_000).filter(|&i| why(&misses, i) != Miss::NeverSet).count();
        // At most eight places of 2^14 fingerprints: 196 of 400000.
        assert!((20..300).contains(&wrong), "{wrong} of 400000");
    }

    #[test]
    fn a_doubling_forgets_nothing_at_once() {
        let misses = misses(1 << 20);
        misses.make_room(ShardId(0), 1000);
        (0..1000).for_each(|i| {
            _ = note(&misses, i, Miss::Expired, 0);
        });
        let known = || (0..1000).filter(|&i| why(&misses, i) == Miss::Expired).count();
        let before = known();
        assert!(misses.make_room(ShardId(0), 2000 + LEAST_KEYS) > 0);
        misses.of(ShardId(0)).grow();
        assert!(before > 900 && known() >= before / 3, "{before} {}", known());
    }

    #[test]
    fn memory_is_what_was_promised_and_is_told_exactly() {
        let misses = misses(64 * 1024);
        let mut told = 0;
        for i in 0..1_000_000 {
            told += note(&misses, i, Miss::Evicted, usize::MAX);
        }
        assert_eq!(told as u64, misses.bytes());
        assert_eq!(told, 64 * 1024);
        let few = super::tests::misses(1 << 30);
        (0..1_000_000).for_each(|i| {
            _ = note(&few, i, Miss::Evicted, 10);
        });
        assert!(few.bytes() <= 2 * 2 * LEAST_KEYS as u64, "few keys, few places: {}", few.bytes());
        let none = Misses::new(Hasher::new(None, 4, None), 16, 16 * 63);
        assert!(none.is_none(), "less than a line per shard is nothing");
    }

    #[test]
    fn databases_are_told_apart() {
        let misses = misses(1 << 16);
        let hash = misses.hasher.hash(b"key");
        misses.note((3, ShardId(0), hash), Miss::Expired, || 1);
        assert_eq!(misses.why(3, ShardId(0), hash), Miss::Expired);
        assert_eq!(misses.why(0, ShardId(0), hash), Miss::NeverSet);
        misses.flushed(0, b"key");
        assert_eq!(misses.why(0, ShardId(0), hash), Miss::Deleted);
    }
}
