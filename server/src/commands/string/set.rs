//! SET and its older forms.

use super::compare::Condition;
use super::docs::{EX, EXAT, KEEPTTL, KEY, PX, PXAT};
use super::{new_value, reply_opt, store};
use crate::commands::call::{Call, string_of};
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::expiry::{Base, Choice, ExpireOption, Unit, contiguous, positive_deadline};
use crate::commands::spec::{Arity, Command, KeyFlags, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number;

const VALUE: Arg = Arg::string("value");

pub(super) const SET: Command = Command::new("set", Arity::at_least(3), set)
    .flags(flag_set!(WRITE | DENYOOM | CHEAP))
    .takes_chunks(|i| i == 2)
    .keys(&[KeySpec::one(1)
        .update()
        .with(KeyFlags::ACCESS)
        .with(KeyFlags::VARIABLE)
        .notes("RW and ACCESS due to the optional `GET` argument")])
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string at a key, whatever was there; on conditions and with an expire time \
             if asked.",
        )
        .history(&[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
            ("8.4.0", "Added the `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE` options."),
        ])
        .args(&[
            KEY,
            VALUE,
            Arg::one_of(
                "condition",
                &[
                    Arg::flag("nx", "NX"),
                    Arg::flag("xx", "XX"),
                    Arg::string("ifeq-value").token("IFEQ").since("8.4.0"),
                    Arg::string("ifne-value").token("IFNE").since("8.4.0"),
                    Arg::string("ifdeq-digest").token("IFDEQ").since("8.4.0"),
                    Arg::string("ifdne-digest").token("IFDNE").since("8.4.0"),
                ],
            )
            .since("2.6.12")
            .optional(),
            Arg::flag("get", "GET").since("6.2.0").optional(),
            Arg::one_of(
                "expiration",
                &[
                    EX.since("2.6.12"),
                    PX.since("2.6.12"),
                    EXAT.since("6.2.0"),
                    PXAT.since("6.2.0"),
                    KEEPTTL.since("6.0.0"),
                ],
            )
            .optional(),
        ]),
    );

#[inline]
fn set(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() > 3 {
        return set_with_options(call);
    }
    let key = call.key(1);
    let value = new_value(call.value_arg(2));
    call.put(&key, value, None);
    call.notify(Class::STRING, "set", &key);
    call.reply.ok();
    Ok(Outcome::Done)
}

/// The options of SET.
#[derive(Clone, Copy, Default)]
struct Options {
    condition: Condition,
    expire: ExpireOption,
    get: bool,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let argc = call.argc();
        let mut i = 3;
        while i < argc {
            let word = contiguous(call, i);
            let used = options.expire.take(word, i, argc)?;
            i += match used {
                0 if word.eq_ignore_ascii_case(b"GET") => {
                    options.get = true;
                    1
                }
                0 => match options.condition.take(word, i, argc)? {
                    0 => return Err(SYNTAX),
                    used => used,
                },
                used => used,
            };
        }
        if options.expire.choice() == Choice::Persist {
            return Err(SYNTAX);
        }
        Ok(options)
    }
}

#[inline(never)]
fn set_with_options(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let options = Options::parse(call)?;
    let mut deadline = options.expire.deadline(call)?;
    let key = call.key(1);
    let entry = if options.get { call.lookup(&key) } else { call.find(&key) };
    let old = match &entry {
        // The old value is needed: another type is an error, whether the key is set or not.
        Some(entry) if options.get || options.condition.compares() => Some(string_of(entry)?),
        _ => None,
    };
    let met = options.condition.met(call, entry.is_some(), old)?;
    if options.get {
        reply_opt(call.reply, old);
    } else if met {
        call.reply.ok();
    } else {
        call.reply.null();
    }
    if met {
        if options.expire.choice() == Choice::Keep {
            deadline = entry.and_then(|entry| entry.expire_at());
        }
        let value = new_value(call.value_arg(2));
        let given = matches!(options.expire.choice(), Choice::Time(..));
        store(call, &key, value, deadline, ("set", given));
    }
    Ok(Outcome::Done)
}

pub(super) const SETNX: Command = Command::new("setnx", Arity::exactly(3), setnx)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .takes_chunks(|i| i == 2)
    .keys(&[KeySpec::one(1).with(KeyFlags::OW).with(KeyFlags::INSERT)])
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string at a key that does not exist yet.",
        )
        .args(&[KEY, VALUE])
        .deprecated("2.6.12", "`SET` with the `NX` argument"),
    );

fn setnx(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let free = call.find(&key).is_none();
    if free {
        let value = new_value(call.value_arg(2));
        call.put(&key, value, None);
        call.notify(Class::STRING, "set", &key);
    }
    call.reply.int(i64::from(free));
    Ok(Outcome::Done)
}

const SETEX_KEYS: &[KeySpec] = &[KeySpec::one(1).overwrite()];

pub(super) const SETEX: Command = Command::new("setex", Arity::exactly(4), setex)
    .flags(flag_set!(WRITE | DENYOOM | CHEAP))
    .takes_chunks(|i| i == 3)
    .keys(SETEX_KEYS)
    .docs(
        Docs::new(
            Group::String,
            "2.0.0",
            "O(1)",
            "Stores a string at a key that expires after so many seconds.",
        )
        .args(&[KEY, Arg::integer("seconds"), VALUE])
        .deprecated("2.6.12", "`SET` with the `EX` argument"),
    );

fn setex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set_expiring(call, Unit::Seconds)
}

pub(super) const PSETEX: Command = Command::new("psetex", Arity::exactly(4), psetex)
    .flags(flag_set!(WRITE | DENYOOM | CHEAP))
    .takes_chunks(|i| i == 3)
    .keys(SETEX_KEYS)
    .docs(
        Docs::new(
            Group::String,
            "2.6.0",
            "O(1)",
            "Stores a string at a key that expires after so many milliseconds.",
        )
        .args(&[KEY, Arg::integer("milliseconds"), VALUE])
        .deprecated("2.6.12", "`SET` with the `PX` argument"),
    );

fn psetex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set_expiring(call, Unit::Millis)
}

fn set_expiring(call: &mut Call<'_, '_>, unit: Unit) -> Result<Outcome, ReplyError> {
    let time = number::parse_i64(contiguous(call, 2)).ok_or(NOT_INTEGER)?;
    let name = call.entry.command.name;
    let deadline = positive_deadline(time, unit, Base::Now, call.now, name)?;
    let key = call.key(1);
    let value = new_value(call.value_arg(3));
    call.put(&key, value, Some(deadline));
    call.notify(Class::STRING, "set", &key);
    call.notify(Class::GENERIC, "expire", &key);
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const GETSET: Command = Command::new("getset", Arity::exactly(3), getset)
    .flags(flag_set!(WRITE | DENYOOM | FAST))
    .takes_chunks(|i| i == 2)
    .keys(&[KeySpec::one(1).update().with(KeyFlags::ACCESS)])
    .docs(
        Docs::new(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string at a key and replies the one that was there.",
        )
        .args(&[KEY, VALUE])
        .deprecated("6.2.0", "`SET` with the `!GET` argument"),
    );

fn getset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let old = call.lookup_str(&key)?;
    reply_opt(call.reply, old);
    let value = new_value(call.value_arg(2));
    call.put(&key, value, None);
    call.notify(Class::STRING, "set", &key);
    Ok(Outcome::Done)
}
