//! Looking through packed values of unknown origin.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use super::reader::parse_score;
use dunlin_storage::value::listpack::{Element, Listpack};

/// Elements of a hash's field with its value, and of a sorted set's member with its score.
pub(super) const PAIR: usize = 2;
/// Elements of a field that may expire, with its value and expiry.
pub(super) const TRIPLET: usize = 3;

/// `bytes`, if they are a listpack with elements that is as `sound` wants it.
pub(super) fn listpack(
    bytes: Cow<'_, [u8]>,
    sound: impl FnOnce(Listpack<'_>) -> bool,
) -> Option<Cow<'_, [u8]>> {
    let list = Listpack::validate(&bytes)?;
    (!list.is_empty() && sound(list)).then_some(bytes)
}

/// True if the list is made of groups of `size` elements of which no two begin with the same.
pub(super) fn is_unique(list: Listpack<'_>, size: usize) -> bool {
    let mut seen = HashSet::new();
    let mut names = list.iter().step_by(size).map(|element| {
        // An integer may be kept as a string; it is the same one.
        element.as_i64().map_or(element, Element::Int)
    });
    names.all(|name| seen.insert(name)) && list.len().is_multiple_of(size)
}

/// True if these are members of a sorted set, each with its score, in order.
pub(super) fn is_sorted_set(list: Listpack<'_>) -> bool {
    let in_order = |(member, score): (Element<'_>, f64), (next, next_score): (Element<'_>, f64)| {
        let order = score.partial_cmp(&next_score).unwrap_or(Ordering::Greater);
        order.then_with(|| member.with(|member| next.with(|next| member.cmp(next)))).is_lt()
    };
    let mut elements = list.iter();
    let mut before = None;
    while let Some(member) = elements.next() {
        let Some(score) = elements.next().and_then(score) else { return false };
        if before.is_some_and(|before| !in_order(before, (member, score))) {
            return false;
        }
        before = Some((member, score));
    }
    is_unique(list, PAIR)
}

fn score(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Int(score) => Some(score as f64),
        Element::Bytes(text) => parse_score(text),
    }
}

/// True if these are fields with their values and expiries, the first to expire first and those
/// that do not at the end.
pub(super) fn is_hash_with_expiries(list: Listpack<'_>) -> bool {
    let mut last = 0;
    let in_order = list.iter().skip(TRIPLET - 1).step_by(TRIPLET).all(|expiry| {
        let Some(at @ 0..) = expiry.as_i64() else { return false };
        // 0 is none: later than any.
        let rank = if at == 0 { i64::MAX } else { at };
        let good = last <= rank;
        last = rank;
        good
    });
    in_order && is_unique(list, TRIPLET)
}
