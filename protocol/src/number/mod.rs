//! Numbers as text, to the byte as the protocol's users know them.
//!
//! - Integers are *canonical*: [`parse_i64`] accepts exactly what printing an integer gives. This
//!   is what makes a string an integer for lengths, counters and encodings.
//! - Floating point numbers are read as C reads them ([`parse_f64`]) and printed with the fewest
//!   digits that read back as the same number ([`format_f64`]).
//! - `INCRBYFLOAT` computes with the 64-bit mantissas of the x87: [`incr_by_float`].

mod float;
mod long_double;

pub use float::{FloatText, format_f64, format_f64_long, parse_f64};
pub use long_double::{Extended, FloatError, format_f64_human, incr_by_float};

/// Longest text of an integer: a sign and 19 digits, or 20 digits.
pub const MAX_INT_TEXT: usize = 20;

/// Parses a canonical decimal of 64 bits: no spaces, no `+`, no leading zeros, no `-0`.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            if magnitude == 0 {
                return None;
            }
            0i64.checked_sub_unsigned(magnitude)
        }
        digits => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// Parses a canonical decimal without a sign.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => return Some(0),
        [b'1'..=b'9', ..] if text.len() <= MAX_INT_TEXT => {}
        _ => return None,
    }
    // Nineteen digits cannot overflow; a twentieth is checked.
    let (safe, last) = text.split_at(text.len().min(MAX_INT_TEXT - 1));
    let mut value = 0u64;
    for &byte in safe {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    for &byte in last {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// The text of an integer, on the stack.
#[derive(Default)]
pub struct IntText(itoa::Buffer);

impl std::fmt::Debug for IntText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntText")
    }
}

impl IntText {
    /// Room for one text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Prints a signed integer.
    #[inline]
    pub fn i64(&mut self, value: i64) -> &[u8] {
        self.0.format(value).as_bytes()
    }

    /// Prints an unsigned integer.
    #[inline]
    pub fn u64(&mut self, value: u64) -> &[u8] {
        self.0.format(value).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_integers_only() {
        assert_eq!(parse_i64(b"0"), Some(0));
        assert_eq!(parse_i64(b"-1"), Some(-1));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        let refused: [&[u8]; 18] = [
            b"",
            b"-",
            b"+1",
            b"01",
            b"-0",
            b"-01",
            b"00",
            b" 1",
            b"1 ",
            b"1x",
            b"x1",
            b"--1",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"1.0",
            b"0x1",
            b"99999999999999999999",
            b"1\0",
        ];
        for text in refused {
            assert_eq!(parse_i64(text), None, "{text:?}");
        }
        // The twentieth digit has a loop of its own.
        assert_eq!(parse_u64(b"18446744073709551609"), Some(u64::MAX - 6));
        for last in [b'/', b':', b'x'] {
            assert_eq!(parse_u64(&[b"1844674407370955160", &[last][..]].concat()), None);
        }
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn printed_integers_read_back() {
        let mut text = IntText::new();
        for value in [0, 1, -1, 10, i64::MAX, i64::MIN, 999_999_999_999_999_999] {
            assert_eq!(parse_i64(text.i64(value)), Some(value));
        }
        assert_eq!(text.u64(u64::MAX), b"18446744073709551615");
    }
}
