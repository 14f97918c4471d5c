//! About how often keys were used lately: a count-min sketch of four-bit counters, after TinyLFU (Einziger,
//! Friedman and Manes, ACM TOS 2017). Both counters of a key are on one line of the cache, each in a half of
//! it, so that looking at them costs one access to memory.
//!
//! All counters are halved when ten times as many uses were counted as there are items, and the lines are in
//! hash order, so that a sketch that grows or shrinks keeps what it knows. Both are done a line with each
//! use, and look as if they were done at once: a counter that the pass has not come to yet is read as half
//! of what it says, or with what the old counters of its place say.
//!
//! ```text
//! halving:  | halved | halved | passed -> | twice what they are | ...
//! resizing: | moved  | moved  | moved  -> | the larger one of this and the old ones counts | ...
//! ```

use crate::hash::{POSITION_BITS, Spot};
use crate::memory::usable;
use crate::sync::prefetch;

/// Counters of a key.
const ROWS: usize = 2;
/// Counters of a word, and of a line.
const PER_WORD: usize = 16;
const PER_LINE: usize = 128;
/// Counters of a line that may be the first of a key, and as many that may be the second.
const PER_ROW: usize = PER_LINE / ROWS;
/// All bits of each counter but the highest.
const HALVES: u64 = 0x7777_7777_7777_7777;
/// The highest count.
const MOST: u8 = 15;
/// Uses counted, for each item, until all counters are halved.
const PASS: usize = 10;
/// With so many times as many lines as are wanted the sketch shrinks.
const SHRINK_AT: usize = 3;
/// Items for which there is room at least.
const ITEMS_LEAST: usize = 16;

/// A line of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
struct Line([u64; PER_LINE / PER_WORD]);

/// The counters of one shard, or of one small cache beside it.
#[derive(Default)]
pub(super) struct Sketch {
    lines: Vec<Line>,
    /// For how many items.
    items: usize,
    /// Uses counted since the counters were halved.
    counted: usize,
    pass: Pass,
}

/// What is done a line at a time.
#[derive(Default)]
enum Pass {
    #[default]
    None,
    /// So many lines are halved already.
    Halving(usize),
    /// So many lines have what these old ones knew of them.
    Moving { old: Vec<Line>, moved: usize },
}

/// The counters of a key: the line, and places in it.
#[derive(Clone, Copy)]
struct Places {
    line: usize,
    at: [usize; ROWS],
}

impl Line {
    fn get(&self, at: usize) -> u8 {
        (self.0[at / PER_WORD] >> (at % PER_WORD * 4) & 0xf) as u8
    }

    fn set(&mut self, at: usize, count: u8) {
        let (word, shift) = (&mut self.0[at / PER_WORD], at % PER_WORD * 4);
        *word = *word & !(0xf << shift) | u64::from(count) << shift;
    }
}

impl Sketch {
    /// Makes it large enough for so many items, with so many counters for each. One pass after the other:
    /// while there is one, it goes on with that.
    pub(super) fn fit(&mut self, items: usize, per_item: usize) {
        self.items = items.max(ITEMS_LEAST);
        self.go_on();
        let wanted = (self.items * per_item).div_ceil(PER_LINE);
        let has = self.lines.len();
        if matches!(self.pass, Pass::None) && (has * 3 / 2 < wanted || has / SHRINK_AT > wanted) {
            let old = std::mem::replace(&mut self.lines, vec![Line::default(); wanted]);
            if has > 0 {
                self.pass = Pass::Moving { old, moved: 0 };
            }
        }
    }

    /// Ends what is done a line at a time: for small ones.
    pub(super) fn settle(&mut self) {
        while !matches!(self.pass, Pass::None) {
            self.go_on();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |lines: &Vec<Line>| match lines.is_empty() {
            true => 0,
            false => usable(lines.capacity() * size_of::<Line>()),
        };
        let old = if let Pass::Moving { old, .. } = &self.pass { of(old) } else { 0 };
        of(&self.lines) + old
    }

    /// One more use.
    pub(super) fn add(&mut self, spot: Spot) {
        if self.lines.is_empty() {
            return;
        }
        self.go_on();
        let places = self.places(spot);
        let least = self.least(places);
        if least == MOST {
            return;
        }
        for at in places.at {
            if self.count(places.line, at) == least {
                self.set(places.line, at, least + 1);
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
        if self.lines.is_empty() { 0 } else { self.least(self.places(spot)) }
    }

    /// Asks for the line of a key.
    pub(super) fn approach(&self, spot: Spot) {
        if !self.lines.is_empty() {
            prefetch(&raw const self.lines[self.places(spot).line]);
        }
    }

    fn least(&self, places: Places) -> u8 {
        places.at.into_iter().map(|at| self.count(places.line, at)).min().unwrap_or(0)
    }

    fn places(&self, spot: Spot) -> Places {
        // Lines in the order of the positions, and places in them by a hash of those.
        let line = ((spot.position >> (POSITION_BITS - 32)) * self.lines.len() as u64) >> 32;
        let mixed = (spot.position << 12 | u64::from(spot.tag)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
        let at = std::array::from_fn(|row| row * PER_ROW + (mixed as usize >> (row * 8)) % PER_ROW);
        Places { line: line as usize, at }
    }

    /// What a counter says when the pass is taken as done.
    fn count(&self, line: usize, at: usize) -> u8 {
        let count = self.lines[line].get(at);
        match &self.pass {
            Pass::Halving(done) if line >= *done => count >> 1,
            Pass::Moving { old, moved } if line >= *moved => {
                count.max(known(old, self.lines.len(), line, at))
            }
            _ => count,
        }
    }

    fn set(&mut self, line: usize, at: usize, count: u8) {
        let count = match self.pass {
            // A counter that is still to be halved has no room for more than seven.
            Pass::Halving(done) if line >= done => (count << 1).min(MOST),
            _ => count,
        };
        self.lines[line].set(at, count);
    }

    /// A line more of the pass.
    fn go_on(&mut self) {
        let len = self.lines.len();
        let done = match &mut self.pass {
            Pass::None => return,
            Pass::Halving(done) => {
                self.lines[*done].0.iter_mut().for_each(|word| *word = *word >> 1 & HALVES);
                done
            }
            Pass::Moving { old, moved } => {
                let line = &mut self.lines[*moved];
                for at in 0..PER_LINE {
                    line.set(at, line.get(at).max(known(old, len, *moved, at)));
                }
                moved
            }
        };
        *done += 1;
        if *done == len {
            self.pass = Pass::None;
        }
    }
}

/// What the old counters say of a place among `new` lines: of several the largest counts.
fn known(old: &[Line], new: usize, line: usize, at: usize) -> u8 {
    let lines = line * old.len() / new..((line + 1) * old.len()).div_ceil(new);
    old[lines].iter().map(|line| line.get(at)).max().unwrap_or(0)
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
        let len = sketch.lines.len();
        let mut settled = Sketch { lines: vec![Line::default(); len], ..Sketch::default() };
        for (line, at) in (0..len).flat_map(|line| (0..PER_LINE).map(move |at| (line, at))) {
            settled.lines[line].set(at, sketch.count(line, at));
        }
        settled
    }

    #[test]
    fn a_pass_looks_as_if_it_were_done_at_once() {
        for fits in [&[100, 100][..], &[40, 400], &[2000, 400], &[90, 200]] {
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
            assert!(steps > 5 && sketch.lines == at_once.lines, "{fits:?} after {steps}");
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
