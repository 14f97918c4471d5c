//! The Lua engine of one thread.
//!
//! ```text
//!   Engine -- eval ------> Sandbox: a Lua state for scripts,   compiled by SHA-1
//!          -- functions -> Sandbox: a Lua state for libraries, loaded when first called
//!
//!   script -> redis.call -> api -> Slot (arguments) -> the run's entry -> Host -> Slot (reply)
//! ```
//!
//! **Reaching the host.** Lua keeps functions for as long as it likes; a [`Host`] lives for one run
//! and borrows from its caller. So `redis.call` is permanent and knows only the [`Slot`], where it
//! leaves its arguments; per run one function is made that borrows the host, called through the
//! state's `entry`, and taken away afterwards. A script that stored `redis.call` finds the host of
//! the run it is called in.
//!
//! **What is kept from scripts** (see `prelude.lua`): everything that outlives them. Globals and
//! libraries are read-only; there is no bytecode, no file, no process, no finalizer (hooks do not
//! run in one, so nothing could stop it), no environment of the whole state.
//!
//! **Memory** is limited per state ([`Options::memory`]); what asks for more gets Lua's "not enough
//! memory", which a script can catch, and garbage is collected afterwards. What functions in Rust build
//! up has the same limit (`limits.rs`).
//!
//! **Time.** Every [`INTERVAL`] instructions the host's watch is asked whether to go on. When it says
//! stop, the error it names is raised at that instruction and, because `pcall` would let the script go on
//! with its next one, at every instruction from then on, until nothing is left to run. Functions in Rust
//! count steps instead and ask as often; patterns are matched in Rust for this, because a short one can
//! keep Lua's own matcher busy for years.

mod api;
mod compile;
mod frames;
mod lib;
mod limits;
mod raise;
mod register;
mod reply;
mod sandbox;

use super::host::{CallOptions, Host};
use super::library::{Function, Library};
use super::reach::Reach;
use super::script::{Script, Sha1};
use crate::commands::error::ReplyError;
use ahash::AHashMap;
use dunlin_protocol::{Proto, Reply};
use mlua::Value;
use raise::{ErrorReply, Raise};
use sandbox::{Kind, Sandbox, Slot, Task};
use std::cell::RefCell;
use std::sync::Arc;

/// Instructions of Lua between two questions whether to go on: about a tenth of a millisecond.
pub const INTERVAL: u32 = 10_000;
/// Compiled scripts that an engine keeps before it looks for those that have left the cache.
const MAX_COMPILED: usize = 1024;
/// Bytes of keys and arguments above which they are let go at the end of a run.
const KEPT_ARGUMENTS: usize = 64 * 1024;

/// What an engine is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of each Lua state.
    pub memory: usize,
    /// `REDIS_VERSION`.
    pub version: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Options { memory: 256 << 20, version: "7.2.4" }
    }
}

/// How a run ended: with a reply, or with an error that is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The reply is written.
    Replied,
    /// The text of the error, with its code.
    Failed {
        /// The text.
        error: ReplyError,
        /// A command of the script has counted it.
        counted: bool,
    },
}

impl Ended {
    fn failed(text: impl Into<Vec<u8>>) -> Ended {
        Ended::Failed { error: text.into().into(), counted: false }
    }
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Engine {
    options: Options,
    eval: Option<Sandbox>,
    compiled: AHashMap<Sha1, (Arc<Script>, mlua::Function)>,
    functions: Option<Sandbox>,
    loaded: AHashMap<String, Loaded>,
}

/// A library in this engine.
#[derive(Debug)]
struct Loaded {
    library: Arc<Library>,
    bodies: AHashMap<String, mlua::Function>,
}

/// Keys and arguments of a run.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// `KEYS`.
    pub keys: &'a [&'a [u8]],
    /// `ARGV`.
    pub args: &'a [&'a [u8]],
}

impl Arguments<'_> {
    fn size(&self) -> usize {
        self.keys.iter().chain(self.args).map(|arg| arg.len()).sum()
    }
}

impl Engine {
    /// An engine that has run nothing; Lua starts with the first script.
    #[must_use]
    pub fn new(options: Options) -> Engine {
        Engine {
            options,
            eval: None,
            compiled: AHashMap::new(),
            functions: None,
            loaded: AHashMap::new(),
        }
    }

    /// Bytes that Lua holds: for scripts, and for libraries.
    #[must_use]
    pub fn memory(&self) -> (usize, usize) {
        let of = |sandbox: &Option<Sandbox>| sandbox.as_ref().map_or(0, Sandbox::memory);
        (of(&self.eval), of(&self.functions))
    }

