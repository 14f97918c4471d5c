//! Errors that functions in Rust raise in a script.
//!
//! mlua carries a Rust error through Lua as an object. Scripts expect Redis's errors there: a
//! message with the place where it was raised, or the table of an error reply. [`unwrap`] makes
//! these of the object wherever a script can get hold of an error (`pcall` and the like).

use super::frames;
use mlua::{Error, IntoLua as _, Lua, LuaString, Value};
use std::fmt;

/// What a function raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raise {
    /// A message.
    Message(Vec<u8>),
    /// The table of an error reply.
    Reply(ErrorReply),
}

/// An error reply as scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorReply {
    /// Code and text, without a minus.
    pub(super) text: Vec<u8>,
    /// It has been counted already, by the command that answered it.
    pub(super) counted: bool,
}

impl fmt::Display for Raise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Raise::Message(text) | Raise::Reply(ErrorReply { text, .. })) = self;
        f.write_str(&String::from_utf8_lossy(text))
    }
}

impl std::error::Error for Raise {}

impl From<Raise> for Error {
    fn from(raise: Raise) -> Error {
        Error::external(raise)
    }
}

/// The text of an error reply with a code: what is given without one gets `ERR`.
pub(super) fn with_code(text: &[u8]) -> Vec<u8> {
    let text = text.trim_ascii_end();
    match text.strip_prefix(b"-") {
        None => [b"ERR ", text].concat(),
        Some(coded) if coded.contains(&b' ') => coded.to_vec(),
        Some(bare) => [b"ERR ", bare].concat(),
    }
}

/// An error reply of the interface itself, raised: `redis.log() requires ...`.
pub(super) fn misuse(text: &str) -> Error {
    Raise::Reply(ErrorReply { text: with_code(text.as_bytes()), counted: false }).into()
}

/// A message with the place of the caller in front, as `luaL_error` makes it.
pub(super) fn fault(lua: &Lua, text: impl AsRef<[u8]>) -> Error {
    let mut message = place(lua, frames::called(lua) + 1).into_bytes();
    message.extend_from_slice(text.as_ref());
    Raise::Message(message).into()
}

/// `bad argument #n to 'name' (why)`; the value in front of a method is not counted.
pub(super) fn bad_argument(lua: &Lua, n: usize, why: &str) -> Error {
    let names = lua.inspect_stack(frames::called(lua), |frame| {
        let names = frame.names();
        (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
    });
    let (name, is_method) = names.unwrap_or_default();
    let name = name.unwrap_or_else(|| "?".to_owned());
    match (n, is_method) {
        (1, true) => fault(lua, format!("calling '{name}' on bad self ({why})")),
        (n, true) if n > 1 => fault(lua, format!("bad argument #{} to '{name}' ({why})", n - 1)),
        (n, _) => fault(lua, format!("bad argument #{n} to '{name}' ({why})")),
    }
}

/// `bad argument ... (number expected, got nil)`.
pub(super) fn wrong_type(lua: &Lua, n: usize, expected: &str, got: Option<&Value>) -> Error {
    let got = got.map_or("no value", type_name);
    bad_argument(lua, n, &format!("{expected} expected, got {got}"))
}

/// Lua's name of a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

fn place(lua: &Lua, level: usize) -> String {
    let place = lua.inspect_stack(level, |frame| {
        let line = frame.current_line()?;
        Some(format!("{}:{line}: ", frame.source().short_src?))
    });
    place.flatten().unwrap_or_default()
}

/// What a script shall see of an error.
pub(super) fn unwrap(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    match raised(error) {
        Some(Raise::Message(text)) => lua.create_string(text)?.into_lua(lua),
        Some(Raise::Reply(reply)) => table(lua, reply).map(Value::Table),
        None => lua.create_string(text_of(error))?.into_lua(lua),
    }
}

/// The table of an error reply.
pub(super) fn table(lua: &Lua, reply: &ErrorReply) -> mlua::Result<mlua::Table> {
    let table = lua.create_table_with_capacity(0, 2)?;
    table.raw_set("err", lua.create_string(&reply.text)?)?;
    if reply.counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}

/// What was raised, if one of ours is at the bottom of an error.
pub(super) fn raised(error: &Error) -> Option<&Raise> {
    let mut error = error;
    loop {
        error = match error {
            Error::CallbackError { cause, .. }
            | Error::WithContext { cause, .. }
            | Error::BadArgument { cause, .. } => cause,
            Error::ExternalError(external) => return external.downcast_ref(),
            _ => return None,
        };
    }
}

const TRACEBACK: &str = "\nstack traceback:\n";

/// The text of an error that is not one of ours.
pub(super) fn text_of(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => text_of(cause),
        // mlua adds the stack to errors that pass through it.
        Error::RuntimeError(text) | Error::MemoryError(text) => match text.split_once(TRACEBACK) {
            Some((message, _)) => message.to_owned(),
            None => text.clone(),
        },
        Error::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

/// The bytes of a value that Lua takes for a string: numbers are.
pub(super) fn string_of(lua: &Lua, value: &Value) -> Option<LuaString> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(_) | Value::Number(_) => lua.coerce_string(value.clone()).ok().flatten(),
        _ => None,
    }
}

/// The number in a value that Lua takes for one: numerals are.
pub(super) fn number_of(lua: &Lua, value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floats")]
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        Value::String(_) => lua.coerce_number(value.clone()).ok().flatten(),
        _ => None,
    }
}

/// A float as C turns it into a 64-bit integer: towards zero, and what does not fit becomes the
/// smallest.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(super) fn truncated(n: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&n) { n as i64 } else { i64::MIN }
}
