//! EVAL and EVALSHA.

use super::host::{self, ScriptHost};
use super::{
    ENGINE, KEYS, KEYS_RO, NO_SCRIPT, NOT_A_COUNT, NOTES, NOTES_RO, RUNS_READS, RUNS_WRITES,
    arguments, docs, keys_and_args, permissions,
};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::scripting::{Arguments, Engine, RunKind, Script, sha1_hex};
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
    ENGINE.with_borrow_mut(|engine| {
        let body = call.arg(1);
        let script = match find(call, engine, &sha1_hex(body)) {
            Some(script) => script,
            None => {
                let script = Arc::new(Script::parse(body).map_err(|why| format!("ERR {why}"))?);
                engine.compile(&script)?;
                call.server.scripts.add(script, false)
            }
        };
        run(call, engine, &script, &keys, &args)
    })
}

fn evalsha(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    ENGINE.with_borrow_mut(|engine| {
        let script = find(call, engine, call.arg(1));
        let (keys, args) = keys_and_args(call, NOT_A_COUNT)?;
        run(call, engine, &script.ok_or(NO_SCRIPT)?, &keys, &args)
    })
}

/// The script of a name, without the cache's lock if this worker has met it.
fn find(call: &Call<'_, '_>, engine: &Engine, name: &[u8]) -> Option<Arc<Script>> {
    let scripts = &call.server.scripts;
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
    let permissions = permissions(call, script.flags)?;
    let running = host::begin(call, RunKind::Script, script.name());
    let (mut host, reply) = ScriptHost::new(call, running, permissions);
    let ended = engine.eval(script, Arguments { keys, args }, &mut host, reply);
    host.leave();
    host::finish(call, ended)
}