    /// The script of that name if this engine has met it and the cache still has it: then the cache
    /// need not be asked.
    #[must_use]
    pub fn known(&self, name: &[u8]) -> Option<Arc<Script>> {
        let name: Sha1 = name.to_ascii_lowercase().try_into().ok()?;
        let (script, _) = self.compiled.get(&name)?;
        script.is_cached().then(|| Arc::clone(script))
    }

    /// Compiles a script, so that it can be run.
    ///
    /// # Errors
    /// The text with its code.
    pub fn compile(&mut self, script: &Arc<Script>) -> Result<(), ReplyError> {
        self.compiled(script).map(|_| ()).map_err(ReplyError::from)
    }

    fn compiled(&mut self, script: &Arc<Script>) -> Result<mlua::Function, String> {
        if let Some((known, function)) = self.compiled.get(&script.sha1)
            && Arc::ptr_eq(known, script)
        {
            return Ok(function.clone());
        }
        if self.compiled.len() >= MAX_COMPILED {
            self.compiled.retain(|_, (script, _)| script.is_cached());
        }
        let sandbox = ready(&mut self.eval, Kind::Eval, &self.options)?;
        let function = sandbox
            .compile(script.code(), "@user_script")
            .map_err(|why| format!("ERR Error compiling script (new function): {why}"))?;
        self.compiled.insert(script.sha1, (Arc::clone(script), function.clone()));
        Ok(function)
    }

    /// Runs a script.
    pub fn eval(
        &mut self,
        script: &Arc<Script>,
        arguments: Arguments<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Ended {
        let function = match self.compiled(script) {
            Ok(function) => function,
            Err(why) => return Ended::failed(why),
        };
        let Some(sandbox) = &self.eval else {
            return Ended::failed("ERR there is no Lua");
        };
        let ended = sandbox
            .set_arguments(&arguments)
            .and_then(|()| run(sandbox, &function, script.name(), host, reply));
        if arguments.size() > KEPT_ARGUMENTS {
            let nothing = Arguments { keys: &[], args: &[] };
            // Without memory for an empty table there is none for the big ones either.
            let _ = sandbox.set_arguments(&nothing);
        }
        sandbox.tidy(ended.is_err());
        ended.unwrap_or_else(|error| Ended::failed(format!("ERR {}", raise::text_of(&error))))
    }

    /// Starts Lua for libraries, if it is not there yet. What keeps it from starting is told to the first
    /// who needs it.
    pub fn start_functions(&mut self) {
        let _ = ready(&mut self.functions, Kind::Functions, &self.options);
    }

    /// Loads a library into this engine, which tells what functions it has. Of the host only its
    /// log and its patience are asked for.
    ///
    /// # Errors
    /// The text for the user, without a code.
    pub fn load(
        &mut self,
        mut library: Library,
        host: &mut dyn Host,
    ) -> Result<Arc<Library>, String> {
        let (functions, bodies) = self.register(&library, host)?;
        library.functions = functions;
        // Any function may call what another part of the text makes names with.
        for function in &mut library.functions {
            function.reach = Reach::of(library.body.as_ref());
        }
        let library = Arc::new(library);
        let loaded = Loaded { library: Arc::clone(&library), bodies };
        self.loaded.insert(library.name.clone(), loaded);
        Ok(library)
    }

    fn register(
        &mut self,
        library: &Library,
        host: &mut dyn Host,
    ) -> Result<(Vec<Function>, AHashMap<String, mlua::Function>), String> {
        let sandbox = ready(&mut self.functions, Kind::Functions, &self.options)?;
        let code = sandbox
            .compile(library.code(), "@user_function")
            .map_err(|why| format!("Error compiling function: {why}"))?;
        let registered = register::run(sandbox, &code, host);
        sandbox.tidy(registered.is_err());
        let registered = registered?;
        if registered.is_empty() {
            return Err("No functions registered".into());
        }
        Ok(registered
            .into_iter()
            .map(|(function, body)| {
                let name = function.name.clone();
                (function, (name, body))
            })
            .unzip())
    }

    /// Runs a function of a library, which is loaded if this engine does not have it.
    pub fn call(
        &mut self,
        library: &Arc<Library>,
        function: &str,
        arguments: Arguments<'_>,
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Ended {
        let body = match self.body(library, function, host) {
            Ok(body) => body,
            Err(why) => return Ended::failed(format!("ERR {why}")),
        };
        let Some(sandbox) = &self.functions else {
            return Ended::failed("ERR there is no Lua");
        };
        let ended = sandbox
            .bind(&body, &arguments)
            .and_then(|bound| run(sandbox, &bound, function, host, reply));
        sandbox.tidy(ended.is_err());
        ended.unwrap_or_else(|error| Ended::failed(format!("ERR {}", raise::text_of(&error))))
    }

    fn body(
        &mut self,
        library: &Arc<Library>,
        function: &str,
        host: &mut dyn Host,
    ) -> Result<mlua::Function, String> {
        let known = self.loaded.get(&library.name);
        if known.is_none_or(|loaded| !Arc::ptr_eq(&loaded.library, library)) {
            let (_, bodies) = self.register(library, host)?;
            let loaded = Loaded { library: Arc::clone(library), bodies };
            self.loaded.insert(library.name.clone(), loaded);
        }
        let loaded = self.loaded.get(&library.name);
        let body = loaded.and_then(|loaded| loaded.bodies.get(function));
        body.cloned().ok_or_else(|| "Function not found".to_owned())
    }

    /// Lets go of libraries that are not among these any more.
    pub fn retain(&mut self, is_current: impl Fn(&Arc<Library>) -> bool) {
        self.loaded.retain(|_, loaded| is_current(&loaded.library));
    }

    /// SCRIPT FLUSH: begins anew, so that nothing of the old scripts is left.
    pub fn forget_scripts(&mut self) {
        self.compiled.clear();
        self.eval = None;
    }
}

/// The state of that kind, made if it is not there.
fn ready<'s>(
    place: &'s mut Option<Sandbox>,
    kind: Kind,
    options: &Options,
) -> Result<&'s Sandbox, String> {
    if place.is_none() {
        let sandbox = Sandbox::new(kind, options);
        *place = Some(sandbox.map_err(|error| format!("ERR {}", raise::text_of(&error)))?);
    }
    place.as_ref().ok_or_else(|| "ERR there is no Lua".to_owned())
}

