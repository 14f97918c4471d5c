//! The table `redis`.

use super::Options;
use super::limits::Limits;
use super::raise::{self, ErrorReply, Raise, misuse, number_of, string_of, truncated, with_code};
use super::register;
use super::reply;
use super::sandbox::{Kind, Packed, Shared, Task};
use crate::scripting::script::sha1_hex;
use dunlin_protocol::Proto;
use dunlin_protocol::number::{IntText, format_f64};
use mlua::{Lua, MultiValue, Table, Value};
use std::io::IoSlice;
use std::rc::Rc;

const LEVELS: [(&str, i64); 4] =
    [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)];

/// Where commands of a script would be propagated to; nothing comes of it here.
const REPLICATION: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// The table for scripts and functions.
pub(super) fn redis(
    lua: &Lua,
    kind: Kind,
    shared: &Rc<Shared>,
    options: &Options,
) -> mlua::Result<Table> {
    let redis = common(lua, shared, options)?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let shared = Rc::clone(shared);
        let call = move |lua: &Lua, args: MultiValue| call(lua, &shared, &args, raises);
        redis.raw_set(name, lua.create_function(call)?)?;
    }
    let state = Rc::clone(shared);
    let check = move |_: &Lua, args: MultiValue| may_run(&state, &args);
    redis.raw_set("acl_check_cmd", lua.create_function(check)?)?;
    let state = Rc::clone(shared);
    let setresp = move |lua: &Lua, args: MultiValue| set_resp(lua, &state, &args);
    redis.raw_set("setresp", lua.create_function(setresp)?)?;
    redis.raw_set("set_repl", lua.create_function(set_repl)?)?;
    redis.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    redis.raw_set("error_reply", lua.create_function(error_reply)?)?;
    redis.raw_set("status_reply", lua.create_function(status_reply)?)?;
    for (name, value) in REPLICATION {
        redis.raw_set(name, value)?;
    }
    if kind == Kind::Eval {
        // There is no debugger and nothing to replicate: what they answer when none is at work.
        redis.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
        redis.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
        redis.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    }
    Ok(redis)
}

/// The table for libraries while they load.
pub(super) fn registering(
    lua: &Lua,
    shared: &Rc<Shared>,
    options: &Options,
) -> mlua::Result<Table> {
    let redis = common(lua, shared, options)?;
    redis.raw_set("register_function", register::function(lua, shared)?)?;
    Ok(redis)
}

fn common(lua: &Lua, shared: &Rc<Shared>, options: &Options) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let shared = Rc::clone(shared);
    let log = move |lua: &Lua, args: MultiValue| log(lua, &shared, &args);
    redis.raw_set("log", lua.create_function(log)?)?;
    for (name, level) in LEVELS {
        redis.raw_set(name, level)?;
    }
    redis.raw_set("REDIS_VERSION", options.version)?;
    redis.raw_set("REDIS_VERSION_NUM", version_number(options.version))?;
    Ok(redis)
}

/// `7.2.4` as `0x00070204`.
fn version_number(version: &str) -> i64 {
    let parts = version.split('.').map(|part| part.parse::<i64>().unwrap_or(0));
    parts.fold(0, |number, part| (number << 8) | (part & 0xff))
}

/// Packs the arguments of a command.
fn pack(limits: &Limits, args: &MultiValue, packed: &mut Packed) -> Result<(), ErrorReply> {
    let refused = |text: &str| ErrorReply { text: with_code(text.as_bytes()), counted: false };
    if args.is_empty() {
        return Err(refused("Please specify at least one argument for this redis lib call"));
    }
    packed.clear();
    for arg in args {
        match arg {
            Value::String(text) => {
                let text = text.as_bytes();
                if !limits.has_room(packed.size() + text.len()) {
                    return Err(refused(&limits.too_much()));
                }
                packed.push(&text);
            }
            Value::Integer(n) => packed.push(IntText::new().i64(*n)),
            Value::Number(n) => pack_number(*n, packed),
            _ => {
                let text = "Lua redis lib command arguments must be strings or integers";
                return Err(refused(text));
            }
        }
    }
    Ok(())
}

/// A number as Redis passes it on: an integer if it is one, else the shortest decimals.
fn pack_number(n: f64, packed: &mut Packed) {
    // Half of what 64 bits hold, as in Redis.
    const LARGEST: f64 = 4_611_686_018_427_387_904.0;
    if n.fract() == 0.0 && n.abs() <= LARGEST {
        packed.push(IntText::new().i64(truncated(n)));
    } else {
        packed.push(format_f64(n).as_bytes());
    }
}

/// `redis.call` and `redis.pcall`.
fn call(lua: &Lua, shared: &Shared, args: &MultiValue, raises: bool) -> mlua::Result<Value> {
    let outcome = command(lua, shared, args)?;
    match outcome {
        Ok(value) => Ok(value),
        Err(error) if raises => Err(Raise::Reply(error).into()),
        Err(error) => raise::table(lua, &error).map(Value::Table),
    }
}

