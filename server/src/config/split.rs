//! The grammar of a configuration line: words, quotes and escapes.
//!
//! Words are separated by blanks. `"..."` knows `\n \r \t \b \a \\ \"` and `\xHH`; `'...'` knows
//! only `\'`. A closing quote must be followed by a blank or the end of the line.

/// Splits a line into words; `None` when quotes are unbalanced.
#[must_use]
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|c| !is_blank(*c));
        let Some(start) = start else {
            return Some(words);
        };
        rest = &rest[start..];
        let mut word = Vec::new();
        while let Some((&c, tail)) = rest.split_first() {
            match c {
                b'"' => rest = double_quoted(tail, &mut word)?,
                b'\'' => rest = single_quoted(tail, &mut word)?,
                c if is_blank(c) || c == 0 => break,
                c => {
                    word.push(c);
                    rest = tail;
                    continue;
                }
            }
            break;
        }
        words.push(word);
        if rest.first() == Some(&0) {
            return Some(words);
        }
    }
}

/// Blanks of C's `isspace`.
fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn closes(rest: &[u8]) -> bool {
    rest.first().is_none_or(|c| is_blank(*c))
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', c, tail @ ..] => {
                word.push(match c {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [b'"', tail @ ..] => return closes(tail).then_some(tail),
            [c, tail @ ..] => {
                word.push(*c);
                rest = tail;
            }
            [] => return None,
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [b'\'', tail @ ..] => return closes(tail).then_some(tail),
            [c, tail @ ..] => {
                word.push(*c);
                rest = tail;
            }
            [] => return None,
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// The word as [`split_words`] reads it back: as it is, or in double quotes where it must be.
#[must_use]
pub fn quote(word: &[u8]) -> Vec<u8> {
    let plain = |c: &u8| c.is_ascii_graphic() && !matches!(c, b'"' | b'\'' | b'\\' | b'#');
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    let mut out = vec![b'"'];
    for c in word {
        match c {
            b'"' | b'\\' => out.extend([b'\\', *c]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x20..=0x7e => out.push(*c),
            other => out.extend(format!("\\x{other:02x}").into_bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &[u8]) -> Option<Vec<String>> {
        let words = split_words(line)?;
        Some(words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect())
    }

    #[test]
    fn words_quotes_and_escapes() {
        let some = |list: &[&str]| Some(list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(b"  a  b\tc \r\n"), some(&["a", "b", "c"]));
        assert_eq!(words(b""), some(&[]));
        assert_eq!(words(b"save \"\""), some(&["save", ""]));
        assert_eq!(words(b"x 'it\\'s' '\\n'"), some(&["x", "it's", "\\n"]));
        assert_eq!(words(br#""\x41\n\t\\\"\q\xg""#), some(&["A\n\t\\\"qxg"]));
        assert_eq!(words(b"pre\"fix\" b"), some(&["prefix", "b"]));
        assert_eq!(words(b"\"a"), None);
        assert_eq!(words(b"'a"), None);
        assert_eq!(words(b"\"a\"b"), None);
        assert_eq!(words(b"\"a\\"), None);
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(list: Vec<Vec<u8>>) {
            let quoted: Vec<_> = list.iter().map(|word| quote(word)).collect();
            prop_assert_eq!(split_words(&quoted.join(&b' ')), Some(list));
            prop_assert!(quoted.iter().flatten().all(|c| (0x20..=0x7e).contains(c)));
        }

        #[test]
        fn any_line_is_split_or_refused(line: Vec<u8>) {
            if let Some(words) = split_words(&line) {
                prop_assert!(words.iter().map(Vec::len).sum::<usize>() <= line.len());
            }
        }
    }
}
