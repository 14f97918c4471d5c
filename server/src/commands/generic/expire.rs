//! EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, PERSIST: when shall a key expire.
//!
//! The four differ in unit and base only. A deadline that has passed removes the key at once,
//! and that is a success too.

use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, quoting};
use crate::commands::expiry::{self, Base, Unit};
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use dunlin_storage::Millis;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX"), Arg::flag("gt", "GT"), Arg::flag("lt", "LT")],
)
.since("7.0.0")
.optional();

const UPDATED: &[KeySpec] = &[KeySpec::one(1).update()];
const HISTORY: &[(&str, &str)] = &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")];

const fn row(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    args: &'static [Arg],
    handler: Handler,
) -> Command {
    Command::new(name, Arity::at_least(3), handler)
        .flags(flag_set!(WRITE | FAST))
        .keys(UPDATED)
        .docs(Docs::new(Group::Generic, since, "O(1)", summary).args(args).history(HISTORY))
}

pub(super) const EXPIRE: Command = row(
    "expire",
    "1.0.0",
    "Lets a key expire after some seconds.",
    &[Arg::key("key", 0), Arg::integer("seconds"), CONDITION],
    expire,
);

pub(super) const PEXPIRE: Command = row(
    "pexpire",
    "2.6.0",
    "Lets a key expire after some milliseconds.",
    &[Arg::key("key", 0), Arg::integer("milliseconds"), CONDITION],
    pexpire,
);

pub(super) const EXPIREAT: Command = row(
    "expireat",
    "1.2.0",
    "Lets a key expire at a Unix time in seconds.",
    &[Arg::key("key", 0), Arg::unix_time("unix-time-seconds"), CONDITION],
    expireat,
);

pub(super) const PEXPIREAT: Command = row(
    "pexpireat",
    "2.6.0",
    "Lets a key expire at a Unix time in milliseconds.",
    &[Arg::key("key", 0), Arg::unix_time("unix-time-milliseconds"), CONDITION],
    pexpireat,
);

pub(super) const PERSIST: Command = Command::new("persist", Arity::exactly(2), persist)
    .flags(flag_set!(WRITE | FAST))
    .keys(UPDATED)
    .docs(
        Docs::new(Group::Generic, "2.2.0", "O(1)", "Takes the expiry of a key away.")
            .args(&[Arg::key("key", 0)]),
    );

/// Conditions under which the expiry is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse<'a>(options: impl Iterator<Item = &'a [u8]>) -> Result<Self, ReplyError> {
        let mut condition = Condition::default();
        for option in options {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => condition.nx = true,
                b"xx" => condition.xx = true,
                b"gt" => condition.gt = true,
                b"lt" => condition.lt = true,
                _ => return Err(quoting("ERR Unsupported option ", option, "")),
            }
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(text.into());
        }
        if gt && lt {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(condition)
    }

    /// Whether a key that expires at `current` (`None`: never) may get the deadline `new`.
    fn allows(self, current: Option<Millis>, new: Millis) -> bool {
        match current {
            Some(current) => !self.nx && (!self.gt || new > current) && (!self.lt || new < current),
            // No expiry counts as an endless one.
            None => !self.xx && !self.gt,
        }
    }
}

fn set(call: &mut Call<'_, '_>, unit: Unit, base: Base) -> Result<Outcome, ReplyError> {
    let condition = Condition::parse(call.request.iter().skip(3))?;
    let name = call.entry.command.name;
    let deadline = expiry::deadline(call.int(2)?, unit, base, call.now, name)?;
    let deadline = expiry::server_time(call, base, deadline);
    let key = call.key(1);
    let done = match call.peek(&key) {
        Some(entry) if condition.allows(entry.expire_at(), deadline) => {
            if deadline <= call.now {
                call.remove(&key)
            } else {
                call.set_expiry(&key, Some(deadline))
            }
        }
        _ => false,
    };
    call.reply.int(done.into());
    Ok(Outcome::Done)
}

fn expire(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Seconds, Base::Now)
}

fn pexpire(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Millis, Base::Now)
}

fn expireat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Seconds, Base::Epoch)
}

fn pexpireat(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    set(call, Unit::Millis, Base::Epoch)
}

fn persist(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let expires = call.peek(&key).is_some_and(|entry| entry.expire_at().is_some());
    let done = expires && call.set_expiry(&key, None);
    call.reply.int(done.into());
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Result<Condition, ReplyError> {
        Condition::parse(options.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn options_that_contradict() {
        let clash = "ERR NX and XX, GT or LT options at the same time are not compatible";
        for options in ["nx xx", "NX gt", "lt NX", "nx xx gt lt"] {
            assert_eq!(parse(options), Err(clash.into()), "{options}");
        }
        let clash = "ERR GT and LT options at the same time are not compatible";
        assert_eq!(parse("xx gt lt"), Err(clash.into()));
        assert_eq!(parse("nx foo"), Err("ERR Unsupported option foo".into()));
        assert!(parse("nx Nx nX").is_ok());
        assert!(parse("xx gt xx").is_ok());
    }

    #[test]
    fn conditions() {
        let table = [
            // options, without expiry, and with one at 10: deadlines 9, 10, 11
            ("", true, [true, true, true]),
            ("nx", true, [false, false, false]),
            ("xx", false, [true, true, true]),
            ("gt", false, [false, false, true]),
            ("lt", true, [true, false, false]),
            ("xx lt", false, [true, false, false]),
            ("xx gt", false, [false, false, true]),
        ];
        for (options, without, with) in table {
            let condition = parse(options).unwrap_or_default();
            assert_eq!(condition.allows(None, 10), without, "{options}");
            let got = [9, 10, 11].map(|new| condition.allows(Some(10), new));
            assert_eq!(got, with, "{options}");
        }
    }
}
