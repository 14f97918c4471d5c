//! Several keys at once: MGET, MSET, MSETNX, MSETEX. Every observer sees all of it or nothing.

use super::compare::Condition;
use super::docs::{EX, EXAT, KEEPTTL, KEY, NX_XX, PAIRS, PX, PXAT};
use super::{new_value, reply_opt, store};
use crate::commands::call::{Call, string_of};
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX, wrong_arity};
use crate::commands::expiry::{Choice, ExpireOption};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number;

/// Keys whose table slots are requested before the first is looked at.
const PREFETCH: usize = 16;

pub(super) const MGET: Command = Command::new("mget", Arity::at_least(2), mget)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::span(1, -1, 1).read()])
    .tips(&["request_policy:multi_shard"])
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(N) where N is the number of keys to retrieve.",
            "Replies the strings at several keys.",
        )
        .args(&[KEY.multiple()]),
    );

fn mget(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let argc = call.argc();
    call.reply.array(argc - 1);
    let mut first = 1;
    while first < argc {
        let count = PREFETCH.min(argc - first);
        let mut keys = [call.key(first); PREFETCH];
        for (i, key) in keys.iter_mut().enumerate().take(count) {
            *key = call.key(first + i);
        }
        let hashes = keys[..count].iter().map(|key| key.hash);
        call.keyspace().prefetch(call.db(), hashes, call.guard);
        for key in &keys[..count] {
            let value = call.lookup(key).and_then(|entry| string_of(&entry).ok());
            reply_opt(call.reply, value);
        }
        first += count;
    }
    Ok(Outcome::Done)
}

pub(super) const MSET: Command = Command::new("mset", Arity::at_least(3), mset)
    .flags(flag_set!(WRITE | DENYOOM))
    .takes_chunks(|i| i.is_multiple_of(2))
    .keys(&[KeySpec::span(1, -1, 2).overwrite()])
    .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
    .docs(
        Docs::new(
            Group::String,
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Stores strings at several keys, all at once.",
        )
        .args(&[PAIRS]),
    );

fn mset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc().is_multiple_of(2) {
        return Err(wrong_arity("mset"));
    }
    put_pairs(call, 1, call.argc());
    call.reply.ok();
    Ok(Outcome::Done)
}

/// Stores the pairs of key and value from argument `from` up to argument `end`.
fn put_pairs(call: &mut Call<'_, '_>, from: usize, end: usize) {
    for i in (from..end).step_by(2) {
        let key = call.key(i);
        let value = new_value(call.value_arg(i + 1));
        call.put(&key, value, None);
        call.notify(Class::STRING, "set", &key);
    }
}

pub(super) const MSETNX: Command = Command::new("msetnx", Arity::at_least(3), msetnx)
    .flags(flag_set!(WRITE | DENYOOM))
    .takes_chunks(|i| i.is_multiple_of(2))
    .keys(&[KeySpec::span(1, -1, 2).with(KeyFlags::OW).with(KeyFlags::INSERT)])
    .docs(
        Docs::new(
            Group::String,
            "1.0.1",
            "O(N) where N is the number of keys to set.",
            "Stores strings at several keys if none of them exists yet.",
        )
        .args(&[PAIRS]),
    );

fn msetnx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc().is_multiple_of(2) {
        return Err(wrong_arity("msetnx"));
    }
    let argc = call.argc();
    let free = (1..argc).step_by(2).all(|i| call.find(&call.key(i)).is_none());
    if free {
        put_pairs(call, 1, argc);
    }
    call.reply.int(i64::from(free));
    Ok(Outcome::Done)
}

pub(super) const MSETEX: Command = Command::new("msetex", Arity::at_least(4), msetex)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::counted_step(1, 2).overwrite()])
    .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
    .docs(
        Docs::new(
            Group::String,
            "8.4.0",
            "O(N) where N is the number of keys to set.",
            "Stores strings at several keys, all at once, on a condition and with one expire \
             time if asked.",
        )
        .args(&[
            Arg::integer("numkeys"),
            PAIRS,
            NX_XX,
            Arg::one_of("expiration", &[EX, PX, EXAT, PXAT, KEEPTTL]).optional(),
        ]),
    );

/// The first key of MSETEX.
const MSETEX_FIRST: usize = 2;

fn msetex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let argc = call.argc();
    let pairs = number::parse_i64(call.arg(1))
        .and_then(|n| i32::try_from(n).ok())
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0)
        .ok_or("ERR invalid numkeys value")?;
    let end = MSETEX_FIRST + 2 * pairs;
    if end > argc {
        return Err("ERR wrong number of key-value pairs".into());
    }
    let (condition, expire) = msetex_options(call, end)?;
    let deadline = expire.deadline(call)?;
    let mut keys = (MSETEX_FIRST..end).step_by(2);
    let met = match condition {
        Condition::Missing => keys.all(|i| call.find(&call.key(i)).is_none()),
        Condition::Exists => keys.all(|i| call.find(&call.key(i)).is_some()),
        _ => true,
    };
    if met {
        for i in (MSETEX_FIRST..end).step_by(2) {
            let key = call.key(i);
            let at = if expire.choice() == Choice::Keep {
                call.find(&key).and_then(|entry| entry.expire_at())
            } else {
                deadline
            };
            let value = new_value(call.value_arg(i + 1));
            let given = matches!(expire.choice(), Choice::Time(..));
            store(call, &key, value, at, ("set", given));
        }
    }
    call.reply.int(i64::from(met));
    Ok(Outcome::Done)
}

fn msetex_options(
    call: &Call<'_, '_>,
    from: usize,
) -> Result<(Condition, ExpireOption), ReplyError> {
    let mut condition = Condition::default();
    let mut expire = ExpireOption::default();
    let argc = call.argc();
    let mut i = from;
    while i < argc {
        let word = call.arg(i);
        let mut used = expire.take(word, i, argc)?;
        if used == 0 {
            used = condition.take(word, i, argc)?;
        }
        if used == 0 || condition.compares() || expire.choice() == Choice::Persist {
            return Err(SYNTAX);
        }
        i += used;
    }
    Ok((condition, expire))
}
