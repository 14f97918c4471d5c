//! CLIENT PAUSE, UNPAUSE, UNBLOCK.

use super::{OTHERS, docs};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::pause::PauseKind;
use dunlin_protocol::number;

pub(super) const PAUSE: Command =
    Command::new("pause", Arity::at_least(3), pause).flags(OTHERS).docs(
        docs("3.0.0", "O(1)", "Lets the commands of all clients wait for a time.")
            .history(&[("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option.")])
            .args(&[
                Arg::integer("timeout"),
                Arg::one_of("mode", &[Arg::flag("write", "WRITE"), Arg::flag("all", "ALL")])
                    .optional()
                    .since("6.2.0"),
            ]),
    );

fn pause(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let kind = match call.argc() {
        3 => PauseKind::All,
        4 if call.is(3, "WRITE") => PauseKind::Write,
        4 if call.is(3, "ALL") => PauseKind::All,
        4 => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
        _ => return Err(help::wrong_subcommand(call)),
    };
    let Some(millis) = number::parse_i64(call.arg(2)) else {
        return Err("ERR timeout is not an integer or out of range".into());
    };
    if millis < 0 {
        return Err("ERR timeout is negative".into());
    }
    let Some(until) = call.now.checked_add(millis) else {
        return Err("ERR timeout is out of range".into());
    };
    call.server.pause.start(kind, until, call.now);
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const UNPAUSE: Command =
    Command::new("unpause", Arity::exactly(2), unpause).flags(OTHERS).docs(docs(
        "6.2.0",
        "O(N) Where N is the number of paused clients",
        "Ends a pause of the clients.",
    ));

fn unpause(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.server.pause.stop();
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const UNBLOCK: Command =
    Command::new("unblock", Arity::at_least(3), unblock).flags(OTHERS).docs(
        docs(
            "5.0.0",
            "O(log N) where N is the number of client connections",
            "Ends the wait of another connection in a blocking command.",
        )
        .args(&[
            Arg::integer("client-id"),
            Arg::one_of(
                "unblock-type",
                &[Arg::flag("timeout", "TIMEOUT"), Arg::flag("error", "ERROR")],
            )
            .optional(),
        ]),
    );

fn unblock(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let with_error = match call.argc() {
        3 => false,
        4 if call.is(3, "TIMEOUT") => false,
        4 if call.is(3, "ERROR") => true,
        4 => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
        _ => return Err(help::wrong_subcommand(call)),
    };
    let id = call.int(2)?;
    let client = u64::try_from(id).ok().and_then(|id| call.server.clients.get(id));
    let ended = client.is_some_and(|client| client.unblock(with_error));
    call.reply.int(i64::from(ended));
    Ok(Outcome::Done)
}
