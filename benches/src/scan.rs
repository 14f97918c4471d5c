//! Minimal reply scanners for the hot loads.
//!
//! The generator has to out-run the servers on one core, so a reply is not decoded but measured:
//! where it ends and of which sort it is. Two dialects: RESP (2 and 3) and memcached's text
//! protocol. A scanner is a pure function over the bytes received so far; an unfinished reply is
//! scanned again from its start when more has come (bulk bodies are skipped by their length, so
//! that costs a header). The thorough decoding of the checks is done by redis-protocol in
//! [`crate::control`].

/// The dialect a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// RESP2 or RESP3.
    Resp,
    /// memcached's text protocol.
    Memcached,
}

/// A whole reply, as far as loads want to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The text of a status or of an integer.
    Line(&'a [u8]),
    /// A value.
    Value(&'a [u8]),
    /// No such key.
    Miss,
    /// An error, with its text.
    Error(&'a [u8]),
    /// An aggregate, skipped.
    Aggregate {
        /// Its elements; a pair is two.
        elements: usize,
        /// Nulls in it, at all levels.
        missing: usize,
    },
}

/// What stands at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A whole reply and the bytes it takes.
    Whole(Reply<'a>, usize),
    /// The reply goes on beyond the buffer.
    Partial,
    /// Not a reply.
    Broken,
}

/// Scans the first reply of `buf`.
#[inline]
#[must_use]
pub fn scan(wire: Wire, buf: &[u8]) -> Scan<'_> {
    match wire {
        Wire::Resp => resp(buf),
        Wire::Memcached => memcached(buf),
    }
}

/// The line at the start of `buf` without its CRLF, and the bytes it takes.
#[inline]
fn line(buf: &[u8]) -> Option<(&[u8], usize)> {
    let mut from = 0;
    loop {
        let at = from + buf.get(from..)?.iter().position(|&b| b == b'\n')?;
        if at > 0 && buf[at - 1] == b'\r' {
            return Some((&buf[..at - 1], at + 1));
        }
        from = at + 1;
    }
}

#[inline]
fn number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 12 {
        return None;
    }
    let mut n = 0usize;
    for &b in text {
        if !b.is_ascii_digit() {
            return None;
        }
        n = n * 10 + usize::from(b - b'0');
    }
    Some(n)
}

#[inline]
fn resp(buf: &[u8]) -> Scan<'_> {
    let Some(&kind) = buf.first() else {
        return Scan::Partial;
    };
    let Some((text, mut used)) = line(&buf[1..]) else {
        return Scan::Partial;
    };
    used += 1;
    match kind {
        b'+' | b':' | b',' | b'#' | b'(' => Scan::Whole(Reply::Line(text), used),
        b'-' => Scan::Whole(Reply::Error(text), used),
        b'_' => Scan::Whole(Reply::Miss, used),
        b'$' | b'=' => {
            if text == b"-1" {
                return Scan::Whole(Reply::Miss, used);
            }
            let Some(len) = number(text) else {
                return Scan::Broken;
            };
            match buf.get(used..used + len + 2) {
                Some(body) => Scan::Whole(Reply::Value(&body[..len]), used + len + 2),
                None => Scan::Partial,
            }
        }
        b'*' | b'~' | b'>' | b'%' => aggregate(buf, kind, text, used),
        _ => Scan::Broken,
    }
}

fn aggregate<'a>(buf: &'a [u8], kind: u8, text: &[u8], mut used: usize) -> Scan<'a> {
    if text == b"-1" {
        return Scan::Whole(Reply::Miss, used);
    }
    let factor = |kind: u8| if kind == b'%' { 2 } else { 1 };
    let Some(n) = number(text) else {
        return Scan::Broken;
    };
    let elements = n * factor(kind);
    let (mut left, mut missing) = (elements, 0);
    // Elements still to come, of all levels together: nesting needs no stack.
    while left > 0 {
        let Some(&kind) = buf.get(used) else {
            return Scan::Partial;
        };
        if matches!(kind, b'*' | b'~' | b'>' | b'%') {
            let Some((text, taken)) = line(&buf[used + 1..]) else {
                return Scan::Partial;
            };
            used += 1 + taken;
            left -= 1;
            if text == b"-1" {
                missing += 1;
            } else {
                let Some(n) = number(text) else {
                    return Scan::Broken;
                };
                left += n * factor(kind);
            }
            continue;
        }
        match resp(&buf[used..]) {
            Scan::Whole(reply, taken) => {
                used += taken;
                left -= 1;
                missing += usize::from(reply == Reply::Miss);
            }
            Scan::Partial => return Scan::Partial,
            Scan::Broken => return Scan::Broken,
        }
    }
    Scan::Whole(Reply::Aggregate { elements, missing }, used)
}

