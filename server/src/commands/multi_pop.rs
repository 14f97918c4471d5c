//! What LMPOP, ZMPOP and their blocking forms have in common: several keys, an end, a count.

use super::call::Call;
use super::error::{ReplyError, SYNTAX};
use dunlin_protocol::number::parse_i64;
use std::ops::Range;

/// Their arguments from the number of keys on.
#[derive(Clone, Debug)]
pub(super) struct MultiPop<E> {
    /// The arguments that are keys.
    pub(super) keys: Range<usize>,
    /// From which end to pop.
    pub(super) end: E,
    /// How many elements, at most.
    pub(super) count: usize,
}

impl<E> MultiPop<E> {
    /// Reads them: argument `at` is the number of keys, and `end_at` knows the words for the ends.
    pub(super) fn parse(
        call: &Call<'_, '_>,
        at: usize,
        end_at: impl FnOnce(&Call<'_, '_>, usize) -> Result<E, ReplyError>,
    ) -> Result<Self, ReplyError> {
        let first = at + 1;
        let numkeys = positive(call, at, "ERR numkeys should be greater than 0")?;
        let where_at = first.checked_add(numkeys).filter(|at| *at < call.argc()).ok_or(SYNTAX)?;
        let end = end_at(call, where_at)?;
        let mut count = 1;
        let option = where_at + 1;
        if option < call.argc() {
            if !call.is(option, "count") || option + 1 == call.argc() {
                return Err(SYNTAX);
            }
            count = positive(call, option + 1, "ERR count should be greater than 0")?;
            if option + 2 < call.argc() {
                return Err(SYNTAX);
            }
        }
        Ok(MultiPop { keys: first..where_at, end, count })
    }
}

fn positive(call: &Call<'_, '_>, at: usize, error: &'static str) -> Result<usize, ReplyError> {
    let value = parse_i64(call.arg(at)).and_then(|value| usize::try_from(value).ok());
    value.filter(|value| *value > 0).ok_or(ReplyError::new(error))
}
