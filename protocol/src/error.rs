//! Protocol errors: what a peer sent is no RESP, and where the next command starts is unknown.
//!
//! The connection is answered with the error's text and closed. `Display` gives the text of the
//! reply without the leading `-` and the line end, in the exact words that clients know.

use std::fmt;

/// Why a connection's input cannot be parsed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*` is not followed by a canonical decimal, or by one above 2^31-1.
    InvalidMultibulkLength,
    /// `$` is not followed by a canonical decimal between zero and the allowed length.
    InvalidBulkLength,
    /// An argument starts with another byte than `$`.
    ExpectedBulk(u8),
    /// An inline command exceeds the line limit.
    TooBigInline,
    /// A multibulk header exceeds the line limit.
    TooBigMultibulkCount,
    /// A bulk header exceeds the line limit.
    TooBigBulkCount,
    /// A quote of an inline command is not closed, or not followed by a space.
    UnbalancedQuotes,
    /// More arguments than allowed before authentication.
    UnauthenticatedMultibulkLength,
    /// A longer bulk string than allowed before authentication.
    UnauthenticatedBulkLength,
    /// One command fills [`MAX_CONTIGUOUS`](crate::limits::MAX_CONTIGUOUS) without being complete.
    TooBigRequest,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        f.write_str(match *self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::ExpectedBulk(got) => return write!(f, "expected '$', got '{}'", printable(got)),
            Self::TooBigInline => "too big inline request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::TooBigRequest => "too big request",
        })
    }
}

impl std::error::Error for ProtocolError {}

/// The byte as it may stand in an error line: no line end can be smuggled into the reply.
fn printable(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        b' '..=b'~' => char::from(byte),
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_ones_clients_know() {
        let text = |e: ProtocolError| e.to_string();
        assert_eq!(
            text(ProtocolError::InvalidMultibulkLength),
            "ERR Protocol error: invalid multibulk length"
        );
        assert_eq!(
            text(ProtocolError::ExpectedBulk(b'f')),
            "ERR Protocol error: expected '$', got 'f'"
        );
        assert_eq!(
            text(ProtocolError::ExpectedBulk(b'\n')),
            "ERR Protocol error: expected '$', got ' '"
        );
        assert_eq!(
            text(ProtocolError::UnauthenticatedBulkLength),
            "ERR Protocol error: unauthenticated bulk length"
        );
    }
}
