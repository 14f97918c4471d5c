//! SSCAN: a walk through a set.

use super::docs::{KEY, READ};
use super::reply_member;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::walk::{self, Options};

pub(super) const SSCAN: Command = Command::new("sscan", Arity::at_least(3), sscan)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::Set,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
             for the cursor to return back to 0. N is the number of elements inside the \
             collection.",
            "Walks through the members of a set.",
        )
        .args(&[
            KEY,
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
        ]),
    );

fn sscan(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cursor = walk::cursor(call, 2)?;
    let key = call.key(1);
    // Options are looked at only if there is something to walk through.
    let options = Options::parse(call, None);
    let (reader, reply) = call.split();
    let Some(set) = reader.set(&key)? else {
        walk::reply_empty(reply);
        return Ok(Outcome::Done);
    };
    let options = options?;
    let mut found = Vec::new();
    let cursor = set.scan(cursor, options.count, &mut |member| {
        if member.with(|name| options.takes(name)) {
            found.push(member);
        }
    });
    walk::reply_header(reply, cursor, found.len());
    found.into_iter().for_each(|member| reply_member(reply, member));
    Ok(Outcome::Done)
}
