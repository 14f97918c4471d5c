//! XCLAIM and XAUTOCLAIM: pending entries that change hands.

use super::docs::{CONSUMER, COUNT, GROUP, IDS, KEY, docs};
use super::id::{id_arg, id_of, start_arg};
use super::{edit, no_group, notify_consumer, reply_found, reply_from, reply_id, reply_ids};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX, quoting};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use dunlin_protocol::number;
use dunlin_storage::Millis;
use dunlin_storage::value::stream::{Claim, StreamId};

/// How many entries XAUTOCLAIM claims if it is not told.
const DEFAULT_COUNT: i64 = 100;
/// The most it can be told: what Redis can keep the identifiers of.
const MAX_COUNT: i64 = i64::MAX / 16;

const MIN_IDLE: Arg = Arg::string("min-idle-time");
const JUSTID: Arg = Arg::flag("justid", "JUSTID").optional();

pub(super) const XCLAIM: Command = Command::new("xclaim", Arity::at_least(6), xclaim)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).update()])
    .tips(&["nondeterministic_output"])
    .docs(
        docs(
            "5.0.0",
            "O(log N) with N being the number of pending entries of the group.",
            "Gives pending entries of a group to another consumer.",
        )
        .args(&[
            KEY,
            GROUP,
            CONSUMER,
            MIN_IDLE,
            IDS,
            Arg::integer("ms").token("IDLE").optional(),
            Arg::unix_time("unix-time-milliseconds").token("TIME").optional(),
            Arg::integer("count").token("RETRYCOUNT").optional(),
            Arg::flag("force", "FORCE").optional(),
            JUSTID,
            Arg::string("lastid").token("LASTID").optional(),
        ]),
    );

/// An integer argument with an error text of its own.
fn integer(call: &Call<'_, '_>, i: usize, error: &'static str) -> Result<i64, ReplyError> {
    number::parse_i64(call.arg(i)).ok_or(error.into())
}

/// What XCLAIM is told.
struct Options<'a> {
    claim: Claim<'a>,
    ids: Vec<StreamId>,
    last_id: StreamId,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a, '_>) -> Result<Self, ReplyError> {
        let now = call.now;
        let text = "ERR Invalid min-idle-time argument for XCLAIM";
        let mut claim = Claim {
            consumer: call.arg(3),
            min_idle: integer(call, 4, text)?.max(0),
            delivered_at: now,
            deliveries: None,
            just_id: false,
            force: false,
        };
        let ids: Vec<StreamId> = (5..call.argc()).map_while(|i| id_of(call.arg(i))).collect();
        let mut last_id = StreamId::MIN;
        let mut delivered_at = None;
        let mut i = 5 + ids.len();
        while i < call.argc() {
            let more = i + 1 < call.argc();
            i += 1;
            if call.is(i - 1, "FORCE") {
                claim.force = true;
                continue;
            }
            if call.is(i - 1, "JUSTID") {
                claim.just_id = true;
                continue;
            }
            if call.is(i - 1, "IDLE") && more {
                let text = "ERR Invalid IDLE option argument for XCLAIM";
                delivered_at = Some(now.wrapping_sub(integer(call, i, text)?));
            } else if call.is(i - 1, "TIME") && more {
                let text = "ERR Invalid TIME option argument for XCLAIM";
                delivered_at = Some(integer(call, i, text)?);
            } else if call.is(i - 1, "RETRYCOUNT") && more {
                let text = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
                claim.deliveries = u64::try_from(integer(call, i, text)?).ok();
            } else if call.is(i - 1, "LASTID") && more {
                last_id = id_arg(call, i)?;
            } else {
                return Err(quoting("ERR Unrecognized XCLAIM option '", call.arg(i - 1), "'"));
            }
            i += 1;
        }
        // A time that cannot be is the clients' clock being wrong.
        claim.delivered_at = delivered_at.filter(|time| (0..=now).contains(time)).unwrap_or(now);
        Ok(Options { claim, ids, last_id })
    }
}

