//! A Lua state, closed in.

use super::api;
use super::compile;
use super::frames;
use super::lib;
use super::limits::Limits;
use super::raise;
use super::register::Loading;
use super::{Arguments, FIRST_PROTO, INTERVAL, Options};
use crate::commands::error::ReplyError;
use crate::scripting::host::Watch;
use dunlin_protocol::{Mark, Proto, Reply};
use mlua::{Function, HookTriggers, Lua, LuaOptions, LuaString, StdLib, Table, Value, VmState};
use std::cell::RefCell;
use std::rc::Rc;

const PRELUDE: &str = include_str!("prelude.lua");
/// Lua's memory above which a run is followed by a full collection, as a share of the limit.
const COLLECT_SHARE: usize = 2;

/// What a state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// EVAL.
    Eval,
    /// Libraries.
    Functions,
}

/// What a function of the interface wants from the host.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// Run a command.
    Call,
    /// Look whether the user may run a command.
    MayRun,
    /// Write to the log.
    Log(u8),
}

/// Where the functions of the interface and the host meet.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) task: Task,
    pub(super) args: Packed,
    /// Of [`Task::Call`].
    pub(super) reply: Reply,
    empty: Mark,
    /// Of [`Task::Call`]: why the command did not run.
    pub(super) refused: Option<ReplyError>,
    /// Of [`Task::MayRun`].
    pub(super) verdict: Option<bool>,
    /// `redis.setresp`.
    pub(super) proto: Proto,
}

impl Slot {
    fn new() -> Slot {
        let reply = Reply::new(FIRST_PROTO);
        Slot {
            task: Task::Call,
            args: Packed::default(),
            empty: reply.mark(),
            reply,
            refused: None,
            verdict: None,
            proto: FIRST_PROTO,
        }
    }

    /// A run begins.
    pub(super) fn begin(&mut self) {
        self.proto = FIRST_PROTO;
    }

    /// A run ends.
    fn end(&mut self) {
        self.args.clear();
        self.clear_reply();
    }

    /// Drops the reply of the last command.
    pub(super) fn clear_reply(&mut self) {
        self.reply.rollback(self.empty);
        self.reply.shrink();
    }
}

/// Arguments in one piece of memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Memory that is kept for the next call.
const KEPT_BYTES: usize = 64 * 1024;

impl Packed {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.ends.clear();
    }

    /// Bytes of all arguments.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, arg: &[u8]) {
        self.bytes.extend_from_slice(arg);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&[&[u8]]) -> R) -> R {
        let mut start = 0;
        let args: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|end| {
                let arg = self.bytes.get(start..*end).unwrap_or_default();
                start = *end;
                arg
            })
            .collect();
        f(&args)
    }
}

/// What the permanent functions of a state share.
pub(super) struct Shared {
    pub(super) slot: RefCell<Slot>,
    /// The function of the current run that knows the host.
    entry: RefCell<Option<Function>>,
    /// The library that registers its functions.
    pub(super) loading: RefCell<Option<Loading>>,
    pub(super) limits: Rc<Limits>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Shared {
    /// Lets the host do what is in the slot.
    pub(super) fn ask(&self, task: Task) -> mlua::Result<()> {
        // Borrowed while it runs: it changes only between runs.
        let entry = self.entry.borrow();
        let Some(entry) = entry.as_ref() else {
            return Err(raise::misuse("this can only be used by a script"));
        };
        self.slot.borrow_mut().task = task;
        entry.call(())
    }
}

/// See the [module documentation](super).
#[derive(Debug)]
pub(super) struct Sandbox {
    lua: Lua,
    shared: Rc<Shared>,
    limit: usize,
    /// The real globals.
    main: Table,
    on_error: Function,
    xpcall: Function,
    bind: Function,
    enter_loading: Function,
    leave_loading: Function,
    /// Names of chunks. Lua's parser does not hold on to them itself while it collects garbage.
    _names: [LuaString; 2],
}

impl Sandbox {
    /// The Lua state.
    pub(super) fn lua(&self) -> &Lua {
        &self.lua
    }

    pub(super) fn new(kind: Kind, options: &Options) -> mlua::Result<Sandbox> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        let shared = Rc::new(Shared {
            slot: RefCell::new(Slot::new()),
            entry: RefCell::new(None),
            loading: RefCell::new(None),
            limits: Rc::new(Limits::new(options.memory)),
        });
        let real = lua.globals();
        let globals = lua.create_table()?;
        let native = native(&lua, kind, &shared, options)?;
        let prelude = lua.load(PRELUDE).set_name(frames::PRELUDE).set_environment(globals.clone());
        let parts: Table = prelude.call((real, native, globals.clone()))?;
        lua.set_globals(globals)?;
        set_hook(&lua, &shared.limits, INTERVAL)?;
        lua.gc_collect()?;
        lua.set_memory_limit(options.memory)?;
        Ok(Sandbox {
            main: parts.raw_get("main")?,
            on_error: parts.raw_get("on_error")?,
            xpcall: parts.raw_get("xpcall")?,
            bind: parts.raw_get("bind")?,
            enter_loading: parts.raw_get("enter_loading")?,
            leave_loading: parts.raw_get("leave_loading")?,
            _names: [lua.create_string("@user_script")?, lua.create_string("@user_function")?],
            limit: options.memory,
            lua,
            shared,
        })
    }

