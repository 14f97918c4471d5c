//! HSCAN: a walk through a hash.

use super::docs::{KEY, READ};
use super::{read, reply_text};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use crate::commands::walk::{self, Options};

pub(super) const HSCAN: Command = Command::new("hscan", Arity::at_least(3), hscan)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::Hash,
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls \
             for the cursor to return back to 0. N is the number of elements inside the \
             collection.",
            "Walks through the fields of a hash.",
        )
        .args(&[
            KEY,
            Arg::integer("cursor"),
            Arg::pattern("pattern").token("MATCH").optional(),
            Arg::integer("count").token("COUNT").optional(),
            Arg::flag("novalues", "NOVALUES").optional(),
        ]),
    );

fn hscan(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cursor = walk::cursor(call, 2)?;
    let (key, now) = (call.key(1), call.now);
    // Options are looked at only if there is something to walk through.
    let options = Options::parse(call, Some("NOVALUES"));
    let (reader, reply) = call.split();
    let Some(hash) = read(&reader, &key, now)? else {
        walk::reply_empty(reply);
        return Ok(Outcome::Done);
    };
    let options = options?;
    let mut found = Vec::new();
    let cursor = hash.scan(cursor, options.count, now, &mut |pair| {
        if pair.field.with(|name| options.takes(name)) {
            found.push(pair.field);
            if !options.only_names {
                found.push(pair.value);
            }
        }
    });
    walk::reply_header(reply, cursor, found.len());
    found.into_iter().for_each(|text| reply_text(reply, text));
    Ok(Outcome::Done)
}
