//! The arithmetic of `INCRBYFLOAT`.
//!
//! The peers compute with C's `long double`, which on x86-64 is the x87's extended precision: a
//! 64-bit mantissa. They print with 17 digits behind the point and cut trailing zeros. The mantissa
//! is what makes `3.0` plus `1.1` give `4.1`: a double's error shows within 17 digits, this one's
//! does not. To give the same bytes on every machine, the arithmetic is done here in integers:
//! decimal to mantissa, addition and printing are each rounded once, to nearest, ties to even, as
//! the hardware and its C library do.
//!
//! Two things differ from the hardware: exponents are not limited to 15 bits (texts are limited
//! instead: what exceeds 10^4932 is infinite, as there), and numbers below 10^-4931 keep their
//! full precision, which 17 digits cannot show.

use std::fmt;

use super::float::{exponent_part, hex_parts};
use crate::limits::MAX_FLOAT_TEXT;

/// Digits behind the point that are printed.
const FRACTION_DIGITS: usize = 17;
/// Ten to the power of [`FRACTION_DIGITS`].
const FRACTION_SCALE: u128 = 100_000_000_000_000_000;
/// A mantissa times two to this power is infinite: the largest exponent, less the mantissa's.
const MAX_EXPONENT: i64 = 16384 - 64;
/// A mantissa times two to this power is rounded to zero: below half the smallest denormal.
const MIN_EXPONENT: i64 = -16446 - 64;

/// Significant digits that count; whether more follow decides ties only, and the first this many
/// of them decide nearly all. Bounds the work for one text.
const MAX_DIGITS: usize = 1000;
/// Powers of ten beyond this are out of range.
const MAX_POWER: i64 = 5000;

/// Why an increment cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatError {
    /// One of the texts is no number.
    NotFloat,
    /// The result has no finite value.
    NotFinite,
}

impl fmt::Display for FloatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFloat => "ERR value is not a valid float",
            Self::NotFinite => "ERR increment would produce NaN or Infinity",
        })
    }
}

impl std::error::Error for FloatError {}

/// `current` plus `increment`, both texts: the text that `INCRBYFLOAT` stores and answers.
pub fn incr_by_float(current: &[u8], increment: &[u8]) -> Result<Vec<u8>, FloatError> {
    let current = Extended::parse(current).ok_or(FloatError::NotFloat)?;
    let increment = Extended::parse(increment).ok_or(FloatError::NotFloat)?;
    current.add(&increment).and_then(|sum| sum.print()).ok_or(FloatError::NotFinite)
}

/// Prints a double with 17 digits behind the point and cuts trailing zeros.
///
/// Infinities and NaN are `inf`, `-inf`, `nan`.
pub fn format_f64_human(value: f64) -> Vec<u8> {
    if !value.is_finite() {
        return super::format_f64(value).as_bytes().to_vec();
    }
    let bits = value.to_bits();
    let field = i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if field == 0 { fraction } else { fraction | 1 << 52 };
    let extended = Extended {
        negative: value.is_sign_negative(),
        mantissa,
        exponent: field.max(1) - 1075,
        infinite: false,
    };
    extended.print().unwrap_or_default()
}

/// `mantissa` times two to the power of `exponent`. The mantissa is not normalised: bits that are
/// not there are zero, so nothing is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i64,
    infinite: bool,
}

impl Extended {
    fn infinity(negative: bool) -> Self {
        Self { negative, mantissa: 0, exponent: 0, infinite: true }
    }

