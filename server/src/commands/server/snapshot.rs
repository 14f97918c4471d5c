//! SAVE, BGSAVE and LASTSAVE. What they do is [`crate::snapshot`]'s.

use super::docs;
use crate::blocking::{Meanwhile, Wait};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Outcome};

const IN_PROGRESS: &str = "ERR Background save already in progress";

pub(super) const SAVE: Command = Command::new("save", Arity::exactly(1), save)
    .flags(flag_set!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI))
    .docs(docs(
        "1.0.0",
        "O(N) where N is the total number of keys in all databases",
        "Writes a snapshot and waits for it; other clients do not.",
    ));

fn save(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let meanwhile = call.client.wait.as_ref().and_then(|wait| wait.meanwhile.clone());
    let job = match meanwhile {
        Some(Meanwhile::Snapshot(job)) => job,
        _ => {
            let request = call.server.snapshots.request(true, call.now);
            request.map_err(|_in_progress| ReplyError::new(IN_PROGRESS))?
        }
    };
    match job.outcome() {
        Some(Ok(())) => call.reply.ok(),
        Some(Err(why)) => return Err(format!("ERR The snapshot failed: {why}").into()),
        None => {
            let meanwhile = Some(Meanwhile::Snapshot(job));
            let on_timeout = |reply: &mut dunlin_protocol::Reply| {
                reply.error("ERR The snapshot goes on without its client");
            };
            return Ok(Outcome::Block(Wait { deadline: None, on_timeout, on: None, meanwhile }));
        }
    }
    Ok(Outcome::Done)
}

pub(super) const BGSAVE: Command = Command::new("bgsave", Arity::at_least(1), bgsave)
    .flags(flag_set!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING))
    .docs(
        docs("1.0.0", "O(1)", "Has a snapshot written.")
            .history(&[("3.2.2", "Added the `SCHEDULE` option.")])
            .args(&[Arg::flag("schedule", "SCHEDULE").optional().since("3.2.2")]),
    );

fn bgsave(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() > 2 || call.argc() == 2 && !call.is(1, "schedule") {
        return Err(SYNTAX);
    }
    let request = call.server.snapshots.request(false, call.now);
    request.map_err(|_in_progress| ReplyError::new(IN_PROGRESS))?;
    // In a transaction it begins after EXEC, in Redis; here it is the keeper's in any case.
    let text = match call.client.deny_blocking {
        true => "Background saving scheduled",
        false => "Background saving started",
    };
    call.reply.simple(text);
    Ok(Outcome::Done)
}

pub(super) const LASTSAVE: Command = Command::new("lastsave", Arity::exactly(1), lastsave)
    .flags(flag_set!(LOADING | STALE | FAST))
    .categories(&["admin", "dangerous"])
    .docs(docs("1.0.0", "O(1)", "Answers the time of the last snapshot, or of the start."))
    .tips(&["nondeterministic_output"]);

fn lastsave(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.int(call.server.snapshots.figures().last_save / 1000);
    Ok(Outcome::Done)
}
