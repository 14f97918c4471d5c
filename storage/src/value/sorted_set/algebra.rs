//! Union, intersection and difference of sorted sets and sets. A set counts as a sorted set in which
//! every score is 1.
//!
//! Results are lists in the order of a sorted set, to be replied or stored. Sums of scores depend on
//! the order in which they are added: smaller inputs first, as in Redis.

use ahash::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::SortedSetRef;
use crate::value::listpack::Element;
use crate::value::set::SetRef;

/// Score of the members of a set.
const SET_SCORE: f64 = 1.0;

/// Where members come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A set.
    Set(SetRef<'a>),
    /// A sorted set.
    Sorted(SortedSetRef<'a>),
}

/// A source, and what its scores are multiplied by.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The members.
    pub source: Source<'a>,
    /// The factor.
    pub weight: f64,
}

/// How the scores of a member in several inputs become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// They are added.
    #[default]
    Sum,
    /// The lowest counts.
    Min,
    /// The greatest counts.
    Max,
}

/// Members with their scores.
type Pairs<'a> = Vec<(Element<'a>, f64)>;

impl<'a> Source<'a> {
    /// Number of members.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Source::Set(set) => set.len(),
            Source::Sorted(set) => set.len(),
        }
    }

    /// True if there are no members.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn score(self, member: Element<'_>) -> Option<f64> {
        match self {
            Source::Set(set) => set.has(member).then_some(SET_SCORE),
            Source::Sorted(set) => member.with(|member| set.score(member)),
        }
    }

    fn for_each(self, mut visit: impl FnMut(Element<'a>, f64)) {
        match self {
            Source::Set(set) => set.iter().for_each(|member| visit(member, SET_SCORE)),
            Source::Sorted(set) => set.iter().for_each(|(member, score)| visit(member, score)),
        }
    }

    /// Whether every member passes `test`. Stops at the first that does not.
    fn all(self, mut test: impl FnMut(Element<'a>) -> bool) -> bool {
        match self {
            Source::Set(set) => set.iter().all(test),
            Source::Sorted(set) => set.iter().all(|(member, _)| test(member)),
        }
    }
}

impl Input<'_> {
    /// A score times the weight; an infinite score that counts nothing is 0.
    fn weigh(&self, score: f64) -> f64 {
        number_or_zero(score * self.weight)
    }
}

impl Aggregate {
    fn of(self, sum: f64, score: f64) -> f64 {
        match self {
            // Opposite infinities cancel.
            Aggregate::Sum => number_or_zero(sum + score),
            Aggregate::Min => {
                if score < sum {
                    score
                } else {
                    sum
                }
            }
            Aggregate::Max => {
                if score > sum {
                    score
                } else {
                    sum
                }
            }
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

fn by_len<'a>(inputs: &[Input<'a>]) -> Vec<Input<'a>> {
    let mut inputs = inputs.to_vec();
    inputs.sort_by_key(|input| input.source.len());
    inputs
}

/// Puts members in the order of a sorted set.
pub(super) fn sort(pairs: &mut [(Element<'_>, f64)]) {
    // No score is NaN.
    pairs.sort_unstable_by(|(a, left), (b, right)| {
        left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.cmp_text(*b))
    });
}

fn sorted(mut pairs: Pairs<'_>) -> Pairs<'_> {
    sort(&mut pairs);
    pairs
}

/// The members that are in one of the inputs at least. `seed` is what the hash function depends on
/// meanwhile.
#[must_use]
pub fn unite<'a>(inputs: &[Input<'a>], aggregate: Aggregate, seed: u64) -> Pairs<'a> {
    let mut scores = HashMap::with_hasher(RandomState::with_seeds(seed, 0, 0, 0));
    for input in by_len(inputs) {
        input.source.for_each(|member, score| {
            let score = input.weigh(score);
            match scores.entry(member.normal()) {
                Entry::Vacant(entry) => _ = entry.insert(score),
                Entry::Occupied(mut entry) => {
                    let sum = aggregate.of(*entry.get(), score);
                    entry.insert(sum);
                }
            }
        });
    }
    sorted(scores.into_iter().collect())
}

/// The members that are in all inputs.
#[must_use]
pub fn intersect<'a>(inputs: &[Input<'a>], aggregate: Aggregate) -> Pairs<'a> {
    let inputs = by_len(inputs);
    let Some((smallest, others)) = inputs.split_first() else { return Vec::new() };
    let mut pairs = Vec::new();
    smallest.source.for_each(|member, score| {
        // Only the first product is checked: the sum is anyway, and comparing passes NaN by.
        let sum = others.iter().try_fold(smallest.weigh(score), |sum, other| {
            Some(aggregate.of(sum, other.source.score(member)? * other.weight))
        });
        pairs.extend(sum.map(|sum| (member, sum)));
    });
    sorted(pairs)
}

