//! A cache in miniature: it holds the names of some keys and nothing else, and keeps them as a shard
//! would under one of the rules. What it misses says how often the whole shard would (Waldspurger,
//! Saemundsson, Ahmad and Park, USENIX ATC 2017).
//!
//! ```text
//! ids     | 7 | - | 3 | 9 | - | 2 |     names in the order of their hash, each at the first free place
//! states  | . | - | . | . | - | . |     on the ring or not, and how often it was used
//! ```
//!
//! The hand of the main queue goes through the places, and the ring holds names, so everything happens
//! here as it happens with buckets and positions in the real store.

use std::collections::VecDeque;

use super::rule::{Contest, Rule};
use super::sketch::Sketch;
use crate::eviction::ghost::Ghost;
use crate::hash::{POSITION_BITS, Spot};
use crate::memory::usable;

/// A key by its name in a sample; never 0.
pub(super) type Id = u32;

/// On the ring, and not in the main queue.
const SMALL: u8 = 4;
/// The other bits: how often it was used, as in the slots of a table.
const USES: u8 = 3;
/// Counters of the sketch for each item.
const COUNTERS: usize = 8;
/// Bytes of a miniature for each item it holds, about.
pub(super) const BYTES_PER_ITEM: usize = 14;

/// The cache of one rule.
pub(super) struct Shadow {
    rule: Rule,
    capacity: usize,
    len: usize,
    ids: Vec<Id>,
    states: Vec<u8>,
    ring: VecDeque<Id>,
    ghost: Ghost,
    sketch: Sketch,
    contest: Contest,
    hand: usize,
    /// Something had to go already: new ones go through the ring.
    is_full: bool,
}

/// Where a name would be in a table of its own.
fn spot_of(id: Id) -> Spot {
    let mixed = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = mixed ^ mixed >> 29;
    Spot { position: mixed >> (64 - POSITION_BITS), tag: (mixed & 0xfff) as u16 }
}

impl Shadow {
    /// An empty one for so many items.
    pub(super) fn new(rule: Rule, capacity: usize) -> Self {
        let mut shadow = Self {
            rule,
            capacity: 0,
            len: 0,
            ids: Vec::new(),
            states: Vec::new(),
            ring: VecDeque::new(),
            ghost: Ghost::default(),
            sketch: Sketch::default(),
            contest: Contest::default(),
            hand: 0,
            is_full: false,
        };
        shadow.fit(capacity);
        shadow
    }

    /// Changes how many it holds.
    pub(super) fn fit(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        while self.len > self.capacity {
            self.evict();
        }
        self.ghost.fit(self.capacity / 2);
        self.sketch.fit(self.capacity, COUNTERS);
        self.sketch.settle();
        if self.ring.capacity() > self.ring.len() * 4 + 16 {
            self.ring.shrink_to(self.ring.len() * 2);
        }
        let most = self.capacity + 1;
        // A third of the places stay free, and it does not move for every change.
        if self.ids.len() < most * 5 / 4 || self.ids.len() > most * 3 {
            self.rehash(most * 3 / 2 + 1);
        }
    }

    fn rehash(&mut self, places: usize) {
        let ids = std::mem::replace(&mut self.ids, vec![0; places]);
        let states = std::mem::replace(&mut self.states, vec![0; places]);
        for (id, state) in ids.into_iter().zip(states).filter(|(id, _)| *id != 0) {
            let place = self.find(id).unwrap_or_else(|free| free);
            (self.ids[place], self.states[place]) = (id, state);
        }
        self.hand = 0;
    }

    pub(super) fn bytes(&self) -> usize {
        let ring = usable(self.ring.capacity() * 4);
        let places = usable(self.ids.capacity() * 4) + usable(self.states.capacity());
        places + ring + self.ghost.bytes() + self.sketch.bytes()
    }

