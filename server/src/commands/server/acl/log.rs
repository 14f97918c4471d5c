//! ACL LOG.

use super::super::docs;
use super::ADMIN;
use crate::acl::LogEntry;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::Millis;

/// Entries shown unless asked for more or less.
const SHOWN: usize = 10;

pub(super) const LOG: Command = Command::new("log", Arity::at_least(2), log).flags(ADMIN).docs(
    docs(
        "6.0.0",
        "O(N) with N being the number of entries shown.",
        "Lists the latest refusals for want of a right, or forgets them.",
    )
    .history(&[("7.2.0", "Added entry ID, timestamp created, and timestamp last updated.")])
    .args(&[
        Arg::one_of("operation", &[Arg::integer("count"), Arg::flag("reset", "RESET")]).optional()
    ]),
);

fn log(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let log = &call.server.acl.log;
    let count = match call.argc() {
        2 => SHOWN,
        3 if call.is(2, "RESET") => {
            log.reset();
            call.reply.ok();
            return Ok(Outcome::Done);
        }
        3 => usize::try_from(call.int(2)?).unwrap_or(0),
        _ => return Err(help::wrong_subcommand(call)),
    };
    let entries = log.latest(count);
    call.reply.array(entries.len());
    entries.iter().for_each(|entry| write(call.reply, entry, call.now));
    Ok(Outcome::Done)
}

fn write(reply: &mut Reply, entry: &LogEntry, now: Millis) {
    reply.map(10);
    reply.bulk(b"count");
    reply.int(i64::try_from(entry.count).unwrap_or(i64::MAX));
    for (field, text) in [
        ("reason", entry.reason.name().as_bytes()),
        ("context", entry.context.name().as_bytes()),
        ("object", &entry.object),
        ("username", &entry.user),
    ] {
        reply.bulk(field.as_bytes());
        reply.bulk(text);
    }
    reply.bulk(b"age-seconds");
    reply.double((now - entry.updated) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
    for (field, number) in [
        ("entry-id", i64::try_from(entry.id).unwrap_or(i64::MAX)),
        ("timestamp-created", entry.created),
        ("timestamp-last-updated", entry.updated),
    ] {
        reply.bulk(field.as_bytes());
        reply.int(number);
    }
}
