//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\` to take the next byte literally.
//!
//! Matching is iterative with one point to go back to, the last `*`: a later `*` makes every
//! earlier choice irrelevant, so the cost is at most pattern times text and a hostile pattern
//! (`a*a*a*a*b`) is harmless. There is no recursion.
//!
//! Redis's corner cases are kept, because `KEYS`, `SCAN` and ACL patterns rely on them: a class
//! without `]` ends with the pattern, `[]` matches nothing, `[z-a]` is `[a-z]`, a range swallows
//! whatever byte follows the dash, and an empty text matches only the empty pattern.

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
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
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
