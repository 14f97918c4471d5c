//! Text from clients, made fit to be shown.

use crate::escape::escape;

/// At most about `limit` characters of `bytes`. What is not UTF-8, what cannot be seen, and what
/// would turn the text around it (bidirectional controls) is escaped as Redis does; JSON and HTML
/// are the business of whoever writes these.
pub(super) fn shown(bytes: &[u8], limit: usize) -> String {
    let mut out = String::new();
    let mut room = limit;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if room == 0 {
                return cut(out);
            }
            room -= 1;
            match is_plain(c) {
                true => out.push(c),
                false => escaped(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut out),
            }
        }
        for byte in chunk.invalid() {
            if room == 0 {
                return cut(out);
            }
            room -= 1;
            escaped(&[*byte], &mut out);
        }
    }
    out
}

fn cut(mut out: String) -> String {
    out.push('…');
    out
}

fn escaped(bytes: &[u8], out: &mut String) {
    let mut text = Vec::new();
    escape(bytes, &mut text);
    out.push_str(&String::from_utf8_lossy(&text));
}

fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_can_be_read_is_shown_as_it_is() {
        assert_eq!(shown(b"user:1", 9), "user:1");
        assert_eq!(shown("ключ \"a\" <img>".as_bytes(), 99), "ключ \"a\" <img>");
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(shown(b"a\n\0\xff\xfeb", 99), r"a\n\x00\xff\xfeb");
        assert_eq!(shown("a\u{202e}b".as_bytes(), 99), r"a\xe2\x80\xaeb");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shown("ééééé".as_bytes(), 3), "ééé…");
        assert_eq!(shown(b"\xff\xff\xff", 2), r"\xff\xff…");
        assert_eq!(shown(b"abc", 3), "abc");
        let long = vec![b'x'; 10_000];
        assert_eq!(shown(&long, 60).chars().count(), 61);
    }
}