/// How many members are in all sources; counts no further than `limit`, if there is one.
#[must_use]
pub fn intersection_len(sources: &[Source<'_>], limit: Option<usize>) -> usize {
    let mut sources = sources.to_vec();
    sources.sort_by_key(|source| source.len());
    let Some((smallest, others)) = sources.split_first() else { return 0 };
    let mut count = 0;
    smallest.all(|member| {
        count += usize::from(others.iter().all(|other| other.score(member).is_some()));
        limit != Some(count)
    });
    count
}

/// The members of the first source that are in none of the others, with their scores.
#[must_use]
pub fn subtract<'a>(sources: &[Source<'a>]) -> Pairs<'a> {
    let Some((first, others)) = sources.split_first() else { return Vec::new() };
    // The largest source is most likely to refuse a member.
    let mut others = others.to_vec();
    others.sort_by_key(|source| std::cmp::Reverse(source.len()));
    let mut pairs = Vec::new();
    first.for_each(|member, score| {
        if !others.iter().any(|other| other.score(member).is_some()) {
            pairs.push((member, score));
        }
    });
    match first {
        Source::Set(_) => sorted(pairs),
        Source::Sorted(_) => pairs,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{AddOptions, Limits, SortedSet};
    use super::*;
    use crate::value::set::{self, Set};

    fn texts(pairs: &Pairs<'_>) -> Vec<(String, f64)> {
        let text = |member: &Element<'_>| String::from_utf8(member.to_vec()).unwrap();
        pairs.iter().map(|(member, score)| (text(member), *score)).collect()
    }

    fn sorted_set(members: &[(&str, f64)], entries: usize) -> SortedSet {
        let limits = Limits { listpack_entries: entries, ..Limits::new(1) };
        let mut set = SortedSet::new();
        for (member, score) in members {
            set.add(member.as_bytes(), *score, AddOptions::default(), &limits);
        }
        set
    }

    fn plain_set(members: &[&str]) -> Set {
        let limits = set::Limits::new(1);
        let mut set = Set::new();
        for member in members {
            set.add(member.as_bytes(), &limits);
        }
        set
    }

    fn pair(member: &str, score: f64) -> (String, f64) {
        (member.to_owned(), score)
    }

    #[test]
    fn the_same_whatever_the_form() {
        let a = [("1", 1.0), ("b", 2.0), ("c", 3.0)];
        let b = [("1", 10.0), ("c", -5.0), ("d", 0.0), ("e", 0.5)];
        let set = plain_set(&["1", "c", "x"]);
        for entries in [0, 128] {
            let (a, b) = (sorted_set(&a, entries), sorted_set(&b, entries));
            let input = |source, weight| Input { source, weight };
            let (a, b) = (Source::Sorted(a.view()), Source::Sorted(b.view()));
            let set = Source::Set(set.view());
            let inputs = [input(a, 2.0), input(b, 1.0), input(set, 0.5)];
            let union = [("d", 0.0), ("e", 0.5), ("x", 0.5), ("c", 1.5), ("b", 4.0), ("1", 12.5)];
            let wanted: Vec<_> = union.iter().map(|(member, score)| pair(member, *score)).collect();
            assert_eq!(texts(&unite(&inputs, Aggregate::Sum, 3)), wanted);
            let both = intersect(&inputs, Aggregate::Max);
            assert_eq!(texts(&both), [pair("c", 6.0), pair("1", 10.0)]);
            let both = intersect(&inputs, Aggregate::Min);
            assert_eq!(texts(&both), [pair("c", -5.0), pair("1", 0.5)]);
            assert_eq!(intersection_len(&[a, b, set], None), 2);
            assert_eq!(intersection_len(&[a, b, set], Some(1)), 1);
            assert_eq!(texts(&subtract(&[a, b])), [pair("b", 2.0)]);
            assert_eq!(texts(&subtract(&[set, a])), [pair("x", 1.0)]);
            assert_eq!(texts(&subtract(&[b, b])), []);
        }
    }

    #[test]
    fn infinities_never_become_nan() {
        let inf = sorted_set(&[("a", f64::INFINITY)], 128);
        let minus = sorted_set(&[("a", f64::NEG_INFINITY)], 128);
        let input =
            |set: &'static SortedSet, weight| Input { source: Source::Sorted(set.view()), weight };
        let (inf, minus) = (Box::leak(Box::new(inf)), Box::leak(Box::new(minus)));
        for (left, right, aggregate, wanted) in [
            (1.0, 1.0, Aggregate::Sum, 0.0),
            (0.0, 0.0, Aggregate::Sum, 0.0),
            (0.0, 1.0, Aggregate::Max, 0.0),
            (0.0, 1.0, Aggregate::Min, f64::NEG_INFINITY),
        ] {
            let inputs = [input(inf, left), input(minus, right)];
            assert_eq!(texts(&unite(&inputs, aggregate, 0)), [pair("a", wanted)]);
            assert_eq!(texts(&intersect(&inputs, aggregate)), [pair("a", wanted)]);
        }
    }

    #[test]
    fn unions_agree_with_a_map() {
        let mut state = 5_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (state >> 33) % below
        };
        for _ in 0..50 {
            let mut model = BTreeMap::new();
            let sets: Vec<SortedSet> = (0..3)
                .map(|_| {
                    let mut set = SortedSet::new();
                    for _ in 0..random(200) {
                        let (member, score) = (random(120).to_string(), random(5) as f64);
                        let limits = Limits::new(2);
                        set.add(member.as_bytes(), score, AddOptions::default(), &limits);
                    }
                    for (member, score) in set.view().iter() {
                        *model.entry(member.to_vec()).or_insert(0.0) += score * 2.0;
                    }
                    set
                })
                .collect();
            let inputs: Vec<Input<'_>> = sets
                .iter()
                .map(|set| Input { source: Source::Sorted(set.view()), weight: 2.0 })
                .collect();
            let mut wanted: Vec<(Vec<u8>, f64)> = model.into_iter().collect();
            wanted.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
            let union = unite(&inputs, Aggregate::Sum, 4);
            let union: Vec<_> =
                union.iter().map(|(member, score)| (member.to_vec(), *score)).collect();
            assert_eq!(union, wanted);
        }
    }
}
