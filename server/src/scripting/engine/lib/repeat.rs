//! `string.rep`. Lua's own repeats nothing as often as it is told, without asking anybody.

use super::{number_arg, string_arg};
use crate::scripting::engine::limits::Limits;
use crate::scripting::engine::raise::truncated;
use mlua::{Function, Lua, LuaString, MultiValue};
use std::rc::Rc;

/// `rep`.
pub(in crate::scripting::engine) fn function(
    lua: &Lua,
    limits: &Rc<Limits>,
) -> mlua::Result<Function> {
    let limits = Rc::clone(limits);
    lua.create_function(move |lua, args: MultiValue| rep(lua, &limits, &args))
}

fn rep(lua: &Lua, limits: &Limits, args: &MultiValue) -> mlua::Result<LuaString> {
    let text = string_arg(lua, args, 1)?;
    let times = usize::try_from(truncated(number_arg(lua, args, 2)?)).unwrap_or(0);
    let text = text.as_bytes();
    let bytes = text.len().saturating_mul(times);
    limits.room(bytes)?;
    limits.work(bytes)?;
    lua.create_string(text.repeat(times))
}
