//! PFCOUNT.

use super::{KEY, NOT_HLL, docs, is_raw, make_raw};
use crate::commands::call::Call;
use crate::commands::error::{NEEDS_ROLE, ReplyError};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::commands::string::for_update;
use dunlin_storage::value::hyperloglog::{Hll, HllBuf, Registers};
use dunlin_storage::{Key, NewValue};

pub(super) const PFCOUNT: Command = Command::new("pfcount", Arity::at_least(2), pfcount)
    .flags(flag_set!(READONLY | MAY_REPLICATE))
    .keys(&[KeySpec::span(1, -1, 1)
        .with(KeyFlags::RW)
        .with(KeyFlags::ACCESS)
        .notes("RW because it may write down the count, and the string is then another")])
    .docs(
        docs(
            "O(1) for one key; O(N) with N being the number of keys, with a much greater constant.",
            "Estimates how many distinct elements were added to one HyperLogLog, or to several.",
        )
        .args(&[KEY.multiple()]),
    );

fn pfcount(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let count = match call.argc() {
        2 => count_one(call)?,
        _ => count_union(call)?,
    };
    call.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

/// The count that the string keeps, or a new one, which it then keeps.
fn count_one(call: &mut Call<'_, '_>) -> Result<u64, ReplyError> {
    let key = call.key(1);
    let Some(string) = call.lookup_str(&key)? else { return Ok(0) };
    let bytes = string.to_cow();
    let hll = Hll::new(&bytes).ok_or(NOT_HLL)?;
    match hll.cached_count() {
        Some(count) if is_raw(string) => Ok(count),
        _ if call.writer.is_none() => Err(NEEDS_ROLE),
        _ => write_count(call, &key),
    }
}

fn write_count(call: &mut Call<'_, '_>, key: &Key<'_>) -> Result<u64, ReplyError> {
    let Some((string, expire_at)) = for_update(call, key)? else { return Ok(0) };
    let mut hll = HllBuf::from_bytes(string.to_cow().into_owned()).ok_or(NOT_HLL)?;
    make_raw(call, key, string, expire_at);
    if let Some(count) = hll.view().cached_count() {
        return Ok(count);
    }
    let count = hll.view().count()?;
    hll.cache_count(count);
    call.put(key, NewValue::Raw(&hll.into_bytes()), expire_at);
    Ok(count)
}

fn count_union(call: &mut Call<'_, '_>) -> Result<u64, ReplyError> {
    let mut union = Registers::new();
    for i in 1..call.argc() {
        let key = call.key(i);
        if let Some(string) = call.lookup_str(&key)? {
            let bytes = string.to_cow();
            union.absorb(Hll::new(&bytes).ok_or(NOT_HLL)?)?;
        }
    }
    Ok(union.count())
}