    /// What C's `strtold` makes of the whole text, errors of range refused.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_FLOAT_TEXT {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::infinity(negative));
        }
        let value = match text {
            [b'0', b'x' | b'X', hex @ ..] => {
                let (digits, power) = hex_parts(hex)?;
                let (mantissa, cut) = Big::from_u128(digits).round(false);
                // A zero with an exponent would be shifted by it.
                let exponent = if mantissa == 0 { 0 } else { power + cut };
                Self { negative, mantissa, exponent, infinite: false }
            }
            decimal => Self::parse_decimal(decimal, negative)?,
        };
        value.in_range().then_some(value)
    }

    /// Whether the hardware could hold it: neither infinite nor rounded to zero.
    fn in_range(&self) -> bool {
        let top = self.exponent + i64::from(self.mantissa.checked_ilog2().unwrap_or(0)) - 63;
        self.mantissa == 0 || (MIN_EXPONENT < top && top <= MAX_EXPONENT)
    }

    fn parse_decimal(text: &[u8], negative: bool) -> Option<Self> {
        let (mantissa, power) = match text.iter().position(|&b| matches!(b, b'e' | b'E')) {
            Some(at) => (&text[..at], exponent_part(&text[at + 1..])?),
            None => (text, 0),
        };
        let mut digits = Big::default();
        let (mut any, mut sticky, mut point) = (false, false, false);
        let mut significant = 0usize;
        let mut power = power;
        for &byte in mantissa {
            match byte {
                b'0'..=b'9' if significant < MAX_DIGITS => {
                    any = true;
                    digits.multiply_add(10, u32::from(byte - b'0'));
                    significant += usize::from(!digits.is_zero());
                    power -= i64::from(point);
                }
                b'0'..=b'9' => {
                    sticky |= byte != b'0';
                    power += i64::from(!point);
                }
                b'.' if !point => point = true,
                _ => return None,
            }
        }
        if !any {
            return None;
        }
        if digits.is_zero() {
            return Some(Self { negative, mantissa: 0, exponent: 0, infinite: false });
        }
        if sticky {
            digits.multiply_add(10, 1);
            power -= 1;
        }
        let magnitude = power + i64::try_from(significant).ok()?;
        if !(-MAX_POWER..=MAX_POWER).contains(&magnitude) {
            return None;
        }
        let scale = Big::power_of_ten(usize::try_from(power.unsigned_abs()).ok()?);
        let (mantissa, exponent) = if power >= 0 {
            digits.multiply(&scale).round(false)
        } else {
            digits.divide_rounded(&scale)
        };
        Some(Self { negative, mantissa, exponent, infinite: false })
    }

    /// The sum; `None` if it is not finite.
    fn add(&self, other: &Self) -> Option<Self> {
        if self.infinite || other.infinite {
            return None;
        }
        let (high, low) =
            if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        if high.mantissa == 0 || low.mantissa == 0 {
            let value = if high.mantissa == 0 { low } else { high };
            let negative = value.negative && (value.mantissa != 0 || high.negative && low.negative);
            return Some(Self { negative, ..value.clone() });
        }
        let shift = usize::try_from(high.exponent - low.exponent).ok()?;
        let left = Big::from_u64(high.mantissa).shifted_left(shift);
        let right = Big::from_u64(low.mantissa);
        let (sum, negative) = if high.negative == low.negative {
            (left.add(&right), high.negative)
        } else if left.at_least(&right) {
            (left.subtract(&right), high.negative)
        } else {
            (right.subtract(&left), low.negative)
        };
        let negative = negative && !sum.is_zero();
        let (mantissa, up) = sum.round(false);
        let sum = Self { negative, mantissa, exponent: low.exponent + up, infinite: false };
        (mantissa == 0 || sum.in_range()).then_some(sum)
    }

    /// The text with 17 digits behind the point, trailing zeros cut.
    pub fn print(&self) -> Option<Vec<u8>> {
        if self.infinite {
            return None;
        }
        let mut text = Vec::new();
        let scaled = if self.exponent >= 0 {
            let shift = usize::try_from(self.exponent).ok()?;
            Big::from_u64(self.mantissa)
                .shifted_left(shift)
                .multiply(&Big::power_of_ten(FRACTION_DIGITS))
        } else {
            // A 64-bit mantissa times 10^17 fits 121 bits.
            let product = u128::from(self.mantissa) * FRACTION_SCALE;
            Big::from_u128(shift_right_rounded(product, self.exponent.unsigned_abs()))
        };
        let digits = scaled.decimal();
        let padded =
            [&vec![b'0'; (FRACTION_DIGITS + 1).saturating_sub(digits.len())][..], &digits].concat();
        let (whole, fraction) = padded.split_at(padded.len() - FRACTION_DIGITS);
        text.extend_from_slice(whole);
        let kept = fraction.iter().rposition(|&b| b != b'0').map_or(0, |last| last + 1);
        if kept > 0 {
            text.push(b'.');
            text.extend_from_slice(&fraction[..kept]);
        }
        // A zero has no sign in this form, however it came about.
        if self.negative && text != b"0" {
            text.insert(0, b'-');
        }
        Some(text)
    }
}

