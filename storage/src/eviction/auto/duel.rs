//! Which rule a shard follows: that of two miniatures, one under each rule, which misses less.
//!
//! Both see the same requests, so what both hit or both miss says nothing. Of the others there are
//! those that only the rule in force has missed and those that only the other one has: if they came as
//! heads and tails do, the difference would seldom be more than a few times the root of their number.
//! It has to be, and worth the change as well, before the shard changes its rule.
//!
//! Two counts are kept of them. One is halved often and hears of a large difference soon; the other one
//! remembers eight times as much and finds a small one. In both the lead of the rule in force is limited:
//! a flood of keys that nobody asks for again is best met by the recency rule, and what that has gained
//! then must not be held against the other one for millions of requests. More than what a turn of the
//! requests makes of it (up and down, say: there each rule leads for half of the time) is kept.

use super::rule::{RULES, Rule};
use super::shadow::{Id, Shadow};

/// The difference has to be so many times what chance would make of it...
const SURE: f64 = 3.0;
/// ...and so many requests at least...
const LEAST: f64 = 4.0;
/// ...and one for so many items: until a shard has become what the other rule would have made of it, it
/// misses about two fifths of its items once more...
const CHANGE_COSTS: f64 = 0.15;
/// ...and, of the misses, what the count says and this share of one item: a ring is longer or shorter by
/// a part of an item than it should be, which is much where there are few.
const ROUGH: f64 = 0.6;
/// The rule in force may lead by one for so many items, and by so many.
const LEAD_MOST: f64 = 0.5;
const LEAD_LEAST: f64 = 16.0;
/// Who changes once more after less than so many misses for each item has to be twice as sure, and in the end
/// so many times: where each rule leads for a while in turn, changes only cost.
const SOON: f64 = 32.0;
const DOUBT_MOST: f64 = 4.0;
/// A miniature counts as one of so many at least.
const ITEMS_LEAST: usize = 16;

/// How long a count remembers: misses for each item.
struct Span {
    /// The difference has to be this share of the misses.
    worth: f64,
    decide_after: f64,
    halve_after: f64,
}

const SPANS: [Span; 2] = [
    Span { worth: 0.03, decide_after: 0.25, halve_after: 4.0 },
    Span { worth: 0.01, decide_after: 2.0, halve_after: 32.0 },
];

fn lead_most(items: f64) -> f64 {
    (LEAD_MOST * items).max(LEAD_LEAST)
}

/// What was counted since the rule has changed.
#[derive(Clone, Copy, Default)]
struct Count {
    /// Requests that only the rule in force has missed, and that only the other one has.
    worse: f64,
    better: f64,
    /// All that the rule in force has missed.
    missed: f64,
}

impl Count {
    /// One more request; true if the other rule is to be in force.
    fn add(&mut self, own: bool, other: bool, span: &Span, items: f64, doubt: f64) -> bool {
        if own {
            let most = self.worse + lead_most(items);
            self.better = (self.better + f64::from(u8::from(!other))).min(most);
            return false;
        }
        self.missed += 1.0;
        self.worse += f64::from(u8::from(other));
        let (lead, doubtful) = (self.worse - self.better, self.worse + self.better);
        let is_sure = lead > SURE * doubtful.sqrt() && lead > LEAST;
        let share = span.worth + ROUGH / items;
        let is_worth_it = lead > CHANGE_COSTS * doubt * items && lead > share * self.missed;
        if is_sure && is_worth_it && self.missed >= span.decide_after * items {
            return true;
        }
        if self.missed > span.halve_after * items {
            self.worse /= 2.0;
            self.better /= 2.0;
            self.missed /= 2.0;
        }
        false
    }
}

/// Two miniatures and what they have shown.
pub(super) struct Duel {
    shadows: [Shadow; 2],
    rule: Rule,
    items: usize,
    counts: [Count; 2],
    /// So many times as large as else a lead has to be.
    doubt: f64,
    /// Misses since the rule has changed.
    since: f64,
    /// Misses under each rule since the start.
    pub(super) misses: [u64; 2],
}

impl Duel {
    /// Two empty ones; `rule` is in force.
    pub(super) fn new(rule: Rule, items: usize) -> Self {
        let shadows = RULES.map(|rule| Shadow::new(rule, items));
        Self {
            shadows,
            rule,
            items,
            counts: Default::default(),
            doubt: 1.0,
            since: f64::MAX,
            misses: [0; 2],
        }
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
        let items = self.items.max(ITEMS_LEAST) as f64;
        self.since += f64::from(u8::from(!own));
        let (doubt, mut changes) = (self.doubt, false);
        for (count, span) in self.counts.iter_mut().zip(&SPANS) {
            changes |= count.add(own, other, span, items, doubt);
        }
        if changes {
            self.rule = self.rule.other();
            let is_soon = self.since < SOON * items;
            self.doubt = if is_soon { (self.doubt * 2.0).min(DOUBT_MOST) } else { 1.0 };
            self.since = 0.0;
            // To change back costs the same again.
            let better = CHANGE_COSTS * items;
            self.counts = [Count { better, ..Count::default() }; 2];
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

    /// Requests of which the rule in force alone misses `worse`, the other one alone `better`, and both
    /// `both` of a hundred: misses of the rule in force until it is another one.
    fn until_it_changes(duel: &mut Duel, worse: u64, better: u64, both: u64) -> u64 {
        let (before, mut missed) = (duel.rule, 0);
        for i in 0..1_000_000 {
            let kind = i * 37 % 100;
            let own = kind >= worse + both;
            let other = kind < worse || kind >= worse + both + better;
            missed += u64::from(!own);
            duel.judge(own, other);
            if duel.rule != before {
                return missed;
            }
        }
        u64::MAX
    }

    #[test]
    fn a_small_difference_is_found() {
        let mut duel = Duel::new(Rule::Recency, 400);
        // Two of a hundred misses.
        let missed = until_it_changes(&mut duel, 5, 4, 45);
        assert!((400..8000).contains(&missed), "{missed}");
    }

    #[test]
    fn what_was_long_ago_is_not_held_against_the_other_rule() {
        let mut duel = Duel::new(Rule::Recency, 400);
        // As long as this lasts, the other one would miss half as much again.
        (0..100_000u32).for_each(|i| duel.judge(i % 10 >= 3, i % 10 >= 5));
        assert_eq!(duel.rule, Rule::Recency);
        let missed = until_it_changes(&mut duel, 4, 2, 32);
        assert!((400..4000).contains(&missed), "{missed}");
    }

    #[test]
    fn who_leads_in_turn_changes_nothing() {
        for keys in [300, 400, 800] {
            let mut duel = Duel::new(Rule::Frequency, 200);
            let up_and_down = |i: u32| match (i / keys).is_multiple_of(2) {
                true => i % keys + 1,
                false => keys - i % keys,
            };
            let mut changes = 0;
            for i in 0..200_000 {
                let before = duel.rule;
                changes += u32::from(duel.request(up_and_down(i)) != before);
            }
            assert!(changes < 10, "{keys} keys: {changes} changes");
            let better = RULES[usize::from(duel.misses[1] < duel.misses[0])];
            assert_eq!(duel.rule, better, "{keys} keys: {:?}", duel.misses);
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
