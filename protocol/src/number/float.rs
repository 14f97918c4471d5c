//! Doubles: read as C's `strtod` does, printed shortest.

use super::parse_i64;
use crate::limits::MAX_FLOAT_TEXT;

/// Parses a double as the peers do: the whole text must be a number that C's `strtod` reads,
/// without white space around it.
///
/// Accepted beside decimals: `inf` and `infinity` in any case, and C's hexadecimal floats
/// (`0x1.8p3`). Refused: `nan`, and numbers too large for a double or rounded to zero.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    if text.len() > MAX_FLOAT_TEXT {
        return None;
    }
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if let [b'0', b'x' | b'X', hex @ ..] = unsigned {
        let magnitude = parse_hex(hex)?;
        return Some(if text[0] == b'-' { -magnitude } else { magnitude });
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let named = unsigned[0].is_ascii_alphabetic();
    let out_of_range = value.is_infinite() && !named || value == 0.0 && has_digits(unsigned);
    (!value.is_nan() && !out_of_range).then_some(value)
}

/// Whether the mantissa has a digit other than zero.
pub(super) fn has_digits(unsigned: &[u8]) -> bool {
    let mantissa = unsigned.split(|b| matches!(b, b'e' | b'E')).next();
    mantissa.is_some_and(|digits| digits.iter().any(|b| matches!(b, b'1'..=b'9')))
}

/// A hexadecimal float without its prefix, as 128 bits and a binary exponent: the lowest bit also
/// stands for all the bits behind it. `None` if it is none.
pub(super) fn hex_parts(text: &[u8]) -> Option<(u128, i64)> {
    let mut mantissa = 0u128;
    let mut exponent = 0i64;
    let mut digits = 0usize;
    let mut fraction = false;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        match (*byte, char::from(*byte).to_digit(16)) {
            (b'.', _) if !fraction => fraction = true,
            (_, Some(digit)) => {
                digits += 1;
                if mantissa >> 124 == 0 {
                    mantissa = mantissa << 4 | u128::from(digit);
                    exponent -= if fraction { 4 } else { 0 };
                } else {
                    mantissa |= u128::from(digit != 0);
                    exponent += if fraction { 0 } else { 4 };
                }
            }
            _ => break,
        }
        rest = tail;
    }
    match rest {
        _ if digits == 0 => None,
        [] => Some((mantissa, exponent)),
        [b'p' | b'P', power @ ..] => Some((mantissa, exponent + exponent_part(power)?)),
        _ => None,
    }
}

/// The digits behind an exponent's letter. Large ones are all the same: too large.
pub(super) fn exponent_part(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = digits.iter().take_while(|&&b| b == b'0').count();
    let significant = &digits[zeros..];
    let magnitude = match significant.len() {
        0 => 0,
        1..=9 => parse_i64(significant)?,
        _ => 1_000_000_000,
    };
    Some(sign * magnitude)
}

fn parse_hex(text: &[u8]) -> Option<f64> {
    let (mantissa, exponent) = hex_parts(text)?;
    if mantissa == 0 {
        return Some(0.0);
    }
    // Rounded once here; a result below the normal range may be rounded a second time.
    let mut value = mantissa as f64;
    let mut left = i32::try_from(exponent.clamp(-3000, 3000)).ok()?;
    while left != 0 {
        let step = left.clamp(-1000, 1000);
        value *= 2f64.powi(step);
        left -= step;
    }
    (value.is_finite() && value != 0.0).then_some(value)
}

/// The text of a double, on the stack.
#[derive(Debug)]
pub struct FloatText {
    bytes: [u8; 32],
    len: usize,
}

