//! `cmsgpack`: MessagePack.

use super::{number_arg, plain_number, string_arg};
use crate::scripting::engine::limits::Limits;
use crate::scripting::engine::raise::{bad_argument, fault, truncated};
use mlua::{Lua, LuaString, MultiValue, Table, Value};
use std::rc::Rc;

/// Tables nested deeper than this are packed as nil: one may contain itself.
const MAX_NESTING: usize = 16;
/// Nesting and number of values that `unpack` makes; Lua's stack takes few more.
const MAX_STACK: usize = 7900;

pub(super) fn library(lua: &Lua, limits: &Rc<Limits>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let add = |name: &str, f: fn(&Lua, &Limits, &MultiValue) -> mlua::Result<MultiValue>| {
        let limits = Rc::clone(limits);
        let f = move |lua: &Lua, args: MultiValue| f(lua, &limits, &args);
        library.raw_set(name, lua.create_function(f)?)
    };
    add("pack", pack)?;
    add("unpack", |lua, limits, args| unpack(lua, limits, &string_arg(lua, args, 1)?, None))?;
    add("unpack_one", |lua, limits, args| {
        let offset = offset(lua, args, 2)?;
        unpack(lua, limits, &string_arg(lua, args, 1)?, Some((1, offset)))
    })?;
    add("unpack_limit", |lua, limits, args| {
        let limit = truncated(number_arg(lua, args, 2)?);
        let offset = offset(lua, args, 3)?;
        unpack(lua, limits, &string_arg(lua, args, 1)?, Some((limit, offset)))
    })?;
    library.raw_set("_NAME", "cmsgpack")?;
    library.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    library.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    library.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(library)
}

fn offset(lua: &Lua, args: &MultiValue, n: usize) -> mlua::Result<i64> {
    match args.get(n - 1) {
        None | Some(Value::Nil) => Ok(0),
        Some(_) => number_arg(lua, args, n).map(truncated),
    }
}

