//! ZSCAN: a walk through a sorted set.

use super::docs::{KEY, READ};
use super::reply_member;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::walk::{self, Options};
use dunlin_protocol::number::{format_f64, format_f64_long};
use dunlin_storage::value::sorted_set::SortedSetRef;

pub(super) const ZSCAN: Command = Command::new("zscan", Arity::at_least(3), zscan)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::SortedSet,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
             for the cursor to return back to 0. N is the number of elements inside the \
             collection.",
            "Walks through the members of a sorted set and their scores.",
        )
        .args(&[
            KEY,
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    );

fn zscan(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cursor = walk::cursor(call, 2)?;
    let key = call.key(1);
    // What is wrong with the options is not told about a key that does not exist.
    let options = Options::parse(call, Some("NOSCORES"));
    let (reader, reply) = call.split();
    let Some(set) = reader.sorted_set(&key)? else {
        walk::reply_empty(reply);
        return Ok(Outcome::Done);
    };
    let options = options?;
    let mut found = Vec::new();
    let cursor = set.scan(cursor, options.count, &mut |member, score| {
        if member.with(|name| options.takes(name)) {
            found.push((member, score));
        }
    });
    let parts = if options.only_names { 1 } else { 2 };
    walk::reply_header(reply, cursor, found.len() * parts);
    for (member, score) in found {
        reply_member(reply, member);
        if !options.only_names {
            // Text in any protocol: from a listpack as it stands there, else with all digits.
            let text = match set {
                SortedSetRef::Listpack(_) => format_f64(score),
                SortedSetRef::Table(_) => format_f64_long(score),
            };
            reply.bulk(text.as_bytes());
        }
    }
    Ok(Outcome::Done)
}
