//! FUNCTION DUMP and RESTORE.

use super::docs;
use super::function::{ALL_SHARDS, SCRIPTING, load_library};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::rdb;
use crate::scripting::{Library, LibrarySet, RestorePolicy};

pub(super) const DUMP: Command = Command::new("dump", Arity::exactly(2), dump)
    .flags(Flags::NOSCRIPT)
    .categories(SCRIPTING)
    .docs(docs(
        "7.0.0",
        "O(N) where N is the number of functions",
        "Answers all libraries in a form that RESTORE takes.",
    ));

fn dump(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let set = call.server.libraries.current();
    let texts = set.libraries.values().map(|library| library.body.as_ref());
    call.reply.bulk(&rdb::library::dump(texts));
    Ok(Outcome::Done)
}

pub(super) const RESTORE: Command = Command::new("restore", Arity::at_least(3), restore)
    .flags(flag_set!(NOSCRIPT | WRITE | DENYOOM | LONG))
    .categories(SCRIPTING)
    .docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of functions on the payload",
            "Creates the libraries that FUNCTION DUMP has answered.",
        )
        .args(&[
            Arg::string("serialized-value"),
            Arg::one_of(
                "policy",
                &[
                    Arg::flag("flush", "FLUSH"),
                    Arg::flag("append", "APPEND"),
                    Arg::flag("replace", "REPLACE"),
                ],
            )
            .optional(),
        ]),
    )
    .tips(ALL_SHARDS);

fn restore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let policy = match call.argc() {
        3 => RestorePolicy::Append,
        4 if call.is(3, "append") => RestorePolicy::Append,
        4 if call.is(3, "replace") => RestorePolicy::Replace,
        4 if call.is(3, "flush") => RestorePolicy::Flush,
        4 => {
            return Err("ERR Wrong restore policy given, value should be either FLUSH, APPEND or \
                        REPLACE."
                .into());
        }
        _ => return Err(help::wrong_subcommand(call)),
    };
    let texts = rdb::library::load(call.arg(2)).map_err(|why| format!("ERR {why}"))?;
    let mut set = LibrarySet::default();
    for text in texts {
        let added = Library::parse(&text)
            .and_then(|library| load_library(call, library))
            .and_then(|library| set.add(library, false));
        added.map_err(|why| format!("ERR {why}"))?;
    }
    let restored = call.server.libraries.restore(set, policy);
    restored.map_err(|why| format!("ERR {why}"))?;
    call.reply.ok();
    Ok(Outcome::Done)
}
