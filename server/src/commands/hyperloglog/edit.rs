//! What adds to HyperLogLogs: PFADD, PFMERGE.

use super::{KEY, NOT_HLL, docs, make_raw};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::commands::string::for_update;
use crate::notify::Class;
use dunlin_storage::value::hyperloglog::{Corrupt, Hll, HllBuf, Registers};
use dunlin_storage::{Key, Millis, NewValue};

pub(super) const PFADD: Command = Command::new("pfadd", Arity::at_least(2), pfadd)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .keys(&[KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::INSERT)])
    .docs(
        docs(
            "O(1) to add every element.",
            "Adds elements to a HyperLogLog and replies whether that changed it.",
        )
        .args(&[KEY, Arg::string("element").optional().multiple()]),
    );

fn pfadd(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let sparse_max = call.server.hll_sparse_max();
    let changed = match for_update(call, &key)? {
        None => {
            let mut hll = HllBuf::new();
            for i in 2..call.argc() {
                hll.add(call.arg(i), sparse_max)?;
            }
            store(call, &key, hll, None);
            true
        }
        Some((string, expire_at)) => {
            let bytes = string.to_cow();
            let old = Hll::new(&bytes).ok_or(NOT_HLL)?;
            make_raw(call, &key, string, expire_at);
            let new = add_all(call, old, &bytes, sparse_max)?;
            let changed = new.is_some();
            if let Some(hll) = new {
                store(call, &key, hll, expire_at);
            }
            changed
        }
    };
    call.reply.int(i64::from(changed));
    Ok(Outcome::Done)
}

/// Adds the elements of the command line to a copy, which is only made for one that changes
/// something.
fn add_all(
    call: &Call<'_, '_>,
    old: Hll<'_>,
    bytes: &[u8],
    sparse_max: usize,
) -> Result<Option<HllBuf>, Corrupt> {
    let mut new: Option<HllBuf> = None;
    for i in 2..call.argc() {
        let element = call.arg(i);
        match &mut new {
            Some(hll) => {
                hll.add(element, sparse_max)?;
            }
            None if old.would_change(element)? => {
                let mut hll = HllBuf::from_bytes(bytes.to_vec()).ok_or(Corrupt)?;
                hll.add(element, sparse_max)?;
                new = Some(hll);
            }
            None => {}
        }
    }
    Ok(new)
}

/// Stores a HyperLogLog that was added to, its count stale, and tells of it.
fn store(call: &mut Call<'_, '_>, key: &Key<'_>, mut hll: HllBuf, expire_at: Option<Millis>) {
    hll.invalidate();
    call.put(key, NewValue::Raw(&hll.into_bytes()), expire_at);
    // Also of PFMERGE, which adds many at once.
    call.notify(Class::STRING, "pfadd", key);
}

pub(super) const PFMERGE: Command = Command::new("pfmerge", Arity::at_least(2), pfmerge)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[
        KeySpec::one(1).with(KeyFlags::RW).with(KeyFlags::ACCESS).with(KeyFlags::INSERT),
        KeySpec::span(2, -1, 1).read(),
    ])
    .docs(
        docs(
            "O(N) to merge N HyperLogLogs.",
            "Adds to a HyperLogLog what was added to others; it counts as one of them.",
        )
        .args(&[Arg::key("destkey", 0), Arg::key("sourcekey", 1).optional().multiple()]),
    );

fn pfmerge(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut union = Registers::new();
    for i in 1..call.argc() {
        let key = call.key(i);
        if let Some(string) = call.lookup_str(&key)? {
            let bytes = string.to_cow();
            union.absorb(Hll::new(&bytes).ok_or(NOT_HLL)?)?;
        }
    }
    let key = call.key(1);
    let (mut hll, expire_at) = match for_update(call, &key)? {
        Some((string, expire_at)) => {
            let hll = HllBuf::from_bytes(string.to_cow().into_owned()).ok_or(NOT_HLL)?;
            (hll, expire_at)
        }
        None => (HllBuf::new(), None),
    };
    hll.merge(union, call.server.hll_sparse_max())?;
    store(call, &key, hll, expire_at);
    call.reply.ok();
    Ok(Outcome::Done)
}
