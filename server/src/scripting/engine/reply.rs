//! Replies and Lua values, both ways.
//!
//! | reply | in Lua |
//! |---|---|
//! | integer | number |
//! | bulk string | string |
//! | array | table, 1 to n |
//! | status | `{ok = ...}` |
//! | error | `{err = ...}` |
//! | null of RESP2 | `false` |
//! | null of RESP3 | `nil` |
//! | boolean | boolean |
//! | double | `{double = ...}` |
//! | big number | `{big_number = ...}` |
//! | map | `{map = {...}}` |
//! | set | `{set = {member = true}}` |
//! | verbatim string | `{verbatim_string = {string = ..., format = ...}}` |
//!
//! Back, the first field that fits decides what a table is, numbers lose their fraction, an array
//! ends at its first `nil`, and `true` is 1 and `false` null unless the script has asked for RESP3.

use super::limits::Limits;
use super::raise::{ErrorReply, table as error_table, truncated};
use dunlin_protocol::{Proto, Reply, number};
use mlua::{Lua, Table, Value};

/// Deepest nesting of a reply that is given to a script; commands stay far below.
const MAX_DEPTH: usize = 32;

/// Turns a reply, as bytes, into a value.
pub(super) fn to_lua(lua: &Lua, reply: &[u8]) -> mlua::Result<Value> {
    let mut reader = Reader { lua, rest: reply };
    reader.value(0)
}

struct Reader<'l, 'r> {
    lua: &'l Lua,
    rest: &'r [u8],
}

impl<'r> Reader<'_, 'r> {
    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        let line = self.line()?;
        let (kind, text) = line.split_first().ok_or_else(broken)?;
        if depth > MAX_DEPTH {
            return Err(broken());
        }
        match kind {
            b':' => Ok(Value::Number(integer(text)?)),
            b'$' => match self.bulk(text)? {
                Some(bytes) => Ok(Value::String(self.lua.create_string(bytes)?)),
                None => Ok(Value::Boolean(false)),
            },
            b'*' | b'>' if text == b"-1" => Ok(Value::Boolean(false)),
            b'*' | b'>' => self.array(count(text)?, depth),
            b'+' => self.field("ok", |lua| Ok(Value::String(lua.create_string(text)?))),
            b'-' => {
                let text = super::raise::with_code(line);
                error_table(self.lua, &ErrorReply { text, counted: true }).map(Value::Table)
            }
            b'_' => Ok(Value::Nil),
            b'#' => Ok(Value::Boolean(text == b"t")),
            b',' => {
                let double = number::parse_f64(text).unwrap_or(f64::NAN);
                self.field("double", |_| Ok(Value::Number(double)))
            }
            b'(' => self.field("big_number", |lua| Ok(Value::String(lua.create_string(text)?))),
            b'=' => self.verbatim(text),
            b'%' => self.map(count(text)?, depth),
            b'~' => self.set(count(text)?, depth),
            b'|' => {
                for _ in 0..count(text)? * 2 {
                    self.value(depth + 1)?;
                }
                self.value(depth + 1)
            }
            _ => Err(broken()),
        }
    }

    fn line(&mut self) -> mlua::Result<&'r [u8]> {
        let end = memchr::memchr(b'\r', self.rest).ok_or_else(broken)?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.get(2..).ok_or_else(broken)?;
        Ok(line)
    }

    fn bulk(&mut self, length: &[u8]) -> mlua::Result<Option<&'r [u8]>> {
        if length == b"-1" {
            return Ok(None);
        }
        let (bytes, rest) = self.rest.split_at_checked(count(length)?).ok_or_else(broken)?;
        self.rest = rest.get(2..).ok_or_else(broken)?;
        Ok(Some(bytes))
    }

    fn field(
        &self,
        name: &str,
        value: impl FnOnce(&Lua) -> mlua::Result<Value>,
    ) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value(self.lua)?)?;
        Ok(Value::Table(table))
    }

    fn array(&mut self, n: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for i in 1..=n {
            table.raw_set(i, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, n: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..n {
            let key = self.value(depth + 1)?;
            table.raw_set(key, self.value(depth + 1)?)?;
        }
        self.field("map", |_| Ok(Value::Table(table)))
    }

    fn set(&mut self, n: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..n {
            table.raw_set(self.value(depth + 1)?, true)?;
        }
        self.field("set", |_| Ok(Value::Table(table)))
    }

    fn verbatim(&mut self, length: &[u8]) -> mlua::Result<Value> {
        let text = self.bulk(length)?.ok_or_else(broken)?;
        let (format, string) = text.split_at_checked(4).ok_or_else(broken)?;
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("string", self.lua.create_string(string)?)?;
        table.raw_set("format", self.lua.create_string(&format[..3])?)?;
        self.field("verbatim_string", |_| Ok(Value::Table(table)))
    }
}

fn broken() -> mlua::Error {
    super::raise::misuse("a command has answered something that is no reply")
}

#[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floats")]
fn integer(text: &[u8]) -> mlua::Result<f64> {
    number::parse_i64(text).map(|n| n as f64).ok_or_else(broken)
}

fn count(text: &[u8]) -> mlua::Result<usize> {
    number::parse_i64(text).and_then(|n| usize::try_from(n).ok()).ok_or_else(broken)
}

/// Slots of Lua's stack that a conversion may take, as in Redis: what nests deeper is answered
/// with an error in the place of the rest.
const STACK: usize = 8000;
/// Slots in use when the conversion begins, and slots it wants free for every value.
const BASE: usize = 2;
const ROOM: usize = 4;
/// Values in one reply. A table that contains itself twice would double with each level.
const MAX_VALUES: usize = 1 << 24;

/// Writes a value of a script as a reply. An error at the top is returned instead.
///
/// # Errors
/// Memory does not suffice, or the script is to end: what is written is no reply.
pub(super) fn from_lua(
    lua: &Lua,
    limits: &Limits,
    value: Value,
    script_proto: Proto,
    reply: &mut Reply,
) -> mlua::Result<Result<(), ErrorReply>> {
    if let Value::Table(table) = &value
        && let Some(error) = error_of(table)?
    {
        return Ok(Err(error));
    }
    // What is still to be written, innermost last.
    let mut open: Vec<Level> = Vec::new();
    let (before, mut written) = (reply.pending(), 0);
    let mut next = Some((value, BASE));
    while let Some((value, at)) = next {
        limits.value()?;
        written += 1;
        if at + ROOM > STACK || written > MAX_VALUES {
            reply.error("ERR reached lua stack limit");
        } else if let Some(level) = write(lua, value, at, script_proto, reply)?
            && level.len > 0
        {
            open.push(level);
        }
        limits.room(reply.pending() - before)?;
        next = take(&mut open)?;
    }
    Ok(Ok(()))
}

/// Values that follow a header. They stay in a table: Lua holds a few thousand values for Rust, not
/// all of a long reply.
struct Level {
    items: Table,
    taken: usize,
    len: usize,
    /// The stack that its second, fourth, ... and its first, third, ... value would be at in Redis.
    at: [usize; 2],
}

/// The next value of the innermost level, which is done with its last one.
fn take(open: &mut Vec<Level>) -> mlua::Result<Option<(Value, usize)>> {
    let Some(level) = open.last_mut() else { return Ok(None) };
    level.taken += 1;
    let item = (level.items.raw_get(level.taken)?, level.at[level.taken % 2]);
    if level.taken == level.len {
        open.pop();
    }
    Ok(Some(item))
}

/// Writes one value, or the header of one; returns what follows it.
fn write(
    lua: &Lua,
    value: Value,
    at: usize,
    script_proto: Proto,
    reply: &mut Reply,
) -> mlua::Result<Option<Level>> {
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Integer(n) => reply.int(n),
        Value::Number(n) => reply.int(truncated(n)),
        Value::Boolean(on) => match (script_proto, on) {
            (Proto::Resp3, on) => reply.bool(on),
            (Proto::Resp2, true) => reply.int(1),
            (Proto::Resp2, false) => reply.null(),
        },
        Value::Table(table) => return write_table(lua, table, at, reply),
        _ => reply.null(),
    }
    Ok(None)
}

