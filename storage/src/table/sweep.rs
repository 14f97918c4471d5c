//! Picking items by what the buckets know: what is due, what was not used.

use super::bucket::{Bucket, Due, SLOTS};
use super::probe::{Hit, entry_of};
use super::{Array, HOMES, Table};
use crate::Millis;
use crate::entry::Entry;
use crate::epoch::Guard;
use crate::hash::{Hasher, Spot};
use crate::sync::{Ordering, prefetch};
use crate::table::iter::POSITION_END;

/// What the expiry walk has found in a group.
#[derive(Default)]
pub(crate) struct Ripe<'g> {
    /// There was one that was due, maybe only by what it had said of itself.
    pub(crate) swept: bool,
    /// Items whose time is over.
    pub(crate) gone: Vec<Hit<'g>>,
    /// Hashes of which some fields have expired. The summaries do not tell of them any more.
    pub(crate) hashes: Vec<Entry<'g>>,
}

/// What a hand may take.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// Only what has an expiry.
    pub(crate) volatile: bool,
    /// Also what was used.
    pub(crate) used: bool,
    pub(crate) now: Millis,
}

impl Table {
    /// What is due in the next due group from group `from` on, and the group to go on with (0 = the
    /// walk is complete). Raises the summaries of what it visits. Only under the role.
    pub(crate) fn due<'g>(
        &self,
        from: usize,
        max_groups: usize,
        now: Millis,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> (usize, Ripe<'g>) {
        let mut ripe = Ripe::default();
        let mut group = from;
        let mut base = 0;
        let mut array = self.head(guard);
        let mut looked = 0;
        while let Some(current) = array {
            current.rebase(Due::at(now));
            let moment = current.moment(Due::at(now));
            while group - base < current.groups() {
                let due = current.due[group - base].load(Ordering::Relaxed);
                group += 1;
                looked += 1;
                if due != 0 && due <= moment {
                    sweep_group(current, group - 1 - base, now, hasher, &mut ripe);
                    return (group, ripe);
                }
                if looked == max_groups {
                    return (group, ripe);
                }
            }
            base += current.groups();
            array = current.next();
        }
        (0, ripe)
    }

    /// Looks at the bucket at position `hand`, and at the overflow chain behind the last bucket of a
    /// group: those that may go are returned, with the position to go on with (0 = once round); others
    /// that were used lose some of their standing. Only under the role.
    pub(crate) fn clock<'g>(
        &self,
        hand: u64,
        choice: Choice,
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
                    current.clock_bucket(bucket, choice, &mut |slot| {
                        let key = entry_of(bucket.word(slot))?.key();
                        let home = current.home_of(hasher.spot_of(key));
                        hits.extend(current.hit(bucket, home, slot, true));
                        Some(())
                    });
                }
            }
            let bucket = current.home(home);
            current.clock_bucket(bucket, choice, &mut |slot| {
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
        let hit = self.on_ring(spot, hasher, guard)?;
        if hit.word.frequency() == 0 {
            return Some(hit);
        }
        hit.settle(false);
        None
    }

    /// Any item of a random bucket, or of what has spilled beside it. Only under the role.
    pub(crate) fn random_victim<'g>(
        &self,
        random: u64,
        volatile: bool,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> Vec<Hit<'g>> {
        let at = Spot { position: random & (POSITION_END - 1), tag: 0 };
        let first = (random >> 48) as usize;
        let mut array = self.head(guard);
        while let Some(current) = array {
            let hit = current.any_at(current.home_of(at), first, volatile, hasher);
            if hit.is_some() {
                return hit.into_iter().collect();
            }
            array = current.next();
        }
        Vec::new()
    }

    /// The item that expires first in the group that is due first among a sample of `groups`; the
    /// next group if none expires there, because only fields do, or because it has gone. Only under
    /// the role.
    pub(crate) fn nearest<'g>(
        &self,
        random: u64,
        groups: usize,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> Vec<Hit<'g>> {
        let mut sample: Vec<(u32, &Array, usize)> = Vec::new();
        let mut array = self.head(guard);
        while let Some(current) = array {
            let first = current.home_of(Spot { position: random & (POSITION_END - 1), tag: 0 });
            for step in 0..groups.min(current.groups()) {
                let group = (first / HOMES + step) % current.groups();
                let due = current.due[group].load(Ordering::Relaxed);
                if due != 0 {
                    sample.push((due, current, group));
                }
            }
            array = current.next();
        }
        sample.sort_unstable_by_key(|(due, ..)| *due);
        let nearest =
            sample.into_iter().find_map(|(_, array, group)| array.nearest_in(group, hasher));
        nearest.into_iter().collect()
    }
}

