//! Glob patterns.

use dunlin::glob;

/// What follows the element at the front of a pattern, and whether that matches a byte.
fn element(pattern: &[u8], byte: u8, nocase: bool) -> Option<(&[u8], bool)> {
    let fold = |c: u8| if nocase { c.to_ascii_lowercase() } else { c };
    Some(match pattern {
        [] => return None,
        [b'?', rest @ ..] => (rest, true),
        [b'\\', c, rest @ ..] => (rest, fold(*c) == fold(byte)),
        [b'[', rest @ ..] => {
            let (negated, mut rest) = match rest {
                [b'^', rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let mut found = false;
            let rest = loop {
                rest = match rest {
                    [] => break rest,
                    [b'\\', c, tail @ ..] => {
                        found |= *c == byte;
                        tail
                    }
                    [b']', tail @ ..] => break tail,
                    [a, b'-', b, tail @ ..] => {
                        let (a, b) = (fold(*a.min(b)), fold(*a.max(b)));
                        found |= (a..=b).contains(&fold(byte));
                        tail
                    }
                    [c, tail @ ..] => {
                        found |= fold(*c) == fold(byte);
                        tail
                    }
                };
            };
            (rest, found != negated)
        }
        [c, rest @ ..] => (rest, fold(*c) == fold(byte)),
    })
}

/// The definition, in a table: from which places of the text what is left of the pattern matches.
fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut reached, mut rest) = (vec![false; text.len() + 1], pattern);
    reached[0] = true;
    while !rest.is_empty() {
        if let [b'*', tail @ ..] = rest {
            let first = reached.iter().position(|&is| is).unwrap_or(reached.len());
            reached[first..].fill(true);
            rest = tail;
            continue;
        }
        let mut next = vec![false; text.len() + 1];
        let mut after = rest;
        for (at, &byte) in text.iter().enumerate() {
            if let Some((tail, matches)) = element(rest, byte, nocase) {
                next[at + 1] = reached[at] && matches;
                after = tail;
            }
        }
        (reached, rest) = (next, after);
    }
    reached[text.len()]
}

/// A pattern, a line feed and a text: they match as the definition says.
pub fn glob(data: &[u8]) {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (pattern, text) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    // The table is as large as the product of their lengths.
    if text.len() > 300 || pattern.len() > glob::MAX_STARS {
        return;
    }
    assert_eq!(glob::matches(pattern, text), naive(pattern, text, false));
    assert_eq!(glob::matches_nocase(pattern, text), naive(pattern, text, true));
    if let Some(literal) = glob::literal(pattern) {
        assert_eq!(glob::matches(pattern, text), literal == text);
    }
}
