//! What one character of a pattern stands for: itself, any, a class (`%a`) or a set (`[a-z]`).

/// Whether a byte is one of those that an item stands for. Items are not empty, and those in brackets
/// are complete.
pub(super) fn fits(byte: u8, item: &[u8]) -> bool {
    match item {
        [b'.'] => true,
        [b'%', class] => in_class(byte, *class),
        [b'[', set @ .., b']'] => in_set(byte, set),
        [itself] => byte == *itself,
        _ => false,
    }
}

/// Whether a byte is in a class; the capital letter is the opposite, and what is no class's letter
/// stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let belongs = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    belongs != class.is_ascii_uppercase()
}

/// Whether a byte is in a set, of which this is what is between the brackets.
pub(super) fn in_set(byte: u8, set: &[u8]) -> bool {
    let (wanted, mut rest) = match set {
        [b'^', rest @ ..] => (false, rest),
        _ => (true, set),
    };
    loop {
        let (fits, more) = match rest {
            [] => return !wanted,
            [b'%', class, more @ ..] => (in_class(byte, *class), more),
            [low, b'-', high, more @ ..] => ((*low..=*high).contains(&byte), more),
            [itself, more @ ..] => (byte == *itself, more),
        };
        if fits {
            return wanted;
        }
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ASCII characters that an item stands for.
    fn members(item: &str) -> String {
        (0..128).filter(|byte| fits(*byte, item.as_bytes())).map(char::from).collect()
    }

    #[test]
    fn classes_are_those_of_c() {
        for (item, count) in [
            (".", 128),
            ("%a", 52),
            ("%c", 33),
            ("%d", 10),
            ("%l", 26),
            ("%p", 32),
            ("%s", 6),
            ("%u", 26),
            ("%w", 62),
            ("%x", 22),
            ("%z", 1),
        ] {
            assert_eq!(members(item).len(), count, "{item}");
            if item != "." {
                assert_eq!(members(&item.to_uppercase()).len(), 128 - count, "{item}");
            }
        }
        assert_eq!(["a", "%%", "%g"].map(members), ["a", "%", "g"]);
        assert!(!fits(0xe9, b"%a") && fits(0xe9, b"%A"));
    }

    #[test]
    fn sets_are_read_from_left_to_right() {
        for (item, expected) in [
            ("[abc]", "abc"),
            ("[a-c]", "abc"),
            ("[c-a]", ""),
            ("[a-]", "-a"),
            ("[-a]", "-a"),
            ("[]]", "]"),
            ("[]-_]", "]^_"),
            ("[%]x]", "]x"),
            ("[%d-f]", "-0123456789f"),
            ("[a-c%u^]", "ABCDEFGHIJKLMNOPQRSTUVWXYZ^abc"),
        ] {
            let mut expected: Vec<char> = expected.chars().collect();
            expected.sort_unstable();
            assert_eq!(members(item).chars().collect::<Vec<_>>(), expected, "{item}");
        }
        assert_eq!(members("[^%w]").len(), 128 - 62);
        assert_eq!(members("[^]]").len(), 127);
        assert_eq!(members("[%a-%%]").len(), 52 + 2);
    }
}
