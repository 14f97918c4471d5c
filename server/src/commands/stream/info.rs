//! XINFO: what is in a stream, its groups and their consumers.

use super::docs::{GROUP, KEY, docs};
use super::{at_most, no_group_of, reply_count, reply_entries, reply_entry, reply_from, reply_id};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{NO_KEY, ReplyError};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use dunlin_storage::value::stream::{Consumer, Group, Log, Stream, StreamId};

/// How many entries and pending entries FULL shows if it is not told.
const DEFAULT_COUNT: u64 = 10;
/// What stands for the time of a consumer that never got anything.
const NEVER: Millis = -1;

const KEYS: &[KeySpec] = &[KeySpec::one(2).read()];

pub(super) const XINFO: Command = Command::new("xinfo", Arity::at_least(2), help::container)
    .docs(docs("5.0.0", "Depends on subcommand.", "Commands about what is in a stream."))
    .subcommands(&[CONSUMERS, GROUPS, HELP, STREAM]);

const STREAM: Command =
    Command::new("stream", Arity::at_least(3), stream).flags(flag_set!(READONLY)).keys(KEYS).docs(
        docs("5.0.0", "O(1)", "Replies what is to be known about a stream.")
            .history(&[
                ("6.0.0", "Added the `FULL` modifier."),
                (
                    "7.0.0",
                    "Added the `max-deleted-entry-id`, `entries-added`, \
                     `recorded-first-entry-id`, `entries-read` and `lag` fields",
                ),
                ("7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."),
            ])
            .args(&[
                KEY,
                Arg::block(
                    "full-block",
                    &[Arg::flag("full", "FULL"), Arg::integer("count").token("COUNT").optional()],
                )
                .optional(),
            ]),
    );

/// How much FULL shows; `None` without it.
fn full_count(call: &Call<'_, '_>) -> Result<Option<u64>, ReplyError> {
    match call.argc() {
        3 => Ok(None),
        4 if call.is(3, "FULL") => Ok(Some(DEFAULT_COUNT)),
        6 if call.is(3, "FULL") && call.is(4, "COUNT") => {
            call.int(5).map(|count| Some(u64::try_from(count).unwrap_or(DEFAULT_COUNT)))
        }
        _ => Err(help::wrong_subcommand(call)),
    }
}

fn stream(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(2);
    // A missing key is answered before the options are looked at.
    let count = full_count(call);
    reply_from(call, &key, |stream, reply| {
        match count? {
            None => write_overview(reply, stream),
            Some(count) => write_full(reply, stream, at_most(count)),
        }
        Ok(Outcome::Done)
    })?
    .ok_or(NO_KEY)?
}

/// Writes the fields that both forms begin with.
fn write_log(reply: &mut Reply, log: &Log) {
    let fields = [
        ("length", log.len()),
        ("radix-tree-keys", log.blocks().len() as u64),
        ("radix-tree-nodes", log.tree_nodes()),
    ];
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply_count(reply, value);
    }
    for (name, id) in
        [("last-generated-id", log.last_id()), ("max-deleted-entry-id", log.max_deleted_id())]
    {
        reply.bulk(name.as_bytes());
        reply_id(reply, id);
    }
    reply.bulk(b"entries-added");
    reply.int(log.entries_added().cast_signed());
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, log.first_id());
}

fn write_overview(reply: &mut Reply, stream: &Stream) {
    reply.map(10);
    write_log(reply, &stream.log);
    reply.bulk(b"groups");
    reply_count(reply, stream.groups.len());
    let all = (StreamId::MIN, StreamId::MAX);
    let ends = [
        ("first-entry", stream.log.range(all.0, all.1).next()),
        ("last-entry", stream.log.range_back(all.0, all.1).next()),
    ];
    for (name, entry) in ends {
        reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => reply_entry(reply, entry),
            None => reply.null(),
        }
    }
}

fn write_full(reply: &mut Reply, stream: &Stream, most: usize) {
    let log = &stream.log;
    reply.map(9);
    write_log(reply, log);
    reply.bulk(b"entries");
    reply_entries(reply, log.range(StreamId::MIN, StreamId::MAX).take(most));
    reply.bulk(b"groups");
    reply.array(stream.groups.len());
    for (name, group) in stream.groups.iter() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        write_progress(reply, log, group);
        reply.bulk(b"pel-count");
        reply_count(reply, group.pending().len());
        reply.bulk(b"pending");
        reply.array(group.pending().len().min(most));
        for (id, pending) in group.pending().iter().take(most) {
            reply.array(4);
            reply_id(reply, *id);
            reply.bulk(pending.consumer());
            reply.int(pending.delivered_at());
            reply.int(pending.deliveries().cast_signed());
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers().len());
        for (name, consumer) in group.consumers() {
            write_consumer(reply, group, name, consumer, most);
        }
    }
}

