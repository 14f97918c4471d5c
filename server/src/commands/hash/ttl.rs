//! HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME: when will a field expire.

use super::docs::{FIELDS, KEY, READ};
use super::{NO_FIELD, NUMBER_OF_FIELDS, fields};
use crate::commands::call::Call;
use crate::commands::docs::{Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Handler, Outcome};
use dunlin_storage::Millis;
use dunlin_storage::value::hash::Hash;

/// Reply for a field that does not expire.
const NO_EXPIRY: i64 = -1;

const fn row(name: &'static str, summary: &'static str, handler: Handler) -> Command {
    Command::new(name, Arity::at_least(5), handler)
        .flags(flag_set!(READONLY | FAST))
        .keys(READ)
        .docs(
            Docs::new(
                Group::Hash,
                "7.4.0",
                "O(N) where N is the number of specified fields",
                summary,
            )
            .args(&[KEY, FIELDS]),
        )
}

pub(super) const HTTL: Command =
    row("httl", "Returns how many seconds fields have left.", httl).tips(TIPS);

pub(super) const HPTTL: Command =
    row("hpttl", "Returns how many milliseconds fields have left.", hpttl).tips(TIPS);

pub(super) const HEXPIRETIME: Command =
    row("hexpiretime", "Returns the Unix times at which fields expire, in seconds.", hexpiretime);

pub(super) const HPEXPIRETIME: Command = row(
    "hpexpiretime",
    "Returns the Unix times at which fields expire, in milliseconds.",
    hpexpiretime,
);

const TIPS: &[&str] = &["nondeterministic_output"];

/// Replies `show(deadline)` for every field, or -2 without the field, or -1 without an expiry.
fn answer(call: &mut Call<'_, '_>, show: impl Fn(Millis) -> i64) -> Result<Outcome, ReplyError> {
    let (key, now) = (call.key(1), call.now);
    call.has::<Hash>(&key)?;
    let (fields, request) = (fields(call, 2, NUMBER_OF_FIELDS)?, call.request);
    let (reader, reply) = call.split();
    let hash = reader.hash(&key)?;
    reply.array(fields.len());
    for i in fields {
        let pair = hash.and_then(|hash| hash.find(request.arg(i), now));
        reply.int(pair.map_or(NO_FIELD, |pair| pair.expire_at.map_or(NO_EXPIRY, &show)));
    }
    Ok(Outcome::Done)
}

/// Rounds up to a second: what has not expired yet has some time left.
fn seconds(millis: Millis) -> i64 {
    millis / 1000 + i64::from(millis % 1000 > 0)
}

fn httl(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let now = call.now;
    answer(call, |deadline| seconds(deadline.saturating_sub(now)))
}

fn hpttl(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let now = call.now;
    answer(call, |deadline| deadline.saturating_sub(now))
}

fn hexpiretime(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let clock = &call.server.clock;
    answer(call, |deadline| seconds(clock.to_wall(deadline)))
}

fn hpexpiretime(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let clock = &call.server.clock;
    answer(call, |deadline| clock.to_wall(deadline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, wanted) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            assert_eq!(seconds(millis), wanted, "{millis}");
        }
    }
}
