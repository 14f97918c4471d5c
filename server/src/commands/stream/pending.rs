//! XACK and XPENDING.

use super::docs::{CONSUMER, GROUP, IDS, KEY, docs};
use super::id::{end_arg, id_args, start_arg};
use super::{at_most, count_arg, edit, no_group, reply_count, reply_from, reply_id};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use dunlin_storage::value::stream::{Group, Pending, StreamId};

pub(super) const XACK: Command = Command::new("xack", Arity::at_least(4), xack)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).update()])
    .docs(
        docs(
            "5.0.0",
            "O(1) for each identifier.",
            "Acknowledges pending entries of a group and replies how many were pending.",
        )
        .args(&[KEY, GROUP, IDS]),
    );

fn xack(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, group) = (call.key(1), call.arg(2));
    let ids = id_args(call, 3);
    // It counts as a read, as in Redis.
    call.lookup(&key);
    // A missing key or group is answered before the identifiers are looked at.
    let acknowledged = edit(call, &key, |stream, _| {
        stream.groups.edit(group, |group| {
            ids.map(|ids| ids.into_iter().filter(|id| group.acknowledge(*id)).count())
        })
    })?;
    reply_count(call.reply, acknowledged.flatten().transpose()?.unwrap_or(0));
    Ok(Outcome::Done)
}

pub(super) const XPENDING: Command = Command::new("xpending", Arity::at_least(3), xpending)
    .flags(flag_set!(READONLY))
    .keys(&[KeySpec::one(1).read()])
    .tips(&["nondeterministic_output"])
    .docs(
        docs(
            "5.0.0",
            "O(N) with N being the number of entries replied, or of those looked at with `IDLE`; \
             of the summary, the number of consumers.",
            "Replies the pending entries of a group, or a summary of them.",
        )
        .history(&[("6.2.0", "Added the `IDLE` option and exclusive range intervals.")])
        .args(&[
            KEY,
            GROUP,
            Arg::block(
                "filters",
                &[
                    Arg::integer("min-idle-time").token("IDLE").since("6.2.0").optional(),
                    Arg::string("start"),
                    Arg::string("end"),
                    Arg::integer("count"),
                    CONSUMER.optional(),
                ],
            )
            .optional(),
        ]),
    );

/// Which pending entries are asked for.
struct Filter<'a> {
    min_idle: Millis,
    start: StreamId,
    end: StreamId,
    count: u64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// The filter in the arguments; `None` asks for the summary.
    fn parse(call: &Call<'a, '_>) -> Result<Option<Self>, ReplyError> {
        if call.argc() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&call.argc()) {
            return Err(SYNTAX);
        }
        let (mut first, mut min_idle) = (3, 0);
        if call.is(3, "IDLE") {
            min_idle = call.int(4)?;
            if call.argc() < 8 {
                return Err(SYNTAX);
            }
            first = 5;
        }
        let count = count_arg(call, first + 2)?;
        let start = start_arg(call, first)?;
        let end = end_arg(call, first + 1)?;
        let consumer = call.request.get(first + 3);
        Ok(Some(Filter { min_idle, start, end, count, consumer }))
    }
}

fn xpending(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let filter = Filter::parse(call)?;
    let (key, name, now) = (call.key(1), call.arg(2), call.now);
    let found = reply_from(call, &key, |stream, reply| {
        let group = stream.groups.get(name)?;
        match &filter {
            None => summarise(reply, group),
            Some(filter) => list(reply, group, filter, now),
        }
        Some(())
    })?;
    match found.flatten() {
        Some(()) => Ok(Outcome::Done),
        None => Err(no_group(key.bytes, name, "'")),
    }
}

fn summarise(reply: &mut Reply, group: &Group) {
    let pending = group.pending();
    reply.array(4);
    reply_count(reply, pending.len());
    let (Some((first, _)), Some((last, _))) = (pending.first_key_value(), pending.last_key_value())
    else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, *first);
    reply_id(reply, *last);
    let list = reply.deferred_array();
    let mut count = 0;
    for (name, consumer) in group.consumers().filter(|(_, one)| !one.pending().is_empty()) {
        reply.array(2);
        reply.bulk(name);
        reply.bulk_int(i64::try_from(consumer.pending().len()).unwrap_or(i64::MAX));
        count += 1;
    }
    reply.finish_deferred(list, count);
}

fn list(reply: &mut Reply, group: &Group, filter: &Filter<'_>, now: Millis) {
    let range = filter.start..=filter.end;
    let Some(pending) = group.pending_in(range, filter.consumer) else { return reply.array(0) };
    let idle = |pending: &Pending| filter.min_idle == 0 || pending.idle(now) >= filter.min_idle;
    let list = reply.deferred_array();
    let most = if filter.count == 0 { 0 } else { at_most(filter.count) };
    let mut count = 0;
    for (id, pending) in pending.filter(|(_, pending)| idle(pending)).take(most) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(pending.consumer());
        reply.int(pending.idle(now).max(0));
        reply.int(pending.deliveries().cast_signed());
        count += 1;
    }
    reply.finish_deferred(list, count);
}
