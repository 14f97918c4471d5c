//! ACL: users and their rights. What they are and how they work is in [`crate::acl`].

mod file;
mod log;
mod query;
mod users;

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};

/// Flags of the subcommands that anybody may use.
const OPEN: Flags = flag_set!(NOSCRIPT | LOADING | STALE);
/// Flags of the subcommands about users.
const ADMIN: Flags = flag_set!(ADMIN | NOSCRIPT | LOADING | STALE);

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub(super) const ACL: Command = Command::new("acl", Arity::at_least(2), help::container)
    .docs(docs("6.0.0", "Depends on subcommand.", "Commands about users and their rights."))
    .subcommands(&[
        query::CAT,
        users::DELUSER,
        query::DRYRUN,
        GENPASS,
        users::GETUSER,
        HELP,
        users::LIST,
        file::LOAD,
        log::LOG,
        file::SAVE,
        users::SETUSER,
        users::USERS,
        WHOAMI,
    ]);

const WHOAMI: Command = Command::new("whoami", Arity::exactly(2), whoami).flags(OPEN).docs(docs(
    "6.0.0",
    "O(1)",
    "Answers the name of the connection's user.",
));

fn whoami(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.bulk(call.client.user().name());
    Ok(Outcome::Done)
}

/// Most bits of a password that ACL GENPASS makes.
const MAX_BITS: usize = 4096;
/// Bits of a password unless asked for others.
const DEFAULT_BITS: i64 = 256;

const GENPASS: Command = Command::new("genpass", Arity::at_least(2), genpass).flags(OPEN).docs(
    docs("6.0.0", "O(1)", "Makes a password that cannot be guessed.")
        .args(&[Arg::integer("bits").optional()]),
);

fn genpass(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let bits = match call.argc() {
        2 => DEFAULT_BITS,
        3 => call.int(2)?,
        _ => return Err(help::wrong_subcommand(call)),
    };
    let Some(bits) = usize::try_from(bits).ok().filter(|bits| (1..=MAX_BITS).contains(bits)) else {
        return Err(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a \
             positive number up to {MAX_BITS}"
        )
        .into());
    };
    let mut random = [0; MAX_BITS / 8];
    getrandom::fill(&mut random).map_err(|error| format!("ERR no random numbers: {error}"))?;
    let mut password = crate::acl::hex(&random);
    password.truncate(bits.div_ceil(4));
    call.reply.bulk(password.as_bytes());
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
            "DELUSER <username> [<username> ...]",
            "    Delete users and close their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Whether the user may run this command line, without running it.",
            "GENPASS [<bits>]",
            "    A random password of 256 bits, or of that many.",
            "GETUSER <username>",
            "    What the user may do.",
            "LIST",
            "    All users, as lines of the configuration file.",
            "LOAD",
            "    Read the users from the aclfile.",
            "LOG [<count>|RESET]",
            "    The latest refusals, or forget them.",
            "SAVE",
            "    Write the users into the aclfile.",
            "SETUSER <username> [<rule> ...]",
            "    Make a user, or change what it may do.",
            "USERS",
            "    Names of all users.",
            "WHOAMI",
            "    Name of this connection's user.",
        ],
    )
}