fn xclaim(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, name, now) = (call.key(1), call.arg(2), call.now);
    // As in Redis it counts as a read.
    call.lookup(&key);
    // A missing key or group is answered before the options are looked at.
    let options = Options::parse(call);
    let just_id = options.as_ref().is_ok_and(|options| options.claim.just_id);
    let claimed = edit(call, &key, |stream, _| {
        stream.groups.edit(name, |group| {
            let Options { claim, mut ids, last_id } = options?;
            if last_id > group.last_id() {
                group.set_id(last_id, group.entries_read());
            }
            let is_new = group.see_consumer(claim.consumer, now);
            ids.retain(|id| group.claim(&stream.log, *id, &claim, now));
            Ok::<_, ReplyError>((ids, is_new))
        })
    })?;
    let (claimed, is_new) = claimed.flatten().ok_or_else(|| no_group(key.bytes, name, "'"))??;
    notify_consumer(call, &key, is_new);
    reply_claimed(call, &key, &claimed, just_id)?;
    Ok(Outcome::Done)
}

/// Replies what was claimed: identifiers, or entries.
fn reply_claimed(
    call: &mut Call<'_, '_>,
    key: &dunlin_storage::Key<'_>,
    claimed: &[StreamId],
    just_id: bool,
) -> Result<(), ReplyError> {
    if just_id {
        reply_ids(call.reply, claimed);
        return Ok(());
    }
    reply_from(call, key, |stream, reply| reply_found(reply, stream, claimed)).map(drop)
}

pub(super) const XAUTOCLAIM: Command = Command::new("xautoclaim", Arity::at_least(6), xautoclaim)
    .flags(flag_set!(WRITE | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::DELETE)])
    .tips(&["nondeterministic_output"])
    .grows_from(0)
    .docs(
        docs(
            "6.2.0",
            "O(1) if COUNT is small.",
            "Gives pending entries of a group that were not delivered for long to another consumer.",
        )
        .history(&[(
            "7.0.0",
            "Added an element to the reply array, containing deleted entries the command cleared \
             from the PEL",
        )])
        .args(&[KEY, GROUP, CONSUMER, MIN_IDLE, Arg::string("start"), COUNT, JUSTID]),
    );

fn xautoclaim(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let text = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
    let min_idle: Millis = integer(call, 4, text)?.max(0);
    let start = start_arg(call, 5)?;
    let (mut count, mut just_id) = (DEFAULT_COUNT, false);
    let mut i = 6;
    while i < call.argc() {
        if call.is(i, "COUNT") && i + 1 < call.argc() {
            i += 1;
            let given = number::parse_i64(call.arg(i)).filter(|n| (1..=MAX_COUNT).contains(n));
            count = given.ok_or("ERR COUNT must be > 0")?;
        } else if call.is(i, "JUSTID") {
            just_id = true;
        } else {
            return Err(SYNTAX);
        }
        i += 1;
    }
    let (key, name, now) = (call.key(1), call.arg(2), call.now);
    let claim = Claim {
        consumer: call.arg(3),
        min_idle,
        delivered_at: now,
        deliveries: None,
        just_id,
        force: false,
    };
    call.lookup(&key);
    let swept = edit(call, &key, |stream, _| {
        stream.groups.edit(name, |group| {
            let is_new = group.see_consumer(claim.consumer, now);
            (group.sweep(&stream.log, start, count.unsigned_abs(), &claim, now), is_new)
        })
    })?;
    let (swept, is_new) = swept.flatten().ok_or_else(|| no_group(key.bytes, name, "'"))?;
    notify_consumer(call, &key, is_new);
    call.reply.array(3);
    reply_id(call.reply, swept.next);
    reply_claimed(call, &key, &swept.claimed, just_id)?;
    reply_ids(call.reply, &swept.deleted);
    Ok(Outcome::Done)
}
