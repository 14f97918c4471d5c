//! Bounds of ranges, as clients write them.

use crate::commands::error::{NOT_INTEGER, ReplyError};
use dunlin_protocol::{Request, number};
use dunlin_storage::value::index_range::IndexRange;
use dunlin_storage::value::sorted_set::{LexBound, LexRange, ScoreRange};
use std::ops::Bound;

const NOT_SCORES: ReplyError = ReplyError::new("ERR min or max is not a float");
const NOT_MEMBERS: ReplyError = ReplyError::new("ERR min or max not valid string range item");

/// The ranks in two arguments.
pub(super) fn ranks(
    request: &Request<'_>,
    start: usize,
    stop: usize,
) -> Result<IndexRange, ReplyError> {
    let rank = |at: usize| number::parse_i64(request.arg(at)).ok_or(NOT_INTEGER);
    Ok(IndexRange { start: rank(start)?, stop: rank(stop)? })
}

/// The scores in two arguments: `1.5`, `(1.5`, `-inf`.
pub(super) fn scores(
    request: &Request<'_>,
    min: usize,
    max: usize,
) -> Result<ScoreRange, ReplyError> {
    let bound = |at: usize| score(request.arg(at)).ok_or(NOT_SCORES);
    Ok(ScoreRange { min: bound(min)?, max: bound(max)? })
}

/// The members in two arguments: `[a`, `(a`, `-`, `+`.
pub(super) fn members<'a>(
    request: &Request<'a>,
    min: usize,
    max: usize,
) -> Result<LexRange<'a>, ReplyError> {
    let bound = |at: usize| member(request.arg(at)).ok_or(NOT_MEMBERS);
    Ok(LexRange { min: bound(min)?, max: bound(max)? })
}

fn score(text: &[u8]) -> Option<Bound<f64>> {
    match text {
        [b'(', text @ ..] => as_c(text).map(Bound::Excluded),
        text => as_c(text).map(Bound::Included),
    }
}

/// A number as C's `strtod` reads it, because clients rely on what that lets pass: the text ends at
/// a NUL, space before the number is skipped, nothing at all is 0, and numbers out of range are
/// infinite or 0.
fn as_c(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let text = &text[start..];
    let out_of_range = || std::str::from_utf8(text).ok()?.parse().ok();
    number::parse_f64(text).or_else(out_of_range).filter(|value| !value.is_nan())
}

fn member(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(LexBound::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Highest),
        [b'[', member @ ..] => Some(LexBound::Included(member)),
        [b'(', member @ ..] => Some(LexBound::Excluded(member)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_as_c_reads_them() {
        for (text, wanted) in [
            ("1.5", Some(Bound::Included(1.5))),
            ("(1.5", Some(Bound::Excluded(1.5))),
            ("-inf", Some(Bound::Included(f64::NEG_INFINITY))),
            ("(+Inf", Some(Bound::Excluded(f64::INFINITY))),
            ("", Some(Bound::Included(0.0))),
            ("(", Some(Bound::Excluded(0.0))),
            (" \t7", Some(Bound::Included(7.0))),
            ("( 7", Some(Bound::Excluded(7.0))),
            ("7\0x", Some(Bound::Included(7.0))),
            ("1e400", Some(Bound::Included(f64::INFINITY))),
            ("1e-400", Some(Bound::Included(0.0))),
            ("0x10", Some(Bound::Included(16.0))),
            ("7 ", None),
            (" ", None),
            ("nan", None),
            ("((1", None),
            ("[1", None),
            ("1_0", None),
        ] {
            assert_eq!(score(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn members_have_a_mark() {
        assert_eq!(member(b"-"), Some(LexBound::Lowest));
        assert_eq!(member(b"+"), Some(LexBound::Highest));
        assert_eq!(member(b"["), Some(LexBound::Included(b"")));
        assert_eq!(member(b"(-"), Some(LexBound::Excluded(b"-")));
        for text in ["", "a", "-a", "++", "]a"] {
            assert_eq!(member(text.as_bytes()), None, "{text:?}");
        }
    }
}