fn write_table(
    lua: &Lua,
    table: Table,
    at: usize,
    reply: &mut Reply,
) -> mlua::Result<Option<Level>> {
    if let Some(error) = error_of(&table)? {
        reply.error(&error.text);
        return Ok(None);
    }
    if let Value::String(status) = table.raw_get("ok")? {
        let status = status.as_bytes();
        let end = memchr::memchr(0, &status).unwrap_or(status.len());
        reply.raw(&[b"+", one_line(&status[..end]).as_slice(), b"\r\n"].concat());
        return Ok(None);
    }
    match table.raw_get("double")? {
        #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floats")]
        Value::Integer(n) => {
            reply.double(n as f64);
            return Ok(None);
        }
        Value::Number(n) => {
            reply.double(n);
            return Ok(None);
        }
        _ => {}
    }
    if let Value::String(digits) = table.raw_get("big_number")? {
        let digits = one_line(&digits.as_bytes());
        reply.big_number(&String::from_utf8_lossy(&digits));
        return Ok(None);
    }
    if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
        && let Value::String(format) = verbatim.raw_get("format")?
        && let Value::String(string) = verbatim.raw_get("string")?
    {
        reply.verbatim(&format.to_string_lossy(), &string.as_bytes());
        return Ok(None);
    }
    if let Value::Table(map) = table.raw_get("map")? {
        let level = flattened(lua, &map, true, [at + 3, at + 4])?;
        reply.map(level.len / 2);
        return Ok(Some(level));
    }
    if let Value::Table(set) = table.raw_get("set")? {
        let level = flattened(lua, &set, false, [at + 3; 2])?;
        reply.set(level.len);
        return Ok(Some(level));
    }
    let mut len = 0;
    while !table.raw_get::<Value>(len + 1)?.is_nil() {
        len += 1;
    }
    reply.array(len);
    Ok(Some(Level { items: table, taken: 0, len, at: [at + 1; 2] }))
}

/// The keys of a table, with the values after them if they are wanted.
fn flattened(lua: &Lua, table: &Table, values: bool, at: [usize; 2]) -> mlua::Result<Level> {
    let items = lua.create_table()?;
    let mut len = 0;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        len += 1;
        items.raw_set(len, key)?;
        if values {
            len += 1;
            items.raw_set(len, value)?;
        }
    }
    Ok(Level { items, taken: 0, len, at })
}

/// The error that a table stands for.
pub(super) fn error_of(table: &Table) -> mlua::Result<Option<ErrorReply>> {
    let Value::String(text) = table.raw_get("err")? else {
        return Ok(None);
    };
    let counted = table.raw_get::<Value>("ignore_error_stats_update")? == Value::Boolean(true);
    let text = text.as_bytes();
    let end = memchr::memchr(0, &text).unwrap_or(text.len());
    Ok(Some(ErrorReply { text: text[..end].to_vec(), counted }))
}

fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}
