//! TTL, PTTL, EXPIRETIME, PEXPIRETIME: when will a key expire.

use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Handler, KeySpec, Outcome};
use dunlin_storage::Millis;

const NO_KEY: i64 = -2;
const NO_EXPIRY: i64 = -1;

const HISTORY: &[(&str, &str)] = &[("2.8.0", "Added the -2 reply.")];
const TIPS: &[&str] = &["nondeterministic_output"];

const READ: &[KeySpec] = &[KeySpec::one(1).read()];
const KEY: &[Arg] = &[Arg::key("key", 0)];

const fn row(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Command {
    Command::new(name, Arity::exactly(2), handler)
        .flags(flag_set!(READONLY | FAST))
        .keys(READ)
        .docs(Docs::new(Group::Generic, since, "O(1)", summary).args(KEY))
}

const fn relative(mut command: Command) -> Command {
    command.docs = command.docs.history(HISTORY);
    command.tips(TIPS)
}

pub(super) const TTL: Command =
    relative(row("ttl", "1.0.0", "Returns how many seconds a key has left.", ttl));

pub(super) const PTTL: Command =
    relative(row("pttl", "2.6.0", "Returns how many milliseconds a key has left.", pttl));

pub(super) const EXPIRETIME: Command = row(
    "expiretime",
    "7.0.0",
    "Returns the Unix time at which a key expires, in seconds.",
    expiretime,
);

pub(super) const PEXPIRETIME: Command = row(
    "pexpiretime",
    "7.0.0",
    "Returns the Unix time at which a key expires, in milliseconds.",
    pexpiretime,
);

/// Replies `show(deadline)`, or -2 without the key, or -1 without an expiry.
fn answer(call: &mut Call<'_, '_>, show: impl Fn(Millis) -> i64) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let found = call.look(&key);
    let reply = found.map_or(NO_KEY, |entry| entry.expire_at().map_or(NO_EXPIRY, show));
    call.reply.int(reply);
    Ok(Outcome::Done)
}

/// Rounds to the nearest second.
fn seconds(millis: Millis) -> i64 {
    millis / 1000 + i64::from(millis % 1000 >= 500)
}

fn left(deadline: Millis, now: Millis) -> Millis {
    deadline.saturating_sub(now).max(0)
}

fn ttl(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let now = call.now;
    answer(call, |deadline| seconds(left(deadline, now)))
}

fn pttl(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let now = call.now;
    answer(call, |deadline| left(deadline, now))
}

fn expiretime(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let clock = &call.server.clock;
    answer(call, |deadline| seconds(clock.to_wall(deadline)))
}

fn pexpiretime(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let clock = &call.server.clock;
    answer(call, |deadline| clock.to_wall(deadline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        let cases =
            [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (i64::MAX, i64::MAX / 1000 + 1)];
        for (millis, wanted) in cases {
            assert_eq!(seconds(millis), wanted, "{millis}");
        }
    }

    #[test]
    fn nothing_is_left_after_the_deadline() {
        assert_eq!(left(10, 3), 7);
        assert_eq!(left(10, 10), 0);
        assert_eq!(left(i64::MIN, i64::MAX), 0);
    }
}
