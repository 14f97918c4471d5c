//! SLOWLOG; the log itself is [`crate::slowlog`].

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use dunlin_protocol::number;

const OPERATOR: Flags = flag_set!(ADMIN | LOADING | STALE);
/// Entries that GET answers without a count.
const DEFAULT_COUNT: usize = 10;

pub(super) const SLOWLOG: Command = Command::new("slowlog", Arity::at_least(2), help::container)
    .docs(docs("2.2.12", "Depends on subcommand.", "Commands about the slow log."))
    .subcommands(&[GET, HELP, LEN, RESET]);

const GET: Command = Command::new("get", Arity::at_least(2), get)
    .flags(OPERATOR)
    .docs(
        docs(
            "2.2.12",
            "O(N) where N is the number of entries returned",
            "Answers the latest slow commands, newest first.",
        )
        .history(&[("4.0.0", "Added client IP address, port and name to the reply.")])
        .args(&[Arg::integer("count").optional()]),
    )
    .tips(&["request_policy:all_nodes", "nondeterministic_output"]);

fn get(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let count = match call.argc() {
        2 => DEFAULT_COUNT,
        3 => match number::parse_i64(call.arg(2)) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err("ERR count should be greater than or equal to -1".into()),
        },
        _ => return Err(help::wrong_subcommand(call)),
    };
    let entries = call.server.slowlog.latest(count);
    let reply = &mut *call.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.int(i64::try_from(entry.id).unwrap_or(i64::MAX));
        reply.int(entry.time);
        reply.int(i64::try_from(entry.micros).unwrap_or(i64::MAX));
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(entry.name.as_bytes());
    }
    Ok(Outcome::Done)
}

const LEN: Command = Command::new("len", Arity::exactly(2), len)
    .flags(OPERATOR)
    .docs(docs("2.2.12", "O(1)", "Answers the number of entries in the slow log."))
    .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]);

fn len(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.int(i64::try_from(call.server.slowlog.len()).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

const RESET: Command = Command::new("reset", Arity::exactly(2), reset)
    .flags(OPERATOR)
    .docs(docs(
        "2.2.12",
        "O(N) where N is the number of entries in the slowlog",
        "Empties the slow log.",
    ))
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

fn reset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.server.slowlog.reset();
    call.reply.ok();
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("6.2.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "GET [<count>]",
            "    The newest entries (default: 10, -1: all), each with",
            "    number, unix time, microseconds, arguments, client address, client name.",
            "LEN",
            "    Number of entries.",
            "RESET",
            "    Forget all entries.",
        ],
    )
}
