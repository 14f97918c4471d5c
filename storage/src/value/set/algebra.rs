//! Intersection, union and difference of sets.
//!
//! Results are handed over member by member, so that a reply needs no copy of them.

use std::ops::ControlFlow;

use super::SetRef;
use crate::value::distinct::Distinct;
use crate::value::listpack::Element;

/// Hands every member that is in all `sets` to `visit`, until that says to stop. No sets have no
/// members in common.
pub fn intersect<'a>(
    sets: &[SetRef<'a>],
    visit: &mut dyn FnMut(Element<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    // The smallest set names the candidates, the next smallest are most likely to refuse them.
    let mut sets = sets.to_vec();
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return ControlFlow::Continue(()) };
    smallest.iter().filter(|member| others.iter().all(|set| set.has(*member))).try_for_each(visit)
}

/// Hands every member that is in one of `sets` at least to `visit`, once. `seed` is what the hash
/// function depends on meanwhile.
pub fn unite<'a>(sets: &[SetRef<'a>], seed: u64, visit: &mut dyn FnMut(Element<'a>)) {
    if let [only] = sets {
        return only.iter().for_each(visit);
    }
    let mut seen = Distinct::new(seed);
    for member in sets.iter().flat_map(|set| set.iter()) {
        if seen.insert(member) {
            visit(member);
        }
    }
}

/// Hands every member of `first` that is in none of `others` to `visit`. `seed` is what the hash
/// function depends on meanwhile.
pub fn subtract<'a>(
    first: SetRef<'a>,
    others: &[SetRef<'_>],
    seed: u64,
    visit: &mut dyn FnMut(Element<'a>),
) {
    let searches = first.len() * (others.len() + 1);
    let members: usize = others.iter().map(|set| set.len()).sum();
    if searches / 2 <= first.len() + members {
        // The largest set is most likely to refuse a member.
        let mut others = others.to_vec();
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        first.iter().filter(|member| !others.iter().any(|set| set.has(*member))).for_each(visit);
    } else {
        // Many small sets: one search among all their members instead of one in each of them.
        let mut refused = Distinct::new(seed);
        for member in others.iter().flat_map(|set| set.iter()) {
            refused.insert(member);
        }
        first.iter().filter(|member| !refused.contains(*member)).for_each(visit);
    }
}
