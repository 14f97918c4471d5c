//! FUNCTION: libraries of functions.

use super::host::{self, Permissions, ScriptHost, Stopwatch};
use super::payload::{DUMP, RESTORE};
use super::{FLUSH_ARGS, check_flush, docs, kill, note_memory, with_engine};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, quoting};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::glob;
use crate::scripting::{ENGINE as ENGINE_NAME, Function, Library, RunKind};
use std::sync::Arc;

pub(super) const SCRIPTING: &[&str] = &["scripting"];
pub(super) const ALL_SHARDS: &[&str] =
    &["request_policy:all_shards", "response_policy:all_succeeded"];
/// Milliseconds that the code of a library may run while it is loaded.
const LOAD_MILLIS: u64 = 500;

pub(super) const FUNCTION: Command = Command::new("function", Arity::at_least(2), help::container)
    .docs(docs("7.0.0", "Depends on subcommand.", "Commands about functions."))
    .subcommands(&[DELETE, DUMP, FLUSH, HELP, KILL, LIST, LOAD, RESTORE, STATS]);

const LOAD: Command = Command::new("load", Arity::at_least(3), load)
    .flags(flag_set!(NOSCRIPT | WRITE | DENYOOM | LONG))
    .categories(SCRIPTING)
    .docs(
        docs("7.0.0", "O(1) (considering compilation time is redundant)", "Creates a library.")
            .args(&[Arg::flag("replace", "REPLACE").optional(), Arg::string("function-code")]),
    )
    .tips(ALL_SHARDS);

fn load(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let last = call.argc() - 1;
    let mut replace = false;
    for i in 2..last {
        if !call.is(i, "replace") {
            return Err(quoting("ERR Unknown option given: ", call.arg(i), ""));
        }
        replace = true;
    }
    let library = Library::parse(call.arg(last)).map_err(|why| format!("ERR {why}"))?;
    let taken = call.server.libraries.current().libraries.contains_key(&library.name);
    if taken && !replace {
        return Err(format!("ERR Library '{}' already exists", library.name).into());
    }
    let library = load_library(call, library).map_err(|why| format!("ERR {why}"))?;
    let name = library.name.clone();
    let added = call.server.libraries.change(|set| set.add(library, replace));
    added.map_err(|why| format!("ERR {why}"))?;
    call.reply.bulk(name.as_bytes());
    Ok(Outcome::Done)
}

/// Loads a library into this thread's engine.
pub(super) fn load_library(
    call: &mut Call<'_, '_>,
    library: Library,
) -> Result<Arc<Library>, String> {
    let running = host::begin(call, RunKind::Loading, &library.name);
    let running = running.limited(LOAD_MILLIS, "FUNCTION LOAD timeout");
    let permissions = Permissions { read_only: true, allow_oom: false, cross_slot: false };
    let pooled = call.pooled;
    let (mut host, _) = ScriptHost::new(call, running, permissions);
    let loaded = with_engine(|engine| {
        engine.start_functions();
        let watch = Stopwatch::start(pooled);
        let loaded = engine.load(library, &mut host);
        loaded.inspect(|library| library.cost.note(watch.stop(host.running())))
    });
    host.leave();
    with_engine(|engine| note_memory(call, engine));
    loaded
}

const DELETE: Command = Command::new("delete", Arity::exactly(3), delete)
    .flags(flag_set!(NOSCRIPT | WRITE))
    .categories(SCRIPTING)
    .docs(
        docs("7.0.0", "O(1)", "Deletes a library and its functions.")
            .args(&[Arg::string("library-name")]),
    )
    .tips(ALL_SHARDS);

fn delete(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let name = String::from_utf8_lossy(call.arg(2));
    call.server.libraries.change(|set| match set.remove(&name) {
        true => Ok(()),
        false => Err(ReplyError::new("ERR Library not found")),
    })?;
    call.reply.ok();
    Ok(Outcome::Done)
}

