//! Lua to JSON, without recursion: scripts decide how deep tables nest.

use super::number::format_general;
use super::{HARD_DEPTH, Invalid, Settings, one, only_one};
use crate::scripting::engine::lib::plain_number;
use crate::scripting::engine::raise::{fault, type_name};
use mlua::{Lua, MultiValue, Table, Value};

pub(super) fn encode(
    lua: &Lua,
    settings: &Settings,
    args: &MultiValue,
) -> mlua::Result<MultiValue> {
    let value = only_one(lua, args)?;
    let mut writer = Writer { lua, settings, out: Vec::new() };
    writer.document(value)?;
    Ok(one(Value::String(lua.create_string(writer.out)?)))
}

/// Characters of a string that are written between two looks at what there is.
const PIECE: usize = 4096;

/// A table that is being written. Its values stay in it: Lua holds a few thousand values for Rust, not
/// all of a large table.
struct Open {
    table: Table,
    /// Of an object.
    keys: Option<Table>,
    written: i64,
    length: i64,
}

struct Writer<'l> {
    lua: &'l Lua,
    settings: &'l Settings,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn document(&mut self, value: Value) -> mlua::Result<()> {
        let mut open: Vec<Open> = Vec::new();
        self.value(value, &mut open)?;
        while let Some(top) = open.last_mut() {
            if top.written == top.length {
                self.out.push(if top.keys.is_some() { b'}' } else { b']' });
                open.pop();
                continue;
            }
            self.settings.limits.value()?;
            self.settings.limits.room(self.out.len())?;
            let first = top.written == 0;
            top.written += 1;
            let (key, value): (Option<Value>, Value) = match &top.keys {
                None => (None, top.table.raw_get(top.written)?),
                Some(keys) => {
                    let key: Value = keys.raw_get(top.written)?;
                    let value = top.table.raw_get(&key)?;
                    (Some(key), value)
                }
            };
            if !first {
                self.out.push(b',');
            }
            if let Some(key) = key {
                self.key(&key)?;
            }
            self.value(value, &mut open)?;
        }
        Ok(())
    }

    fn refuse(&self, value: &Value, why: &str) -> mlua::Error {
        fault(self.lua, format!("Cannot serialise {}: {why}", type_name(value)))
    }

    fn key(&mut self, key: &Value) -> mlua::Result<()> {
        if let Value::String(text) = key {
            self.string(&text.as_bytes())?;
        } else if plain_number(key).is_some() {
            self.out.push(b'"');
            self.number(key)?;
            self.out.push(b'"');
        } else {
            return Err(self.refuse(key, "table key must be a number or string"));
        }
        self.out.push(b':');
        Ok(())
    }

    fn value(&mut self, value: Value, open: &mut Vec<Open>) -> mlua::Result<()> {
        match &value {
            Value::String(text) => self.string(&text.as_bytes())?,
            Value::Integer(_) | Value::Number(_) => self.number(&value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Table(table) => {
                let depth = i64::try_from(open.len()).unwrap_or(i64::MAX).saturating_add(1);
                if depth > self.settings.encode_depth.get() || depth > HARD_DEPTH {
                    let text = format!("Cannot serialise, excessive nesting ({depth})");
                    return Err(fault(self.lua, text));
                }
                open.push(self.table(table)?);
            }
            Value::Nil => self.out.extend_from_slice(b"null"),
            null if *null == Value::NULL => self.out.extend_from_slice(b"null"),
            other => return Err(self.refuse(other, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table) -> mlua::Result<Open> {
        let array = self.array_length(table)?;
        let table = table.clone();
        if array > 0 {
            self.out.push(b'[');
            return Ok(Open { table, keys: None, written: 0, length: array });
        }
        self.out.push(b'{');
        let keys = self.lua.create_table()?;
        let mut length = 0;
        for pair in table.pairs::<Value, Value>() {
            self.settings.limits.value()?;
            length += 1;
            keys.raw_set(length, pair?.0)?;
        }
        Ok(Open { table, keys: Some(keys), written: 0, length })
    }

    /// The length of a table that is an array; 0: write it as an object.
    fn array_length(&self, table: &Table) -> mlua::Result<i64> {
        let (mut max, mut items) = (0.0_f64, 0_i64);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair?;
            self.settings.limits.value()?;
            items += 1;
            match plain_number(&key) {
                Some(n) if n >= 1.0 && n.fract() == 0.0 => max = max.max(n),
                _ => return Ok(0),
            }
        }
        // C's int, as in the original.
        let max = if max > f64::from(i32::MAX) { i64::from(i32::MAX) } else { max as i64 };
        let ratio = self.settings.sparse_ratio.get();
        if ratio > 0 && max > items.saturating_mul(ratio) && max > self.settings.sparse_safe.get() {
            if !self.settings.sparse_convert.get() {
                let table = Value::Table(table.clone());
                return Err(self.refuse(&table, "excessively sparse array"));
            }
            return Ok(0);
        }
        Ok(max)
    }

    fn number(&mut self, value: &Value) -> mlua::Result<()> {
        let number = plain_number(value).unwrap_or_default();
        if !number.is_finite() {
            match self.settings.encode_invalid.get() {
                Invalid::Refuse => return Err(self.refuse(value, "must not be NaN or Inf")),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Write => {}
            }
        }
        let precision = usize::try_from(self.settings.precision.get()).unwrap_or(14);
        self.out.extend_from_slice(format_general(number, precision).as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) -> mlua::Result<()> {
        self.out.push(b'"');
        for piece in text.chunks(PIECE) {
            self.settings.limits.work(piece.len())?;
            self.characters(piece);
            self.settings.limits.room(self.out.len())?;
        }
        self.out.push(b'"');
        Ok(())
    }

    fn characters(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                8 => self.out.extend_from_slice(b"\\b"),
                9 => self.out.extend_from_slice(b"\\t"),
                10 => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                13 => self.out.extend_from_slice(b"\\r"),
                0..=31 | 127 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                plain => self.out.push(*plain),
            }
        }
    }
}