/// Runs a command; an error reply is `Err`.
fn command(
    lua: &Lua,
    shared: &Shared,
    args: &MultiValue,
) -> mlua::Result<Result<Value, ErrorReply>> {
    // Taken only by a host that runs a script in the middle of a command of a script.
    let packed = match shared.slot.try_borrow_mut() {
        Ok(mut slot) => pack(&shared.limits, args, &mut slot.args),
        Err(_) => return Err(misuse("redis.call() recursive call detected.")),
    };
    if let Err(error) = packed {
        return Ok(Err(error));
    }
    shared.ask(Task::Call)?;
    let mut slot = shared.slot.borrow_mut();
    if let Some(refused) = slot.refused.take() {
        slot.clear_reply();
        return Ok(Err(ErrorReply { text: refused.text().to_vec(), counted: true }));
    }
    if let Err(error) = shared.limits.room(slot.reply.pending()) {
        // Lua would have no room for it either, once it has been copied.
        slot.clear_reply();
        return Err(error);
    }
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    slot.reply.slices(&mut slices, usize::MAX);
    let result = match slices.as_slice() {
        [one] => convert(lua, one),
        many => {
            convert(lua, &many.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>())
        }
    };
    drop(slices);
    slot.clear_reply();
    result
}

fn convert(lua: &Lua, reply: &[u8]) -> mlua::Result<Result<Value, ErrorReply>> {
    if reply.first() == Some(&b'-') {
        return Ok(Err(ErrorReply { text: with_code(reply), counted: true }));
    }
    reply::to_lua(lua, reply).map(Ok)
}

fn may_run(shared: &Shared, args: &MultiValue) -> mlua::Result<bool> {
    let packed = pack(&shared.limits, args, &mut shared.slot.borrow_mut().args);
    packed.map_err(|error| mlua::Error::from(Raise::Reply(error)))?;
    shared.ask(Task::MayRun)?;
    let verdict = shared.slot.borrow().verdict;
    verdict.ok_or_else(|| misuse("Invalid command passed to redis.acl_check_cmd()"))
}

fn set_resp(lua: &Lua, shared: &Shared, args: &MultiValue) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(misuse("redis.setresp() requires one argument."));
    }
    let version = args.front().and_then(|value| number_of(lua, value)).map(truncated);
    shared.slot.borrow_mut().proto = match version {
        Some(2) => Proto::Resp2,
        Some(3) => Proto::Resp3,
        _ => return Err(misuse("RESP version must be 2 or 3.")),
    };
    Ok(())
}

fn set_repl(lua: &Lua, args: MultiValue) -> mlua::Result<()> {
    if args.len() != 1 {
        return Err(misuse("redis.set_repl() requires two arguments."));
    }
    let flags = args.front().and_then(|value| number_of(lua, value)).map_or(0, truncated);
    if flags & !3 != 0 {
        let why = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(misuse(why));
    }
    Ok(())
}

fn sha1hex(lua: &Lua, args: MultiValue) -> mlua::Result<Value> {
    if args.len() != 1 {
        return Err(misuse("wrong number of arguments"));
    }
    let text = args.front().and_then(|value| string_of(lua, value));
    let digest = sha1_hex(text.as_ref().map(|text| text.as_bytes()).as_deref().unwrap_or_default());
    lua.create_string(digest).map(Value::String)
}

/// The only argument, if it is a string.
fn only_string(args: &MultiValue) -> Option<Vec<u8>> {
    match args.front() {
        Some(Value::String(text)) if args.len() == 1 => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

/// A table with an error, not raised: what the functions that make replies do.
fn wrong_arguments(lua: &Lua) -> mlua::Result<Table> {
    let text = with_code(b"wrong number or type of arguments");
    raise::table(lua, &ErrorReply { text, counted: false })
}

fn error_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Table> {
    let Some(text) = only_string(&args) else {
        return wrong_arguments(lua);
    };
    let dashed = if text.starts_with(b"-") { text } else { [b"-", text.as_slice()].concat() };
    raise::table(lua, &ErrorReply { text: with_code(&dashed), counted: false })
}

fn status_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Table> {
    let Some(text) = only_string(&args) else {
        return wrong_arguments(lua);
    };
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("ok", lua.create_string(text)?)?;
    Ok(table)
}

fn log(lua: &Lua, shared: &Shared, args: &MultiValue) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(misuse("redis.log() requires two arguments or more."));
    }
    let Some(level) = args.front().and_then(|value| number_of(lua, value)) else {
        return Err(misuse("First argument must be a number (log level)."));
    };
    let Ok(level @ 0..=3) = u8::try_from(truncated(level)) else {
        return Err(misuse("Invalid debug level."));
    };
    let mut line = Vec::new();
    for (i, value) in args.iter().skip(1).enumerate() {
        if let Some(text) = string_of(lua, value) {
            if i > 0 {
                line.push(b' ');
            }
            shared.limits.append(&mut line, &text.as_bytes())?;
        }
    }
    {
        let mut slot = shared.slot.borrow_mut();
        slot.args.clear();
        slot.args.push(&line);
    }
    shared.ask(Task::Log(level))
}
