//! COMMAND: what the command table says about itself.

mod details;
mod documents;
mod keys;
mod list;

use super::docs;
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use crate::commands::table::{Entry, table};

const FLAGS: Flags = flag_set!(LOADING | STALE);
const CONNECTION: &[&str] = &["connection"];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];

pub(super) const COMMAND: Command = Command::new("command", Arity::at_least(1), all)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(docs(
        "2.8.13",
        "O(N) where N is the total number of Redis commands",
        "Describes every command.",
    ))
    .tips(UNORDERED)
    .subcommands(&[
        COUNT,
        documents::DOCS,
        keys::GETKEYS,
        keys::GETKEYSANDFLAGS,
        HELP,
        details::INFO,
        list::LIST,
    ]);

fn all(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entries: Vec<&Entry> = table().top_level().collect();
    call.reply.array(entries.len());
    entries.into_iter().for_each(|entry| details::write(call.reply, entry));
    Ok(Outcome::Done)
}

const COUNT: Command = Command::new("count", Arity::exactly(2), count)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(docs("2.8.13", "O(1)", "Answers the number of commands."));

fn count(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.int(i64::try_from(table().top_level().count()).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(FLAGS)
    .categories(CONNECTION)
    .docs(docs("5.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "(no subcommand)",
            "    Describe every command.",
            "COUNT",
            "    Number of commands.",
            "DOCS [<name> ...]",
            "    Documentation of these commands, or of all.",
            "GETKEYS <command> [<arg> ...]",
            "    Keys in a command line.",
            "GETKEYSANDFLAGS <command> [<arg> ...]",
            "    Keys in a command line and what the command does with them.",
            "INFO [<name> ...]",
            "    Describe these commands, or all.",
            "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    Names of the commands and subcommands.",
        ],
    )
}
