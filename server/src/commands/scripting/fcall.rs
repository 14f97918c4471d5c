//! FCALL.

use super::host::{self, Invocation};
use super::{
    KEYS, KEYS_RO, NOTES, NOTES_RO, RUNS_READS, RUNS_WRITES, arguments, docs, keys_and_args,
    note_memory, permissions, with_engine,
};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::scripting::{Arguments, Engine, Libraries, Library, LibrarySet, RunKind};
use std::cell::RefCell;
use std::sync::Arc;

const COMPLEXITY: &str = "Depends on the function that is executed.";

pub(super) const FCALL: Command = Command::new("fcall", Arity::at_least(3), fcall)
    .flags(RUNS_WRITES)
    .categories(&["scripting"])
    .keys(&[KEYS.notes(NOTES)])
    .docs(docs("7.0.0", COMPLEXITY, "Calls a function.").args(&arguments(Arg::string("function"))));

pub(super) const FCALL_RO: Command = Command::new("fcall_ro", Arity::at_least(3), fcall)
    .flags(RUNS_READS)
    .categories(&["scripting"])
    .keys(&[KEYS_RO.notes(NOTES_RO)])
    .docs(
        docs("7.0.0", COMPLEXITY, "Calls a function that writes nothing.")
            .args(&arguments(Arg::string("function"))),
    );

thread_local! {
    /// The libraries as this worker last saw them, and their generation.
    static SEEN: RefCell<(u64, Arc<LibrarySet>)> = RefCell::default();
}

/// The libraries as they are, without their lock if they are as they were.
pub(super) fn current(libraries: &Libraries, engine: &mut Engine) -> Arc<LibrarySet> {
    SEEN.with_borrow_mut(|(generation, set)| {
        let now = libraries.generation();
        if *generation != now {
            *set = libraries.current();
            *generation = now;
            engine.retain(|library| is_in(set, library));
        }
        Arc::clone(set)
    })
}

fn is_in(set: &LibrarySet, library: &Arc<Library>) -> bool {
    set.libraries.get(&library.name).is_some_and(|current| Arc::ptr_eq(current, library))
}

fn fcall(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    with_engine(|engine| {
        let set = current(&call.server.libraries, engine);
        let found = set.find(call.arg(1));
        let (library, function) = found.ok_or("ERR Function not found")?;
        let (keys, args) = keys_and_args(call, "ERR Bad number of keys provided".into())?;
        engine.start_functions();
        let invocation = Invocation {
            kind: RunKind::Function,
            name: &function.name,
            permissions: permissions(call, Some(function.flags))?,
            reach: &function.reach,
            cost: &function.cost,
            keys: &keys,
        };
        let arguments = Arguments { keys: &keys, args: &args };
        let outcome = host::run(call, &invocation, |host, reply| {
            engine.call(library, &function.name, arguments, host, reply)
        });
        note_memory(call, engine);
        outcome
    })
}
