//! XRANGE, XREVRANGE and XLEN.

use super::docs::{COUNT, KEY, docs};
use super::id::{end_arg, start_arg};
use super::{at_most, count_arg, reply_count, reply_entries, reply_from};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};

const COMPLEXITY: &str = "O(N) with N being the number of entries replied.";

pub(super) const XRANGE: Command = Command::new("xrange", Arity::at_least(4), xrange)
    .flags(flag_set!(READONLY))
    .keys(&[KeySpec::one(1).read()])
    .docs(
        docs("5.0.0", COMPLEXITY, "Replies the entries in a range of identifiers.")
            .history(&[("6.2.0", "Added exclusive ranges.")])
            .args(&[KEY, Arg::string("start"), Arg::string("end"), COUNT]),
    );

pub(super) const XREVRANGE: Command = Command::new("xrevrange", Arity::at_least(4), xrevrange)
    .flags(flag_set!(READONLY))
    .keys(&[KeySpec::one(1).read()])
    .docs(
        docs("5.0.0", COMPLEXITY, "Replies the entries in a range of identifiers, last one first.")
            .history(&[("6.2.0", "Added exclusive ranges.")])
            .args(&[KEY, Arg::string("end"), Arg::string("start"), COUNT]),
    );

fn xrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    range(call, false)
}

fn xrevrange(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    range(call, true)
}

fn range(call: &mut Call<'_, '_>, back: bool) -> Result<Outcome, ReplyError> {
    let (first, last) = if back { (3, 2) } else { (2, 3) };
    let start = start_arg(call, first)?;
    let end = end_arg(call, last)?;
    let mut count = None;
    let mut i = 4;
    while i < call.argc() {
        if !call.is(i, "COUNT") || i + 1 == call.argc() {
            return Err(SYNTAX);
        }
        count = Some(count_arg(call, i + 1)?);
        i += 2;
    }
    let key = call.key(1);
    let found = reply_from(call, &key, |stream, reply| {
        if count == Some(0) {
            return reply.null_array();
        }
        let most = at_most(count.unwrap_or(0));
        let entries =
            if back { stream.log.range_back(start, end) } else { stream.log.range(start, end) };
        reply_entries(reply, entries.take(most));
    })?;
    if found.is_none() {
        call.reply.array(0);
    }
    Ok(Outcome::Done)
}

pub(super) const XLEN: Command = Command::new("xlen", Arity::exactly(2), xlen)
    .flags(flag_set!(READONLY | FAST))
    .keys(&[KeySpec::one(1).look()])
    .docs(docs("5.0.0", "O(1)", "Replies the number of entries of a stream.").args(&[KEY]));

fn xlen(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let key = call.key(1);
    let len = reply_from(call, &key, |stream, _| stream.log.len())?;
    reply_count(call.reply, len.unwrap_or(0));
    Ok(Outcome::Done)
}
