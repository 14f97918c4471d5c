//! Loading a library: running its code, which calls `redis.register_function`.

use super::raise::{self, misuse, string_of};
use super::reply::error_of;
use super::sandbox::{Sandbox, Shared, Slot};
use super::serve;
use crate::scripting::flags::ScriptFlags;
use crate::scripting::host::Host;
use crate::scripting::library::{Function, check_name};
use mlua::{Lua, MultiValue, Table, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// Functions that a library has registered so far.
pub(super) type Loading = Vec<(Function, mlua::Function)>;

/// Runs the code of a library; returns the functions it registers.
///
/// # Errors
/// The text for the user, without a code.
pub(super) fn run(
    sandbox: &Sandbox,
    code: &mlua::Function,
    host: &mut dyn Host,
) -> Result<Loading, String> {
    let watch = host.watch();
    let host = RefCell::new(host);
    sandbox.slot().borrow_mut().begin();
    sandbox.shared().loading.replace(Some(Vec::new()));
    let serve = |slot: &RefCell<Slot>| serve(slot, &mut **host.borrow_mut());
    let outcome = sandbox.while_loading(|| sandbox.enter(watch, serve, || sandbox.protected(code)));
    let registered = sandbox.shared().loading.take().unwrap_or_default();
    let why = match outcome {
        Ok(Ok(_)) => return Ok(registered),
        Ok(Err(raised)) => shown(&raised),
        Err(error) => raise::text_of(&error),
    };
    Err(format!("Error registering functions: {why}"))
}

fn shown(raised: &Value) -> String {
    let error = match raised {
        Value::Table(table) => error_of(table).ok().flatten(),
        _ => None,
    };
    match (error, raised) {
        (Some(error), _) => String::from_utf8_lossy(&error.text).into_owned(),
        (None, Value::String(text)) => format!("ERR {}", text.to_string_lossy()),
        (None, _) => "ERR unknown error".to_owned(),
    }
}

/// `redis.register_function`.
pub(super) fn function(lua: &Lua, shared: &Rc<Shared>) -> mlua::Result<mlua::Function> {
    let shared = Rc::clone(shared);
    lua.create_function(move |lua, args: MultiValue| {
        let mut loading = shared.loading.borrow_mut();
        let Some(loading) = loading.as_mut() else {
            let why = "redis.register_function can only be called on FUNCTION LOAD command";
            return Err(misuse(why));
        };
        let (function, body) = match (args.len(), args.front()) {
            (1, Some(Value::Table(named))) => named_arguments(lua, named)?,
            (1, _) => {
                return Err(misuse(
                    "calling redis.register_function with a single argument is only applicable \
                     to Lua table (representing named arguments).",
                ));
            }
            (2, _) => positional_arguments(lua, &args)?,
            _ => return Err(misuse("wrong number of arguments to redis.register_function")),
        };
        check_name(function.name.as_bytes()).map_err(|why| misuse(&why))?;
        if loading.iter().any(|(known, _)| known.name == function.name) {
            return Err(misuse("Function already exists in the library"));
        }
        loading.push((function, body));
        Ok(())
    })
}

fn positional_arguments(lua: &Lua, args: &MultiValue) -> mlua::Result<(Function, mlua::Function)> {
    let Some(name) = args.front().and_then(|value| string_of(lua, value)) else {
        return Err(misuse("first argument to redis.register_function must be a string"));
    };
    let Some(Value::Function(body)) = args.get(1) else {
        return Err(misuse("second argument to redis.register_function must be a function"));
    };
    let name = name.to_string_lossy();
    Ok((Function::new(name, None, ScriptFlags::NONE), body.clone()))
}

fn named_arguments(lua: &Lua, named: &Table) -> mlua::Result<(Function, mlua::Function)> {
    let (mut name, mut description, mut body) = (None, None, None);
    let mut flags = ScriptFlags::NONE;
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Some(key) = string_of(lua, &key) else {
            return Err(misuse(
                "named argument key given to redis.register_function is not a string",
            ));
        };
        let text = |what: &str| {
            string_of(lua, &value).ok_or_else(|| {
                let why = "argument given to redis.register_function must be a string";
                misuse(&format!("{what} {why}"))
            })
        };
        match key.as_bytes().to_ascii_lowercase().as_slice() {
            b"function_name" => name = Some(text("function_name")?),
            b"description" => description = Some(text("description")?),
            b"callback" => match value {
                Value::Function(callback) => body = Some(callback),
                _ => {
                    return Err(misuse(
                        "callback argument given to redis.register_function must be a function",
                    ));
                }
            },
            b"flags" => match &value {
                Value::Table(list) => flags = read_flags(lua, list)?,
                _ => {
                    return Err(misuse(
                        "flags argument to redis.register_function must be a table representing \
                         function flags",
                    ));
                }
            },
            _ => return Err(misuse("unknown argument given to redis.register_function")),
        }
    }
    let name =
        name.ok_or_else(|| misuse("redis.register_function must get a function name argument"))?;
    let body =
        body.ok_or_else(|| misuse("redis.register_function must get a callback argument"))?;
    let description = description.map(|text| text.as_bytes().to_vec());
    Ok((Function::new(name.to_string_lossy(), description, flags), body))
}

fn read_flags(lua: &Lua, list: &Table) -> mlua::Result<ScriptFlags> {
    let mut flags = ScriptFlags::NONE;
    for i in 1_usize.. {
        let value = list.raw_get::<Value>(i)?;
        if value == Value::Nil {
            break;
        }
        let flag = string_of(lua, &value).and_then(|name| ScriptFlags::by_name(&name.as_bytes()));
        flags = flags.with(flag.ok_or_else(|| misuse("unknown flag given"))?);
    }
    Ok(flags)
}