#[inline]
fn memcached(buf: &[u8]) -> Scan<'_> {
    let Some((text, used)) = line(buf) else {
        return Scan::Partial;
    };
    let Some(rest) = text.strip_prefix(b"VALUE ") else {
        return match text {
            b"END" | b"NOT_FOUND" => Scan::Whole(Reply::Miss, used),
            _ if text == b"ERROR"
                || text.starts_with(b"CLIENT_ERROR")
                || text.starts_with(b"SERVER_ERROR") =>
            {
                Scan::Whole(Reply::Error(text), used)
            }
            _ => Scan::Whole(Reply::Line(text), used),
        };
    };
    // VALUE <key> <flags> <bytes>; a get of one key has one value, then END.
    let Some(len) = rest.rsplit(|&b| b == b' ').next().and_then(number) else {
        return Scan::Broken;
    };
    let tail = b"\r\nEND\r\n";
    match buf.get(used..used + len + tail.len()) {
        None => Scan::Partial,
        Some(body) if &body[len..] == tail => {
            Scan::Whole(Reply::Value(&body[..len]), used + len + tail.len())
        }
        Some(_) => Scan::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(wire: Wire, bytes: &[u8]) -> Vec<Reply<'_>> {
        let (mut at, mut replies) = (0, Vec::new());
        while at < bytes.len() {
            match scan(wire, &bytes[at..]) {
                Scan::Whole(reply, used) => {
                    replies.push(reply);
                    at += used;
                }
                other => panic!("{other:?} at {at}"),
            }
        }
        replies
    }

    const RESP: &[u8] =
        b"+OK\r\n$3\r\na\nb\r\n$-1\r\n:12\r\n-ERR no\r\n*2\r\n*1\r\n:1\r\n$1\r\nx\r\n\
        %1\r\n+a\r\n*-1\r\n_\r\n,1.5\r\n$0\r\n\r\n";

    #[test]
    fn resp_replies() {
        assert_eq!(
            all(Wire::Resp, RESP),
            [
                Reply::Line(b"OK"),
                Reply::Value(b"a\nb"),
                Reply::Miss,
                Reply::Line(b"12"),
                Reply::Error(b"ERR no"),
                Reply::Aggregate { elements: 2, missing: 0 },
                Reply::Aggregate { elements: 2, missing: 1 },
                Reply::Miss,
                Reply::Line(b"1.5"),
                Reply::Value(b""),
            ]
        );
    }

    #[test]
    fn nulls_in_aggregates_are_counted() {
        let bytes = b"*4\r\n$-1\r\n$1\r\na\r\n_\r\n*2\r\n*-1\r\n:1\r\n";
        assert_eq!(all(Wire::Resp, bytes), [Reply::Aggregate { elements: 4, missing: 3 }]);
    }

    #[test]
    fn every_prefix_is_partial() {
        let first = [
            (Wire::Resp, &b"$3\r\na\nb\r\n"[..]),
            (Wire::Resp, b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n"),
            (Wire::Resp, b"-ERR x\r\n"),
            (Wire::Memcached, b"VALUE k 0 3\r\na\r\n\r\nEND\r\n"),
        ];
        for (wire, bytes) in first {
            for cut in 0..bytes.len() {
                assert_eq!(scan(wire, &bytes[..cut]), Scan::Partial, "cut at {cut}");
            }
            assert!(matches!(scan(wire, bytes), Scan::Whole(_, used) if used == bytes.len()));
        }
    }

    #[test]
    fn memcached_replies() {
        let bytes =
            b"STORED\r\nVALUE key 0 5\r\nhello\r\nEND\r\nEND\r\nSERVER_ERROR out of memory\r\n";
        assert_eq!(
            all(Wire::Memcached, bytes),
            [
                Reply::Line(b"STORED"),
                Reply::Value(b"hello"),
                Reply::Miss,
                Reply::Error(b"SERVER_ERROR out of memory"),
            ]
        );
    }

    #[test]
    fn nonsense_is_broken() {
        assert_eq!(scan(Wire::Resp, b"hello\r\n"), Scan::Broken);
        assert_eq!(scan(Wire::Resp, b"$x\r\n"), Scan::Broken);
        assert_eq!(scan(Wire::Memcached, b"VALUE k 0 1\r\nabcdefgh\r\n"), Scan::Broken);
    }
}
