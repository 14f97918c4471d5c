//! Picking items by what the buckets know: what is due, what was not used.

use super::bucket::{Bucket, Due, SLOTS};
use super::probe::{Hit, entry_of};
use super::{Array, HOMES, Table};
use crate::Millis;
use crate::epoch::Guard;
use crate::hash::{Hasher, Spot};
use crate::sync::{Ordering, prefetch};
use crate::table::iter::POSITION_END;

impl Table {
    /// Expired items of the next due group from group `from` on, and the group to go on with (0 =
    /// the walk is complete). Raises the summaries of what it visits. Only under the role.
    pub(crate) fn due<'g>(
        &self,
        from: usize,
        max_groups: usize,
        now: Millis,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> (usize, Vec<Hit<'g>>) {
        let mut hits = Vec::new();
        let mut group = from;
        let mut base = 0;
        let mut array = self.head(guard);
        let mut looked = 0;
        while let Some(current) = array {
            let moment = current.moment(Due::at(now));
            while group - base < current.groups() {
                let due = current.due[group - base].load(Ordering::Relaxed);
                group += 1;
                looked += 1;
                if due != 0 && due <= moment {
                    sweep_group(current, group - 1 - base, now, hasher, &mut hits);
                    return (group, hits);
                }
                if looked == max_groups {
                    return (group, hits);
                }
            }
            base += current.groups();
            array = current.next();
        }
        (0, hits)
    }

    /// Looks at the bucket at position `hand`, and at the overflow chain behind the last bucket of a
    /// group: items that were used lose some of their standing, those that were not are returned,
    /// with the position to go on with (0 = once round). Only under the role.
    pub(crate) fn clock<'g>(
        &self,
        hand: u64,
        volatile: bool,
        now: Millis,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> (u64, Vec<Hit<'g>>) {
        let mut hits = Vec::new();
        let Some(head) = self.head(guard) else {
            return (0, hits);
        };
        let at = Spot { position: hand, tag: 0 };
        let home = head.home_of(at);
        let next = if home + 1 == head.homes() { 0 } else { head.position_of(home + 1) };
        let mut array = Some(head);
        while let Some(current) = array {
            let home = current.home_of(at);
            if home % HOMES == HOMES - 1 {
                // Spilled items first: removing from the home would move them.
                for bucket in current.chain(home) {
                    current.clock_bucket(bucket, volatile, now, &mut |slot| {
                        let key = entry_of(bucket.word(slot))?.key();
                        let home = current.home_of(hasher.spot_of(key));
                        hits.extend(current.hit(bucket, home, slot, true));
                        Some(())
                    });
                }
            }
            let bucket = current.home(home);
            current.clock_bucket(bucket, volatile, now, &mut |slot| {
                hits.extend(current.hit(bucket, home, slot, false));
                Some(())
            });
            array = current.next();
        }
        (next, hits)
    }

    /// The item of the small ring at this spot: returned if it was not used since it came, else it
    /// joins the main queue. Only under the role.
    pub(crate) fn small_victim<'g>(
        &self,
        spot: Spot,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> Option<Hit<'g>> {
        let mut array = self.head(guard);
        while let Some(current) = array {
            let home = current.home_of(spot);
            let own = std::iter::once(current.home(home)).chain(current.chain(home));
            for (i, bucket) in own.enumerate() {
                for slot in 0..SLOTS {
                    let word = bucket.word(slot);
                    if !word.is_small() || !word.tag_is(spot.tag) {
                        continue;
                    }
                    let own =
                        |hit: &Hit<'_>| current.home_of(hasher.spot_of(hit.entry.key())) == home;
                    let hit = current.hit(bucket, home, slot, i > 0);
                    // The overflow chain holds items of the whole group.
                    let Some(hit) = hit.filter(|hit| i == 0 || own(hit)) else { continue };
                    if word.frequency() == 0 {
                        return Some(hit);
                    }
                    bucket.set_word(slot, word.with_small(false).with_frequency(0));
                    return None;
                }
            }
            array = current.next();
        }
        None
    }

    /// Any item of a random bucket. Only under the role.
    pub(crate) fn random_victim<'g>(
        &self,
        random: u64,
        volatile: bool,
        guard: &'g Guard,
    ) -> Vec<Hit<'g>> {
        let at = Spot { position: random & (POSITION_END - 1), tag: 0 };
        let first = (random >> 48) as usize;
        let mut array = self.head(guard);
        while let Some(current) = array {
            let home = current.home_of(at);
            let bucket = current.home(home);
            for step in 0..SLOTS {
                let slot = (first + step) % SLOTS;
                if !volatile || bucket.word(slot).has_ttl() {
                    let hit = current.hit(bucket, home, slot, false);
                    if hit.is_some() {
                        return hit.into_iter().collect();
                    }
                }
            }
            array = current.next();
        }
        Vec::new()
    }

    /// The item that expires first in the group that expires first among a sample of `groups`.
    /// Only under the role.
    pub(crate) fn nearest<'g>(&self, random: u64, groups: usize, guard: &'g Guard) -> Vec<Hit<'g>> {
        let mut best: Option<(u32, &Array, usize)> = None;
        let mut array = self.head(guard);
        while let Some(current) = array {
            let first = current.home_of(Spot { position: random & (POSITION_END - 1), tag: 0 });
            for step in 0..groups.min(current.groups()) {
                let group = (first / HOMES + step) % current.groups();
                let due = current.due[group].load(Ordering::Relaxed);
                if due != 0 && best.is_none_or(|(least, ..)| due < least) {
                    best = Some((due, current, group));
                }
            }
            array = current.next();
        }
        let Some((_, array, group)) = best else {
            return Vec::new();
        };
        let hits = (group * HOMES..(group + 1) * HOMES).flat_map(|home| {
            let bucket = array.home(home);
            (0..SLOTS).filter_map(move |slot| {
                if bucket.word(slot).has_ttl() {
                    array.hit(bucket, home, slot, false)
                } else {
                    None
                }
            })
        });
        let nearest = hits.min_by_key(|hit| hit.entry.expire_at());
        if nearest.is_none() {
            // Its last item with an expiry has gone, or is in the overflow chain.
            array.due[group].store(0, Ordering::Relaxed);
        }
        nearest.into_iter().collect()
    }
}

