//! The small form: a listpack of members, each followed by its score, in order.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use super::range::{LexRange, Part, ScoreRange};
use super::score::{self, ScoreText};
use crate::value::listpack::{self, Element, Listpack, ListpackBuf};

/// Elements of a pair.
const PAIR: usize = 2;

/// Number of members.
pub(super) fn len(list: Listpack<'_>) -> usize {
    list.len() / PAIR
}

/// The position and the score of a member.
pub(super) fn find(list: Listpack<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let at = list.find(list.first()?, member, PAIR - 1)?;
    Some((at, score_at(list, at)))
}

/// The score of the member at a position.
fn score_at(list: Listpack<'_>, at: usize) -> f64 {
    list.next(at).map_or(0.0, |at| score::parse(list.element(at)))
}

/// The rank and the score of a member.
pub(super) fn rank(list: Listpack<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let mut pairs = iter(list, 0..len(list)).enumerate();
    pairs.find(|(_, (other, _))| other.eq_bytes(member)).map(|(rank, (_, score))| (rank, score))
}

/// Adds a member that is not there, where it belongs.
pub(super) fn insert(list: &mut ListpackBuf, member: &[u8], score: f64) {
    let at = place(list.view(), member, score);
    // The score first: it then moves over when the member gets its position.
    list.insert(at, ScoreText::of(score).as_bytes());
    list.insert(at, member);
}

/// The position of the first pair that comes behind a member with this score.
fn place(list: Listpack<'_>, member: &[u8], score: f64) -> usize {
    let mut next = list.first();
    while let Some(at) = next {
        let Some(score_at) = list.next(at) else { break };
        let order = score::parse(list.element(score_at)).partial_cmp(&score);
        let order = order.unwrap_or(Ordering::Equal);
        if order.then_with(|| list.element(at).with(|other| other.cmp(member))).is_gt() {
            return at;
        }
        next = list.next(score_at);
    }
    list.end()
}

/// Removes the pair at a position.
pub(super) fn remove(list: &mut ListpackBuf, at: usize) {
    list.remove(at, PAIR);
}

/// Removes the members of some ranks.
pub(super) fn remove_ranks(list: &mut ListpackBuf, ranks: Range<usize>) {
    if let Some(at) = seek(list.view(), ranks.start) {
        list.remove(at, ranks.len() * PAIR);
    }
}

fn seek(list: Listpack<'_>, rank: usize) -> Option<usize> {
    list.seek(i64::try_from(rank * PAIR).ok()?)
}

/// Whether these are pairs of a member and a number, in order and with no member twice.
pub(super) fn is_sound(list: Listpack<'_>) -> bool {
    let mut seen = HashSet::new();
    let mut previous: Option<(Element<'_>, f64)> = None;
    let mut elements = list.iter();
    while let Some(member) = elements.next() {
        let Some(score) = elements.next().and_then(score::parse_checked) else { return false };
        let is_behind = previous.replace((member, score)).is_none_or(|(other, below)| {
            below < score || below == score && other.cmp_text(member).is_lt()
        });
        if !is_behind || !seen.insert(member.normal()) {
            return false;
        }
    }
    true
}

/// Whether another pair fits into a listpack.
pub(super) fn has_room(list: &ListpackBuf, member: &[u8]) -> bool {
    list.fits(ListpackBuf::encoded_len(member) + size_of::<ScoreText>())
}

/// The ranks of a part. With members of several scores, a range of members depends on the side that
/// it is looked for from; Redis's results are reproduced.
pub(super) fn window(list: Listpack<'_>, part: &Part<'_>, reverse: bool) -> Range<usize> {
    match part {
        Part::Rank(ranks) => ranks.within(len(list)),
        Part::Score(range) => score_window(list, range),
        Part::Lex(range) if reverse => lex_window_back(list, range),
        Part::Lex(range) => lex_window(list, range),
    }
}

fn score_window(list: Listpack<'_>, range: &ScoreRange) -> Range<usize> {
    let mut scores = iter(list, 0..len(list)).map(|(_, score)| score).peekable();
    let mut start = 0;
    while scores.next_if(|score| range.is_below(*score)).is_some() {
        start += 1;
    }
    start..start + scores.take_while(|score| !range.is_above(*score)).count()
}

fn lex_window(list: Listpack<'_>, range: &LexRange<'_>) -> Range<usize> {
    if misses(list, range) {
        return 0..0;
    }
    let mut members = iter(list, 0..len(list)).map(|(member, _)| member).peekable();
    let mut start = 0;
    while members.next_if(|member| member.with(|member| range.is_below(member))).is_some() {
        start += 1;
    }
    let inside = members.take_while(|member| !member.with(|member| range.is_above(member)));
    start..start + inside.count()
}

fn lex_window_back(list: Listpack<'_>, range: &LexRange<'_>) -> Range<usize> {
    if misses(list, range) {
        return 0..0;
    }
    let mut members = iter(list, 0..len(list)).map(|(member, _)| member).rev().peekable();
    let mut end = len(list);
    while members.next_if(|member| member.with(|member| range.is_above(member))).is_some() {
        end -= 1;
    }
    let inside = members.take_while(|member| !member.with(|member| range.is_below(member)));
    end - inside.count()..end
}

/// Whether the last member is below a range or the first one above it.
fn misses(list: Listpack<'_>, range: &LexRange<'_>) -> bool {
    let pairs = iter(list, 0..len(list));
    let below = pairs.clone().next_back().is_none_or(|(last, _)| last.with(|m| range.is_below(m)));
    below || pairs.clone().next().is_none_or(|(first, _)| first.with(|m| range.is_above(m)))
}

/// The members of some ranks with their scores.
pub(super) fn iter(list: Listpack<'_>, ranks: Range<usize>) -> Iter<'_> {
    let ranks = ranks.start..ranks.end.min(len(list));
    let elements = match seek(list, ranks.start) {
        // From behind, only the end of the list is known without walking there.
        Some(at) if ranks.end == len(list) => list.iter_from(at),
        Some(at) => {
            let end = seek(list, ranks.end).unwrap_or(list.end());
            list.iter_between(at, end)
        }
        None => list.iter_from(list.end()),
    };
    Iter { elements, left: ranks.len() }
}

/// Members with their scores, in order, from either end.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    elements: listpack::Iter<'a>,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.elements.next()?;
        self.left = self.left.saturating_sub(1);
        Some((member, self.elements.next().map_or(0.0, score::parse)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let score = self.elements.next_back()?;
        self.left = self.left.saturating_sub(1);
        self.elements.next_back().map(|member| (member, score::parse(score)))
    }
}

impl ExactSizeIterator for Iter<'_> {}