fn write_consumer(reply: &mut Reply, group: &Group, name: &[u8], consumer: &Consumer, most: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(name);
    reply.bulk(b"seen-time");
    reply.int(consumer.seen_at());
    reply.bulk(b"active-time");
    reply.int(consumer.active_at().unwrap_or(NEVER));
    reply.bulk(b"pel-count");
    reply_count(reply, consumer.pending().len());
    reply.bulk(b"pending");
    let own = consumer.pending().iter().filter_map(|id| group.pending().get_key_value(id));
    let list = reply.deferred_array();
    let mut count = 0;
    for (id, pending) in own.take(most) {
        reply.array(3);
        reply_id(reply, *id);
        reply.int(pending.delivered_at());
        reply.int(pending.deliveries().cast_signed());
        count += 1;
    }
    reply.finish_deferred(list, count);
}

/// Writes how far a group has come.
fn write_progress(reply: &mut Reply, log: &Log, group: &Group) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id());
    let lag = log.lag(group.last_id(), group.entries_read());
    for (name, value) in [("entries-read", group.entries_read()), ("lag", lag)] {
        reply.bulk(name.as_bytes());
        match value {
            Some(value) => reply.int(value),
            None => reply.null(),
        }
    }
}

const GROUPS: Command =
    Command::new("groups", Arity::exactly(3), groups).flags(flag_set!(READONLY)).keys(KEYS).docs(
        docs("5.0.0", "O(1)", "Replies the consumer groups of a stream.")
            .history(&[("7.0.0", "Added the `entries-read` and `lag` fields")])
            .args(&[KEY]),
    );

fn groups(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(2);
    let found = reply_from(call, &key, |stream, reply| {
        reply.array(stream.groups.len());
        for (name, group) in stream.groups.iter() {
            reply.map(6);
            reply.bulk(b"name");
            reply.bulk(name);
            reply.bulk(b"consumers");
            reply_count(reply, group.consumers().len());
            reply.bulk(b"pending");
            reply_count(reply, group.pending().len());
            write_progress(reply, &stream.log, group);
        }
    })?;
    found.map(|()| Outcome::Done).ok_or(NO_KEY)
}

const CONSUMERS: Command = Command::new("consumers", Arity::exactly(4), consumers)
    .flags(flag_set!(READONLY))
    .keys(KEYS)
    .tips(&["nondeterministic_output"])
    .docs(
        docs("5.0.0", "O(1)", "Replies the consumers of a group.")
            .history(&[("7.2.0", "Added the `inactive` field, and changed the meaning of `idle`.")])
            .args(&[KEY, GROUP]),
    );

fn consumers(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, name, now) = (call.key(2), call.arg(3), call.now);
    let found = reply_from(call, &key, |stream, reply| {
        let consumers = stream.groups.get(name)?.consumers();
        reply.array(consumers.len());
        for (name, consumer) in consumers {
            reply.map(4);
            reply.bulk(b"name");
            reply.bulk(name);
            reply.bulk(b"pending");
            reply_count(reply, consumer.pending().len());
            reply.bulk(b"idle");
            reply.int(now.saturating_sub(consumer.seen_at()).max(0));
            reply.bulk(b"inactive");
            let inactive = consumer.active_at().map(|time| now.saturating_sub(time));
            reply.int(inactive.unwrap_or(NEVER));
        }
        Some(Outcome::Done)
    })?;
    found.ok_or(NO_KEY)?.ok_or_else(|| no_group_of(key.bytes, name))
}

const HELP: Command = Command::new("help", Arity::exactly(2), show_help)
    .flags(flag_set!(LOADING | STALE))
    .docs(docs("5.0.0", "O(1)", "Explains the subcommands."));

fn show_help(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    help::reply(
        call,
        &[
            "CONSUMERS <key> <groupname>",
            "    The consumers of the group.",
            "GROUPS <key>",
            "    The consumer groups of the stream.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    What is to be known about the stream.",
        ],
    )
}
