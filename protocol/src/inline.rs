//! Inline commands: a line of words, as typed into a terminal.
//!
//! Words are separated by white space. A word may contain parts in double quotes, where
//! `\n \r \t \b \a`, `\xHH` and a backslash before any other character are escapes, and parts in
//! single quotes, where only `\'` is one. A closing quote ends the word: white space or the end
//! of the line must follow.
//!
//! Unquoting never makes a word longer, so words are unquoted in place, in the receive buffer.

use crate::error::ProtocolError;

/// Unquotes the words of `line` in place and hands each one's offset and length to `word`.
pub(crate) fn split(
    line: &mut [u8],
    mut word: impl FnMut(usize, usize),
) -> Result<(), ProtocolError> {
    let mut read = 0;
    loop {
        while line.get(read).is_some_and(|&b| is_space(b)) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let start = read;
        let mut write = start;
        loop {
            match line.get(read) {
                None | Some(b' ' | b'\n' | b'\r' | b'\t') => break,
                Some(b'"') => {
                    (read, write) = double_quoted(line, read + 1, write)?;
                    break;
                }
                Some(b'\'') => {
                    (read, write) = single_quoted(line, read + 1, write)?;
                    break;
                }
                Some(&byte) => {
                    line[write] = byte;
                    write += 1;
                    read += 1;
                }
            }
        }
        word(start, write - start);
    }
}

/// What C's `isspace` accepts.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Copies the inside of double quotes to `write`; returns the positions behind both.
fn double_quoted(
    line: &mut [u8],
    mut read: usize,
    mut write: usize,
) -> Result<(usize, usize), ProtocolError> {
    loop {
        let byte = match line[read..] {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                read += 4;
                hex(high) << 4 | hex(low)
            }
            [b'\\', escaped, ..] => {
                read += 2;
                unescape(escaped)
            }
            [b'"', ..] => return closed(line, read + 1).map(|read| (read, write)),
            [byte, ..] => {
                read += 1;
                byte
            }
        };
        line[write] = byte;
        write += 1;
    }
}

/// Copies the inside of single quotes to `write`; returns the positions behind both.
fn single_quoted(
    line: &mut [u8],
    mut read: usize,
    mut write: usize,
) -> Result<(usize, usize), ProtocolError> {
    loop {
        let byte = match line[read..] {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'\'', ..] => {
                read += 2;
                b'\''
            }
            [b'\'', ..] => return closed(line, read + 1).map(|read| (read, write)),
            [byte, ..] => {
                read += 1;
                byte
            }
        };
        line[write] = byte;
        write += 1;
    }
}

/// Checks what stands behind a closing quote.
fn closed(line: &[u8], read: usize) -> Result<usize, ProtocolError> {
    match line.get(read) {
        Some(&byte) if !is_space(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(read),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut line = line.to_vec();
        let mut spans = Vec::new();
        split(&mut line, |at, len| spans.push((at, len)))?;
        Ok(spans.iter().map(|&(at, len)| line[at..at + len].to_vec()).collect())
    }

    #[test]
    fn words_and_quotes() {
        assert_eq!(words(b"").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(words(b" \t\x0b\x0c ").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(words(b"set  a\tb").unwrap(), [&b"set"[..], b"a", b"b"]);
        assert_eq!(words(b"a\x0bb").unwrap(), [b"a\x0bb"]);
        assert_eq!(words(br#"x"a b"'"#), Err(ProtocolError::UnbalancedQuotes));
        assert_eq!(words(br#"x"a b" c"#).unwrap(), [&b"xa b"[..], b"c"]);
        assert_eq!(words(br#""" ''"#).unwrap(), [&b""[..], b""]);
        assert_eq!(words(br#""\x41\n\r\t\b\a\"\\\q\xzz""#).unwrap(), [b"A\n\r\t\x08\x07\"\\qxzz"]);
        assert_eq!(words(br"'a\'b\n'").unwrap(), [br"a'b\n"]);
        assert_eq!(words(b"\"a\"\x0bb").unwrap(), [b"a", b"b"]);
    }

    #[test]
    fn unbalanced() {
        for line in [&b"\""[..], b"'", b"\"a", b"'a\\'", b"\"a\"b", b"'a'b", b"\"a\\\"", b"a \"\\"]
        {
            assert_eq!(words(line), Err(ProtocolError::UnbalancedQuotes), "{line:?}");
        }
    }
}
