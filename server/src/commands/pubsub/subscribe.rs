//! SUBSCRIBE, UNSUBSCRIBE, and the same for patterns and sharded channels.
//!
//! Each of them answers with one message per name, and in RESP3 these are pushes as well. The
//! number in it is what the client has subscribed to afterwards.

use super::docs;
use crate::client::ClientShared;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Channels, Command, Flags, Handler, KeyFlags, KeySpec, Outcome};
use crate::pubsub::Kind;

const FLAGS: Flags = flag_set!(PUBSUB | NOSCRIPT | LOADING | STALE | SUBSCRIBER | ANSWERS_BY_PUSH);

/// The slots of a cluster that sharded channels belong to.
const SLOTS: &[KeySpec] = &[KeySpec::span(1, -1, 1).with(KeyFlags::NOT_KEY)];

const fn row(name: &'static str, arity: Arity, channels: Channels, handler: Handler) -> Command {
    Command::new(name, arity, handler).flags(FLAGS).channels(channels)
}

pub(super) const SUBSCRIBE: Command =
    row("subscribe", Arity::at_least(2), Channels::All, subscribe).docs(
        docs(
            "2.0.0",
            "O(N) where N is the number of channels to subscribe to.",
            "Starts to receive the messages of channels.",
        )
        .args(&[Arg::string("channel").multiple()]),
    );

fn subscribe(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    start(call, Kind::Channel, "subscribe")
}

pub(super) const UNSUBSCRIBE: Command =
    row("unsubscribe", Arity::at_least(1), Channels::None, unsubscribe).docs(
        docs(
            "2.0.0",
            "O(N) where N is the number of channels to unsubscribe from.",
            "Stops to receive the messages of channels, or of all channels.",
        )
        .args(&[Arg::string("channel").optional().multiple()]),
    );

fn unsubscribe(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    stop(call, Kind::Channel, "unsubscribe")
}

pub(super) const PSUBSCRIBE: Command =
    row("psubscribe", Arity::at_least(2), Channels::Patterns, psubscribe).docs(
        docs(
            "2.0.0",
            "O(N) where N is the number of patterns to subscribe to.",
            "Starts to receive the messages of all channels that match patterns.",
        )
        .args(&[Arg::pattern("pattern").multiple()]),
    );

fn psubscribe(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    start(call, Kind::Pattern, "psubscribe")
}

pub(super) const PUNSUBSCRIBE: Command =
    row("punsubscribe", Arity::at_least(1), Channels::None, punsubscribe).docs(
        docs(
            "2.0.0",
            "O(N) where N is the number of patterns to unsubscribe from.",
            "Stops to receive the messages of channels that match patterns, or of all patterns.",
        )
        .args(&[Arg::pattern("pattern").optional().multiple()]),
    );

fn punsubscribe(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    stop(call, Kind::Pattern, "punsubscribe")
}

pub(super) const SSUBSCRIBE: Command =
    row("ssubscribe", Arity::at_least(2), Channels::All, ssubscribe).keys(SLOTS).docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of shard channels to subscribe to.",
            "Starts to receive the messages of sharded channels.",
        )
        .args(&[Arg::string("shardchannel").multiple()]),
    );

fn ssubscribe(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if !call.may_block() {
        return Err("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client".into());
    }
    start(call, Kind::ShardChannel, "ssubscribe")
}

pub(super) const SUNSUBSCRIBE: Command =
    row("sunsubscribe", Arity::at_least(1), Channels::None, sunsubscribe).keys(SLOTS).docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of shard channels to unsubscribe from.",
            "Stops to receive the messages of sharded channels, or of all sharded channels.",
        )
        .args(&[Arg::string("shardchannel").optional().multiple()]),
    );

fn sunsubscribe(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    stop(call, Kind::ShardChannel, "sunsubscribe")
}

fn start(call: &mut Call<'_, '_>, kind: Kind, word: &str) -> Result<Outcome, ReplyError> {
    for i in 1..call.argc() {
        let name = call.arg(i);
        call.client.subscriptions.subscribe(kind, name);
        confirm(call, kind, word, Some(name));
    }
    // Who takes rights away closes the subscribers that are there. One that comes in the middle of
    // this, with the rights of before, finds out by itself.
    if call.client.keeps_subscriptions(&call.server.acl) {
        return Ok(Outcome::Done);
    }
    call.client.shared.set_flag(ClientShared::CLOSING, true);
    Ok(Outcome::Close)
}

fn stop(call: &mut Call<'_, '_>, kind: Kind, word: &str) -> Result<Outcome, ReplyError> {
    for i in 1..call.argc() {
        let name = call.arg(i);
        leave(call, kind, word, name);
    }
    if call.argc() == 1 {
        if call.client.subscriptions.first(kind).is_none() {
            confirm(call, kind, word, None);
        }
        while let Some(name) = call.client.subscriptions.first(kind) {
            leave(call, kind, word, &name);
        }
    }
    Ok(Outcome::Done)
}

/// Unsubscribes, sends what has come until then, and confirms: no message follows. In EXEC what has
/// come is sent afterwards, because it is no part of the array of replies.
fn leave(call: &mut Call<'_, '_>, kind: Kind, word: &str, name: &[u8]) {
    call.client.subscriptions.unsubscribe(kind, name);
    if call.may_block() {
        call.client.collect(call.reply);
    }
    confirm(call, kind, word, Some(name));
}

fn confirm(call: &mut Call<'_, '_>, kind: Kind, word: &str, name: Option<&[u8]>) {
    let count = call.client.subscriptions.count(kind);
    call.reply.push(3);
    call.reply.bulk(word.as_bytes());
    match name {
        Some(name) => call.reply.bulk(name),
        None => call.reply.null(),
    }
    call.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
}
