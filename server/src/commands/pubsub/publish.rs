//! PUBLISH and SPUBLISH.

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Channels, Command, Flags, KeyFlags, KeySpec, Outcome};

const FLAGS: Flags = flag_set!(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE);

pub(super) const PUBLISH: Command = Command::new("publish", Arity::exactly(3), publish)
    .flags(FLAGS)
    .channels(Channels::First)
    .docs(
        docs(
            "2.0.0",
            "O(N+M) where N is the number of the channel's subscribers and M the number of all \
             patterns.",
            "Sends a message to the subscribers of a channel.",
        )
        .args(&[Arg::string("channel"), Arg::string("message")]),
    );

fn publish(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let sent = call.server.pubsub.publish(call.arg(1), call.arg(2));
    let cluster = call.server.cluster.as_ref();
    if let Some(operations) = cluster.and_then(|cluster| cluster.operations()) {
        // As in Redis, the reply counts the receivers on this node.
        operations.spread.publish(call.arg(1), call.arg(2));
    }
    sent_to(call, sent)
}

pub(super) const SPUBLISH: Command = Command::new("spublish", Arity::exactly(3), spublish)
    .flags(FLAGS)
    .keys(&[KeySpec::one(1).with(KeyFlags::NOT_KEY)])
    .channels(Channels::First)
    .docs(
        docs(
            "7.0.0",
            "O(N) where N is the number of the channel's subscribers.",
            "Sends a message to the subscribers of a sharded channel.",
        )
        .args(&[Arg::string("shardchannel"), Arg::string("message")]),
    );

fn spublish(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let sent = call.server.pubsub.publish_sharded(call.arg(1), call.arg(2));
    sent_to(call, sent)
}

fn sent_to(call: &mut Call<'_, '_>, receivers: usize) -> Result<Outcome, ReplyError> {
    call.client.deliveries += receivers;
    call.reply.int(i64::try_from(receivers).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}