fn pack(lua: &Lua, limits: &Limits, args: &MultiValue) -> mlua::Result<MultiValue> {
    if args.is_empty() {
        return Err(bad_argument(lua, 0, "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for arg in args {
        encode(limits, arg, &mut out, 0)?;
    }
    Ok(std::iter::once(Value::String(lua.create_string(out)?)).collect())
}

fn encode(limits: &Limits, value: &Value, out: &mut Vec<u8>, level: usize) -> mlua::Result<()> {
    limits.value()?;
    limits.room(out.len())?;
    match value {
        Value::String(text) => {
            let text = text.as_bytes();
            limits.room(out.len() + text.len())?;
            encode_bytes(&text, out);
        }
        Value::Boolean(on) => out.push(if *on { 0xc3 } else { 0xc2 }),
        Value::Table(table) if level < MAX_NESTING => encode_table(limits, table, out, level)?,
        other => match plain_number(other) {
            Some(number) => encode_number(number, out),
            None => out.push(0xc0),
        },
    }
    Ok(())
}

/// A header with a length: short forms up to `limits`, then 16 and 32 bits.
fn header(len: usize, fix: (u8, usize), wide: [u8; 2], out: &mut Vec<u8>) {
    if len < fix.1 {
        out.push(fix.0 | u8::try_from(len).unwrap_or(0));
    } else if let Ok(len) = u16::try_from(len) {
        out.push(wide[0]);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(wide[1]);
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        Ok(len @ 32..) => out.extend_from_slice(&[0xd9, len]),
        _ => header(bytes.len(), (0xa0, 32), [0xda, 0xdb], out),
    }
    out.extend_from_slice(bytes);
}

#[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "exactness is asked for")]
#[expect(clippy::cast_precision_loss, reason = "as the original compares")]
fn encode_number(number: f64, out: &mut Vec<u8>) {
    let integer = truncated(number);
    if integer as f64 == number && integer != i64::MAX {
        encode_integer(integer, out);
    } else if f64::from(number as f32) == number {
        out.push(0xca);
        out.extend_from_slice(&(number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// The shortest form that holds it.
fn encode_integer(n: i64, out: &mut Vec<u8>) {
    let mut put = |code: u8, bytes: &[u8]| {
        out.push(code);
        out.extend_from_slice(bytes);
    };
    if let Ok(n @ 0..=127) | Ok(n @ -32..=-1) = i8::try_from(n) {
        put(n.cast_unsigned(), &[]);
    } else if let Ok(n) = u8::try_from(n) {
        put(0xcc, &n.to_be_bytes());
    } else if let Ok(n) = i8::try_from(n) {
        put(0xd0, &n.to_be_bytes());
    } else if let Ok(n) = u16::try_from(n) {
        put(0xcd, &n.to_be_bytes());
    } else if let Ok(n) = i16::try_from(n) {
        put(0xd1, &n.to_be_bytes());
    } else if let Ok(n) = u32::try_from(n) {
        put(0xce, &n.to_be_bytes());
    } else if let Ok(n) = i32::try_from(n) {
        put(0xd2, &n.to_be_bytes());
    } else {
        put(if n < 0 { 0xd3 } else { 0xcf }, &n.to_be_bytes());
    }
}

fn encode_table(
    limits: &Limits,
    table: &Table,
    out: &mut Vec<u8>,
    level: usize,
) -> mlua::Result<()> {
    let (count, is_list) = shape(limits, table)?;
    if is_list {
        header(count, (0x90, 16), [0xdc, 0xdd], out);
        for i in 1..=count {
            encode(limits, &table.raw_get(i)?, out, level + 1)?;
        }
        return Ok(());
    }
    header(count, (0x80, 16), [0xde, 0xdf], out);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        encode(limits, &key, out, level + 1)?;
        encode(limits, &value, out, level + 1)?;
    }
    Ok(())
}

/// The number of elements, and whether their keys are 1 to n. Nothing is kept of them: Lua holds a few
/// thousand values for Rust, not all of a large table.
#[expect(clippy::cast_precision_loss, reason = "a number of elements")]
fn shape(limits: &Limits, table: &Table) -> mlua::Result<(usize, bool)> {
    let (mut count, mut last, mut are_numbers) = (0, 0.0, true);
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair?;
        limits.value()?;
        count += 1;
        match plain_number(&key) {
            Some(n) if n.fract() == 0.0 && n > 0.0 => last = f64::max(last, n),
            _ => are_numbers = false,
        }
    }
    Ok((count, are_numbers && last <= count as f64))
}

/// Unpacks everything, or at most `limit` values from an offset on; then the offset of the rest
/// comes first, -1 if there is none.
fn unpack(
    lua: &Lua,
    limits: &Limits,
    text: &LuaString,
    window: Option<(i64, i64)>,
) -> mlua::Result<MultiValue> {
    let text = text.as_bytes();
    let (limit, offset) = window.unwrap_or((0, 0));
    if limit < 0 || offset < 0 {
        // The length where the limit should be is the original's.
        let len = text.len();
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(fault(lua, text));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(rest) = text.get(start..) else {
        let len = text.len();
        return Err(fault(lua, format!("Start offset {offset} greater than input length {len}.")));
    };
    let all = limit == 0 && offset == 0;
    let limit = if all { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let mut reader = Reader { lua, limits, rest };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && values.len() < limit {
        if values.len() >= MAX_STACK {
            return Err(too_many(lua));
        }
        values.push(reader.value()?);
    }
    if !all {
        let next = text.len() - reader.rest.len();
        let next = if reader.rest.is_empty() { -1 } else { i64::try_from(next).unwrap_or(-1) };
        values.insert(0, Value::Integer(next));
    }
    Ok(values.into_iter().collect())
}

fn too_many(lua: &Lua) -> mlua::Error {
    let why = "too many return values at once; use unpack_one or unpack_limit instead.";
    fault(lua, format!("stack overflow ({why})"))
}

struct Reader<'l, 't> {
    lua: &'l Lua,
    limits: &'l Limits,
    rest: &'t [u8],
}

/// A list or map that is being filled.
struct Open {
    table: Table,
    /// Values to come; a map has two per entry.
    left: usize,
    /// The next index of a list.
    index: usize,
    is_map: bool,
    key: Option<Value>,
}

/// A value, or the header of one with values in it.
enum Item {
    Value(Value),
    Open(Open),
}

impl<'t> Reader<'_, 't> {
    /// One value, with an explicit stack: the input decides how deep it nests.
    fn value(&mut self) -> mlua::Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.item()? {
                Item::Value(value) => value,
                Item::Open(table) if table.left == 0 => Value::Table(table.table),
                Item::Open(table) => {
                    if open.len() >= MAX_STACK / 2 {
                        return Err(too_many(self.lua));
                    }
                    open.push(table);
                    continue;
                }
            };
            // A value may complete the table it is in, which is then a value of the next one.
            loop {
                let Some(top) = open.last_mut() else {
                    return Ok(value);
                };
                self.put(top, value)?;
                if top.left > 0 {
                    break;
                }
                let Some(complete) = open.pop() else {
                    return Ok(Value::Nil);
                };
                value = Value::Table(complete.table);
            }
        }
    }

    fn put(&self, open: &mut Open, value: Value) -> mlua::Result<()> {
        open.left -= 1;
        if !open.is_map {
            open.table.raw_set(open.index, value)?;
            open.index += 1;
        } else if let Some(key) = open.key.take() {
            match key {
                Value::Nil => return Err(fault(self.lua, "table index is nil")),
                Value::Number(n) if n.is_nan() => {
                    return Err(fault(self.lua, "table index is NaN"));
                }
                key => open.table.raw_set(key, value)?,
            }
        } else {
            open.key = Some(value);
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> mlua::Result<&'t [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            return Err(fault(self.lua, "Missing bytes in input."));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian unsigned number of `N` bytes.
    fn number<const N: usize>(&mut self) -> mlua::Result<u64> {
        Ok(self.take(N)?.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte)))
    }

    fn len<const N: usize>(&mut self) -> mlua::Result<usize> {
        Ok(usize::try_from(self.number::<N>()?).unwrap_or(usize::MAX))
    }

    fn bytes(&mut self, len: usize) -> mlua::Result<Item> {
        let bytes = self.take(len)?;
        Ok(Item::Value(Value::String(self.lua.create_string(bytes)?)))
    }

    fn open(&self, len: usize, is_map: bool) -> mlua::Result<Item> {
        let left = if is_map { len.saturating_mul(2) } else { len };
        let table = self.lua.create_table()?;
        Ok(Item::Open(Open { table, left, index: 1, is_map, key: None }))
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floats")]
    #[expect(clippy::cast_possible_truncation, reason = "of the width that was read")]
    fn item(&mut self) -> mlua::Result<Item> {
        self.limits.value()?;
        let code = self.take(1)?.first().copied().unwrap_or_default();
        let number = match code {
            0x00..=0x7f => f64::from(code),
            0xe0..=0xff => f64::from(code.cast_signed()),
            0xcc => self.number::<1>()? as f64,
            0xcd => self.number::<2>()? as f64,
            0xce => self.number::<4>()? as f64,
            0xd0 => f64::from(self.number::<1>()? as u8 as i8),
            0xd1 => f64::from(self.number::<2>()? as u16 as i16),
            0xd2 => f64::from(self.number::<4>()? as u32 as i32),
            // The original reads unsigned ones of 64 bits as signed too.
            0xcf | 0xd3 => self.number::<8>()?.cast_signed() as f64,
            0xca => f64::from(f32::from_bits(self.number::<4>()? as u32)),
            0xcb => f64::from_bits(self.number::<8>()?),
            0xc0 => return Ok(Item::Value(Value::Nil)),
            0xc2 | 0xc3 => return Ok(Item::Value(Value::Boolean(code == 0xc3))),
            0xd9 => return self.len::<1>().and_then(|len| self.bytes(len)),
            0xda => return self.len::<2>().and_then(|len| self.bytes(len)),
            0xdb => return self.len::<4>().and_then(|len| self.bytes(len)),
            0xa0..=0xbf => return self.bytes(usize::from(code & 0x1f)),
            0xdc => return self.len::<2>().and_then(|len| self.open(len, false)),
            0xdd => return self.len::<4>().and_then(|len| self.open(len, false)),
            0x90..=0x9f => return self.open(usize::from(code & 15), false),
            0xde => return self.len::<2>().and_then(|len| self.open(len, true)),
            0xdf => return self.len::<4>().and_then(|len| self.open(len, true)),
            0x80..=0x8f => return self.open(usize::from(code & 15), true),
            _ => return Err(fault(self.lua, "Bad data format in input.")),
        };
        Ok(Item::Value(Value::Number(number)))
    }
}