impl Array {
    /// Offers the unused items of a bucket to `victim` and lowers the others.
    fn clock_bucket(
        &self,
        bucket: &Bucket,
        volatile: bool,
        now: Millis,
        victim: &mut dyn FnMut(usize) -> Option<()>,
    ) {
        for slot in 0..SLOTS {
            let word = bucket.word(slot);
            if word.is_empty() || volatile && !word.has_ttl() {
                continue;
            }
            let expired = word.has_ttl() && entry_of(word).is_some_and(|e| e.is_expired(now));
            if expired || word.frequency() == 0 && (volatile || !word.is_small()) {
                victim(slot);
            } else if word.frequency() == 0 {
                // Of the small ring: it joins the main queue when the hand finds it still there, so
                // an item that the ring has forgotten is not safe for ever.
                bucket.set_word(slot, word.with_small(false));
            } else {
                bucket.set_word(slot, word.with_frequency(word.frequency() - 1));
            }
        }
    }
}

/// Collects the expired items of a group and sets its summaries to what is left.
fn sweep_group<'g>(
    array: &'g Array,
    group: usize,
    now: Millis,
    hasher: &Hasher,
    hits: &mut Vec<Hit<'g>>,
) {
    let mut earliest: Option<Due> = None;
    let homes = group * HOMES..(group + 1) * HOMES;
    homes.clone().for_each(|home| prefetch(array.home(home)));
    for home in homes.clone() {
        if array.home(home).about().due().is_some_and(|due| due <= Due::at(now)) {
            array.prefetch_entries(home);
        }
    }
    for home in homes {
        let bucket = array.home(home);
        let about = bucket.about();
        let Some(mut due) = about.due() else { continue };
        if due <= Due::at(now) {
            let left = sweep_home(array, home, now, hasher, hits);
            bucket.set_about(bucket.about().with_due(left));
            let Some(left) = left else { continue };
            due = left;
        }
        earliest = Some(earliest.map_or(due, |old| old.min(due)));
    }
    let summary = earliest.map_or(0, |due| array.moment(due));
    array.due[group].store(summary, Ordering::Relaxed);
}

/// Collects the expired items of a home; returns the earliest expiry of the others.
fn sweep_home<'g>(
    array: &'g Array,
    home: usize,
    now: Millis,
    hasher: &Hasher,
    hits: &mut Vec<Hit<'g>>,
) -> Option<Due> {
    let mut earliest: Option<Due> = None;
    let mut look = |hit: Hit<'g>| {
        let Some(at) = hit.entry.expire_at() else {
            return;
        };
        if hit.entry.is_expired(now) {
            hits.push(hit);
        } else {
            let due = Due::at(at);
            earliest = Some(earliest.map_or(due, |old| old.min(due)));
        }
    };
    let bucket = array.home(home);
    // Spilled items first: removing from the home pulls them back, which would move them.
    if bucket.about().overflow() > 0 {
        for overflow in array.chain(home) {
            for slot in 0..SLOTS {
                let hit = array.hit(overflow, home, slot, true);
                let own = |hit: &Hit<'_>| array.home_of(hasher.spot_of(hit.entry.key())) == home;
                hit.filter(own).into_iter().for_each(&mut look);
            }
        }
    }
    for slot in 0..SLOTS {
        if bucket.word(slot).has_ttl() {
            array.hit(bucket, home, slot, false).into_iter().for_each(&mut look);
        }
    }
    earliest
}
