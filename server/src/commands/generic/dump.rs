//! DUMP and RESTORE: a value as bytes that another server takes.

use super::object::shown_frequency;
use super::payload::{self, Loaded};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{self, ReplyError};
use crate::commands::expiry::{Base, server_time};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::notify::Class;
use crate::rdb::Refused;
use bytes::Bytes;
use dunlin_storage::{BIG_VALUE, Key, Millis, NewValue, Touch};

/// The largest use frequency that the store keeps.
const MAX_FREQUENCY: i64 = 3;

pub(super) const DUMP: Command = Command::new("dump", Arity::exactly(2), dump)
    .flags(flag_set!(READONLY))
    .keys(&[KeySpec::one(1).read()])
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::Generic,
            "2.6.0",
            "O(M) in the size of the value.",
            "Returns the value of a key in a form that RESTORE takes.",
        )
        .args(&[Arg::key("key", 0)]),
    );

pub(super) const RESTORE: Command = Command::new("restore", Arity::at_least(4), restore)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(1).overwrite()])
    .categories(&["keyspace", "dangerous"])
    .docs(
        Docs::new(
            Group::Generic,
            "2.6.0",
            "O(M) in the size of the value.",
            "Stores a value that DUMP has returned.",
        )
        .args(&[
            Arg::key("key", 0),
            Arg::integer("ttl"),
            Arg::string("serialized-value"),
            Arg::flag("replace", "REPLACE").since("3.0.0").optional(),
            Arg::flag("absttl", "ABSTTL").since("5.0.0").optional(),
            Arg::integer("seconds").token("IDLETIME").since("5.0.0").optional(),
            Arg::integer("frequency").token("FREQ").since("5.0.0").optional(),
        ])
        .history(&[
            ("3.0.0", "Added the `REPLACE` modifier."),
            ("5.0.0", "Added the `ABSTTL` modifier."),
            ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
        ]),
    );

fn dump(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (key, limits, now) = (call.key(1), call.server.limits(), call.now);
    let skew = call.server.clock.skew();
    let (reader, reply) = call.split();
    let payload = match reader.entry(&key) {
        Some(entry) => payload::dump(&reader, &entry, &limits, now, skew)?,
        None => None,
    };
    let Some(payload) = payload else {
        reply.null();
        return Ok(Outcome::Done);
    };
    if payload.len() > BIG_VALUE {
        reply.bulk_chunks(payload.len(), std::iter::once(Bytes::from(payload)));
    } else {
        reply.bulk(&payload);
    }
    Ok(Outcome::Done)
}

/// Options of RESTORE.
#[derive(Debug, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    /// Accepted and checked; the store keeps no clock per key.
    idle: Option<i64>,
    frequency: Option<i64>,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Self, ReplyError> {
        let mut options = Options::default();
        let mut at = 4;
        while at < call.argc() {
            let more = at + 1 < call.argc();
            if call.is(at, "replace") {
                options.replace = true;
            } else if call.is(at, "absttl") {
                options.absolute = true;
            } else if call.is(at, "idletime") && more && options.frequency.is_none() {
                at += 1;
                let idle = call.int(at)?;
                if idle < 0 {
                    return Err("ERR Invalid IDLETIME value, must be >= 0".into());
                }
                options.idle = Some(idle);
            } else if call.is(at, "freq") && more && options.idle.is_none() {
                at += 1;
                let frequency = call.int(at)?;
                if !(0..=255).contains(&frequency) {
                    return Err("ERR Invalid FREQ value, must be >= 0 and <= 255".into());
                }
                options.frequency = Some(frequency);
            } else {
                return Err(error::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

fn restore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call)?;
    let key = call.key(1);
    if !options.replace && call.peek(&key).is_some() {
        return Err("BUSYKEY Target key name already exists.".into());
    }
    let ttl = call.int(2)?;
    if ttl < 0 {
        return Err("ERR Invalid TTL value, must be >= 0".into());
    }
    let (limits, skew) = (call.server.limits(), call.server.clock.skew());
    let loaded = payload::load(call.arg(3), &limits, call.now, skew);
    let loaded = loaded.map_err(|refused| match refused {
        Refused::Footer => "ERR DUMP payload version or checksum are wrong",
        Refused::Value => "ERR Bad data format",
    })?;
    let base = if options.absolute { Base::Epoch } else { Base::Now };
    let deadline = deadline(ttl, options.absolute, call.now).map(|at| server_time(call, base, at));
    match loaded.filter(|_| deadline.is_none_or(|deadline| deadline > call.now)) {
        Some(loaded) => {
            let db = call.db();
            match loaded {
                Loaded::String(string) => {
                    call.put_anew_in(db, &key, NewValue::Bytes(&string), deadline);
                }
                Loaded::Object(object) => {
                    call.put_anew_in(db, &key, NewValue::Object(object), deadline);
                }
            }
            call.notify(Class::GENERIC, "restore", &key);
            restore_frequency(call, &key, options.frequency);
        }
        None => {
            call.remove(&key);
        }
    }
    call.reply.ok();
    Ok(Outcome::Done)
}

/// When the key expires; 0 is never. A time to live beyond the end of time wraps into the past as
/// it does in Redis: the reply is OK and the key is gone.
fn deadline(ttl: i64, absolute: bool, now: Millis) -> Option<Millis> {
    match ttl {
        0 => None,
        _ if absolute => Some(ttl),
        _ => Some(ttl.wrapping_add(now)),
    }
}

/// Raises a key's use frequency to what OBJECT FREQ shows as `wanted`, as far as the store's scale
/// goes. It is not lowered: a key that was replaced keeps the uses it had.
fn restore_frequency(call: &Call<'_, '_>, key: &Key<'_>, wanted: Option<i64>) {
    let Some(wanted) = wanted else { return };
    let (keyspace, db, now, guard) = (call.keyspace(), call.db(), call.now, call.guard);
    for _ in 0..MAX_FREQUENCY {
        let entry = keyspace.get(db, key, now, Touch::No, guard);
        if entry.is_none_or(|entry| shown_frequency(&entry) >= wanted) {
            return;
        }
        keyspace.get(db, key, now, Touch::Yes, guard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        assert_eq!(deadline(0, false, 100), None);
        assert_eq!(deadline(0, true, 100), None);
        assert_eq!(deadline(5, false, 100), Some(105));
        assert_eq!(deadline(5, true, 100), Some(5));
        assert!(deadline(i64::MAX, false, 100).is_some_and(|at| at < 0));
    }
}
