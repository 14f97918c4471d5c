//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\` to take the next byte literally.
//!
//! Matching is iterative with one point to go back to, the last `*`: a later `*` makes every
//! earlier choice irrelevant, so the cost is at most pattern times text and a hostile pattern
//! (`a*a*a*a*b`) is harmless. There is no recursion. As in Redis, a pattern of more than
//! [`MAX_STARS`] matches nothing.
//!
//! Redis's corner cases are kept, because `KEYS`, `SCAN` and ACL patterns rely on them: a class
//! without `]` ends with the pattern, `[]` matches nothing, `[z-a]` is `[a-z]`, a range swallows
//! whatever byte follows the dash, and an empty text matches only the empty pattern.

/// Runs of `*` that something follows, in a pattern that can match: Redis goes no deeper.
pub const MAX_STARS: usize = 1000;

/// Whether `text` matches `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// [`matches`], with ASCII letters compared in any case.
#[must_use]
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

/// The pattern's literal text if it has no special byte; `KEYS` and `SCAN` then look it up.
#[must_use]
pub fn literal(pattern: &[u8]) -> Option<&[u8]> {
    let special = |c: &u8| matches!(c, b'*' | b'?' | b'[' | b'\\');
    (!pattern.iter().any(special)).then_some(pattern)
}

fn run(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Position after the last `*`, and where in the text it was tried last.
    let mut back: Option<(usize, usize)> = None;
    let mut stars = 0;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += pattern[p..].iter().take_while(|c| **c == b'*').count();
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            back = Some((p, t));
            continue;
        }
        if let Some(next) = step(pattern, p, text[t], nocase) {
            p = next;
            t += 1;
        } else if let Some((after, tried)) = back {
            p = after;
            t = tried + 1;
            back = Some((after, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Matches one byte against the element at `p`; the position after the element if it fits.
fn step(pattern: &[u8], p: usize, byte: u8, nocase: bool) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, byte, nocase),
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte, nocase).then_some(p + 2),
        c => same(c, byte, nocase).then_some(p + 1),
    }
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

/// Matches a class whose text begins at `p`.
fn class(pattern: &[u8], mut p: usize, byte: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(p..).unwrap_or_default() {
            [] => break,
            [b'\\', c, ..] => {
                // An escaped byte of a class is compared as it is, whatever the case option says.
                found |= *c == byte;
                p += 2;
            }
            [b']', ..] => {
                p += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= in_range(*first, *last, byte, nocase);
                p += 3;
            }
            [c, ..] => {
                found |= same(*c, byte, nocase);
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let (mut low, mut high) = (first.min(last), first.max(last));
    let mut byte = byte;
    if nocase {
        low = low.to_ascii_lowercase();
        high = high.to_ascii_lowercase();
        byte = byte.to_ascii_lowercase();
    }
    (low..=high).contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_of_too_many_stars_matches_nothing() {
        let text = vec![b'a'; MAX_STARS + 1];
        assert!(matches(&b"*?".repeat(MAX_STARS), &text));
        assert!(
            matches(&[&b"*?".repeat(MAX_STARS)[..], b"**"].concat(), &text),
            "one at the end is free"
        );
        assert!(!matches(&b"*?".repeat(MAX_STARS + 1), &text));
        assert!(matches(&[&b"?".repeat(MAX_STARS)[..], b"****?"].concat(), &text), "a run is one");
    }

    /// The definition, as directly as it can be put: every `*` tries every length.
    fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => {
                (0..=text.len()).any(|skip| naive(rest, &text[skip..], nocase))
            }
            (_, []) => false,
            ([b'?', rest @ ..], [_, tail @ ..]) => naive(rest, tail, nocase),
            ([b'\\', c, rest @ ..], [t, tail @ ..]) => {
                same(*c, *t, nocase) && naive(rest, tail, nocase)
            }
            ([b'[', rest @ ..], [t, tail @ ..]) => {
                let (items, negated, rest) = naive_class(rest);
                let hit = items.iter().any(|(low, high, exact)| {
                    let fold = |c: u8| {
                        if nocase && !exact { c.to_ascii_lowercase() } else { c }
                    };
                    (fold(*low)..=fold(*high)).contains(&fold(*t))
                });
                hit != negated && naive(rest, tail, nocase)
            }
            ([c, rest @ ..], [t, tail @ ..]) => same(*c, *t, nocase) && naive(rest, tail, nocase),
        }
    }

    type Items = Vec<(u8, u8, bool)>;

    fn naive_class(pattern: &[u8]) -> (Items, bool, &[u8]) {
        let (negated, mut rest) = match pattern {
            [b'^', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut items = Vec::new();
        loop {
            match rest {
                [] => return (items, negated, rest),
                [b']', tail @ ..] => return (items, negated, tail),
                [b'\\', c, tail @ ..] => {
                    items.push((*c, *c, true));
                    rest = tail;
                }
                [a, b'-', b, tail @ ..] => {
                    items.push((*a.min(b), *a.max(b), false));
                    rest = tail;
                }
                [c, tail @ ..] => {
                    items.push((*c, *c, false));
                    rest = tail;
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn agrees_with_the_naive_matcher(
            pattern in "[abAB*?\\[\\]^\\\\-]{0,10}",
            text in "[abAB\\[\\]^\\\\*-]{1,8}",
            nocase: bool,
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(run(pattern, text, nocase), naive(pattern, text, nocase));
        }

        #[test]
        fn a_literal_matches_itself_only(pattern in "[a-c*?\\[\\\\]{1,6}", text in "[a-c]{1,6}") {
            if let Some(literal) = literal(pattern.as_bytes()) {
                let equal = literal == text.as_bytes();
                prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), equal);
            } else {
                prop_assert!(pattern.contains(['*', '?', '[', '\\']));
            }
        }
    }

    #[test]
    fn redis_corner_cases() {
        for (pattern, text, expected) in [
            ("h?llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[b-a]llo", "hallo", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[abc", "b", true),
            ("[a-]x", "b", false),
            ("[a-]", "^", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab_", false),
            ("**", "", false),
            ("", "", true),
            ("", "a", false),
            ("a?", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(matches_nocase(b"MAX*[A-C]", b"maxb"));
        assert!(!matches(b"MAX*", b"max"));
    }

    #[test]
    fn a_hostile_pattern_is_polynomial() {
        // 2^40 steps for a matcher that goes back to every star.
        let pattern = b"a*".repeat(40);
        let text = [b"a".repeat(2000), b"b".to_vec()].concat();
        assert!(!matches(&[pattern, b"c".to_vec()].concat(), &text));
    }
}
