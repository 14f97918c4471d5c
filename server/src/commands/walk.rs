//! What SCAN and the walks through one collection (SSCAN, HSCAN, ZSCAN) have in common: cursors and
//! options.

use super::call::Call;
use super::error::{self, ReplyError};
use crate::glob;
use dunlin_protocol::Reply;
use dunlin_protocol::number::IntText;

/// COUNT if none is given.
pub(super) const DEFAULT_COUNT: usize = 10;

/// The cursor in argument `at`.
pub(super) fn cursor(call: &Call<'_, '_>, at: usize) -> Result<u64, ReplyError> {
    parse_cursor(call.arg(at)).ok_or(ReplyError::new("ERR invalid cursor"))
}

/// COUNT in argument `at`.
pub(super) fn count(call: &Call<'_, '_>, at: usize) -> Result<usize, ReplyError> {
    usize::try_from(call.int(at)?).ok().filter(|count| *count > 0).ok_or(error::SYNTAX)
}

/// MATCH in argument `at`; `None` if every text matches. To [`glob::matches`] `*` would not be
/// every text: that, like Redis's, matches an empty text with an empty pattern only.
pub(super) fn pattern<'a>(call: &Call<'a, '_>, at: usize) -> Option<&'a [u8]> {
    Some(call.arg(at)).filter(|pattern| !is_all(pattern))
}

/// Whether the pattern is the one that stands for everything.
pub(super) fn is_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Replies that a collection which does not exist is at its end.
pub(super) fn reply_empty(reply: &mut Reply) {
    reply_header(reply, 0, 0);
}

/// Replies the cursor to go on with; `count` elements follow.
pub(super) fn reply_header(reply: &mut Reply, cursor: u64, count: usize) {
    reply.array(2);
    reply.bulk(IntText::new().u64(cursor));
    reply.array(count);
}

/// Options of a walk through a collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    pattern: Option<&'a [u8]>,
    /// About how many elements to visit.
    pub(super) count: usize,
    /// NOVALUES or NOSCORES: only the names of the elements.
    pub(super) only_names: bool,
}

impl<'a> Options<'a> {
    /// The options from argument 3 on. `names_only` is the option of this command that leaves out
    /// what belongs to a name, if it has one.
    pub(super) fn parse(
        call: &Call<'a, '_>,
        names_only: Option<&'static str>,
    ) -> Result<Self, ReplyError> {
        let mut options = Options { pattern: None, count: DEFAULT_COUNT, only_names: false };
        let mut at = 3;
        while at < call.argc() {
            let has_value = at + 1 < call.argc();
            let mut used = 2;
            if call.is(at, "count") && has_value {
                options.count = count(call, at + 1)?;
            } else if call.is(at, "match") && has_value {
                options.pattern = pattern(call, at + 1);
            } else if let Some((word, command)) = names_only_of(call, at) {
                if names_only != Some(word) {
                    let text = format!("ERR {word} option can only be used in {command}");
                    return Err(text.into());
                }
                options.only_names = true;
                used = 1;
            } else {
                return Err(error::SYNTAX);
            }
            at += used;
        }
        Ok(options)
    }

    /// Whether an element of this name is replied.
    pub(super) fn takes(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// The option at `at` that leaves out what belongs to a name, and the command that has it.
fn names_only_of(call: &Call<'_, '_>, at: usize) -> Option<(&'static str, &'static str)> {
    const WORDS: [(&str, &str); 2] = [("NOVALUES", "HSCAN"), ("NOSCORES", "ZSCAN")];
    WORDS.into_iter().find(|(word, _)| call.is(at, word))
}

/// A cursor as the C library reads it, because clients rely on what it lets pass: nothing at all
/// is 0, a sign is allowed and a negative number wraps, and the text ends at a NUL.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    let (negative, digits) = match &text[..end] {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("+7", Some(7)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("9223372036854775808", Some(1 << 63)),
            ("-1", Some(u64::MAX)),
            ("-0", Some(0)),
            ("5\0x", Some(5)),
            ("\0x", Some(0)),
            ("18446744073709551616", None),
            ("-18446744073709551616", None),
            ("x", None),
            ("1x", None),
            (" 1", None),
            ("1 ", None),
            ("-", None),
            ("+", None),
            ("+-1", None),
            ("0x10", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), wanted, "{text:?}");
        }
    }
}
