//! Several sets: intersection, union and difference, replied, counted or stored.

use super::docs::{DESTINATION_AND_KEYS, KEY, KEYS, READ_ALL, STORE};
use super::{number, reply_member};
use crate::commands::call::Call;
use crate::commands::collection::Reader;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::notify::Class;
use dunlin_protocol::number::parse_i64;
use dunlin_storage::Key;
use dunlin_storage::value::listpack::Element;
use dunlin_storage::value::set::{Set, SetRef, intersect, subtract, unite};
use std::ops::{ControlFlow, Range};

const SMALLEST: &str =
    "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.";
const TOTAL: &str = "O(N) where N is the total number of elements in all given sets.";

pub(super) const SINTER: Command = Command::new("sinter", Arity::at_least(2), sinter)
    .flags(flag_set!(READONLY))
    .keys(READ_ALL)
    .tips(&["nondeterministic_output_order"])
    .docs(
        Docs::new(Group::Set, "1.0.0", SMALLEST, "Returns the members that sets have in common.")
            .args(KEYS),
    );

pub(super) const SINTERSTORE: Command =
    Command::new("sinterstore", Arity::at_least(3), sinterstore)
        .flags(flag_set!(WRITE | DENYOOM))
        .keys(STORE)
        .docs(
            Docs::new(
                Group::Set,
                "1.0.0",
                SMALLEST,
                "Stores the members that sets have in common.",
            )
            .args(DESTINATION_AND_KEYS),
        );

pub(super) const SUNION: Command = Command::new("sunion", Arity::at_least(2), sunion)
    .flags(flag_set!(READONLY))
    .keys(READ_ALL)
    .tips(&["nondeterministic_output_order"])
    .docs(
        Docs::new(Group::Set, "1.0.0", TOTAL, "Returns the members of all of several sets.")
            .args(KEYS),
    );

pub(super) const SUNIONSTORE: Command =
    Command::new("sunionstore", Arity::at_least(3), sunionstore)
        .flags(flag_set!(WRITE | DENYOOM))
        .keys(STORE)
        .docs(
            Docs::new(Group::Set, "1.0.0", TOTAL, "Stores the members of all of several sets.")
                .args(DESTINATION_AND_KEYS),
        );

pub(super) const SDIFF: Command = Command::new("sdiff", Arity::at_least(2), sdiff)
    .flags(flag_set!(READONLY))
    .keys(READ_ALL)
    .tips(&["nondeterministic_output_order"])
    .docs(
        Docs::new(Group::Set, "1.0.0", TOTAL, "Returns the members that only the first set has.")
            .args(KEYS),
    );

pub(super) const SDIFFSTORE: Command = Command::new("sdiffstore", Arity::at_least(3), sdiffstore)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(STORE)
    .docs(
        Docs::new(Group::Set, "1.0.0", TOTAL, "Stores the members that only the first set has.")
            .args(DESTINATION_AND_KEYS),
    );

/// What is done with the sets.
#[derive(Clone, Copy)]
enum Operation {
    Inter,
    Union,
    Diff,
}

impl Operation {
    /// Hands the members of the result to `visit`. A key that does not exist is an empty set.
    fn run(self, sets: &[Option<SetRef<'_>>], seed: u64, visit: &mut dyn FnMut(Element<'_>)) {
        let there: Vec<SetRef<'_>> = sets.iter().copied().flatten().collect();
        match (self, sets) {
            (Operation::Union, _) => unite(&there, seed, visit),
            (Operation::Inter, _) if there.len() == sets.len() => {
                // Nothing stops it.
                let _ = intersect(&there, &mut |member| {
                    visit(member);
                    ControlFlow::Continue(())
                });
            }
            (Operation::Diff, [Some(first), ..]) => subtract(*first, &there[1..], seed, visit),
            (Operation::Inter | Operation::Diff, _) => {}
        }
    }
}

/// The keys in these arguments.
fn keys<'a>(call: &Call<'a, '_>, arguments: Range<usize>) -> Vec<Key<'a>> {
    arguments.map(|i| call.key(i)).collect()
}

