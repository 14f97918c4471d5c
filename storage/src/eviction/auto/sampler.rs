//! What readers tell the miniatures of a shard: which keys of the sample they have found.
//!
//! A key is in the sample if the lowest bits of its position are zero, so the sample is the same for
//! everybody and all uses of a key are in it or none (SHARDS: Waldspurger, Park, Garthwaite and Ahmad,
//! USENIX FAST 2015). Readers leave the names in a few places, which the next insertion of the shard
//! empties; what comes when all places are taken is lost.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `mask` | the holder of the role | readers |
//! | `next` | readers, and the holder, who sets it to 0 | both |
//! | `names` | readers, and the holder, who sets them to 0 | the holder |
//!
//! All are Relaxed and nobody exchanges anything: two readers at once may leave their names in the same
//! place, and one that is overtaken by the holder may give an old `next` back. So a name may be lost,
//! and places be looked at that hold none, which 0 says. The miniatures count, and a few names more or
//! less are no matter; the store does not depend on any of it.

use crate::hash::Spot;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::shadow::Id;

/// Names that wait at most: what is read between two insertions. With fewer, a run of hits is heard only
/// in part, and it is what tells the rules apart.
const PLACES: usize = if cfg!(loom) { 2 } else { 256 };
/// No key: positions are shorter than this.
const NOBODY: u64 = u64::MAX >> 1;

/// The places of one shard.
pub(crate) struct Sampler {
    mask: AtomicU64,
    next: AtomicUsize,
    names: [AtomicU32; PLACES],
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            mask: AtomicU64::new(NOBODY),
            next: AtomicUsize::new(0),
            names: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

/// The name of a position under a mask, if it is in the sample.
#[inline]
fn name(position: u64, mask: u64) -> Option<Id> {
    (position & mask == 0).then(|| ((position >> mask.trailing_ones()) as Id).max(1))
}

impl Sampler {
    /// A reader has found this key.
    #[inline]
    pub(crate) fn note(&self, spot: Spot) {
        if let Some(name) = name(spot.position, self.mask.load(Ordering::Relaxed)) {
            self.leave(name);
        }
    }

    #[cold]
    fn leave(&self, name: Id) {
        let next = self.next.load(Ordering::Relaxed);
        if let Some(place) = self.names.get(next) {
            place.store(name, Ordering::Relaxed);
            self.next.store(next + 1, Ordering::Relaxed);
        }
    }

    /// One key in so many is in the sample: two to the power of `bits`; none if not given. Only under
    /// the role.
    pub(super) fn choose(&self, bits: Option<u32>) {
        let mask = bits.map_or(NOBODY, |bits| (1 << bits) - 1);
        if self.mask.load(Ordering::Relaxed) != mask {
            // The old names are in another sample.
            self.take(&mut |_| ());
            self.mask.store(mask, Ordering::Relaxed);
        }
    }

    /// The name of a key, if it is in the sample.
    pub(super) fn name(&self, spot: Spot) -> Option<Id> {
        name(spot.position, self.mask.load(Ordering::Relaxed))
    }

    /// Takes the names that wait, in their order. Only under the role.
    pub(super) fn take(&self, with: &mut dyn FnMut(Id)) {
        let waiting = self.next.load(Ordering::Relaxed).min(PLACES);
        if waiting == 0 {
            return;
        }
        for place in &self.names[..waiting] {
            let name = place.load(Ordering::Relaxed);
            if name != 0 {
                place.store(0, Ordering::Relaxed);
                with(name);
            }
        }
        self.next.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn at(position: u64) -> Spot {
        Spot { position, tag: 0 }
    }

    fn taken(sampler: &Sampler) -> Vec<Id> {
        let mut names = Vec::new();
        sampler.take(&mut |name| names.push(name));
        names
    }

    #[test]
    fn the_sample_is_what_its_bits_say() {
        let sampler = Sampler::default();
        (0..100).for_each(|i| sampler.note(at(i)));
        // Position 0 is nobody's but in one of 2^40 keys, and harmless.
        assert!(taken(&sampler).len() <= 1);
        sampler.choose(Some(2));
        (0..100).for_each(|i| sampler.note(at(i)));
        assert_eq!(taken(&sampler), [1].into_iter().chain(1..25).collect::<Vec<Id>>());
        assert_eq!((sampler.name(at(8)), sampler.name(at(9))), (Some(2), None));
        sampler.choose(Some(0));
        (5..8).for_each(|i| sampler.note(at(i)));
        assert_eq!(taken(&sampler), [5, 6, 7]);
        assert!(taken(&sampler).is_empty());
    }

    #[test]
    fn what_has_no_place_is_lost_and_another_sample_begins_anew() {
        let sampler = Sampler::default();
        sampler.choose(Some(0));
        (1..=1000).for_each(|i| sampler.note(at(i)));
        assert_eq!(taken(&sampler), (1..=PLACES as Id).collect::<Vec<Id>>());
        sampler.note(at(7));
        sampler.choose(Some(0));
        assert_eq!(taken(&sampler), [7]);
        sampler.note(at(7));
        sampler.choose(Some(1));
        assert!(taken(&sampler).is_empty());
    }

    #[test]
    fn readers_beside_the_holder_leave_nothing_that_is_not_theirs() {
        let (sampler, done) = (Sampler::default(), AtomicBool::new(false));
        sampler.choose(Some(0));
        let mut names = 0;
        std::thread::scope(|scope| {
            for reader in 1..=2u64 {
                let (sampler, done) = (&sampler, &done);
                scope.spawn(move || {
                    (0..200_000).for_each(|i| sampler.note(at(reader << 20 | (i % 1000))));
                    done.store(true, Ordering::Relaxed);
                });
            }
            while !done.load(Ordering::Relaxed) {
                for name in taken(&sampler) {
                    assert!(matches!(name >> 20, 1 | 2) && name & 0xf_ffff < 1000, "{name:x}");
                    names += 1;
                }
            }
        });
        assert!(names + taken(&sampler).len() > 0);
    }
}
