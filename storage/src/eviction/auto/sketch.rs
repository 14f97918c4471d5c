//! About how often keys were used lately: a count-min sketch of four-bit counters in two rows, after
//! TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017).
//!
//! All counters are halved when ten times as many uses were counted as there are items, and the counters
//! of a row are in hash order, so that a sketch that grows or shrinks keeps what it knows. Both are done a
//! few words with each use, and look as if they were done at once: a counter that the pass has not come to
//! yet is read as half of what it says, or with what the old counters of its place say.
//!
//! ```text
//! halving:  | halved | halved | passed -> | twice what they are | ...
//! resizing: | moved  | moved  | moved  -> | the larger one of this and the old ones counts | ...
//! ```

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
/// Words halved, and words moved, with each use.
const HALVED_AT_ONCE: usize = 4;
const MOVED_AT_ONCE: usize = 1;

/// The counters of one shard, or of one small cache beside it.
#[derive(Default)]
pub(super) struct Sketch {
    words: Vec<u64>,
    /// For how many items.
    items: usize,
    /// Uses counted since the counters were halved.
    counted: usize,
    pass: Pass,
}

/// What is done a few words at a time.
#[derive(Default)]
enum Pass {
    #[default]
    None,
    /// So many words are halved already.
    Halving(usize),
    /// So many words have what these old ones knew of them.
    Moving { old: Vec<u64>, moved: usize },
}

impl Sketch {
    /// Makes it large enough for so many items, with so many counters for each. One pass after the other:
    /// while there is one, it goes on with that.
    pub(super) fn fit(&mut self, items: usize, per_item: usize) {
        self.items = items.max(PER_WORD);
        self.go_on();
        let row = (self.items * per_item).div_ceil(ROWS * PER_WORD);
        let has = self.words.len() / ROWS;
        if matches!(self.pass, Pass::None) && (has * 3 / 2 < row || has / SHRINK_AT > row) {
            let old = std::mem::replace(&mut self.words, vec![0; row * ROWS]);
            if has > 0 {
                self.pass = Pass::Moving { old, moved: 0 };
            }
        }
    }