/// The sets at these keys. An error if one is something else, even if that would not matter to the
/// result.
fn read<'r, 'g: 'r>(
    reader: &Reader<'r, 'g>,
    keys: &[Key<'_>],
) -> Result<Vec<Option<SetRef<'r>>>, ReplyError> {
    keys.iter().map(|key| reader.set(key)).collect()
}

fn reply(call: &mut Call<'_, '_>, operation: Operation) -> Result<Outcome, ReplyError> {
    let (keys, seed) = (keys(call, 1..call.argc()), call.server.random());
    let (reader, reply) = call.split();
    let sets = read(&reader, &keys)?;
    let header = reply.deferred_set();
    let mut count = 0;
    operation.run(&sets, seed, &mut |member| {
        reply_member(reply, member);
        count += 1;
    });
    reply.finish_deferred(header, count);
    Ok(Outcome::Done)
}

fn store(
    call: &mut Call<'_, '_>,
    operation: Operation,
    event: &str,
) -> Result<Outcome, ReplyError> {
    let (destination, keys) = (call.key(1), keys(call, 2..call.argc()));
    let (seed, limits) = (call.server.random(), call.server.limits().set);
    let (reader, _) = call.split();
    let sets = read(&reader, &keys)?;
    let mut result = Set::new();
    operation.run(&sets, seed, &mut |member| {
        member.with(|bytes| result.add(bytes, &limits));
    });
    let count = result.len();
    call.put_collection(&destination, result, None);
    if count > 0 {
        call.notify(Class::SET, event, &destination);
    }
    call.reply.int(number(count));
    Ok(Outcome::Done)
}

fn sinter(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply(call, Operation::Inter)
}

fn sinterstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    store(call, Operation::Inter, "sinterstore")
}

fn sunion(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply(call, Operation::Union)
}

fn sunionstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    store(call, Operation::Union, "sunionstore")
}

fn sdiff(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    reply(call, Operation::Diff)
}

fn sdiffstore(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    store(call, Operation::Diff, "sdiffstore")
}

pub(super) const SINTERCARD: Command = Command::new("sintercard", Arity::at_least(3), sintercard)
    .flags(flag_set!(READONLY))
    .keys(&[KeySpec::counted(1).read()])
    .docs(
        Docs::new(
            Group::Set,
            "7.0.0",
            SMALLEST,
            "Returns how many members sets have in common, or that they have so many at least.",
        )
        .args(&[
            Arg::integer("numkeys"),
            KEY.multiple(),
            Arg::integer("limit").token("LIMIT").optional(),
        ]),
    );

/// The first key of SINTERCARD.
const CARD_FIRST: usize = 2;

fn sintercard(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let count = parse_i64(call.arg(1))
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or("ERR numkeys should be greater than 0")?;
    let end = count.saturating_add(CARD_FIRST);
    if end > call.argc() {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    let limit = limit(call, end)?;
    let keys = keys(call, CARD_FIRST..end);
    let (reader, reply) = call.split();
    let sets = read(&reader, &keys)?;
    let mut count = 0;
    if let Some(sets) = sets.into_iter().collect::<Option<Vec<_>>>() {
        // It does not matter whether it was stopped.
        let _ = intersect(&sets, &mut |_| {
            count += 1;
            if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    reply.int(number(count));
    Ok(Outcome::Done)
}

/// LIMIT in the arguments from `from` on; without it, and if it is 0, there is none.
fn limit(call: &Call<'_, '_>, from: usize) -> Result<usize, ReplyError> {
    let mut limit = usize::MAX;
    for at in (from..call.argc()).step_by(2) {
        if !call.is(at, "limit") || at + 1 == call.argc() {
            return Err(SYNTAX);
        }
        limit = parse_i64(call.arg(at + 1))
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or("ERR LIMIT can't be negative")?;
    }
    Ok(if limit == 0 { usize::MAX } else { limit })
}
