//! ZRANGE and its relatives: the members of a range, replied or stored.

use super::docs::{KEY, LIMIT, READ, WITHSCORES};
use super::select::{By, Form, Selection};
use super::{Shape, number};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_storage::value::sorted_set::SortedSet;

const COMPLEXITY: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M \
                          the number of elements returned.";
const LIMITED_COMPLEXITY: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of \
     elements being returned. If M is constant (e.g. always asking for the first 10 elements with \
     LIMIT), you can consider it O(log(N)).";

const BY: Arg =
    Arg::one_of("sortby", &[Arg::flag("byscore", "BYSCORE"), Arg::flag("bylex", "BYLEX")])
        .optional();
const REV: Arg = Arg::flag("rev", "REV").optional();

pub(super) const ZRANGE: Command =
    Command::new("zrange", Arity::at_least(4), zrange).flags(flag_set!(READONLY)).keys(READ).docs(
        Docs::new(
            Group::SortedSet,
            "1.2.0",
            COMPLEXITY,
            "Returns the members of a range of ranks, scores or members.",
        )
        .history(&[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")])
        .args(&[
            KEY,
            Arg::string("start"),
            Arg::string("stop"),
            BY.since("6.2.0"),
            REV.since("6.2.0"),
            LIMIT.since("6.2.0"),
            WITHSCORES,
        ]),
    );

pub(super) const ZREVRANGE: Command = Command::new("zrevrange", Arity::at_least(4), zrevrange)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .docs(
        Docs::new(
            Group::SortedSet,
            "1.2.0",
            COMPLEXITY,
            "Returns the members of a range of ranks, the highest score first.",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
        .args(&[KEY, Arg::integer("start"), Arg::integer("stop"), WITHSCORES]),
    );

pub(super) const ZRANGEBYSCORE: Command =
    Command::new("zrangebyscore", Arity::at_least(4), zrangebyscore)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(
            Docs::new(
                Group::SortedSet,
                "1.0.5",
                LIMITED_COMPLEXITY,
                "Returns the members with scores in a range.",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
            .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
            .args(&[
                KEY,
                Arg::double("min"),
                Arg::double("max"),
                WITHSCORES.since("2.0.0"),
                LIMIT,
            ]),
        );

pub(super) const ZREVRANGEBYSCORE: Command =
    Command::new("zrevrangebyscore", Arity::at_least(4), zrevrangebyscore)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(
            Docs::new(
                Group::SortedSet,
                "2.2.0",
                LIMITED_COMPLEXITY,
                "Returns the members with scores in a range, the highest score first.",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
            .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
            .args(&[KEY, Arg::double("max"), Arg::double("min"), WITHSCORES, LIMIT]),
        );

pub(super) const ZRANGEBYLEX: Command =
    Command::new("zrangebylex", Arity::at_least(4), zrangebylex)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(
            Docs::new(
                Group::SortedSet,
                "2.8.9",
                LIMITED_COMPLEXITY,
                "Returns the members between two others in lexicographical order.",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
            .args(&[KEY, Arg::string("min"), Arg::string("max"), LIMIT]),
        );

pub(super) const ZREVRANGEBYLEX: Command =
    Command::new("zrevrangebylex", Arity::at_least(4), zrevrangebylex)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .docs(
            Docs::new(
                Group::SortedSet,
                "2.8.9",
                LIMITED_COMPLEXITY,
                "Returns the members between two others in reverse lexicographical order.",
            )
            .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
            .args(&[KEY, Arg::string("max"), Arg::string("min"), LIMIT]),
        );

pub(super) const ZRANGESTORE: Command =
    Command::new("zrangestore", Arity::at_least(5), zrangestore)
        .flags(flag_set!(WRITE | DENYOOM))
        .keys(&[KeySpec::one(1).overwrite(), KeySpec::one(2).read()])
        .docs(
            Docs::new(
                Group::SortedSet,
                "6.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and M the \
                 number of elements stored into the destination key.",
                "Stores the members of a range of another sorted set.",
            )
            .args(&[
                Arg::key("dst", 0),
                Arg::key("src", 1),
                Arg::string("min"),
                Arg::string("max"),
                BY,
                REV,
                LIMIT,
            ]),
        );

fn zrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_range(call, None, None)
}

fn zrevrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_range(call, Some(By::Rank), Some(true))
}

fn zrangebyscore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_range(call, Some(By::Score), Some(false))
}

fn zrevrangebyscore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_range(call, Some(By::Score), Some(true))
}

fn zrangebylex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_range(call, Some(By::Lex), Some(false))
}

fn zrevrangebylex(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply_range(call, Some(By::Lex), Some(true))
}

fn reply_range(
    call: &mut Call<'_, '_>,
    by: Option<By>,
    reverse: Option<bool>,
) -> Result<Outcome, ReplyError> {
    let selection = Selection::parse(call, Form { key: 1, by, reverse, store: false })?;
    let key = call.key(1);
    let (reader, reply) = call.split();
    let shape = Shape::with_scores(selection.with_scores, reply);
    match reader.sorted_set(&key)? {
        Some(set) if selection.reverse => {
            shape.members(reply, set.range(selection.ranks(set)).rev());
        }
        Some(set) => shape.members(reply, set.range(selection.ranks(set))),
        None => reply.array(0),
    }
    Ok(Outcome::Done)
}

fn zrangestore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let form = Form { key: 2, by: None, reverse: None, store: true };
    let selection = Selection::parse(call, form)?;
    let (destination, source) = (call.key(1), call.key(2));
    let limits = call.server.limits().sorted_set;
    let (reader, _) = call.split();
    let result = match reader.sorted_set(&source)? {
        Some(set) => SortedSet::from_sorted(set.range(selection.ranks(set)), &limits),
        None => SortedSet::new(),
    };
    store(call, &destination, result, "zrangestore");
    Ok(Outcome::Done)
}

/// Stores the result of a command and replies how many members it has.
pub(in crate::commands) fn store(
    call: &mut Call<'_, '_>,
    destination: &dunlin_storage::Key<'_>,
    result: SortedSet,
    event: &str,
) {
    let count = result.len();
    if count == 0 {
        call.remove(destination);
    } else {
        call.put_collection(destination, result, None);
        call.notify(Class::ZSET, event, destination);
    }
    call.reply.int(number(count));
}
