//! Scripts and functions. What runs them is in [`crate::scripting`]; here are the commands, and
//! the server as a script sees it ([`host`]).

mod eval;
mod fcall;
mod function;
mod host;
mod nested;
mod outlook;
mod payload;
mod script;

use super::call::Call;
use super::docs::{Arg, Docs, Group};
use super::error::{self, ReplyError};
use super::spec::{Command, Flags, KeyFlags, KeySpec};
use crate::dispatch;
use crate::scripting::{Engine, Options};
use crate::stats::LuaMemory;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

pub(crate) use outlook::{Outlook, declares_no_writes, outlook};

pub(super) static COMMANDS: &[Command] = &[
    eval::EVAL,
    eval::EVAL_RO,
    eval::EVALSHA,
    eval::EVALSHA_RO,
    fcall::FCALL,
    fcall::FCALL_RO,
    function::FUNCTION,
    script::SCRIPT,
];

thread_local! {
    /// Lua, one for each thread.
    static ENGINE: RefCell<Engine> = RefCell::new(new_engine());
}

fn new_engine() -> Engine {
    Engine::new(Options { version: super::server::REDIS_VERSION, ..Options::default() })
}

/// Does something with this thread's engine. If it panics, nobody knows in which state it has left
/// Lua, and the next one begins anew.
fn with_engine<R>(work: impl FnOnce(&mut Engine) -> R) -> R {
    ENGINE.with_borrow_mut(|engine| work(&mut *Unharmed(engine).0))
}

struct Unharmed<'e>(&'e mut Engine);

impl Drop for Unharmed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0 = new_engine();
        }
    }
}

/// Shows what Lua holds on this thread.
fn note_memory(call: &Call<'_, '_>, engine: &Engine) {
    let (eval, functions) = engine.memory();
    call.stats.lua.eval.set(eval as u64);
    call.stats.lua.functions.set(functions as u64);
    SHOWN.with(|shown| {
        shown.get_or_init(|| Shown(Arc::clone(&call.stats.lua)));
    });
}

thread_local! {
    /// The figures of this thread.
    static SHOWN: OnceCell<Shown> = const { OnceCell::new() };
}

/// When a thread ends, its Lua does.
struct Shown(Arc<LuaMemory>);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.eval.set(0);
        self.0.functions.set(0);
    }
}

const NO_SCRIPT: ReplyError = ReplyError::new("NOSCRIPT No matching script. Please use EVAL.");

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::new(Group::Scripting, since, complexity, summary)
}

/// Flags of everything that runs scripts.
const RUNS: Flags =
    flag_set!(NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS | SCRIPT);
/// Flags of what may write.
const RUNS_WRITES: Flags = RUNS.with(Flags::MAY_REPLICATE);
/// Flags of what only reads.
const RUNS_READS: Flags = RUNS.with(Flags::READONLY);

/// The keys of a script that may write.
const KEYS: KeySpec =
    KeySpec::counted(2).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::UPDATE);
/// The keys of a script that only reads.
const KEYS_RO: KeySpec = KeySpec::counted(2).read();

const NOTES: &str =
    "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
const NOTES_RO: &str =
    "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";

/// What follows the script's own argument.
const fn arguments(script: Arg) -> [Arg; 4] {
    [
        script,
        Arg::integer("numkeys"),
        Arg::key("key", 0).optional().multiple(),
        Arg::string("arg").optional().multiple(),
    ]
}

/// Keys and arguments of a run.
type Split<'a> = (Vec<&'a [u8]>, Vec<&'a [u8]>);

/// Splits what follows the number of keys, in argument 2, into keys and arguments.
fn keys_and_args<'a>(
    call: &Call<'a, '_>,
    not_a_number: ReplyError,
) -> Result<Split<'a>, ReplyError> {
    let count = dunlin_protocol::number::parse_i64(call.arg(2)).ok_or(not_a_number)?;
    let mut keys: Vec<&[u8]> = call.request.iter().skip(3).collect();
    if count < 0 {
        return Err("ERR Number of keys can't be negative".into());
    }
    match usize::try_from(count) {
        Ok(count) if count <= keys.len() => {
            let args = keys.split_off(count);
            Ok((keys, args))
        }
        _ => Err("ERR Number of keys can't be greater than number of args".into()),
    }
}

