//! Commands about the connection itself.

mod client;
mod hello;

use super::call::Call;
use super::docs::{Arg, Docs, Group};
use super::error::{self, NOT_INTEGER, ReplyError};
use super::spec::{Arity, Command, Flags, Outcome};
use crate::client::{ClientShared, ReplyMode};
use crate::interest;
use dunlin_protocol::{Proto, number};
use dunlin_storage::DbId;
use std::sync::atomic::Ordering;

pub(super) static COMMANDS: &[Command] =
    &[hello::AUTH, client::CLIENT, ECHO, hello::HELLO, PING, QUIT, RESET, SELECT];

const PING: Command = Command::new("ping", Arity::at_least(1), ping)
    .flags(flag_set!(FAST | SUBSCRIBER))
    .docs(
        Docs::new(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Answers PONG, or the given message: the connection works.",
        )
        .args(&[Arg::string("message").optional()]),
    )
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]);

fn ping(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    match call.argc() {
        argc @ (1 | 2) if call.client.in_subscriber_mode() => {
            // In the form of a message: its readers expect nothing else.
            call.reply.array(2);
            call.reply.bulk(b"pong");
            call.reply.bulk(if argc == 2 { call.arg(1) } else { b"" });
        }
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.arg(1)),
        _ => return Err(error::wrong_arity("ping")),
    }
    Ok(Outcome::Done)
}

const ECHO: Command =
    Command::new("echo", Arity::exactly(2), echo).flags(flag_set!(LOADING | STALE | FAST)).docs(
        Docs::new(Group::Connection, "1.0.0", "O(1)", "Answers the given message.")
            .args(&[Arg::string("message")]),
    );

fn echo(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.bulk(call.arg(1));
    Ok(Outcome::Done)
}

const SELECT: Command = Command::new("select", Arity::exactly(2), select)
    .flags(flag_set!(LOADING | STALE | FAST))
    .docs(
        Docs::new(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Chooses the database that the connection's commands use.",
        )
        .args(&[Arg::integer("index")]),
    );

fn select(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let index = number::parse_i64(call.arg(1)).ok_or(NOT_INTEGER)?;
    if i32::try_from(index).is_err() {
        let (min, max) = (i32::MIN, i32::MAX);
        return Err(format!("ERR value is out of range, value must between {min} and {max}").into());
    }
    if call.server.cluster.is_some() && index != 0 {
        return Err("ERR SELECT is not allowed in cluster mode".into());
    }
    let db = u8::try_from(index)
        .ok()
        .filter(|db| *db < call.server.keyspace.databases())
        .ok_or(error::DB_RANGE)?;
    call.client.select(DbId(db));
    call.reply.ok();
    Ok(Outcome::Done)
}

/// Flags of what ends a connection or its state, and so is never queued.
const ENDS: Flags =
    flag_set!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | SUBSCRIBER | UNQUEUED);

const QUIT: Command = Command::new("quit", Arity::at_least(1), quit).flags(ENDS).docs(
    Docs::new(Group::Connection, "1.0.0", "O(1)", "Ends the connection.")
        .deprecated("7.2.0", "just closing the connection"),
);

fn quit(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    call.reply.ok();
    Ok(Outcome::Close)
}

const RESET: Command = Command::new("reset", Arity::exactly(1), reset)
    .flags(ENDS.with(Flags::UNWATCHES))
    .docs(Docs::new(
        Group::Connection,
        "6.2.0",
        "O(1)",
        "Brings the connection back to the state of a new one.",
    ));

fn reset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    interest::unwatch(call)?;
    let client = &mut *call.client;
    client.show_watched();
    client.monitoring = None;
    client.monitor = false;
    client.end_transaction();
    client.tracking.stop(call.server.tracker(), &client.shared);
    client.subscriptions.leave(usize::MAX);
    // What came until now is sent before the reply, and nothing comes after it.
    client.collect(call.reply);
    client.no_touch = false;
    client.reply_mode = ReplyMode::On;
    client.log_out(&call.server.acl);
    client.select(DbId(0));
    client.shared.set_labels(|labels| labels.name.clear());
    for flag in [ClientShared::MONITOR, ClientShared::NO_TOUCH, ClientShared::NO_EVICT] {
        client.shared.set_flag(flag, false);
    }
    set_proto(call, Proto::Resp2);
    call.reply.simple("RESET");
    Ok(Outcome::Done)
}

fn set_proto(call: &mut Call<'_, '_>, proto: Proto) {
    call.reply.set_proto(proto);
    let version = if proto == Proto::Resp3 { 3 } else { 2 };
    call.client.shared.resp.store(version, Ordering::Relaxed);
}
