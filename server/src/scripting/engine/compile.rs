//! From text to a function. There is no way from bytecode: Lua does not check it, and forged
//! bytecode reads and writes any memory.

use super::raise::{self, bad_argument, string_of, wrong_type};
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaString, MultiValue, Value, Variadic};

/// Longest text that is compiled.
const MAX_TEXT: usize = 64 << 20;

/// Compiles a text; `name` is Lua's name of a chunk (`@file` or `=name`).
pub(super) fn text(lua: &Lua, code: &[u8], name: &str) -> mlua::Result<Function> {
    if code.len() > MAX_TEXT {
        return Err(mlua::Error::RuntimeError("the code is too long".into()));
    }
    lua.load(code).set_name(name).set_mode(ChunkMode::Text).into_function()
}

/// Compiles for a script: the function, or nil and why not.
fn for_script(lua: &Lua, code: &[u8], name: &LuaString) -> mlua::Result<Variadic<Value>> {
    // Lua's parser does not hold on to the name of a chunk while it collects garbage; this does.
    let name = name.to_string_lossy().replace('\0', " ");
    let held = lua.create_string(&name)?;
    let compiled = text(lua, code, &name);
    drop(held);
    Ok(match compiled {
        Ok(function) => Variadic::from_iter([Value::Function(function)]),
        Err(error) => {
            let why = lua.create_string(raise::text_of(&error))?;
            Variadic::from_iter([Value::Nil, Value::String(why)])
        }
    })
}

/// `loadstring(text [, name])`.
pub(super) fn loadstring(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, args: MultiValue| {
        let Some(code) = args.front().and_then(|value| string_of(lua, value)) else {
            return Err(wrong_type(lua, 1, "string", args.front()));
        };
        let name = match args.get(1) {
            None | Some(Value::Nil) => code.clone(),
            Some(value) => {
                string_of(lua, value).ok_or_else(|| wrong_type(lua, 2, "string", Some(value)))?
            }
        };
        for_script(lua, &code.as_bytes(), &name)
    })
}

/// `load(function [, name])`: the function gives the text in pieces.
pub(super) fn load(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, args: MultiValue| {
        let Some(Value::Function(reader)) = args.front() else {
            return Err(wrong_type(lua, 1, "function", args.front()));
        };
        let name = match args.get(1) {
            None | Some(Value::Nil) => lua.create_string("=(load)")?,
            Some(value) => {
                string_of(lua, value).ok_or_else(|| wrong_type(lua, 2, "string", Some(value)))?
            }
        };
        let mut code = Vec::new();
        loop {
            match reader.call::<Value>(()) {
                Err(error) => {
                    let why = raise::unwrap(lua, &error)?;
                    return Ok(Variadic::from_iter([Value::Nil, why]));
                }
                Ok(Value::Nil) => break,
                Ok(value) => {
                    let Some(piece) = string_of(lua, &value) else {
                        let why = lua.create_string("reader function must return a string")?;
                        return Ok(Variadic::from_iter([Value::Nil, Value::String(why)]));
                    };
                    if piece.as_bytes().is_empty() {
                        break;
                    }
                    code.extend_from_slice(&piece.as_bytes());
                }
            }
            if code.len() > MAX_TEXT {
                return Err(bad_argument(lua, 1, "the code is too long"));
            }
        }
        for_script(lua, &code, &name)
    })
}
