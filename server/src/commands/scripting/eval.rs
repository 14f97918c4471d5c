//! EVAL and EVALSHA.

use super::host::{self, Invocation};
use super::{
    KEYS, KEYS_RO, NO_SCRIPT, NOT_A_COUNT, NOTES, NOTES_RO, RUNS_READS, RUNS_WRITES, arguments,
    docs, keys_and_args, note_memory, permissions, with_engine,
};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::scripting::{Arguments, Engine, RunKind, Script, Sha1, sha1_hex};
use crate::server::Server;
use std::cell::Cell;
use std::sync::Arc;

const COMPLEXITY: &str = "Depends on the script that is executed.";

pub(super) const EVAL: Command = Command::new("eval", Arity::at_least(3), eval)
    .flags(RUNS_WRITES)
    .categories(&["scripting"])
    .keys(&[KEYS.notes(NOTES)])
    .docs(docs("2.6.0", COMPLEXITY, "Runs a Lua script.").args(&arguments(Arg::string("script"))));

pub(super) const EVAL_RO: Command = Command::new("eval_ro", Arity::at_least(3), eval)
    .flags(RUNS_READS)
    .categories(&["scripting"])
    .keys(&[KEYS_RO.notes(NOTES_RO)])
    .docs(
        docs("7.0.0", COMPLEXITY, "Runs a Lua script that writes nothing.")
            .args(&arguments(Arg::string("script"))),
    );

pub(super) const EVALSHA: Command = Command::new("evalsha", Arity::at_least(3), evalsha)
    .flags(RUNS_WRITES)
    .categories(&["scripting"])
    .keys(&[KEYS])
    .docs(
        docs("2.6.0", COMPLEXITY, "Runs a Lua script that the server knows by its SHA-1.")
            .args(&arguments(Arg::string("sha1"))),
    );

pub(super) const EVALSHA_RO: Command = Command::new("evalsha_ro", Arity::at_least(3), evalsha)
    .flags(RUNS_READS)
    .categories(&["scripting"])
    .keys(&[KEYS_RO])
    .docs(
        docs(
            "7.0.0",
            COMPLEXITY,
            "Runs a Lua script that writes nothing and that the server knows by its SHA-1.",
        )
        .args(&arguments(Arg::string("sha1"))),
    );

fn eval(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (keys, args) = keys_and_args(call, NOT_A_COUNT)?;
    with_engine(|engine| {
        let body = call.arg(1);
        let script = match find_text(call.server, engine, body) {
            Some(script) => script,
            None => {
                let script = Arc::new(Script::parse(body).map_err(|why| format!("ERR {why}"))?);
                engine.compile(&script)?;
                call.server.scripts.add(script, false)
            }
        };
        LAST.set(Some(Arc::clone(&script)));
        run(call, engine, &script, &keys, &args)
    })
}

fn evalsha(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.arg(1).len() != size_of::<Sha1>() {
        return Err(NO_SCRIPT);
    }
    with_engine(|engine| {
        let script = find(call.server, engine, call.arg(1));
        let (keys, args) = keys_and_args(call, NOT_A_COUNT)?;
        run(call, engine, &script.ok_or(NO_SCRIPT)?, &keys, &args)
    })
}

thread_local! {
    /// The script that EVAL has run last here: its name need not be computed again, neither by
    /// dispatch and the handler nor for a client that sends the same text over and over.
    static LAST: Cell<Option<Arc<Script>>> = const { Cell::new(None) };
}

/// The script of a text, if it is known.
pub(super) fn find_text(server: &Server, engine: &Engine, body: &[u8]) -> Option<Arc<Script>> {
    let last = LAST.take();
    let script = match last.filter(|last| last.body == body && last.is_cached()) {
        Some(script) => {
            server.scripts.touch(&script);
            Some(script)
        }
        None => find(server, engine, &sha1_hex(body)),
    };
    LAST.set(script.clone());
    script
}

/// The script of a name, without the cache's lock if this worker has met it.
pub(super) fn find(server: &Server, engine: &Engine, name: &[u8]) -> Option<Arc<Script>> {
    let scripts = &server.scripts;
    match engine.known(name) {
        Some(script) => {
            scripts.touch(&script);
            Some(script)
        }
        None => scripts.get(name),
    }
}

fn run(
    call: &mut Call<'_, '_>,
    engine: &mut Engine,
    script: &Arc<Script>,
    keys: &[&[u8]],
    args: &[&[u8]],
) -> Result<Outcome, ReplyError> {
    if call.pooled {
        // Beforehand: not a part of what its runs cost.
        engine.compile(script)?;
    }
    let invocation = Invocation {
        kind: RunKind::Script,
        name: script.name(),
        permissions: permissions(call, script.flags)?,
        reach: &script.reach,
        cost: &script.cost,
        keys,
    };
    let outcome = host::run(call, &invocation, |host, reply| {
        engine.eval(script, Arguments { keys, args }, host, reply)
    });
    note_memory(call, engine);
    outcome
}
