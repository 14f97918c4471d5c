//! Which members of a sorted set the arguments of ZRANGE and its relatives mean.

use super::bounds;
use crate::commands::call::Call;
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX};
use dunlin_protocol::number::parse_i64;
use dunlin_storage::value::sorted_set::{Part, SortedSetRef, mirrored};
use std::ops::Range;

const LIMIT_NEEDS_BY: ReplyError = ReplyError::new(
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
);
const SCORES_NOT_BY_LEX: ReplyError =
    ReplyError::new("ERR syntax error, WITHSCORES not supported in combination with BYLEX");

/// By what members are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// What a command's name says already. What it leaves open, its options say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The argument with the key; the two after it are the bounds.
    pub(super) key: usize,
    pub(super) by: Option<By>,
    pub(super) reverse: Option<bool>,
    /// There is a destination: scores are always taken along.
    pub(super) store: bool,
}

/// A selection of members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection<'a> {
    part: Part<'a>,
    /// The highest comes first.
    pub(super) reverse: bool,
    pub(super) with_scores: bool,
    limit: Limit,
}

/// Which of the members found are wanted.
#[derive(Clone, Copy, Debug)]
struct Limit {
    offset: i64,
    /// Negative: all.
    count: i64,
}

impl<'a> Selection<'a> {
    pub(super) fn parse(call: &Call<'a, '_>, form: Form) -> Result<Self, ReplyError> {
        let (mut by, mut reverse) = (form.by, form.reverse);
        let mut with_scores = false;
        let mut limit = Limit { offset: 0, count: -1 };
        let mut at = form.key + 3;
        while at < call.argc() {
            if !form.store && call.is(at, "withscores") {
                with_scores = true;
            } else if call.is(at, "limit") && at + 2 < call.argc() {
                limit = Limit { offset: call.int(at + 1)?, count: call.int(at + 2)? };
                at += 2;
            } else if reverse.is_none() && call.is(at, "rev") {
                reverse = Some(true);
            } else if by.is_none() && call.is(at, "bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && call.is(at, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(SYNTAX);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit.count != -1 && by == By::Rank {
            return Err(LIMIT_NEEDS_BY);
        }
        if with_scores && by == By::Lex {
            return Err(SCORES_NOT_BY_LEX);
        }
        let part = part(call, form.key, by, reverse)?;
        Ok(Selection { part, reverse, with_scores, limit })
    }

    /// The ranks of the members, counted from the lowest score.
    pub(super) fn ranks(&self, set: SortedSetRef<'_>) -> Range<usize> {
        let ranks = set.window(&self.part, self.reverse);
        match self.part {
            // Ranks count from the end at which reading starts.
            Part::Rank(_) if self.reverse => mirrored(&ranks, set.len()),
            Part::Rank(_) => ranks,
            Part::Score(_) | Part::Lex(_) => self.limit.of(ranks, self.reverse),
        }
    }
}

impl Limit {
    /// What is left of a range that is read from one side.
    fn of(self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        let len = ranks.len();
        // A negative offset is behind everything.
        let skip = usize::try_from(self.offset).unwrap_or(usize::MAX).min(len);
        let take = usize::try_from(self.count).unwrap_or(usize::MAX).min(len - skip);
        if reverse {
            let end = ranks.end - skip;
            end - take..end
        } else {
            let start = ranks.start + skip;
            start..start + take
        }
    }
}

/// The range in the two arguments after the key. If it is read in reverse, the upper bound of
/// scores and members comes first.
fn part<'a>(
    call: &Call<'a, '_>,
    key: usize,
    by: By,
    reverse: bool,
) -> Result<Part<'a>, ReplyError> {
    let (first, second) = (key + 1, key + 2);
    let (min, max) = if reverse { (second, first) } else { (first, second) };
    Ok(match by {
        By::Rank => Part::Rank(bounds::ranks(&call.request, first, second)?),
        By::Score => Part::Score(bounds::scores(&call.request, min, max)?),
        By::Lex => Part::Lex(bounds::members(&call.request, min, max)?),
    })
}

/// A count of keys and where they are; `first` is the argument after the count. An error if it is
/// not a number, or fewer than one, or more than there are arguments.
pub(super) fn keys(call: &Call<'_, '_>, first: usize) -> Result<Range<usize>, ReplyError> {
    let count = parse_i64(call.arg(first - 1)).ok_or(NOT_INTEGER)?;
    if count < 1 {
        let name = &call.entry.full_name;
        return Err(format!("ERR at least 1 input key is needed for '{name}' command").into());
    }
    let end = usize::try_from(count).ok().and_then(|count| count.checked_add(first));
    end.filter(|end| *end <= call.argc()).map(|end| first..end).ok_or(SYNTAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_cut_from_the_side_that_is_read() {
        let limit = |offset, count, reverse| Limit { offset, count }.of(10..20, reverse);
        assert_eq!(limit(0, -1, false), 10..20);
        assert_eq!(limit(3, 4, false), 13..17);
        assert_eq!(limit(3, 4, true), 13..17);
        assert_eq!(limit(1, 2, true), 17..19);
        assert_eq!(limit(8, 5, false), 18..20);
        assert_eq!(limit(8, 5, true), 10..12);
        assert!(limit(-1, 5, false).is_empty() && limit(10, -1, true).is_empty());
        assert!(limit(0, 0, false).is_empty());
        assert_eq!(limit(i64::MAX, i64::MAX, true).len(), 0);
    }
}
