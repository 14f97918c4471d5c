//! Scores as text: how listpacks hold them.
//!
//! Whole numbers are integers there, others their shortest text, in the form in which Redis prints
//! them: so a payload of DUMP is the same.

use crate::value::listpack::Element;

/// Whole numbers up to this magnitude are kept as integers: 2^62.
const WHOLE_MAX: f64 = (1_u64 << 62) as f64;
/// Digits that a double has at most when printed shortest.
const DIGITS_MAX: usize = 17;
/// Longest text: a sign, the digits, a point, and zeros behind the point or an exponent.
const TEXT_MAX: usize = 32;

/// The text of a score, on the stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreText {
    bytes: [u8; TEXT_MAX],
    len: usize,
}

impl ScoreText {
    /// Prints a score, which is not NaN.
    pub(super) fn of(score: f64) -> Self {
        let mut text = ScoreText { bytes: [0; TEXT_MAX], len: 0 };
        if score.abs() <= WHOLE_MAX && score.trunc() == score {
            // Minus zero becomes zero, as in Redis.
            text.push(itoa::Buffer::new().format(score as i64).as_bytes());
            return text;
        }
        if score < 0.0 {
            text.push(b"-");
        }
        if score.is_infinite() {
            text.push(b"inf");
        } else {
            text.push_shortest(score.abs());
        }
        text
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn zeros(&mut self, count: usize) {
        self.bytes[self.len..self.len + count].fill(b'0');
        self.len += count;
    }

    /// Prints a positive number with the fewest digits that read back as the same one: plain while
    /// few zeros are needed for that, else with an exponent.
    fn push_shortest(&mut self, value: f64) {
        let mut buffer = zmij::Buffer::new();
        let (digits, exponent) = Digits::of(buffer.format_finite(value));
        let digits = digits.as_bytes();
        let count = digits.len() as i32;
        // The value is the digits times ten to the power of `exponent`.
        let scientific = exponent + count - 1;
        if exponent >= 0 && scientific < count + 7 {
            self.push(digits);
            self.zeros(exponent.unsigned_abs() as usize);
        } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
            match usize::try_from(count + exponent) {
                Ok(whole) if whole > 0 => {
                    let (whole, fraction) = digits.split_at(whole);
                    self.push(whole);
                    self.push(b".");
                    self.push(fraction);
                }
                _ => {
                    self.push(b"0.");
                    self.zeros((count + exponent).unsigned_abs() as usize);
                    self.push(digits);
                }
            }
        } else {
            let (first, rest) = digits.split_at(1);
            self.push(first);
            if !rest.is_empty() {
                self.push(b".");
                self.push(rest);
            }
            self.push(if scientific < 0 { b"e-" } else { b"e+" });
            self.push(itoa::Buffer::new().format(scientific.unsigned_abs()).as_bytes());
        }
    }
}

/// The significant digits of a number, without the zeros at either end.
struct Digits {
    bytes: [u8; DIGITS_MAX],
    len: usize,
}

impl Digits {
    /// Reads a shortest representation, whatever its form. The number is the digits times ten to
    /// the power that is returned with them.
    fn of(text: &str) -> (Self, i32) {
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mut exponent = power.parse().unwrap_or(0);
        let mut digits = Digits { bytes: [0; DIGITS_MAX], len: 0 };
        // Zeros count only when a digit follows.
        let mut zeros = 0;
        let mut is_fraction = false;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => is_fraction = true,
                b'0' => {
                    zeros += usize::from(digits.len > 0);
                    exponent -= i32::from(is_fraction);
                }
                _ => {
                    exponent -= i32::from(is_fraction);
                    digits.bytes[digits.len..digits.len + zeros].fill(b'0');
                    digits.len += zeros + 1;
                    digits.bytes[digits.len - 1] = byte;
                    zeros = 0;
                }
            }
        }
        (digits, exponent + zeros as i32)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The score that an element of a listpack is the text of. Only a payload of strange origin, which
/// nobody has looked through, has what is no score there.
#[inline]
pub(super) fn parse(element: Element<'_>) -> f64 {
    match element {
        Element::Int(value) => value as f64,
        Element::Bytes(_) => parse_checked(element).unwrap_or(0.0),
    }
}

/// The score that an element is the text of, if it is one.
pub(super) fn parse_checked(element: Element<'_>) -> Option<f64> {
    let value = match element {
        Element::Int(value) => value as f64,
        Element::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
    };
    (!value.is_nan()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_redis() {
        for (score, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1e18, "1000000000000000000"),
            (-(2f64.powi(60)), "-1152921504606846976"),
            (4611686018427388928.0, "4611686018427389000"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (123456789.125, "123456789.125"),
            (1000.5, "1000.5"),
            (0.00012345, "1.2345e-4"),
            (0.0012345, "0.0012345"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let printed = ScoreText::of(score);
            assert_eq!(std::str::from_utf8(printed.as_bytes()), Ok(text));
        }
    }

    #[test]
    fn texts_read_back() {
        let mut bits = 1_u64;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let score = f64::from_bits(bits ^ bits >> 31);
            if !score.is_nan() {
                assert_eq!(parse(Element::Bytes(ScoreText::of(score).as_bytes())), score);
            }
        }
        assert_eq!(parse(Element::Int(-7)), -7.0);
        for strange in ["", "x", "nan", "1 2", "\u{e9}"] {
            assert_eq!(parse(Element::Bytes(strange.as_bytes())), 0.0);
        }
    }
}
