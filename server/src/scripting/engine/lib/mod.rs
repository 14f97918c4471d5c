//! The libraries that Redis ships with Lua: `bit`, `cjson`, `cmsgpack`, `struct`, and its own random
//! numbers. They behave as the originals in C do, messages included.

mod bits;
mod json;
mod msgpack;
mod packing;
pub(super) mod pattern;
pub(super) mod random;
pub(super) mod repeat;

use super::limits::Limits;
use super::raise::{number_of, string_of, wrong_type};
use mlua::{Lua, LuaString, MultiValue, Table, Value};
use std::rc::Rc;

/// The libraries by name.
pub(super) fn libraries(lua: &Lua, limits: &Rc<Limits>) -> mlua::Result<Table> {
    let libraries = lua.create_table()?;
    libraries.raw_set("bit", bits::library(lua)?)?;
    libraries.raw_set("cjson", json::library(lua, limits)?)?;
    libraries.raw_set("cmsgpack", msgpack::library(lua, limits)?)?;
    libraries.raw_set("struct", packing::library(lua, limits)?)?;
    Ok(libraries)
}

/// Argument `n` (from 1) as a number.
fn number_arg(lua: &Lua, args: &MultiValue, n: usize) -> mlua::Result<f64> {
    let arg = args.get(n - 1);
    arg.and_then(|value| number_of(lua, value)).ok_or_else(|| wrong_type(lua, n, "number", arg))
}

/// Argument `n` (from 1) as a string.
fn string_arg(lua: &Lua, args: &MultiValue, n: usize) -> mlua::Result<LuaString> {
    let arg = args.get(n - 1);
    arg.and_then(|value| string_of(lua, value)).ok_or_else(|| wrong_type(lua, n, "string", arg))
}

/// The number in a value that is one; numerals are not.
fn plain_number(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floats")]
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        _ => None,
    }
}