impl Array {
    /// An item of a home, or else of the overflow chain behind it; of each bucket from slot `first` on.
    fn any_at(
        &self,
        home: usize,
        first: usize,
        volatile: bool,
        hasher: &Hasher,
    ) -> Option<Hit<'_>> {
        let own = std::iter::once((self.home(home), false));
        for (bucket, spilled) in own.chain(self.chain(home).map(|bucket| (bucket, true))) {
            for slot in (0..SLOTS).map(|step| (first + step) % SLOTS) {
                let word = bucket.word(slot);
                if volatile && !word.has_ttl() {
                    continue;
                }
                let Some(entry) = entry_of(word) else { continue };
                // The chain holds items of the whole group.
                let home = match spilled {
                    true => self.home_of(hasher.spot_of(entry.key())),
                    false => home,
                };
                return self.hit(bucket, home, slot, spilled);
            }
        }
        None
    }

    /// The item of a group that expires first.
    fn nearest_in(&self, group: usize, hasher: &Hasher) -> Option<Hit<'_>> {
        let first = group * HOMES;
        let volatile = |bucket: &Bucket, slot: &usize| bucket.word(*slot).has_ttl();
        let own = (first..first + HOMES).flat_map(|home| {
            let bucket = self.home(home);
            let slots = (0..SLOTS).filter(move |slot| volatile(bucket, slot));
            slots.filter_map(move |slot| self.hit(bucket, home, slot, false))
        });
        let spilled = self.chain(first).flat_map(|bucket| {
            let slots = (0..SLOTS).filter(move |slot| volatile(bucket, slot));
            slots.filter_map(move |slot| {
                let key = entry_of(bucket.word(slot))?.key();
                self.hit(bucket, self.home_of(hasher.spot_of(key)), slot, true)
            })
        });
        own.chain(spilled).min_by_key(|hit| hit.entry.expire_at())
    }

    /// Offers the items of a bucket that may go to `victim` and lowers the others.
    fn clock_bucket(
        &self,
        bucket: &Bucket,
        Choice { volatile, used, now }: Choice,
        victim: &mut dyn FnMut(usize) -> Option<()>,
    ) {
        for slot in 0..SLOTS {
            let word = bucket.word(slot);
            if word.is_empty() || volatile && !word.has_ttl() {
                continue;
            }
            let expired = word.has_ttl() && entry_of(word).is_some_and(|e| e.is_expired(now));
            if expired || used || word.frequency() == 0 && (volatile || !word.is_small()) {
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

/// Collects what is due in a group and sets its summaries to what is left.
fn sweep_group<'g>(
    array: &'g Array,
    group: usize,
    now: Millis,
    hasher: &Hasher,
    ripe: &mut Ripe<'g>,
) {
    ripe.swept = true;
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
            let left = sweep_home(array, home, now, hasher, ripe);
            bucket.set_about(bucket.about().with_due(left));
            let Some(left) = left else { continue };
            due = left;
        }
        earliest = Some(earliest.map_or(due, |old| old.min(due)));
    }
    let summary = earliest.map_or(0, |due| array.moment(due));
    array.due[group].store(summary, Ordering::Relaxed);
}

/// Collects what is due in a home; returns when the first of the other items is.
fn sweep_home<'g>(
    array: &'g Array,
    home: usize,
    now: Millis,
    hasher: &Hasher,
    ripe: &mut Ripe<'g>,
) -> Option<Due> {
    let mut earliest: Option<Due> = None;
    let mut look = |hit: Hit<'g>| {
        let Some(at) = hit.entry.due() else {
            return;
        };
        if hit.entry.is_gone(now) {
            ripe.gone.push(hit);
        } else if at < now {
            ripe.hashes.push(hit.entry);
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
        array.hit(bucket, home, slot, false).into_iter().for_each(&mut look);
    }
    earliest
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::keyspace::{Keyspace, Options};
    use crate::table::TableCore;

    #[test]
    fn one_far_expiry_does_not_make_all_others_due() {
        const HOUR: Millis = 3_600_000;
        const NOW: Millis = 1_700_000_000_000;
        let keyspace = Keyspace::new(Options::default());
        let handle = keyspace.handle();
        let (guard, table) = (handle.pin(), Table::new());
        let array = Array::new(3000);
        array.note_due(7, Due::at(NOW + 10 * 365 * 24 * HOUR));
        (0..array.homes()).for_each(|home| array.note_due(home, Due::at(NOW + HOUR)));
        table.head.store(Box::into_raw(array), Ordering::Release);
        // The calls of a round, of which each ends with a group that is due or after 1024 others.
        let round = |now| {
            let look = |from| table.due(from, 1024, now, &keyspace.hasher, &guard).0;
            let (mut calls, mut next) = (1, look(0));
            while next != 0 {
                (calls, next) = (calls + 1, look(next));
            }
            calls
        };
        round(NOW);
        assert_eq!(round(NOW), 3);
        assert_eq!(round(NOW + 2 * HOUR), 3001, "nothing is overlooked");
        let (mut detached, _) = table.detach(&mut TableCore::default());
        let mut left = usize::MAX;
        assert!(detached.free(&mut left, &keyspace.reclaim));
    }
}