/// The words of SYNC and ASYNC, which make no difference here: nothing is freed in one go.
fn check_flush(call: &Call<'_, '_>, wrong: &'static str) -> Result<(), ReplyError> {
    match call.argc() {
        2 => Ok(()),
        3 if call.is(2, "sync") || call.is(2, "async") => Ok(()),
        _ => Err(wrong.into()),
    }
}

const FLUSH_ARGS: &[Arg] =
    &[Arg::one_of("flush-type", &[Arg::flag("async", "ASYNC"), Arg::flag("sync", "SYNC")])
        .optional()];

/// The answer to SCRIPT KILL and FUNCTION KILL.
fn kill(call: &mut Call<'_, '_>, kind: crate::scripting::RunKind) -> Result<(), ReplyError> {
    use crate::scripting::{Killed, RunKind};
    match call.server.runs.kill(kind) {
        Killed::Some => {
            call.reply.ok();
            Ok(())
        }
        Killed::None => Err("NOTBUSY No scripts in execution right now.".into()),
        Killed::Unkillable => Err("UNKILLABLE Sorry the script already executed write commands \
                                   against the dataset. You can either wait the script \
                                   termination or kill the server in a hard way using the \
                                   SHUTDOWN NOSAVE command."
            .into()),
        Killed::Other => {
            let other = match kind {
                RunKind::Script => RunKind::Function,
                RunKind::Function | RunKind::Loading => RunKind::Script,
            };
            Err(busy(other))
        }
    }
}

/// A script or function takes its time.
pub(crate) fn busy(kind: crate::scripting::RunKind) -> ReplyError {
    use crate::scripting::RunKind;
    let ends = if kind == RunKind::Script { "SCRIPT KILL" } else { "FUNCTION KILL" };
    format!("BUSY Redis is busy running a script. You can only call {ends} or SHUTDOWN NOSAVE.")
        .into()
}

/// Memory is short, and the script does not say that it may run all the same.
const OOM: ReplyError = ReplyError::new(
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
);
const WRITES: ReplyError =
    ReplyError::new("ERR Can not execute a script with write flag using *_ro command.");

/// What a script may do, from the command that runs it and the flags that it declares (`None`: the
/// rules from before there were flags).
fn permissions(
    call: &Call<'_, '_>,
    flags: Option<crate::scripting::ScriptFlags>,
) -> Result<host::Permissions, ReplyError> {
    use crate::scripting::ScriptFlags;
    let read_only = call.entry.has(Flags::READONLY);
    let Some(flags) = flags else {
        return Ok(host::Permissions { read_only, allow_oom: false, cross_slot: true });
    };
    if flags.has(ScriptFlags::NO_CLUSTER) && call.server.cluster.is_some() {
        return Err("ERR Can not run script on cluster, 'no-cluster' flag is set.".into());
    }
    let no_writes = flags.has(ScriptFlags::NO_WRITES);
    if read_only && !no_writes {
        return Err(WRITES);
    }
    let allow_oom = flags.has(ScriptFlags::ALLOW_OOM);
    if !allow_oom && !no_writes && dispatch::is_short_of_memory(call.server) {
        return Err(OOM);
    }
    let cross_slot = flags.has(ScriptFlags::ALLOW_CROSS_SLOT);
    Ok(host::Permissions { read_only: read_only || no_writes, allow_oom, cross_slot })
}

/// An integer argument that is none, in the words of EVAL.
const NOT_A_COUNT: ReplyError = error::NOT_INTEGER;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripting::Script;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn lua_begins_anew_after_a_panic() {
        let script = Arc::new(Script::parse(b"return 1").expect("a script"));
        with_engine(|engine| engine.compile(&script)).expect("it compiles");
        assert!(with_engine(|engine| engine.known(&script.sha1)).is_some());
        let panics = || with_engine(|_| panic!("as it was told to"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(with_engine(|engine| engine.known(&script.sha1)).is_none());
        with_engine(|engine| engine.compile(&script)).expect("it compiles");
    }
}
