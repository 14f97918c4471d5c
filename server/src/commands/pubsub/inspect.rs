//! PUBSUB: who has subscribed to what.

use super::docs;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Handler, Outcome};
use crate::glob;
use crate::pubsub::Channels;

const FLAGS: Flags = flag_set!(PUBSUB | LOADING | STALE);

const fn row(name: &'static str, arity: Arity, handler: Handler) -> Command {
    Command::new(name, arity, handler).flags(FLAGS)
}

pub(super) const PUBSUB: Command = Command::new("pubsub", Arity::at_least(2), help::container)
    .docs(docs("2.8.0", "Depends on subcommand.", "Commands about subscriptions."))
    .subcommands(&[CHANNELS, HELP, NUMPAT, NUMSUB, SHARDCHANNELS, SHARDNUMSUB]);

const CHANNELS: Command = row("channels", Arity::at_least(2), channels).docs(
    docs(
        "2.8.0",
        "O(N) where N is the number of channels with subscribers, for patterns of a bounded length.",
        "Lists the channels that have subscribers.",
    )
    .args(&[Arg::pattern("pattern").optional()]),
);

fn channels(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    list(call, call.server.pubsub.channels())
}

const SHARDCHANNELS: Command = row("shardchannels", Arity::at_least(2), shardchannels).docs(
    docs(
        "7.0.0",
        "O(N) where N is the number of sharded channels with subscribers, for patterns of a \
         bounded length.",
        "Lists the sharded channels that have subscribers.",
    )
    .args(&[Arg::pattern("pattern").optional()]),
);

fn shardchannels(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    list(call, call.server.pubsub.shard_channels())
}

fn list(call: &mut Call<'_, '_>, channels: &Channels) -> Result<Outcome, ReplyError> {
    if call.argc() > 3 {
        return Err(help::wrong_subcommand(call));
    }
    let pattern = call.request.get(2);
    let wanted = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name));
    let names = channels.names(wanted);
    call.reply.array(names.len());
    names.iter().for_each(|name| call.reply.bulk(name));
    Ok(Outcome::Done)
}

const NUMSUB: Command = row("numsub", Arity::at_least(2), numsub).docs(
    docs(
        "2.8.0",
        "O(N) where N is the number of requested channels.",
        "Counts the subscribers of channels, without those of patterns.",
    )
    .args(&[Arg::string("channel").optional().multiple()]),
);

fn numsub(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    count(call, call.server.pubsub.channels())
}

const SHARDNUMSUB: Command = row("shardnumsub", Arity::at_least(2), shardnumsub).docs(
    docs(
        "7.0.0",
        "O(N) where N is the number of requested channels.",
        "Counts the subscribers of sharded channels.",
    )
    .args(&[Arg::string("shardchannel").optional().multiple()]),
);

fn shardnumsub(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    count(call, call.server.pubsub.shard_channels())
}

/// A flat array in RESP3 too.
fn count(call: &mut Call<'_, '_>, channels: &Channels) -> Result<Outcome, ReplyError> {
    call.reply.array(2 * (call.argc() - 2));
    for i in 2..call.argc() {
        let subscribers = channels.subscribers(call.arg(i));
        call.reply.bulk(call.arg(i));
        call.reply.int(i64::try_from(subscribers).unwrap_or(i64::MAX));
    }
    Ok(Outcome::Done)
}

const NUMPAT: Command = row("numpat", Arity::exactly(2), numpat).docs(docs(
    "2.8.0",
    "O(1)",
    "Counts the patterns that have subscribers.",
));

fn numpat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let patterns = call.server.pubsub.patterns();
    call.reply.int(i64::try_from(patterns).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("6.2.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "CHANNELS [<pattern>]",
            "    Channels that have subscribers, or those of them that match.",
            "NUMPAT",
            "    Number of patterns that have subscribers.",
            "NUMSUB [<channel> ...]",
            "    Number of subscribers of each channel, without those of patterns.",
            "SHARDCHANNELS [<pattern>]",
            "    Sharded channels that have subscribers, or those of them that match.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Number of subscribers of each sharded channel.",
        ],
    )
}
