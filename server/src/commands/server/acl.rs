//! ACL WHOAMI and CAT. There is one user, so far, who may do everything.

use super::docs;
use crate::commands::call::Call;
use crate::commands::category::{CATEGORIES, belongs};
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, quoting};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::table::table;

pub(super) const ACL: Command = Command::new("acl", Arity::at_least(2), help::container)
    .docs(docs("6.0.0", "Depends on subcommand.", "Commands about users and their rights."))
    .subcommands(&[CAT, HELP, WHOAMI]);

const WHOAMI: Command = Command::new("whoami", Arity::exactly(2), whoami)
    .flags(flag_set!(NOSCRIPT | LOADING | STALE))
    .docs(docs("6.0.0", "O(1)", "Answers the name of the connection's user."));

fn whoami(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.bulk(call.client.user.as_bytes());
    Ok(Outcome::Done)
}

const CAT: Command =
    Command::new("cat", Arity::at_least(2), cat).flags(flag_set!(NOSCRIPT | LOADING | STALE)).docs(
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
                let start = &category[..category.len().min(128)];
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

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("6.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "CAT [<category>]",
            "    The categories of commands, or the commands of one.",
            "WHOAMI",
            "    Name of this connection's user.",
        ],
    )
}
