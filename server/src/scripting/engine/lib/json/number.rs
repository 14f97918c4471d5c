//! Numbers as C reads and writes them.

/// `%.{precision}g`.
pub(super) fn format_general(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let precision = precision.max(1);
    // Rust rounds as C does: to the nearest, ties to even.
    let scientific = format!("{value:.*e}", precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let fits = exponent >= -4 && usize::try_from(exponent.max(0)).unwrap_or(0) < precision;
    if fits {
        let places = i32::try_from(precision).unwrap_or(i32::MAX) - 1 - exponent;
        let fixed = format!("{value:.*}", usize::try_from(places).unwrap_or(0));
        return without_zeros(&fixed).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.unsigned_abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// C's `strtod`: the number that a text begins with, and its length; 0: none.
pub(super) fn leading_number(text: &[u8]) -> (f64, usize) {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let body = text.get(sign..).unwrap_or_default();
    let (value, length) = unsigned(body);
    match length {
        0 => (0.0, 0),
        length => (if negative { -value } else { value }, sign + length),
    }
}

fn unsigned(text: &[u8]) -> (f64, usize) {
    let begins = |word: &str| {
        text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    if begins("infinity") {
        return (f64::INFINITY, 8);
    } else if begins("inf") {
        return (f64::INFINITY, 3);
    } else if begins("nan") {
        return (f64::NAN, 3);
    } else if begins("0x")
        && let Some(found) = hexadecimal(text.get(2..).unwrap_or_default())
    {
        return (found.0, found.1 + 2);
    }
    decimal(text)
}

fn digits(text: &[u8], is_digit: fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_digit(byte)).count()
}

fn decimal(text: &[u8]) -> (f64, usize) {
    let whole = digits(text, u8::is_ascii_digit);
    let mut end = whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits(text.get(end + 1..).unwrap_or_default(), u8::is_ascii_digit);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return (0.0, 0);
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        end += exponent(text.get(end..).unwrap_or_default());
    }
    let number = std::str::from_utf8(text.get(..end).unwrap_or_default()).unwrap_or_default();
    (number.parse().unwrap_or(0.0), end)
}

/// Length of an exponent with its letter; 0: there are no digits.
fn exponent(text: &[u8]) -> usize {
    let sign = usize::from(matches!(text.get(1), Some(b'-' | b'+')));
    match digits(text.get(1 + sign..).unwrap_or_default(), u8::is_ascii_digit) {
        0 => 0,
        n => 1 + sign + n,
    }
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let value_of = |byte: &u8| char::from(*byte).to_digit(16).map_or(0.0, f64::from);
    let whole = digits(text, u8::is_ascii_hexdigit);
    let mut value = text[..whole].iter().fold(0.0, |n, byte| n * 16.0 + value_of(byte));
    let mut end = whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        let rest = text.get(end + 1..).unwrap_or_default();
        fraction = digits(rest, u8::is_ascii_hexdigit);
        let mut scale = 1.0 / 16.0;
        for byte in &rest[..fraction] {
            value += value_of(byte) * scale;
            scale /= 16.0;
        }
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(text.get(end), Some(b'p' | b'P')) {
        let length = exponent(text.get(end..).unwrap_or_default());
        if length > 0 {
            let power = text.get(end + 1..end + length).unwrap_or_default();
            let power = std::str::from_utf8(power).ok().and_then(|text| text.parse::<i32>().ok());
            value *= 2.0_f64.powi(power.unwrap_or(i32::MAX));
            end += length;
        }
    }
    Some((value, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_printf_does() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (100_000_000_000_000.0, "1e+14"),
            (12_345_678_901_234.0, "12345678901234"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e100, "1e+100"),
            (2.345_678_901_234_568, "2.3456789012346"),
            (0.99999999999999999, "1"),
        ] {
            assert_eq!(format_general(value, 14), text);
        }
        assert_eq!(format_general(2.34567, 3), "2.35");
        assert_eq!(format_general(31415.9, 3), "3.14e+04");
        assert_eq!(format_general(9.99, 2), "10");
        assert_eq!(format_general(5.0, 1), "5");
        assert_eq!(format_general(f64::NEG_INFINITY, 14), "-inf");
    }

    #[test]
    fn numbers_are_read_as_strtod_does() {
        for (text, value, length) in [
            ("12]", 12.0, 2),
            ("-1.5e3,", -1500.0, 6),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            (".5", 0.5, 2),
            ("5.", 5.0, 2),
            (".", 0.0, 0),
            ("-", 0.0, 0),
            ("x", 0.0, 0),
            ("0x1F", 31.0, 4),
            ("0x.8", 0.5, 4),
            ("0x1p4", 16.0, 5),
            ("0xg", 0.0, 1),
            ("Infinity", f64::INFINITY, 8),
            ("-inf", f64::NEG_INFINITY, 4),
            ("1e999", f64::INFINITY, 5),
        ] {
            assert_eq!(leading_number(text.as_bytes()), (value, length), "{text}");
        }
        assert!(leading_number(b"nan").0.is_nan());
    }
}