    pub(super) fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    pub(super) fn slot(&self) -> &RefCell<Slot> {
        &self.shared.slot
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Compiles a text.
    pub(super) fn compile(&self, code: &[u8], name: &str) -> Result<Function, String> {
        let function = compile::text(&self.lua, code, name);
        function.map_err(|error| raise::text_of(&error))
    }

    /// Sets `KEYS` and `ARGV`.
    pub(super) fn set_arguments(&self, arguments: &Arguments<'_>) -> mlua::Result<()> {
        self.main.raw_set("KEYS", self.list(arguments.keys)?)?;
        self.main.raw_set("ARGV", self.list(arguments.args)?)
    }

    /// A function without arguments that calls `body` with keys and arguments.
    pub(super) fn bind(
        &self,
        body: &Function,
        arguments: &Arguments<'_>,
    ) -> mlua::Result<Function> {
        self.bind.call((body, self.list(arguments.keys)?, self.list(arguments.args)?))
    }

    fn list(&self, items: &[&[u8]]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(items.len(), 0)?;
        for (i, item) in items.iter().enumerate() {
            table.raw_set(i + 1, self.lua.create_string(item)?)?;
        }
        Ok(table)
    }

    /// Runs `body` while `serve` does what is left in the slot and `watch` says when to end.
    pub(super) fn enter<R>(
        &self,
        watch: Rc<dyn Watch>,
        serve: impl Fn(&RefCell<Slot>),
        body: impl FnOnce() -> mlua::Result<R>,
    ) -> mlua::Result<R> {
        self.lua.scope(|scope| {
            let entry = scope.create_function(|_, ()| {
                serve(&self.shared.slot);
                Ok(())
            })?;
            self.shared.entry.replace(Some(entry));
            self.shared.limits.set_watch(Some(watch));
            let result = body();
            self.shared.limits.set_watch(None);
            self.shared.entry.replace(None);
            self.shared.slot.borrow_mut().end();
            result
        })
    }

    /// Calls a function without arguments; an error comes back as scripts know it.
    pub(super) fn protected(&self, body: &Function) -> mlua::Result<Result<Value, Value>> {
        let (ok, value): (bool, Value) = self.xpcall.call((body, &self.on_error))?;
        if ok {
            return Ok(Ok(value));
        }
        let value = match value {
            Value::Error(error) => raise::unwrap(&self.lua, &error)?,
            other => other,
        };
        Ok(Err(value))
    }

    /// Shows globals what a loading library may see while `body` runs.
    pub(super) fn while_loading<R>(
        &self,
        body: impl FnOnce() -> mlua::Result<R>,
    ) -> mlua::Result<R> {
        self.enter_loading.call::<()>(())?;
        let result = body();
        self.leave_loading.call::<()>(())?;
        result
    }

    /// After a run: takes back what stopping it has set, and collects what it has left behind if
    /// that is much.
    pub(super) fn tidy(&self, failed: bool) {
        if self.shared.limits.forget_stop() {
            // The hook was set before, so there is memory for it.
            let _ = set_hook(&self.lua, &self.shared.limits, INTERVAL);
        }
        if failed || self.lua.used_memory() > self.limit / COLLECT_SHARE {
            // A collection fails only by an error in a finalizer, and there are none.
            let _ = self.lua.gc_collect();
        }
    }
}

/// Asks the watch every `interval` instructions. Nothing here calls Lua: a script may have used up
/// the calls that can be nested.
fn set_hook(lua: &Lua, limits: &Rc<Limits>, interval: u32) -> mlua::Result<()> {
    let limits = Rc::clone(limits);
    let triggers = HookTriggers::new().every_nth_instruction(interval);
    lua.set_global_hook(triggers, move |lua, _| {
        let Err(stop) = limits.check() else {
            return Ok(VmState::Continue);
        };
        // From now on at every instruction, or the script would catch this error and go on.
        set_hook(lua, &limits, 1)?;
        Err(stop)
    })
}

/// Everything written in Rust that the prelude gives to scripts.
fn native(lua: &Lua, kind: Kind, shared: &Rc<Shared>, options: &Options) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.raw_set("is_eval", kind == Kind::Eval)?;
    let unwrap = |lua: &Lua, value: Value| match value {
        Value::Error(error) => raise::unwrap(lua, &error),
        other => Ok(other),
    };
    native.raw_set("unwrap", lua.create_function(unwrap)?)?;
    frames::functions(lua, &native)?;
    let limits = Rc::clone(&shared.limits);
    let pass_on_stop = move |_: &Lua, ()| limits.pass_on_stop();
    native.raw_set("pass_on_stop", lua.create_function(pass_on_stop)?)?;
    let limits = Rc::clone(&shared.limits);
    let count_coroutine = move |_: &Lua, ()| limits.count_coroutine();
    native.raw_set("count_coroutine", lua.create_function(count_coroutine)?)?;
    native.raw_set("load", compile::load(lua)?)?;
    native.raw_set("loadstring", compile::loadstring(lua)?)?;
    let (random, seed) = lib::random::functions(lua)?;
    native.raw_set("random", random)?;
    native.raw_set("randomseed", seed)?;
    native.raw_set("pattern", lib::pattern::functions(lua, &shared.limits)?)?;
    native.raw_set("rep", lib::repeat::function(lua, &shared.limits)?)?;
    native.raw_set("libraries", lib::libraries(lua, &shared.limits)?)?;
    native.raw_set("redis", api::redis(lua, kind, shared, options)?)?;
    native.raw_set("registering", api::registering(lua, shared, options)?)?;
    Ok(native)
}
