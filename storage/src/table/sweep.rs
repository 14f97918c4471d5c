//! Picking items by what the buckets know: what is due, what was not used.

use super::bucket::{Due, SLOTS};
use super::probe::{Hit, entry_of};
use super::{Array, HOMES, Table};
use crate::Millis;
use crate::hash::{Hasher, Spot};
use crate::sync::{Guard, Ordering};
use crate::table::iter::POSITION_END;

/// Groups whose summary is looked at per call.
const GROUPS_PER_CALL: usize = 4096;

impl Table {
    /// Expired items of the next due group from group `from` on, and the group to go on with (0 =
    /// the walk is complete). Raises the summaries of what it visits. Only under the role.
    pub(crate) fn due<'g>(
        &self,
        from: usize,
        now: Millis,
        hasher: &Hasher,
        guard: &'g Guard,
    ) -> (usize, Vec<Hit<'g>>) {
        let mut hits = Vec::new();
        let mut group = from;
        let mut base = 0;
        let mut array = self.head(guard);
        let second = Due::at(now).second() + 1;
        let mut looked = 0;
        while let Some(current) = array {
            while group - base < current.groups() {
                let due = current.due[group - base].load(Ordering::Relaxed);
                group += 1;
                looked += 1;
                if due != 0 && due <= second {
                    sweep_group(current, group - 1 - base, now, hasher, &mut hits);
                    return (group, hits);
                }
                if looked == GROUPS_PER_CALL {
                    return (group, hits);
                }
            }
            base += current.groups();
            array = current.next();
        }
        (0, hits)
    }

    /// Looks at the bucket at position `hand`: an item that was used loses some of its standing, one
    /// that was not is returned. Only under the role.
    pub(crate) fn clock<'g>(
        &self,
        hand: u64,
        volatile: bool,
        now: Millis,
        guard: &'g Guard,
    ) -> (u64, Vec<Hit<'g>>) {
        let mut hits = Vec::new();
        let Some(head) = self.head(guard) else {
            return (0, hits);
        };
        let home = head.home_of(Spot {
            position: hand,
            tag: 0,
        });
        let next = if home + 1 == head.homes() {
            0
        } else {
            head.position_of(home + 1) % POSITION_END
        };
        let mut array = Some(head);
        while let Some(current) = array {
            let home = current.home_of(Spot {
                position: hand,
                tag: 0,
            });
            for slot in 0..SLOTS {
                let bucket = current.home(home);
                let word = bucket.word(slot);
                if word.is_empty() || volatile && !word.has_ttl() {
                    continue;
                }
                let expired = word.has_ttl() && entry_of(word).is_some_and(|e| e.is_expired(now));
                if word.frequency() == 0 || expired {
                    hits.extend(current.hit(bucket, home, slot, false));
                } else {
                    bucket.set_word(slot, word.with_frequency(word.frequency() - 1));
                }
            }
            array = current.next();
        }
        (next, hits)
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
    for home in group * HOMES..(group + 1) * HOMES {
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
    let summary = earliest.map_or(0, |due| due.second() + 1);
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
            array
                .hit(bucket, home, slot, false)
                .into_iter()
                .for_each(&mut look);
        }
    }
    earliest
}