    /// A key is asked for, and stored if it is not there: whether it was.
    pub(super) fn request(&mut self, id: Id) -> bool {
        if let Ok(place) = self.find(id) {
            let state = &mut self.states[place];
            *state += u8::from(*state & USES < USES);
            return true;
        }
        let spot = spot_of(id);
        let mut state = 0;
        let comes_back = self.is_full && self.ghost.take(spot) && self.rule.trusts_ghost();
        if self.is_full && !(comes_back && self.contest.lets_back(&self.sketch, spot)) {
            self.push(id);
            state = SMALL;
        }
        let place = self.find(id).unwrap_or_else(|free| free);
        (self.ids[place], self.states[place]) = (id, state);
        self.len += 1;
        while self.len > self.capacity {
            self.evict();
        }
        false
    }

    /// The place of a name, or the free one where it would be.
    fn find(&self, id: Id) -> Result<usize, usize> {
        let mut place = self.home_of(id);
        while self.ids[place] != 0 {
            if self.ids[place] == id {
                return Ok(place);
            }
            place = self.after(place);
        }
        Err(place)
    }

    fn home_of(&self, id: Id) -> usize {
        ((spot_of(id).position * self.ids.len() as u64) >> POSITION_BITS) as usize
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.ids.len() { 0 } else { place + 1 }
    }

    fn push(&mut self, id: Id) {
        if self.ring.len() == self.ring.capacity() {
            self.ring.reserve_exact(self.ring.len() / 8 + 4);
        }
        self.ring.push_back(id);
    }

    /// Looks at what is next to go, until something has gone or changed its standing.
    fn evict(&mut self) {
        self.is_full = true;
        if !self.ring.is_empty() && self.rule.is_too_long(self.ring.len(), self.len) {
            return self.evict_from_ring();
        }
        match self.victim() {
            Some(place) => self.remove(place),
            None => self.evict_from_ring(),
        }
    }

    fn evict_from_ring(&mut self) {
        let Some(id) = self.ring.pop_front() else {
            // Nobody knows of those that say that they are on the ring.
            self.states.iter_mut().for_each(|state| *state &= USES);
            return;
        };
        let Some(place) = self.find(id).ok().filter(|&place| self.states[place] & SMALL != 0)
        else {
            return;
        };
        let uses = self.states[place] & USES;
        if uses > 0 {
            (0..uses).for_each(|_| self.sketch.add(spot_of(id)));
            self.states[place] = if self.rule.goes_round() { SMALL } else { 0 };
            if self.rule.goes_round() {
                self.push(id);
            }
            return;
        }
        match self.victim() {
            Some(victim)
                if self.contest.is_won(&self.sketch, spot_of(id), spot_of(self.ids[victim])) =>
            {
                self.states[place] = 0;
                self.remove(victim);
            }
            _ => self.remove(place),
        }
    }

    /// The next of the main queue that was not used: the hand stays there.
    fn victim(&mut self) -> Option<usize> {
        for _ in 0..self.ids.len() * (usize::from(USES) + 1) {
            let (id, state) = (self.ids[self.hand], self.states[self.hand]);
            if id != 0 && state & SMALL == 0 {
                if state == 0 {
                    return Some(self.hand);
                }
                self.states[self.hand] -= 1;
                self.sketch.add(spot_of(id));
            }
            self.hand = self.after(self.hand);
        }
        None
    }

    /// Takes out what is at a place; what stands behind it moves up.
    fn remove(&mut self, place: usize) {
        let spot = spot_of(self.ids[place]);
        self.ghost.insert(spot);
        self.sketch.add(spot);
        self.len -= 1;
        let places = self.ids.len();
        let (mut hole, mut next) = (place, self.after(place));
        while self.ids[next] != 0 {
            let home = self.home_of(self.ids[next]);
            // It may not stand before its home, seen from there.
            if (next + places - home) % places >= (next + places - hole) % places {
                self.ids[hole] = self.ids[next];
                self.states[hole] = self.states[next];
                hole = next;
            }
            next = self.after(next);
        }
        (self.ids[hole], self.states[hole]) = (0, 0);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests;