/// Arithmetic with infinities, for commands with bounds.
impl Extended {
    /// Zero.
    pub const ZERO: Extended =
        Extended { negative: false, mantissa: 0, exponent: 0, infinite: false };
    /// The largest finite number.
    pub const MAX: Extended =
        Extended { negative: false, mantissa: u64::MAX, exponent: MAX_EXPONENT, infinite: false };
    /// The smallest finite number.
    pub const MIN: Extended =
        Extended { negative: true, mantissa: u64::MAX, exponent: MAX_EXPONENT, infinite: false };

    /// Whether it is an infinity.
    pub fn is_infinite(&self) -> bool {
        self.infinite
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative && (self.infinite || self.mantissa != 0)
    }

    /// The sum; an infinity if one of the two is or if it is too large.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sign = if self.infinite { self } else { other };
        // Finite numbers overflow only if their signs are the same.
        self.add(other).unwrap_or_else(|| Self::infinity(sign.negative))
    }

    /// The difference, as [`Extended::plus`].
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&Self { negative: !other.negative, ..other.clone() })
    }

    /// A thousand times this, in this precision, then rounded up to an integer: seconds as
    /// milliseconds. What is too small for 64 bits is the smallest they hold; `None`: too large.
    pub fn thousandfold_up(&self) -> Option<i64> {
        let lowest = self.negative.then_some(i64::MIN);
        if self.infinite {
            return lowest;
        }
        let (mantissa, up) = Big::from_u128(u128::from(self.mantissa) * 1000).round(false);
        if mantissa == 0 {
            return Some(0);
        }
        let (mantissa, exponent) = (u128::from(mantissa), self.exponent + up);
        let whole = match exponent {
            // 64 bits and these are more than a signed integer of 64 has.
            64.. => return lowest,
            0.. => mantissa << exponent,
            // Nothing of it is left, and a negative number is rounded towards zero.
            ..=-64 => u128::from(!self.negative),
            _ => {
                let shift = exponent.unsigned_abs();
                let whole = mantissa >> shift;
                whole + u128::from(!self.negative && whole << shift != mantissa)
            }
        };
        match i64::try_from(whole) {
            Ok(whole) => Some(if self.negative { -whole } else { whole }),
            Err(_) => lowest,
        }
    }

    /// Whether it is less than `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        match (self.infinite, other.infinite) {
            (true, true) => self.negative && !other.negative,
            _ => self.minus(other).is_negative(),
        }
    }
}

/// Divides by a power of two, to nearest, ties to even.
fn shift_right_rounded(value: u128, shift: u64) -> u128 {
    if shift > 127 {
        return 0;
    }
    let quotient = value >> shift;
    let rest = value - (quotient << shift);
    let half = 1u128 << (shift - 1);
    quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
}

/// A natural number of any size: 32-bit limbs, least significant first, none of them zero at the
/// top. Its size is bounded by the length of the texts it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Big(Vec<u32>);

