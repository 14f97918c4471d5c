//! `cjson`: JSON, as in Lua CJSON.

mod decode;
mod encode;
mod number;

use super::number_arg;
use crate::scripting::engine::limits::Limits;
use crate::scripting::engine::raise::{bad_argument, string_of, truncated};
use mlua::{Lua, MultiValue, Table, Value};
use std::cell::Cell;
use std::rc::Rc;

/// Deepest nesting, whatever a script asks for: each level of the original takes three of the 8000
/// slots of Lua's stack.
const HARD_DEPTH: i64 = 2600;

/// What a script can set; it stays set for the scripts after it, as in Redis.
#[derive(Debug)]
struct Settings {
    sparse_convert: Cell<bool>,
    sparse_ratio: Cell<i64>,
    sparse_safe: Cell<i64>,
    encode_depth: Cell<i64>,
    decode_depth: Cell<i64>,
    encode_invalid: Cell<Invalid>,
    decode_invalid: Cell<bool>,
    precision: Cell<i64>,
    keep_buffer: Cell<bool>,
    /// No script sets these.
    limits: Rc<Limits>,
}

/// How to write what JSON has no number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

impl Settings {
    fn new(limits: &Rc<Limits>) -> Settings {
        Settings {
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_depth: Cell::new(1000),
            decode_depth: Cell::new(1000),
            encode_invalid: Cell::new(Invalid::Refuse),
            decode_invalid: Cell::new(true),
            precision: Cell::new(14),
            keep_buffer: Cell::new(true),
            limits: Rc::clone(limits),
        }
    }
}

/// A new `cjson` with the settings it begins with.
pub(super) fn library(lua: &Lua, limits: &Rc<Limits>) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let settings = Rc::new(Settings::new(limits));
    let add = |name: &str, f: fn(&Lua, &Settings, &MultiValue) -> mlua::Result<MultiValue>| {
        let settings = Rc::clone(&settings);
        let f = move |lua: &Lua, args: MultiValue| f(lua, &settings, &args);
        library.raw_set(name, lua.create_function(f)?)
    };
    add("encode", encode::encode)?;
    add("decode", decode::decode)?;
    add("encode_sparse_array", sparse_array)?;
    add("encode_max_depth", |lua, s, args| depth(lua, &s.encode_depth, args))?;
    add("decode_max_depth", |lua, s, args| depth(lua, &s.decode_depth, args))?;
    add("encode_number_precision", |lua, s, args| {
        at_most(lua, args, 1)?;
        integer(lua, args, 1, &s.precision, 1..=14).map(one)
    })?;
    add("encode_keep_buffer", |lua, s, args| {
        at_most(lua, args, 1)?;
        switch(lua, args, 1, &s.keep_buffer).map(one)
    })?;
    add("encode_invalid_numbers", encode_invalid)?;
    add("decode_invalid_numbers", |lua, s, args| {
        at_most(lua, args, 1)?;
        switch(lua, args, 1, &s.decode_invalid).map(one)
    })?;
    let limits = Rc::clone(limits);
    let new = move |lua: &Lua, _: MultiValue| library_again(lua, &limits);
    library.raw_set("new", lua.create_function(new)?)?;
    library.raw_set("null", Value::NULL)?;
    library.raw_set("_NAME", "cjson")?;
    library.raw_set("_VERSION", "2.1.0")?;
    Ok(library)
}

fn library_again(lua: &Lua, limits: &Rc<Limits>) -> mlua::Result<Table> {
    library(lua, limits)
}

fn one(value: Value) -> MultiValue {
    std::iter::once(value).collect()
}

fn at_most(lua: &Lua, args: &MultiValue, n: usize) -> mlua::Result<()> {
    if args.len() > n {
        return Err(bad_argument(lua, n + 1, "found too many arguments"));
    }
    Ok(())
}

fn only_one(lua: &Lua, args: &MultiValue) -> mlua::Result<Value> {
    match args.front() {
        Some(value) if args.len() == 1 => Ok(value.clone()),
        _ => Err(bad_argument(lua, 1, "expected 1 argument")),
    }
}

/// Reads a setting and, if the argument is there, changes it first.
fn integer(
    lua: &Lua,
    args: &MultiValue,
    n: usize,
    setting: &Cell<i64>,
    bounds: std::ops::RangeInclusive<i64>,
) -> mlua::Result<Value> {
    if args.get(n - 1).is_some_and(|arg| *arg != Value::Nil) {
        let value = truncated(number_arg(lua, args, n)?);
        if !bounds.contains(&value) {
            let (low, high) = (bounds.start(), bounds.end());
            let why = format!("expected integer between {low} and {high}");
            return Err(bad_argument(lua, 1, &why));
        }
        setting.set(value);
    }
    Ok(Value::Integer(setting.get()))
}

fn depth(lua: &Lua, setting: &Cell<i64>, args: &MultiValue) -> mlua::Result<MultiValue> {
    at_most(lua, args, 1)?;
    integer(lua, args, 1, setting, 1..=i64::from(i32::MAX)).map(one)
}

/// The position of a word among those allowed.
fn word(lua: &Lua, arg: &Value, n: usize, words: &[&str]) -> mlua::Result<usize> {
    let Some(text) = string_of(lua, arg) else {
        return Err(super::wrong_type(lua, n, "string", Some(arg)));
    };
    let text = text.to_string_lossy();
    words
        .iter()
        .position(|word| *word == text)
        .ok_or_else(|| bad_argument(lua, n, &format!("invalid option '{text}'")))
}

fn switch(lua: &Lua, args: &MultiValue, n: usize, setting: &Cell<bool>) -> mlua::Result<Value> {
    match args.get(n - 1) {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(on)) => setting.set(*on),
        Some(arg) => setting.set(word(lua, arg, n, &["off", "on"])? == 1),
    }
    Ok(Value::Boolean(setting.get()))
}

fn sparse_array(lua: &Lua, settings: &Settings, args: &MultiValue) -> mlua::Result<MultiValue> {
    const MAX: i64 = i32::MAX as i64;
    at_most(lua, args, 3)?;
    let convert = switch(lua, args, 1, &settings.sparse_convert)?;
    let ratio = integer(lua, args, 2, &settings.sparse_ratio, 0..=MAX)?;
    let safe = integer(lua, args, 3, &settings.sparse_safe, 0..=MAX)?;
    Ok([convert, ratio, safe].into_iter().collect())
}

fn encode_invalid(lua: &Lua, settings: &Settings, args: &MultiValue) -> mlua::Result<MultiValue> {
    at_most(lua, args, 1)?;
    let setting = &settings.encode_invalid;
    match args.front() {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(on)) => setting.set(if *on { Invalid::Write } else { Invalid::Refuse }),
        Some(arg) => setting.set(match word(lua, arg, 1, &["off", "on", "null"])? {
            0 => Invalid::Refuse,
            1 => Invalid::Write,
            _ => Invalid::Null,
        }),
    }
    Ok(one(match setting.get() {
        Invalid::Refuse => Value::Boolean(false),
        Invalid::Write => Value::Boolean(true),
        Invalid::Null => Value::String(lua.create_string("null")?),
    }))
}
