//! Identifiers as clients write them.
//!
//! `ms-seq`, or `ms` alone where the command says what is then missing. Numbers are read as C's
//! `strtoull` reads them: spaces before them, a sign and leading zeros are allowed.

use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use dunlin_protocol::number;
use dunlin_storage::value::stream::{NewId, StreamId};

const INVALID: ReplyError =
    ReplyError::new("ERR Invalid stream ID specified as stream command argument");
const INVALID_START: ReplyError = ReplyError::new("ERR invalid start ID for the interval");
const INVALID_END: ReplyError = ReplyError::new("ERR invalid end ID for the interval");

/// Longer texts are no identifiers.
const MAX_TEXT: usize = 127;

/// Argument `i` as an identifier; a missing `seq` is 0.
pub(super) fn id_arg(call: &Call<'_, '_>, i: usize) -> Result<StreamId, ReplyError> {
    parse(call.arg(i), 0).ok_or(INVALID)
}

/// The arguments from `first` on as identifiers: all, or an error.
pub(super) fn id_args(call: &Call<'_, '_>, first: usize) -> Result<Vec<StreamId>, ReplyError> {
    (first..call.argc()).map(|i| id_arg(call, i)).collect()
}

/// An identifier as [`id_arg`] takes it, if the text is one.
pub(super) fn id_of(text: &[u8]) -> Option<StreamId> {
    parse(text, 0)
}

/// Argument `i` as an identifier; `-` and `+` are the least and the greatest.
pub(super) fn edge_arg(call: &Call<'_, '_>, i: usize) -> Result<StreamId, ReplyError> {
    edge(call.arg(i), 0)
}

/// Argument `i` as the identifier of a new entry.
pub(super) fn new_id_arg(call: &Call<'_, '_>, i: usize) -> Result<NewId, ReplyError> {
    match call.arg(i) {
        b"*" => Ok(NewId::Auto),
        text => parse_new(text).ok_or(INVALID),
    }
}

/// `ms-*`, or an identifier.
fn parse_new(text: &[u8]) -> Option<NewId> {
    match text.strip_suffix(b"-*").filter(|_| text.len() <= MAX_TEXT) {
        Some(ms) => parse_u64(ms).map(NewId::Time),
        None => parse(text, 0).map(NewId::Exactly),
    }
}

/// Argument `i` as the start of an interval, which `(` leaves out.
pub(super) fn start_arg(call: &Call<'_, '_>, i: usize) -> Result<StreamId, ReplyError> {
    match exclusive(call.arg(i)) {
        Some(text) => parse(text, 0).ok_or(INVALID)?.next().ok_or(INVALID_START),
        None => edge(call.arg(i), 0),
    }
}

/// Argument `i` as the end of an interval, which `(` leaves out. A missing `seq` is the greatest.
pub(super) fn end_arg(call: &Call<'_, '_>, i: usize) -> Result<StreamId, ReplyError> {
    match exclusive(call.arg(i)) {
        Some(text) => parse(text, u64::MAX).ok_or(INVALID)?.prev().ok_or(INVALID_END),
        None => edge(call.arg(i), u64::MAX),
    }
}

/// What follows `(`, if something does.
fn exclusive(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

fn edge(text: &[u8], missing_seq: u64) -> Result<StreamId, ReplyError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => parse(text, missing_seq).ok_or(INVALID),
    }
}

fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let text = crate::dispatch::echo(text, MAX_TEXT);
    match text.iter().position(|byte| *byte == b'-') {
        Some(dash) => Some(StreamId::new(parse_u64(&text[..dash])?, parse_u64(&text[dash + 1..])?)),
        None => parse_u64(text).map(|ms| StreamId::new(ms, missing_seq)),
    }
}

/// A number as C reads it. One that is written like any other must not be negative; with a leading
/// zero or space even that wraps.
fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(value) = number::parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().position(|byte| !space(byte))?..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> Option<StreamId> {
        Some(StreamId::new(ms, seq))
    }

    #[test]
    fn new_identifiers() {
        assert_eq!(parse_new(b"5-*"), Some(NewId::Time(5)));
        assert_eq!(parse_new(b"5-1"), Some(NewId::Exactly(StreamId::new(5, 1))));
        for text in ["-*", "*-*", "5-1-*", "5-**", "5*"] {
            assert_eq!(parse_new(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn identifiers() {
        assert_eq!(parse(b"5", 7), id(5, 7));
        assert_eq!(parse(b"5-3", 7), id(5, 3));
        assert_eq!(parse(b"18446744073709551615-18446744073709551615", 0), Some(StreamId::MAX));
        assert_eq!(parse(b"05- 3", 0), id(5, 3));
        assert_eq!(parse(b"+5-+3", 0), id(5, 3));
        assert_eq!(parse(b"5--03", 0), id(5, 3_u64.wrapping_neg()));
        assert_eq!(parse(b"5\0-3", 7), id(5, 7));
        for text in ["", "-", "+", "*", "-5", "5-", "5-x", "5--3", "5-3-1", "x", " ", "5 ", "5-*"] {
            assert_eq!(parse(text.as_bytes(), 0), None, "{text}");
        }
        assert_eq!(parse(b"18446744073709551616", 0), None);
        assert_eq!(parse(&[b'0'; 128], 0), None);
        assert_eq!(parse(&[b'0'; 127], 0), id(0, 0));
    }
}
