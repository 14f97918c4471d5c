//! SCRIPT: the cache of scripts.

use super::{FLUSH_ARGS, NO_SCRIPT, check_flush, docs, kill, note_memory, with_engine};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::scripting::{RunKind, Script};
use std::sync::Arc;

const SCRIPTING: &[&str] = &["scripting"];

pub(super) const SCRIPT: Command = Command::new("script", Arity::at_least(2), help::container)
    .docs(docs("2.6.0", "Depends on subcommand.", "Commands about Lua scripts."))
    .subcommands(&[DEBUG, EXISTS, FLUSH, HELP, KILL, LOAD, SHOW]);

const LOAD: Command = Command::new("load", Arity::exactly(3), load)
    .flags(flag_set!(NOSCRIPT | STALE | LONG))
    .categories(SCRIPTING)
    .docs(
        docs(
            "2.6.0",
            "O(N) with N being the length in bytes of the script body.",
            "Puts a script into the cache.",
        )
        .args(&[Arg::string("script")]),
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn load(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let script = Arc::new(Script::parse(call.arg(2)).map_err(|why| format!("ERR {why}"))?);
    with_engine(|engine| {
        let compiled = engine.compile(&script);
        note_memory(call, engine);
        compiled
    })?;
    let script = call.server.scripts.add(script, true);
    call.reply.bulk(&script.sha1);
    Ok(Outcome::Done)
}

const EXISTS: Command = Command::new("exists", Arity::at_least(3), exists)
    .flags(Flags::NOSCRIPT)
    .categories(SCRIPTING)
    .docs(
        docs(
            "2.6.0",
            "O(N) with N being the number of scripts to check (so checking a single script is an \
             O(1) operation).",
            "Tells which scripts are in the cache.",
        )
        .args(&[Arg::string("sha1").multiple()]),
    )
    .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]);

fn exists(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.array(call.argc() - 2);
    for name in call.request.iter().skip(2) {
        call.reply.int(i64::from(call.server.scripts.contains(name)));
    }
    Ok(Outcome::Done)
}

const FLUSH: Command = Command::new("flush", Arity::at_least(2), flush)
    .flags(Flags::NOSCRIPT)
    .categories(SCRIPTING)
    .docs(
        docs("2.6.0", "O(N) with N being the number of scripts in cache", "Empties the cache.")
            .history(&[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")])
            .args(FLUSH_ARGS),
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn flush(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    check_flush(call, "ERR SCRIPT FLUSH only support SYNC|ASYNC option")?;
    call.server.scripts.flush();
    with_engine(|engine| {
        engine.forget_scripts();
        note_memory(call, engine);
    });
    // Their Lua ends with them.
    call.server.pool.dismiss_idle();
    call.reply.ok();
    Ok(Outcome::Done)
}

const KILL: Command = Command::new("kill", Arity::exactly(2), kill_scripts)
    .flags(flag_set!(NOSCRIPT | ALLOW_BUSY))
    .categories(SCRIPTING)
    .docs(docs("2.6.0", "O(1)", "Ends the scripts that run and have not written."))
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]);

fn kill_scripts(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    kill(call, RunKind::Script).map(|()| Outcome::Done)
}

const SHOW: Command = Command::new("show", Arity::exactly(3), show)
    .flags(Flags::NOSCRIPT)
    .categories(SCRIPTING)
    .docs(docs("8.0.0", "O(1)", "Answers the text of a script.").args(&[Arg::string("sha1")]));

fn show(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let script = call.server.scripts.get(call.arg(2)).ok_or(NO_SCRIPT)?;
    call.reply.bulk(&script.body);
    Ok(Outcome::Done)
}

const DEBUG: Command = Command::new("debug", Arity::exactly(3), debug)
    .flags(Flags::NOSCRIPT)
    .categories(SCRIPTING)
    .docs(docs("3.2.0", "O(1)", "Chooses a mode of the debugger, of which there is none.").args(
        &[Arg::one_of(
            "mode",
            &[Arg::flag("yes", "YES"), Arg::flag("sync", "SYNC"), Arg::flag("no", "NO")],
        )],
    ));

fn debug(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.is(2, "no") {
        call.reply.ok();
        return Ok(Outcome::Done);
    }
    if call.is(2, "yes") || call.is(2, "sync") {
        return Err("ERR There is no debugger for scripts".into());
    }
    Err("ERR Use SCRIPT DEBUG YES/SYNC/NO".into())
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .categories(SCRIPTING)
    .docs(docs("5.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Choose the mode of the debugger: there is none but NO.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell which scripts are in the cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Empty the cache; both modes are the same.",
            "KILL",
            "    End the scripts that run and have not written.",
            "LOAD <script>",
            "    Put a script into the cache without running it.",
            "SHOW <sha1>",
            "    The text of a script in the cache.",
        ],
    )
}