impl Big {
    fn from_u64(value: u64) -> Self {
        Self::from_u128(u128::from(value))
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the value apart")]
    fn from_u128(mut value: u128) -> Self {
        let mut limbs = Vec::with_capacity(4);
        while value > 0 {
            limbs.push(value as u32);
            value >>= 32;
        }
        Self(limbs)
    }

    fn power_of_ten(power: usize) -> Self {
        let mut value = Self::from_u64(1);
        for _ in 0..power / 9 {
            value.multiply_add(1_000_000_000, 0);
        }
        for _ in 0..power % 9 {
            value.multiply_add(10, 0);
        }
        value
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    fn bit(&self, at: usize) -> bool {
        self.0.get(at / 32).is_some_and(|limb| limb >> (at % 32) & 1 == 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "splits a product into limbs")]
    fn multiply_add(&mut self, factor: u32, addend: u32) {
        let mut carry = u64::from(addend);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "splits a product into limbs")]
    fn multiply(&self, other: &Self) -> Self {
        let mut limbs = vec![0u32; self.0.len() + other.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (j, &b) in other.0.iter().enumerate() {
                carry += u64::from(a) * u64::from(b) + u64::from(limbs[i + j]);
                limbs[i + j] = carry as u32;
                carry >>= 32;
            }
            limbs[i + other.0.len()] = carry as u32;
        }
        Self(limbs).trimmed()
    }

    fn shifted_left(&self, shift: usize) -> Self {
        let mut limbs = vec![0u32; shift / 32];
        let mut carry = 0u64;
        for &limb in &self.0 {
            carry |= u64::from(limb) << (shift % 32);
            #[expect(clippy::cast_possible_truncation, reason = "the upper half is carried")]
            limbs.push(carry as u32);
            carry >>= 32;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than one limb is left")]
        limbs.push(carry as u32);
        Self(limbs).trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn at_least(&self, other: &Self) -> bool {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_ge()
    }

    #[expect(clippy::cast_possible_truncation, reason = "splits a sum into limbs")]
    fn add(&self, other: &Self) -> Self {
        let mut carry = 0u64;
        let mut limbs = Vec::with_capacity(self.0.len().max(other.0.len()) + 1);
        for i in 0..self.0.len().max(other.0.len()) {
            let limb = |big: &Self| u64::from(big.0.get(i).copied().unwrap_or(0));
            carry += limb(self) + limb(other);
            limbs.push(carry as u32);
            carry >>= 32;
        }
        limbs.push(carry as u32);
        Self(limbs).trimmed()
    }

    /// The difference; `other` must not be the larger one.
    fn subtract(&self, other: &Self) -> Self {
        let mut borrow = false;
        let mut limbs = Vec::with_capacity(self.0.len());
        for (i, &limb) in self.0.iter().enumerate() {
            let (value, first) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (value, second) = value.overflowing_sub(u32::from(borrow));
            borrow = first || second;
            limbs.push(value);
        }
        Self(limbs).trimmed()
    }

    /// Rounds to 64 bits, ties to even: the mantissa and the power of two that was cut off.
    /// `sticky` says that something smaller than the last bit follows.
    fn round(&self, sticky: bool) -> (u64, i64) {
        let cut = self.bits().saturating_sub(64);
        let mut mantissa = 0u64;
        for at in (cut..self.bits()).rev() {
            mantissa = mantissa << 1 | u64::from(self.bit(at));
        }
        let mut exponent = i64::try_from(cut).unwrap_or(i64::MAX);
        if cut > 0 && self.bit(cut - 1) {
            let tie = !sticky && (0..cut - 1).all(|at| !self.bit(at));
            if !tie || mantissa & 1 == 1 {
                match mantissa.checked_add(1) {
                    Some(up) => mantissa = up,
                    None => (mantissa, exponent) = (1 << 63, exponent + 1),
                }
            }
        }
        (mantissa, exponent)
    }

    /// The quotient, rounded to 64 bits: mantissa and power of two.
    fn divide_rounded(&self, divisor: &Self) -> (u64, i64) {
        // Scaled so that the quotient has 66 or 67 bits: enough to round, with the rest as sticky.
        let want = 66 + divisor.bits();
        let shift = want.saturating_sub(self.bits());
        let mut rest = self.shifted_left(shift);
        let mut quotient = Self::default();
        for at in (0..=rest.bits().saturating_sub(divisor.bits())).rev() {
            let part = divisor.shifted_left(at);
            let fits = rest.at_least(&part);
            if fits {
                rest = rest.subtract(&part);
            }
            quotient.multiply_add(2, u32::from(fits));
        }
        let (mantissa, cut) = quotient.round(!rest.is_zero());
        (mantissa, cut - i64::try_from(shift).unwrap_or(i64::MAX))
    }

    /// The decimal digits; empty for zero.
    fn decimal(&self) -> Vec<u8> {
        const GROUP: u64 = 1_000_000_000;
        let mut limbs = self.0.clone();
        let mut digits = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0u64;
            for limb in limbs.iter_mut().rev() {
                rest = rest << 32 | u64::from(*limb);
                #[expect(clippy::cast_possible_truncation, reason = "rest < GROUP < 2^32")]
                let quotient = (rest / GROUP) as u32;
                *limb = quotient;
                rest %= GROUP;
            }
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
            for _ in 0..9 {
                digits.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
                rest /= 10;
            }
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        digits.reverse();
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Result<String, FloatError> {
        incr_by_float(a.as_bytes(), b.as_bytes()).map(|t| String::from_utf8(t).unwrap())
    }

    #[test]
    fn seconds_as_milliseconds_as_the_x87_rounds_them() {
        for (text, millis) in [
            ("0", Some(0)),
            ("0.1", Some(100)),
            ("0.01", Some(10)),
            ("0.0001", Some(1)),
            ("0.29", Some(290)),
            ("1.001", Some(1001)),
            ("0.1000000000000000000001", Some(100)),
            ("1e-30", Some(1)),
            ("-1e-30", Some(0)),
            ("-0.0001", Some(0)),
            ("-0.001", Some(0)),
            ("-1.5", Some(-1500)),
            ("1e15", Some(1_000_000_000_000_000_000)),
            ("9223372036854775.807", Some(i64::MAX)),
            ("9223372036854775.808", None),
            ("inf", None),
            ("1e300", None),
            ("-1e30", Some(i64::MIN)),
            ("-inf", Some(i64::MIN)),
            ("0x1p-1", Some(500)),
        ] {
            let value = Extended::parse(text.as_bytes()).expect(text);
            assert_eq!(value.thousandfold_up(), millis, "{text}");
        }
    }

    #[test]
    fn sums_as_the_x87_prints_them() {
        for (a, b, text) in [
            ("3.0", "1.1", "4.1"),
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1", "0"),
            ("-0", "0", "0"),
            ("0", "-1.5", "-1.5"),
            ("1e-18", "0", "0"),
            ("-1e-18", "0", "0"),
            ("0x10", "0x1p-1", "16.5"),
            ("0x10aabbbdbaadcdbadabcbbcaaddb", "0", "338045444351234439812743855865856"),
            ("0x0p999999999", "-0x0p999999999", "0"),
            ("1e20", "1", "100000000000000000000"),
            ("1e30", "0", "1000000000000000000024696061952"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Ok(text), "{a} + {b}");
        }
        for (a, b) in
            [("a", "1"), ("1", ""), (" 1", "1"), ("1", "1 "), ("nan", "1"), ("1e5000", "0")]
        {
            assert_eq!(sum(a, b), Err(FloatError::NotFloat), "{a} + {b}");
        }
        for (a, b) in [("1", "inf"), ("-inf", "inf"), ("1e4932", "1e4932")] {
            assert_eq!(sum(a, b), Err(FloatError::NotFinite), "{a} + {b}");
        }
    }

    #[test]
    fn doubles_for_humans() {
        let print = |value| String::from_utf8(format_f64_human(value)).unwrap();
        assert_eq!(print(0.0), "0");
        assert_eq!(print(-1.5), "-1.5");
        assert_eq!(print(0.1), "0.10000000000000001");
        assert_eq!(print(1e22), "10000000000000000000000");
        assert_eq!(print(f64::INFINITY), "inf");
        assert_eq!(print(5e-324), "0");
    }
}