    /// Ends what is done a few words at a time: for small ones.
    pub(super) fn settle(&mut self) {
        while !matches!(self.pass, Pass::None) {
            self.go_on();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |words: &Vec<u64>| if words.is_empty() { 0 } else { usable(words.capacity() * 8) };
        let old = if let Pass::Moving { old, .. } = &self.pass { of(old) } else { 0 };
        of(&self.words) + old
    }

    /// One more use.
    pub(super) fn add(&mut self, spot: Spot) {
        if self.words.is_empty() {
            return;
        }
        self.go_on();
        let places = self.places(spot);
        let least = self.least(places);
        if least == MOST {
            return;
        }
        for place in places {
            if self.count(place) == least {
                self.set(place, least + 1);
            }
        }
        self.counted += 1;
        if self.counted >= self.items * PASS && matches!(self.pass, Pass::None) {
            self.counted = 0;
            self.pass = Pass::Halving(0);
        }
    }

    /// How often it was used lately, and seldom more: others may have the same counters.
    pub(super) fn estimate(&self, spot: Spot) -> u8 {
        if self.words.is_empty() { 0 } else { self.least(self.places(spot)) }
    }

    fn least(&self, places: [usize; ROWS]) -> u8 {
        places.into_iter().map(|place| self.count(place)).min().unwrap_or(0)
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

    /// What a counter says when the pass is taken as done.
    fn count(&self, at: usize) -> u8 {
        let count = counter(&self.words, at);
        match &self.pass {
            Pass::Halving(done) if at / PER_WORD >= *done => count >> 1,
            Pass::Moving { old, moved } if at / PER_WORD >= *moved => {
                count.max(known(old, self.words.len(), at))
            }
            _ => count,
        }
    }

    fn set(&mut self, at: usize, count: u8) {
        let count = match self.pass {
            // A counter that is still to be halved has no room for more than seven.
            Pass::Halving(done) if at / PER_WORD >= done => (count << 1).min(MOST),
            _ => count,
        };
        set_counter(&mut self.words, at, count);
    }

    /// A few words more of the pass.
    fn go_on(&mut self) {
        let len = self.words.len();
        let done = match &mut self.pass {
            Pass::None => return,
            Pass::Halving(done) => {
                let end = (*done + HALVED_AT_ONCE).min(len);
                self.words[*done..end].iter_mut().for_each(|word| *word = *word >> 1 & HALVES);
                *done = end;
                end
            }
            Pass::Moving { old, moved } => {
                let end = (*moved + MOVED_AT_ONCE).min(len);
                for at in *moved * PER_WORD..end * PER_WORD {
                    let count = counter(&self.words, at).max(known(old, len, at));
                    set_counter(&mut self.words, at, count);
                }
                *moved = end;
                end
            }
        };
        if done == len {
            self.pass = Pass::None;
        }
    }
}

/// What the old counters say of a place among `new` words: of several the largest counts.
fn known(old: &[u64], new: usize, at: usize) -> u8 {
    let (old_row, row) = (old.len() / ROWS * PER_WORD, new / ROWS * PER_WORD);
    let (from, i) = (at / row * old_row, at % row);
    let places = i * old_row / row..((i + 1) * old_row).div_ceil(row);
    places.map(|place| counter(old, from + place)).max().unwrap_or(0)
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
        for (items, words) in [(16_000, 8000), (12_000, 8000), (2000, 1000)] {
            // Known at once, while it is moved, and after that.
            sketch.fit(items, 8);
            assert!(known(&sketch) > 270, "{items}: {}", known(&sketch));
            (0..500).for_each(|_| sketch.go_on());
            assert!(known(&sketch) > 270, "{items}: {}", known(&sketch));
            (0..8000).for_each(|_| sketch.go_on());
            assert!(known(&sketch) > 270, "{items}: {}", known(&sketch));
            assert_eq!(sketch.bytes(), usable(words * 8), "{items}: not for so little");
        }
        assert!(sketch.bytes() < before);
    }

    #[test]
    fn an_empty_one_knows_nothing() {
        let mut sketch = Sketch::default();
        sketch.add(spot(1));
        assert_eq!((sketch.estimate(spot(1)), sketch.bytes()), (0, 0));
    }

    /// Done to its end, as one that stops for it would.
    fn settled(sketch: &Sketch) -> Sketch {
        let words = (0..sketch.words.len() * PER_WORD).map(|at| sketch.count(at));
        let mut settled = Sketch { words: vec![0; sketch.words.len()], ..Sketch::default() };
        words.enumerate().for_each(|(at, count)| set_counter(&mut settled.words, at, count));
        settled
    }

    #[test]
    fn a_pass_looks_as_if_it_were_done_at_once() {
        for fits in [&[100, 100][..], &[40, 400], &[400, 40], &[90, 200]] {
            let mut sketch = sketch(fits[0]);
            (0..fits[0] as u64 * 9).for_each(|i| sketch.add(spot(i * i % 150)));
            let before: Vec<u8> = (0..150).map(|i| sketch.estimate(spot(i))).collect();
            match fits[0] == fits[1] {
                true => sketch.pass = Pass::Halving(0),
                false => sketch.fit(fits[1], 8),
            }
            let at_once = settled(&sketch);
            let mut steps = 0;
            while !matches!(sketch.pass, Pass::None) {
                for (i, &before) in before.iter().enumerate() {
                    let now = sketch.estimate(spot(i as u64));
                    assert_eq!(now, at_once.estimate(spot(i as u64)), "{fits:?} after {steps}");
                    match fits[0] == fits[1] {
                        true => assert_eq!(now, before / 2),
                        false => assert!(now >= before, "{fits:?} after {steps}"),
                    }
                }
                sketch.go_on();
                steps += 1;
            }
            assert!(steps > 5 && sketch.words == at_once.words, "{fits:?} after {steps}");
        }
    }

    #[test]
    fn uses_during_a_pass_count() {
        for fits in [[200, 200], [40, 400], [400, 40]] {
            let mut sketch = sketch(fits[0]);
            (0..40).for_each(|i| (0..8).for_each(|_| sketch.add(spot(i))));
            match fits[0] == fits[1] {
                true => sketch.pass = Pass::Halving(0),
                false => sketch.fit(fits[1], 8),
            }
            for i in 0..10 {
                let before = sketch.estimate(spot(i));
                sketch.add(spot(i));
                let now = sketch.estimate(spot(i));
                assert_eq!(now, before + 1, "{fits:?} {i}");
                (0..1000).for_each(|_| sketch.go_on());
                assert_eq!(sketch.estimate(spot(i)), now, "{fits:?} {i}");
            }
        }
    }
}
