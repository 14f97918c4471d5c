//! HRANDFIELD: fields by chance.

use super::docs::{KEY, READ};
use super::{read, reply_text};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::draw::{self, Wanted};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::{Proto, Reply};
use dunlin_storage::value::hash::Pair;

pub(super) const HRANDFIELD: Command = Command::new("hrandfield", Arity::at_least(2), hrandfield)
    .flags(flag_set!(READONLY))
    .keys(READ)
    .tips(&["nondeterministic_output"])
    .docs(
        Docs::new(
            Group::Hash,
            "6.2.0",
            "O(N) where N is the number of fields returned",
            "Returns random fields of a hash; the same ones again if a negative number is wanted.",
        )
        .args(&[
            KEY,
            Arg::block(
                "options",
                &[Arg::integer("count"), Arg::flag("withvalues", "WITHVALUES").optional()],
            )
            .optional(),
        ]),
    );

fn hrandfield(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() > 2 {
        return hrandfield_count(call);
    }
    let (key, now, server) = (call.key(1), call.now, call.server);
    let (reader, reply) = call.split();
    match read(&reader, &key, now)?.and_then(|hash| hash.random(now, &mut || server.random())) {
        Some(pair) => reply_text(reply, pair.field),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

fn hrandfield_count(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let with_values = call.argc() == 4 && call.is(3, "withvalues");
    let wanted = Wanted::parse(call, 2, with_values)?;
    if call.argc() > 3 && !with_values {
        return Err(SYNTAX);
    }
    let (key, now, server) = (call.key(1), call.now, call.server);
    let most = draw::most(call);
    let (reader, reply) = call.split();
    let Some(hash) = read(&reader, &key, now)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    let random = &mut || server.random();
    match wanted {
        Wanted::Different(count) => {
            reply_count(reply, count.min(hash.len(now)), with_values);
            hash.sample(count, now, random, &mut |pair| reply_pair(reply, pair, with_values));
            Ok(Outcome::Done)
        }
        Wanted::Draws(draws) => {
            reply_count(reply, draws, with_values);
            Ok(draw::repeat(draws, most, reply, |reply| {
                if let Some(pair) = hash.random(now, random) {
                    reply_pair(reply, pair, with_values);
                }
            }))
        }
    }
}

/// The header of `count` fields. With values, RESP2 has all in one array; RESP3 has pairs.
fn reply_count(reply: &mut Reply, count: usize, with_values: bool) {
    let is_flat = with_values && reply.proto() == Proto::Resp2;
    reply.array(if is_flat { count.saturating_mul(2) } else { count });
}

fn reply_pair(reply: &mut Reply, pair: Pair<'_>, with_values: bool) {
    if with_values && reply.proto() == Proto::Resp3 {
        reply.array(2);
    }
    reply_text(reply, pair.field);
    if with_values {
        reply_text(reply, pair.value);
    }
}
