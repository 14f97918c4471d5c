//! TIME, ROLE, SHUTDOWN and MONITOR.

use super::docs;
use crate::client::ClientShared;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Outcome};
use crate::snapshot::{self, AtExit};
use std::sync::Arc;

pub(super) const TIME: Command = Command::new("time", Arity::exactly(1), time)
    .flags(flag_set!(LOADING | STALE | FAST))
    .docs(docs("2.6.0", "O(1)", "Answers the server's time in seconds and microseconds."))
    .tips(&["nondeterministic_output"]);

fn time(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let read = || call.server.clock.wall_us();
    // A script and a transaction happen at one instant.
    let now = match call.client.deny_blocking {
        true => *call.client.instant_us.get_or_insert_with(read),
        false => read(),
    };
    call.reply.array(2);
    call.reply.bulk_int(now.div_euclid(1_000_000));
    call.reply.bulk_int(now.rem_euclid(1_000_000));
    Ok(Outcome::Done)
}

pub(super) const ROLE: Command = Command::new("role", Arity::exactly(1), role)
    .flags(flag_set!(NOSCRIPT | LOADING | STALE | FAST))
    .categories(&["admin", "dangerous"])
    .docs(docs("2.8.12", "O(1)", "Answers the part the server plays in replication."));

fn role(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.array(3);
    call.reply.bulk(b"master");
    call.reply.int(0);
    call.reply.array(0);
    Ok(Outcome::Done)
}

pub(super) const SHUTDOWN: Command = Command::new("shutdown", Arity::at_least(1), shutdown)
    .flags(flag_set!(ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY))
    .docs(
        docs(
            "1.0.0",
            "O(N) when saving, where N is the total number of keys in all databases when saving \
             data, otherwise O(1)",
            "Ends the server after the commands in hand are answered.",
        )
        .history(&[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")])
        .args(&[
            Arg::one_of(
                "save-selector",
                &[Arg::flag("nosave", "NOSAVE"), Arg::flag("save", "SAVE")],
            )
            .optional(),
            Arg::flag("now", "NOW").optional().since("7.0.0"),
            Arg::flag("force", "FORCE").optional().since("7.0.0"),
            Arg::flag("abort", "ABORT").optional().since("7.0.0"),
        ]),
    );

fn shutdown(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (mut save, mut no_save, mut other, mut force, mut abort) =
        (false, false, false, false, false);
    for i in 1..call.argc() {
        if call.is(i, "NOSAVE") {
            no_save = true;
        } else if call.is(i, "SAVE") {
            save = true;
        } else if call.is(i, "NOW") {
            other = true;
        } else if call.is(i, "FORCE") {
            force = true;
        } else if call.is(i, "ABORT") {
            abort = true;
        } else {
            return Err(SYNTAX);
        }
    }
    if (abort && (save || no_save || other || force)) || (save && no_save) {
        return Err(SYNTAX);
    }
    if abort {
        // Nobody is let in any more once it has begun, and that cannot be taken back.
        return Err(match call.server.shutdown.is_under_way() {
            true => "ERR The shutdown cannot be aborted any more.".into(),
            false => "ERR No shutdown in progress.".into(),
        });
    }
    let at_exit = match (save, no_save) {
        (true, _) => AtExit::Save,
        (_, true) => AtExit::NoSave,
        _ => AtExit::Default,
    };
    prepare_snapshot(call, at_exit, force)?;
    tracing::info!("SHUTDOWN by a client");
    call.server.shutdown.request();
    Ok(Outcome::Close)
}

/// The snapshot itself is written when nobody is served any more. Then it is too late to tell the client
/// that it fails: what can be seen now is looked at now.
fn prepare_snapshot(call: &Call<'_, '_>, at_exit: AtExit, force: bool) -> Result<(), ReplyError> {
    let settings = call.server.settings();
    let saves =
        at_exit == AtExit::Save || at_exit == AtExit::Default && !settings.save_points.is_empty();
    if saves
        && !force
        && call.server.snapshots.loading.is_over()
        && let Err(error) = snapshot::check_directory(&settings)
    {
        tracing::warn!(%error, "SHUTDOWN refused: no snapshot can be written");
        return Err("ERR Errors trying to SHUTDOWN. Check logs.".into());
    }
    call.server.snapshots.set_at_exit(at_exit);
    Ok(())
}

pub(super) const MONITOR: Command = Command::new("monitor", Arity::exactly(1), monitor)
    .flags(flag_set!(ADMIN | NOSCRIPT | LOADING | STALE))
    .docs(docs("1.0.0", "", "Shows the connection every command that the server runs."));

fn monitor(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if !call.may_block() {
        return Err("ERR MONITOR isn't allowed for DENY BLOCKING client".into());
    }
    // A second MONITOR changes nothing and, as in Redis, is not answered.
    if !call.client.monitor {
        call.client.monitor = true;
        call.client.shared.set_flag(ClientShared::MONITOR, true);
        let shared = Arc::clone(&call.client.shared);
        call.client.monitoring = Some(call.server.monitors.subscribe(shared));
        call.reply.ok();
    }
    Ok(Outcome::Done)
}
