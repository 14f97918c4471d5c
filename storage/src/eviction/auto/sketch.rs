//! About how often keys were used lately: a count-min sketch of four-bit counters in two rows, after
//! TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017).
//!
//! All counters are halved when ten times as many uses were counted as there are items. That is done at
//! once, a millisecond for two million items: with some counters halved and others not yet, comparing
//! would be a matter of where the pass is.
//!
//! The counters of a row are in hash order, so a sketch that grows or shrinks keeps what it knows.

use crate::hash::{POSITION_BITS, Spot};
use crate::memory::usable;

/// Rows, one after the other.
const ROWS: usize = 2;
/// Counters of a word.
const PER_WORD: usize = 16;
/// All bits of each counter but the highest.
const HALVES: u64 = 0x7777_7777_7777_7777;
/// The highest count.
const MOST: u8 = 15;
/// Uses counted, for each item, until all counters are halved.
const PASS: usize = 10;
/// With so many times as many words as are wanted the sketch shrinks.
const SHRINK_AT: usize = 3;

/// The counters of one shard, or of one small cache beside it.
#[derive(Default)]
pub(super) struct Sketch {
    words: Vec<u64>,
    /// For how many items.
    items: usize,
    /// Uses counted since the counters were halved.
    counted: usize,
}

impl Sketch {
    /// Makes it large enough for so many items, with so many counters for each.
    pub(super) fn fit(&mut self, items: usize, per_item: usize) {
        self.items = items.max(PER_WORD);
        let row = (self.items * per_item).div_ceil(ROWS * PER_WORD);
        let has = self.words.len() / ROWS;
        if has * 3 / 2 < row || has / SHRINK_AT > row {
            self.resize(has, row);
        }
    }

    fn resize(&mut self, old: usize, new: usize) {
        let mut words = vec![0; new * ROWS];
        let (old, new) = (old * PER_WORD, new * PER_WORD);
        for row in 0..ROWS {
            // Of several that become one the largest counts.
            for i in 0..if old == 0 { 0 } else { old.max(new) } {
                let (from, to) = (i * old / old.max(new), i * new / old.max(new));
                let count = counter(&self.words, row * old + from);
                if count > counter(&words, row * new + to) {
                    set_counter(&mut words, row * new + to, count);
                }
            }
        }
        self.words = words;
    }

    pub(super) fn bytes(&self) -> usize {
        if self.words.is_empty() { 0 } else { usable(self.words.capacity() * 8) }
    }

    /// One more use.
    pub(super) fn add(&mut self, spot: Spot) {
        if self.words.is_empty() {
            return;
        }
        let places = self.places(spot);
        let least = self.least(places);
        if least == MOST {
            return;
        }
        for place in places {
            if counter(&self.words, place) == least {
                set_counter(&mut self.words, place, least + 1);
            }
        }
        self.age();
    }

    /// How often it was used lately, and seldom more: others may have the same counters.
    pub(super) fn estimate(&self, spot: Spot) -> u8 {
        if self.words.is_empty() { 0 } else { self.least(self.places(spot)) }
    }

    fn least(&self, places: [usize; ROWS]) -> u8 {
        places.into_iter().map(|place| counter(&self.words, place)).min().unwrap_or(0)
    }

    fn places(&self, spot: Spot) -> [usize; ROWS] {
        let row = self.words.len() / ROWS * PER_WORD;
        // The first row in the order of the positions, the other one in that of a hash of them.
        let first = spot.position >> (POSITION_BITS - 32);
        let mixed = (spot.position << 12 | u64::from(spot.tag)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let second = (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
        let at = |hash: u64| ((hash * row as u64) >> 32) as usize;
        [at(first), row + at(second)]
    }

    fn age(&mut self) {
        self.counted += 1;
        if self.counted >= self.items * PASS {
            self.counted = 0;
            self.words.iter_mut().for_each(|word| *word = *word >> 1 & HALVES);
        }
    }
}

fn counter(words: &[u64], at: usize) -> u8 {
    (words[at / PER_WORD] >> (at % PER_WORD * 4) & 0xf) as u8
}

fn set_counter(words: &mut [u64], at: usize, count: u8) {
    let shift = at % PER_WORD * 4;
    let word = &mut words[at / PER_WORD];
    *word = *word & !(0xf << shift) | u64::from(count) << shift;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn spot(i: u64) -> Spot {
        let mixed = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Spot { position: mixed >> (64 - POSITION_BITS), tag: (mixed & 0xfff) as u16 }
    }

    fn sketch(items: usize) -> Sketch {
        let mut sketch = Sketch::default();
        sketch.fit(items, 8);
        sketch
    }

    #[test]
    fn counts_are_never_too_low_and_seldom_too_high() {
        let mut sketch = sketch(1000);
        let mut exact = HashMap::new();
        // Fewer than would halve them.
        for i in 0..1500u64 {
            let key = if i % 3 == 0 { i % 10 } else { i };
            sketch.add(spot(key));
            *exact.entry(key).or_insert(0u32) += 1;
        }
        let (mut low, mut high) = (0, 0);
        for (&key, &count) in &exact {
            let (estimate, count) = (u32::from(sketch.estimate(spot(key))), count.min(15));
            low += usize::from(estimate < count);
            high += usize::from(estimate > count + 1);
        }
        assert!(low == 0 && high < exact.len() / 20, "{low} {high} {}", exact.len());
    }

    #[test]
    fn what_is_not_used_any_more_is_forgotten() {
        let mut sketch = sketch(100);
        (0..50).for_each(|_| sketch.add(spot(1)));
        assert_eq!(sketch.estimate(spot(1)), 15);
        // Others share its counters, so it does not come to nothing.
        for i in 0..100 * PASS as u64 * 6 {
            sketch.add(spot(1000 + i));
            if i % 10 == 0 {
                sketch.add(spot(2));
            }
        }
        let (gone, used) = (sketch.estimate(spot(1)), sketch.estimate(spot(2)));
        assert!(gone < 10 && used >= 7 && gone < used, "{gone} {used}");
    }

    #[test]
    fn growing_and_shrinking_keep_what_is_known() {
        let mut sketch = sketch(4000);
        let count = |i: u64| (i % 5 + 1) as u8;
        (0..300).for_each(|i| (0..count(i)).for_each(|_| sketch.add(spot(i))));
        let known =
            |sketch: &Sketch| (0..300).filter(|&i| sketch.estimate(spot(i)) >= count(i)).count();
        assert!(known(&sketch) > 270);
        let before = sketch.bytes();
        sketch.fit(16_000, 8);
        assert!(sketch.bytes() > before && known(&sketch) > 270);
        sketch.fit(12_000, 8);
        assert_eq!(sketch.bytes(), usable(8000 * 8), "not for so little");
        sketch.fit(2000, 8);
        assert!(sketch.bytes() < before && known(&sketch) > 270, "{}", known(&sketch));
    }

    #[test]
    fn an_empty_one_knows_nothing() {
        let mut sketch = Sketch::default();
        sketch.add(spot(1));
        assert_eq!((sketch.estimate(spot(1)), sketch.bytes()), (0, 0));
    }
}
