//! CLIENT PAUSE, UNPAUSE, UNBLOCK, and the tracking commands.
//!
//! Tracking for client-side caches is not implemented yet: turning it on is refused, everything
//! else answers as a connection without tracking.

use super::{OTHERS, OWN, docs};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX};
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

pub(super) const TRACKING: Command =
    Command::new("tracking", Arity::at_least(3), tracking).flags(OWN).docs(
        docs(
            "6.0.0",
            "O(1). Some options may introduce additional complexity.",
            "Turns invalidation messages for client-side caches on and off.",
        )
        .args(&[
            Arg::one_of("status", &[Arg::flag("on", "ON"), Arg::flag("off", "OFF")]),
            Arg::integer("client-id").token("REDIRECT").optional(),
            Arg::string("prefix").token("PREFIX").optional().multiple_token(),
            Arg::flag("bcast", "BCAST").optional(),
            Arg::flag("optin", "OPTIN").optional(),
            Arg::flag("optout", "OPTOUT").optional(),
            Arg::flag("noloop", "NOLOOP").optional(),
        ]),
    );

fn tracking(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (mut broadcast, mut prefix, mut opt_in, mut opt_out) = (false, false, false, false);
    let mut i = 3;
    while i < call.argc() {
        let left = call.argc() - 1 - i;
        if call.is(i, "REDIRECT") && left > 0 {
            let id = number::parse_i64(call.arg(i + 1)).ok_or(NOT_INTEGER)?;
            if u64::try_from(id).ok().and_then(|id| call.server.clients.get(id)).is_none() {
                return Err("ERR The client ID you want redirect to does not exist".into());
            }
            i += 1;
        } else if call.is(i, "PREFIX") && left > 0 {
            prefix = true;
            i += 1;
        } else if call.is(i, "BCAST") {
            broadcast = true;
        } else if call.is(i, "OPTIN") {
            opt_in = true;
        } else if call.is(i, "OPTOUT") {
            opt_out = true;
        } else if !call.is(i, "NOLOOP") {
            return Err(SYNTAX);
        }
        i += 1;
    }
    if call.is(2, "ON") {
        if prefix && !broadcast {
            return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
        }
        if broadcast && (opt_in || opt_out) {
            return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
        }
        if opt_in && opt_out {
            return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
        }
        return Err("ERR client tracking is not supported".into());
    }
    if !call.is(2, "OFF") {
        return Err(SYNTAX);
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const CACHING: Command =
    Command::new("caching", Arity::exactly(3), caching).flags(OWN).docs(
        docs("6.0.0", "O(1)", "Says whether the keys of the next command are tracked.")
            .args(&[Arg::one_of("mode", &[Arg::flag("yes", "YES"), Arg::flag("no", "NO")])]),
    );

fn caching(_: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    Err("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
         OPTOUT mode enabled"
        .into())
}

pub(super) const TRACKINGINFO: Command =
    Command::new("trackinginfo", Arity::exactly(2), trackinginfo).flags(OWN).docs(docs(
        "6.2.0",
        "O(1)",
        "Describes the connection's tracking.",
    ));

fn trackinginfo(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let reply = &mut *call.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.int(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Ok(Outcome::Done)
}

pub(super) const GETREDIR: Command = Command::new("getredir", Arity::exactly(2), getredir)
    .flags(OWN)
    .docs(docs("6.0.0", "O(1)", "Answers which connection gets this one's invalidation messages."));

fn getredir(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.int(-1);
    Ok(Outcome::Done)
}