const FLUSH: Command = Command::new("flush", Arity::at_least(2), flush)
    .flags(flag_set!(NOSCRIPT | WRITE))
    .categories(SCRIPTING)
    .docs(
        docs("7.0.0", "O(N) where N is the number of functions deleted", "Deletes all libraries.")
            .args(FLUSH_ARGS),
    )
    .tips(ALL_SHARDS);

fn flush(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() > 3 {
        return Err(help::wrong_subcommand(call));
    }
    check_flush(call, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")?;
    call.server.libraries.flush();
    call.reply.ok();
    Ok(Outcome::Done)
}

const LIST: Command = Command::new("list", Arity::at_least(2), list)
    .flags(Flags::NOSCRIPT)
    .categories(SCRIPTING)
    .docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of functions",
            "Answers what libraries there are.",
        )
        .args(&[
            Arg::string("library-name-pattern").token("LIBRARYNAME").optional(),
            Arg::flag("withcode", "WITHCODE").optional(),
        ]),
    )
    .tips(&["nondeterministic_output_order"]);

fn list(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (mut with_code, mut pattern) = (false, None);
    let mut i = 2;
    while i < call.argc() {
        if !with_code && call.is(i, "withcode") {
            with_code = true;
        } else if pattern.is_none() && call.is(i, "libraryname") {
            i += 1;
            let given = call.request.get(i);
            pattern = Some(given.ok_or("ERR library name argument was not given")?);
        } else {
            return Err(quoting("ERR Unknown argument ", call.arg(i), ""));
        }
        i += 1;
    }
    let set = call.server.libraries.current();
    let wanted = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| glob::matches_nocase(pattern, library.name.as_bytes()))
    };
    let libraries: Vec<_> = set.libraries.values().filter(wanted).collect();
    call.reply.array(libraries.len());
    for library in libraries {
        describe(call, library, with_code);
    }
    Ok(Outcome::Done)
}

fn describe(call: &mut Call<'_, '_>, library: &Library, with_code: bool) {
    let reply = &mut *call.reply;
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(ENGINE_NAME.as_bytes());
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for Function { name, description, flags, .. } in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(name.as_bytes());
        reply.bulk(b"description");
        match description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        reply.set(flags.names().count());
        flags.names().for_each(|flag| reply.simple(flag));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.body);
    }
}

const STATS: Command = Command::new("stats", Arity::exactly(2), stats)
    .flags(flag_set!(NOSCRIPT | ALLOW_BUSY))
    .categories(SCRIPTING)
    .docs(docs("7.0.0", "O(1)", "Answers which function runs, and how many there are."))
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]);

fn stats(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let set = call.server.libraries.current();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let running = call.server.runs.longest_function();
    let reply = &mut *call.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some((run, millis)) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(run.name.as_bytes());
            reply.bulk(b"command");
            reply.array(run.command.iter().len());
            run.command.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(b"duration_ms");
            reply.int(i64::try_from(millis).unwrap_or(i64::MAX));
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(ENGINE_NAME.as_bytes());
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(count(set.libraries.len()));
    reply.bulk(b"functions_count");
    reply.int(count(set.function_count()));
    Ok(Outcome::Done)
}

const KILL: Command = Command::new("kill", Arity::exactly(2), kill_functions)
    .flags(flag_set!(NOSCRIPT | ALLOW_BUSY))
    .categories(SCRIPTING)
    .docs(docs("7.0.0", "O(1)", "Ends the functions that run and have not written."))
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]);

fn kill_functions(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    kill(call, RunKind::Function).map(|()| Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .categories(SCRIPTING)
    .docs(docs("7.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "DELETE <library name>",
            "    Delete a library and its functions.",
            "DUMP",
            "    All libraries in a form that RESTORE takes.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries; both modes are the same.",
            "KILL",
            "    End the functions that run and have not written.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Libraries with their functions, and their code.",
            "LOAD [REPLACE] <code>",
            "    Create a library, or put it in the place of one of the same name.",
            "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
            "    Create the libraries that DUMP has answered: instead of those there are, beside them",
            "    (the default), or in the place of those of the same names.",
            "STATS",
            "    The function that has run for longest, and how many libraries and functions there are.",
        ],
    )
}