impl FloatText {
    fn new() -> Self {
        Self { bytes: [0; 32], len: 0 }
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.push(b"0");
        }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The largest magnitude at which an integral double is printed as an integer: 2^62.
const MAX_PLAIN: f64 = (1u64 << 62) as f64;

/// Prints a double with the fewest digits that read back as the same number.
///
/// Integers up to 2^62 in magnitude are printed as such, with all their digits. Otherwise an
/// exponent is used where the plain form would have many zeros: `1e+21`, `1e-7`, but `0.000001`.
///
/// Redis 7.2 prints the same but for a few doubles in a thousand, where its algorithm (Grisu2)
/// misses the shortest or the nearest digits; both texts read back as the same double.
pub fn format_f64(value: f64) -> FloatText {
    let mut text = FloatText::new();
    if value.is_nan() {
        text.push(b"nan");
        return text;
    }
    if value.is_sign_negative() {
        text.push(b"-");
    }
    let value = value.abs();
    if value.is_infinite() {
        text.push(b"inf");
    } else if value <= MAX_PLAIN && value.trunc() == value {
        #[expect(clippy::cast_possible_truncation, reason = "an integer up to 2^62")]
        text.push(super::IntText::new().i64(value as i64));
    } else {
        let mut buffer = zmij::Buffer::new();
        print_digits(&mut text, buffer.format_finite(value).as_bytes());
    }
    text
}

/// Prints a double with the 17 digits that are enough for every double, as C's `%.17g` does: zeros
/// at their end are left out, and what is very large or very small has an exponent.
pub fn format_f64_long(value: f64) -> FloatText {
    const DIGITS: i32 = 17;
    let mut text = FloatText::new();
    if !value.is_finite() || value == 0.0 {
        return format_f64(value);
    }
    if value < 0.0 {
        text.push(b"-");
    }
    let exact = format!("{:.16e}", value.abs());
    let (digits, count, exponent) = decompose(exact.as_bytes());
    let digits = &digits[..count];
    // The value is `digits` times ten to the power of `exponent`.
    let scientific = exponent + i32::try_from(count).unwrap_or(0) - 1;
    if (-4..DIGITS).contains(&scientific) {
        let whole = usize::try_from(scientific + 1).unwrap_or(0);
        if whole == 0 {
            text.push(b"0.");
            text.zeros((scientific + 1).unsigned_abs() as usize);
            text.push(digits);
        } else if whole >= count {
            text.push(digits);
            text.zeros(whole - count);
        } else {
            text.push(&digits[..whole]);
            text.push(b".");
            text.push(&digits[whole..]);
        }
        return text;
    }
    text.push(&digits[..1]);
    if count > 1 {
        text.push(b".");
        text.push(&digits[1..]);
    }
    text.push(if scientific < 0 { b"e-" } else { b"e+" });
    if scientific.abs() < 10 {
        text.push(b"0");
    }
    text.push(super::IntText::new().i64(i64::from(scientific.abs())));
    text
}

/// Rearranges a shortest representation, whatever its form.
fn print_digits(text: &mut FloatText, shortest: &[u8]) {
    let (digits, count, exponent) = decompose(shortest);
    let digits = &digits[..count];
    let count_i = i32::try_from(count).unwrap_or(0);
    // The value is `digits` times ten to the power of `exponent`.
    let scientific = exponent + count_i - 1;
    if exponent >= 0 && scientific < count_i + 7 {
        text.push(digits);
        text.zeros(exponent.unsigned_abs() as usize);
    } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
        let before_point = count_i + exponent;
        if before_point <= 0 {
            text.push(b"0.");
            text.zeros(before_point.unsigned_abs() as usize);
            text.push(digits);
        } else {
            let (whole, fraction) = digits.split_at(before_point.unsigned_abs() as usize);
            text.push(whole);
            text.push(b".");
            text.push(fraction);
        }
    } else {
        text.push(&digits[..1]);
        if count > 1 {
            text.push(b".");
            text.push(&digits[1..]);
        }
        text.push(if scientific < 0 { b"e-" } else { b"e+" });
        text.push(super::IntText::new().i64(i64::from(scientific.abs())));
    }
}

/// Splits the text of a positive number into its significant digits and a power of ten.
fn decompose(text: &[u8]) -> ([u8; 20], usize, i32) {
    let (mantissa, power) = match text.iter().position(|&b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], exponent_part(&text[at + 1..]).unwrap_or(0)),
        None => (text, 0),
    };
    let mut exponent = i32::try_from(power).unwrap_or(0);
    let mut digits = [0u8; 20];
    let mut count = 0;
    let mut fraction = false;
    for &byte in mantissa {
        if byte == b'.' {
            fraction = true;
            continue;
        }
        exponent -= i32::from(fraction);
        if count == 0 && byte == b'0' {
            continue;
        }
        if count == digits.len() {
            exponent += 1;
        } else {
            digits[count] = byte;
            count += 1;
        }
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
        exponent += 1;
    }
    (digits, count, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(value: f64) -> String {
        String::from_utf8(format_f64(value).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn printed_forms() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (2.75, "2.75"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1e15, "1000000000000000"),
            (1e18, "1000000000000000000"),
            (-(2f64.powi(60)), "-1152921504606846976"),
            (2f64.powi(62), "4611686018427387904"),
            (4611686018427388928.0, "4611686018427389000"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (123456789.125, "123456789.125"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(print(value), text);
        }
    }

    #[test]
    fn printed_with_all_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (100.25, "100.25"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345678.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012344999999999999"),
            (0.00001, "1.0000000000000001e-05"),
            (1.5e300, "1.5000000000000001e+300"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let printed = format_f64_long(value);
            assert_eq!(std::str::from_utf8(printed.as_bytes()), Ok(text));
        }
    }

    #[test]
    fn parsed_as_c_does() {
        for (text, value) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("0x10", 16.0),
            ("-0x1.8p3", -12.0),
            ("0X.8P+1", 1.0),
            ("iNf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("0e999", 0.0),
            ("0.0", 0.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            "", " 1", "1 ", "nan", "-nan", "NAN", "1e", "e5", ".", "-", "+", "+-1", "1e400",
            "-1e400", "1e-400", "0x", "0xg", "0x1p", "0x1p5000", "infinit", "1\0", "1_000",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_f64(&[b'0'; 5119]), Some(0.0));
        assert_eq!(parse_f64(&[b'0'; 5120]), None, "longer than the peers' buffers");
    }
}