/// Runs a function without arguments with a host, and writes what it returns.
fn run(
    sandbox: &Sandbox,
    body: &mlua::Function,
    name: &str,
    host: &mut dyn Host,
    reply: &mut Reply,
) -> mlua::Result<Ended> {
    sandbox.slot().borrow_mut().begin();
    let watch = host.watch();
    let host = RefCell::new(host);
    let mark = reply.mark();
    let ended = sandbox.enter(
        watch,
        |slot| serve(slot, &mut **host.borrow_mut()),
        || match sandbox.protected(body)? {
            Ok(value) => answer(sandbox, value, reply),
            Err(raised) => failure(&raised, name),
        },
    );
    if !matches!(ended, Ok(Ended::Replied)) {
        // Half a reply would take what is answered next for its other half.
        reply.rollback(mark);
    }
    ended
}

/// Writes what a script has returned. It may still be told to end.
fn answer(sandbox: &Sandbox, value: Value, reply: &mut Reply) -> mlua::Result<Ended> {
    let proto = sandbox.slot().borrow().proto;
    let written = reply::from_lua(sandbox.lua(), &sandbox.shared().limits, value, proto, reply);
    let written = match written {
        Ok(written) => written,
        Err(error) => match raise::raised(&error) {
            Some(Raise::Reply(reply)) => Err(reply.clone()),
            _ => return Err(error),
        },
    };
    Ok(match written {
        Ok(()) => Ended::Replied,
        Err(ErrorReply { text, counted }) => Ended::Failed { error: text.into(), counted },
    })
}

/// Does what a function of the interface has left in the slot.
fn serve(slot: &RefCell<Slot>, host: &mut dyn Host) {
    let mut slot = slot.borrow_mut();
    let Slot { task, args, reply, refused, verdict, proto, .. } = &mut *slot;
    match *task {
        Task::Call => {
            reply.set_proto(*proto);
            let options = CallOptions { proto: *proto };
            *refused = args.with(|args| host.call(args, options, reply)).err();
        }
        Task::MayRun => *verdict = args.with(|args| host.may_run(args)),
        Task::Log(level) => args.with(|args| {
            host.log(level, args.first().copied().unwrap_or_default());
        }),
    }
}

/// The error of a run that a script has raised and nobody caught.
fn failure(raised: &Value, name: &str) -> mlua::Result<Ended> {
    let Value::Table(table) = raised else {
        let text = match raised {
            Value::String(text) => text.to_string_lossy(),
            _ => "execution failure".to_owned(),
        };
        let text: String = text.chars().take(100).collect();
        return Ok(Ended::failed(format!("ERR Error running script {name}, {text}")));
    };
    let error = reply::error_of(table)?;
    let ErrorReply { mut text, counted } =
        error.unwrap_or(ErrorReply { text: b"ERR unknown error".to_vec(), counted: false });
    let source = table.raw_get::<Option<mlua::LuaString>>("source");
    let line = table.raw_get::<Option<i64>>("line");
    if let (Ok(Some(source)), Ok(Some(line))) = (source, line) {
        let source = source.to_string_lossy();
        text.extend_from_slice(format!(" script: {name}, on {source}:{line}.").as_bytes());
    }
    Ok(Ended::Failed { error: text.into(), counted })
}

/// The version of RESP that scripts begin with.
const FIRST_PROTO: Proto = Proto::Resp2;
