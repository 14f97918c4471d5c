//! Which rule a shard follows: that of two miniatures, one under each rule, which misses less.
//!
//! Both see the same requests, so what both hit or both miss says nothing. Of the others there are
//! those that only the rule in force has missed and those that only the other one has: if they came as
//! heads and tails do, the difference would seldom be more than a few times the root of their number.
//! It has to be, and worth the change as well, before the shard changes its rule. The counts are halved
//! now and then, so what was long ago counts little.

use super::rule::{RULES, Rule};
use super::shadow::{Id, Shadow};

/// The difference has to be so many times what chance would make of it...
const SURE: f64 = 3.0;
/// ...and so many requests at least...
const LEAST: f64 = 4.0;
/// ...and this share of the misses under the rule in force.
const WORTH: f64 = 0.03;
/// Misses for each item of a miniature after which the counts are halved, and before which nothing is
/// decided.
const HALVE_AFTER: f64 = 4.0;
const DECIDE_AFTER: f64 = 0.25;
/// A miniature counts as one of so many at least.
const ITEMS_LEAST: usize = 16;

/// Two miniatures and what they have shown.
pub(super) struct Duel {
    shadows: [Shadow; 2],
    rule: Rule,
    items: usize,
    /// Requests that only the rule in force has missed, and that only the other one has.
    worse: f64,
    better: f64,
    /// All that the rule in force has missed.
    missed: f64,
    /// Misses under each rule since the start.
    pub(super) misses: [u64; 2],
}

impl Duel {
    /// Two empty ones; `rule` is in force.
    pub(super) fn new(rule: Rule, items: usize) -> Self {
        let shadows = RULES.map(|rule| Shadow::new(rule, items));
        Self { shadows, rule, items, worse: 0.0, better: 0.0, missed: 0.0, misses: [0; 2] }
    }

    /// For how many items each is.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Makes them larger or smaller.
    pub(super) fn fit(&mut self, items: usize) {
        if self.items != items {
            self.items = items;
            self.shadows.iter_mut().for_each(|shadow| shadow.fit(items));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.shadows.iter().map(Shadow::bytes).sum()
    }

    /// A key of the sample was asked for; the rule that is in force from now on.
    pub(super) fn request(&mut self, id: Id) -> Rule {
        let hits = [0, 1].map(|i| self.shadows[i].request(id));
        (0..2).for_each(|i| self.misses[i] += u64::from(!hits[i]));
        self.judge(hits[self.rule.index()], hits[self.rule.other().index()]);
        self.rule
    }

    fn judge(&mut self, own: bool, other: bool) {
        if own {
            self.better += f64::from(u8::from(!other));
            return;
        }
        self.missed += 1.0;
        self.worse += f64::from(u8::from(other));
        let items = self.items.max(ITEMS_LEAST) as f64;
        let (lead, doubtful) = (self.worse - self.better, self.worse + self.better);
        let is_sure = lead > SURE * doubtful.sqrt() && lead > LEAST;
        if is_sure && lead > WORTH * self.missed && self.missed >= DECIDE_AFTER * items {
            self.rule = self.rule.other();
            (self.worse, self.better, self.missed) = (0.0, 0.0, 0.0);
        } else if self.missed > HALVE_AFTER * items {
            self.worse /= 2.0;
            self.better /= 2.0;
            self.missed /= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zigzag(i: u32) -> Id {
        if (i / 400).is_multiple_of(2) { i % 400 + 1 } else { 400 - i % 400 }
    }

    fn looping(i: u32) -> Id {
        i % 200 + 1
    }

    #[test]
    fn the_rule_follows_the_requests() {
        let mut duel = Duel::new(Rule::Frequency, 100);
        (0..20_000).for_each(|i| _ = duel.request(looping(i)));
        assert_eq!(duel.rule, Rule::Frequency);
        (0..40_000).for_each(|i| _ = duel.request(zigzag(i)));
        assert_eq!(duel.rule, Rule::Recency);
        (0..40_000).for_each(|i| _ = duel.request(looping(i)));
        assert_eq!(duel.rule, Rule::Frequency);
        assert!(duel.misses.iter().all(|&misses| misses > 10_000), "{:?}", duel.misses);
    }

    #[test]
    fn what_makes_no_difference_changes_nothing() {
        for rule in RULES {
            let mut duel = Duel::new(rule, 100);
            let fits = (0..10_000).map(|i| duel.request(i % 90 + 1));
            assert!(fits.last() == Some(rule));
            // Nothing is asked for twice.
            assert!((0..10_000).map(|i| duel.request(1000 + i)).all(|now| now == rule));
        }
    }

    #[test]
    fn chance_alone_changes_nothing() {
        // As often one as the other: heads and tails.
        let mut seed = 1u64;
        let mut changes = 0;
        let mut duel = Duel::new(Rule::Frequency, 100);
        for _ in 0..100_000 {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let heads = seed >> 63 == 0;
            let before = duel.rule;
            duel.judge(heads, !heads);
            changes += usize::from(duel.rule != before);
        }
        assert!(changes < 50, "{changes}");
    }

    #[test]
    fn their_size_can_change() {
        let mut duel = Duel::new(Rule::Frequency, 1000);
        (0..10_000).for_each(|i| _ = duel.request(looping(i * 7)));
        let before = duel.bytes();
        duel.fit(10);
        (0..1000).for_each(|i| _ = duel.request(looping(i * 7)));
        duel.fit(11);
        assert!(duel.items() == 11 && duel.bytes() < before / 4, "{} {before}", duel.bytes());
    }
}
