//! Error replies: the texts that several commands share.

use std::borrow::Cow;

/// The text of an error reply, prefix included, without the leading `-`. Bytes, because some
/// errors echo what the client has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError(Inner);

/// What is not for clients is no text: a script can answer any.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Inner {
    Text(Cow<'static, [u8]>),
    NeedsRole,
    NeedsTime,
}

impl ReplyError {
    /// An error with a constant text.
    pub const fn new(text: &'static str) -> Self {
        ReplyError(Inner::Text(Cow::Borrowed(text.as_bytes())))
    }

    /// The text; none if it is not for clients.
    pub fn text(&self) -> &[u8] {
        match &self.0 {
            Inner::Text(text) => text,
            Inner::NeedsRole | Inner::NeedsTime => b"",
        }
    }
}

impl From<&'static str> for ReplyError {
    fn from(text: &'static str) -> Self {
        ReplyError::new(text)
    }
}

impl From<String> for ReplyError {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Vec<u8>> for ReplyError {
    fn from(text: Vec<u8>) -> Self {
        ReplyError(Inner::Text(Cow::Owned(text)))
    }
}

/// An error that quotes what the client sent, byte for byte up to a NUL, as C's `%s` does. (Line
/// breaks in it are a matter of writing the reply.)
pub fn quoting(before: &str, input: &[u8], after: &str) -> ReplyError {
    let input = crate::dispatch::echo(input, usize::MAX);
    [before.as_bytes(), input, after.as_bytes()].concat().into()
}

/// Options in the wrong place, unknown or contradicting.
pub const SYNTAX: ReplyError = ReplyError::new("ERR syntax error");
/// An integer argument that is none.
pub const NOT_INTEGER: ReplyError = ReplyError::new("ERR value is not an integer or out of range");
/// A float argument that is none.
pub const NOT_FLOAT: ReplyError = ReplyError::new("ERR value is not a valid float");
/// A key of another type.
pub const WRONG_TYPE: ReplyError =
    ReplyError::new("WRONGTYPE Operation against a key holding the wrong kind of value");
/// A key that must exist.
pub const NO_KEY: ReplyError = ReplyError::new("ERR no such key");
/// A number outside of its range.
pub const OUT_OF_RANGE: ReplyError = ReplyError::new("ERR value is out of range");
/// A number that must not be negative.
pub const NOT_POSITIVE: ReplyError = ReplyError::new("ERR value is out of range, must be positive");
/// A database number outside of its range.
pub const DB_RANGE: ReplyError = ReplyError::new("ERR DB index is out of range");
/// A string that would grow past `proto-max-bulk-len`.
pub const TOO_LONG: ReplyError =
    ReplyError::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
/// Not for clients: the command looks into a large collection, and dispatch has to run it again
/// with the role of its shard.
pub const NEEDS_ROLE: ReplyError = ReplyError(Inner::NeedsRole);

/// Not for clients: the command takes too long where it runs, and dispatch has to run it again on the
/// pool.
pub const NEEDS_TIME: ReplyError = ReplyError(Inner::NeedsTime);

/// Memory is short.
pub const OOM: ReplyError =
    ReplyError::new("OOM command not allowed when used memory > 'maxmemory'.");
/// The data is not there yet.
pub const LOADING: ReplyError = ReplyError::new("LOADING Redis is loading the dataset in memory");
/// Not authenticated.
pub const NO_AUTH: ReplyError = ReplyError::new("NOAUTH Authentication required.");
/// DEBUG is off.
pub const PROTECTED: ReplyError = ReplyError::new(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
     can run it from a local connection, otherwise you need to set this option in the \
     configuration file, and then restart the server.",
);
/// A command that must not be queued comes after MULTI.
pub const NO_MULTI: ReplyError = ReplyError::new("ERR Command not allowed inside a transaction");

/// A connection that monitors wants data.
pub const MONITORING: ReplyError = ReplyError::new("ERR Replica can't interact with the keyspace");

/// A RESP2 connection that has subscribed to something wants anything else; `name` is the full name.
pub fn subscriber_mode(name: &str) -> ReplyError {
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    )
    .into()
}

/// The number of arguments does not fit; `name` is the full name (`client|list`).
pub fn wrong_arity(name: &str) -> ReplyError {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

/// An expiry that is not in its range; `name` is the command's name.
pub fn invalid_expire(name: &str) -> ReplyError {
    format!("ERR invalid expire time in '{name}' command").into()
}

#[cfg(test)]
mod tests {
    use super::{NEEDS_ROLE, NEEDS_TIME, ReplyError, quoting};

    #[test]
    fn no_text_of_a_script_is_what_is_not_for_clients() {
        for text in ["", " ", "\0"] {
            let error = ReplyError::from(text.to_owned());
            assert!(error != NEEDS_ROLE && error != NEEDS_TIME, "{text:?}");
        }
    }

    #[test]
    fn quoted_input_ends_at_a_nul() {
        assert_eq!(quoting("ERR x ", b"a\r\nb\n", "").text(), b"ERR x a\r\nb\n");
        assert_eq!(quoting("ERR '", b"a\n\0b", "'").text(), b"ERR 'a\n'");
    }
}
