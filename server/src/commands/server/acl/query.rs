//! ACL CAT and DRYRUN: what there are rights to, and whether a user has them.

use super::super::docs;
use super::{ADMIN, OPEN};
use crate::commands::call::Call;
use crate::commands::category::{CATEGORIES, belongs};
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, quoting, wrong_arity};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::table::table;

/// Echo of at most this much of a category's name.
const ECHO: usize = 128;

pub(super) const CAT: Command = Command::new("cat", Arity::at_least(2), cat).flags(OPEN).docs(
    docs(
        "6.0.0",
        "O(1) since the categories and commands are a fixed set.",
        "Lists the categories of commands, or the commands of a category.",
    )
    .args(&[Arg::string("category").optional()]),
);

fn cat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let names: Vec<&str> = match call.argc() {
        2 => CATEGORIES.to_vec(),
        3 => {
            let category = call.arg(2);
            if !CATEGORIES.iter().any(|name| category.eq_ignore_ascii_case(name.as_bytes())) {
                let start = &category[..category.len().min(ECHO)];
                return Err(quoting("ERR Unknown category '", start, "'"));
            }
            let entries = table().entries().iter().filter(|entry| belongs(entry, category));
            entries.map(|entry| entry.full_name.as_str()).collect()
        }
        _ => return Err(help::wrong_subcommand(call)),
    };
    call.reply.array(names.len());
    for name in names {
        call.reply.bulk(name.as_bytes());
    }
    Ok(Outcome::Done)
}

pub(super) const DRYRUN: Command =
    Command::new("dryrun", Arity::at_least(4), dryrun).flags(ADMIN).docs(
        docs(
            "7.0.0",
            "O(1).",
            "Answers whether a user may run a command line, without running it.",
        )
        .args(&[
            Arg::string("username"),
            Arg::string("command"),
            Arg::string("arg").optional().multiple(),
        ]),
    );

fn dryrun(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let users = call.server.acl.users();
    let name = call.arg(2);
    let user = users.get(name).ok_or_else(|| quoting("ERR User '", name, "' not found"))?;
    let no_command = || quoting("ERR Command '", call.arg(3), "' not found");
    let request = call.request.tail(3).ok_or_else(no_command)?;
    let entry = table().get(request.arg(0)).ok_or_else(no_command)?;
    let entry = match request.get(1) {
        Some(name) if !entry.subcommands.is_empty() => {
            table().sub(entry, name).ok_or_else(no_command)?
        }
        _ => entry,
    };
    if !entry.command.arity.accepts(request.len()) {
        return Err(wrong_arity(&entry.full_name));
    }
    match user.check(entry, &request) {
        Ok(()) => call.reply.ok(),
        Err(denied) => call.reply.bulk(&denied.explain(user, entry, &request)),
    }
    Ok(Outcome::Done)
}
