//! Slots and the keys that this node has of them.

use super::{SHOWS, UNORDERED, docs, node, slot};
use crate::cluster::slot::{self as slot_of_key, SLOTS};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use dunlin_protocol::number;

const READS: Flags = SHOWS.without(Flags::LOADING);

pub(super) const KEYSLOT: Command =
    Command::new("keyslot", Arity::exactly(3), key_slot).flags(READS).docs(
        docs(
            "3.0.0",
            "O(N) where N is the number of bytes in the key",
            "Answers the slot of a key.",
        )
        .args(&[Arg::string("key")]),
    );

fn key_slot(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    call.reply.int(slot_of_key::of(call.arg(2)).into());
    Ok(Outcome::Done)
}

/// A number that has to be one, and a slot if it is in range.
fn number_of_slot(call: &Call<'_, '_>) -> Result<Option<u16>, ReplyError> {
    Ok(u16::try_from(call.int(2)?).ok().filter(|slot| *slot < SLOTS))
}

pub(super) const COUNTKEYSINSLOT: Command =
    Command::new("countkeysinslot", Arity::exactly(3), count_keys)
        .flags(READS)
        .docs(docs("3.0.0", "O(1)", "Counts the keys of a slot.").args(&[Arg::integer("slot")]));

fn count_keys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    let slot = number_of_slot(call)?.ok_or(ReplyError::new("ERR Invalid slot"))?;
    call.reply.int(own_keys(call, slot));
    Ok(Outcome::Done)
}

/// The keys of a slot, if this node owns it: copies are not shown.
fn own_keys(call: &Call<'_, '_>, slot: u16) -> i64 {
    let own = call.server.cluster.as_ref().is_some_and(|node| node.routes.get(slot).is_own());
    let keys = if own { call.server.keyspace.keys_in_slot(slot) } else { 0 };
    i64::try_from(keys).unwrap_or(i64::MAX)
}

pub(super) const GETKEYSINSLOT: Command =
    Command::new("getkeysinslot", Arity::exactly(4), get_keys)
        .flags(READS)
        .docs(
            docs("3.0.0", "O(N) where N is the number of requested keys", "Lists keys of a slot.")
                .args(&[Arg::integer("slot"), Arg::integer("count")]),
        )
        .tips(UNORDERED);

fn get_keys(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    let slot = number_of_slot(call)?;
    let most = usize::try_from(call.int(3)?).ok();
    let (Some(slot), Some(most)) = (slot, most) else {
        return Err("ERR Invalid slot or number of keys".into());
    };
    let keyspace = call.keyspace();
    let mut keys = Vec::new();
    if own_keys(call, slot) > 0 && most > 0 {
        let slots = std::sync::Arc::new(std::iter::once(slot).collect());
        let mut walk = keyspace.walk_slots(keyspace.shard_of_slot(slot), slots);
        while keys.len() < most
            && walk.step(keyspace, call.guard, &mut |_, entry| keys.push(entry.key().to_vec()))
        {
        }
        keys.truncate(most);
    }
    call.reply.array(keys.len());
    keys.iter().for_each(|key| call.reply.bulk(key));
    Ok(Outcome::Done)
}

pub(super) const SLOT_STATS: Command = Command::new("slot-stats", Arity::at_least(4), slot_stats)
    .flags(SHOWS)
    .docs(
        docs(
            "8.0.0",
            "O(N) where N is the total number of slots based on arguments. O(N*log(N)) with \
             ORDERBY subcommand.",
            "Answers figures about the slots of the node.",
        )
        .args(&[Arg::one_of(
            "filter",
            &[
                Arg::block("slotsrange", &[Arg::integer("start-slot"), Arg::integer("end-slot")])
                    .token("SLOTSRANGE"),
                Arg::block(
                    "orderby",
                    &[
                        Arg::string("metric"),
                        Arg::integer("limit").token("LIMIT").optional(),
                        Arg::one_of("order", &[Arg::flag("asc", "ASC"), Arg::flag("desc", "DESC")])
                            .optional(),
                    ],
                )
                .token("ORDERBY"),
            ],
        )]),
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards"]);

fn slot_stats(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cluster = node(call)?;
    let own = |slots: std::ops::RangeInclusive<u16>| -> Vec<(u16, i64)> {
        let own = slots.filter(|slot| cluster.routes.get(*slot).is_own());
        own.map(|slot| (slot, own_keys(call, slot))).collect()
    };
    let counts = if call.argc() == 5 && call.is(2, "SLOTSRANGE") {
        let (first, last) = (slot(call, 3)?, slot(call, 4)?);
        if first > last {
            let text =
                format!("ERR Start slot number {first} is greater than end slot number {last}");
            return Err(text.into());
        }
        own(first..=last)
    } else if call.is(2, "ORDERBY") {
        let Order { limit, ascending } = Order::parse(call)?;
        let mut counts = own(0..=SLOTS - 1);
        // Of equal ones the lower slot comes first either way.
        counts.sort_by_key(|(_, keys)| if ascending { *keys } else { -keys });
        counts.truncate(limit);
        counts
    } else {
        return Err(help::wrong_subcommand(call));
    };
    call.reply.array(counts.len());
    for (slot, keys) in counts {
        call.reply.array(2);
        call.reply.int(slot.into());
        call.reply.map(1);
        call.reply.bulk(b"key-count");
        call.reply.int(keys);
    }
    Ok(Outcome::Done)
}

/// The options of ORDERBY.
struct Order {
    limit: usize,
    ascending: bool,
}

impl Order {
    fn parse(call: &Call<'_, '_>) -> Result<Order, ReplyError> {
        if !call.is(3, "KEY-COUNT") {
            return Err("ERR Unrecognized sort metric for ORDERBY.".into());
        }
        let (mut limit, mut ascending) = (None, None);
        let mut i = 4;
        while i < call.argc() {
            let twice = if call.is(i, "LIMIT") && i + 1 < call.argc() {
                i += 1;
                limit.replace(limit_of(call.arg(i))?).is_some()
            } else if call.is(i, "ASC") || call.is(i, "DESC") {
                ascending.replace(call.is(i, "ASC")).is_some()
            } else {
                return Err(SYNTAX);
            };
            if twice {
                return Err("ERR Multiple filters of the same type are disallowed.".into());
            }
            i += 1;
        }
        let limit = limit.unwrap_or(usize::from(SLOTS));
        Ok(Order { limit, ascending: ascending.unwrap_or(false) })
    }
}

fn limit_of(text: &[u8]) -> Result<usize, ReplyError> {
    let limit = number::parse_i64(text).and_then(|limit| usize::try_from(limit).ok());
    limit.filter(|limit| (1..=usize::from(SLOTS)).contains(limit)).ok_or(ReplyError::new(
        "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).",
    ))
}
