//! ZRANDMEMBER: members by chance.

use super::docs::{KEY, READ, WITHSCORES};
use super::{Shape, reply_member};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::draw::{self, Wanted};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Outcome};

pub(super) const ZRANDMEMBER: Command =
    Command::new("zrandmember", Arity::at_least(2), zrandmember)
        .flags(flag_set!(READONLY))
        .keys(READ)
        .tips(&["nondeterministic_output"])
        .docs(
            Docs::new(
                Group::SortedSet,
                "6.2.0",
                "O(N) where N is the number of members returned",
                "Returns random members of a sorted set; the same ones again if a negative number \
                 is wanted.",
            )
            .args(&[KEY, Arg::block("options", &[Arg::integer("count"), WITHSCORES]).optional()]),
        );

fn zrandmember(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    if call.argc() > 2 {
        return several(call);
    }
    let (key, random) = (call.key(1), call.server.random());
    let (reader, reply) = call.split();
    match reader.sorted_set(&key)?.and_then(|set| set.random(random)) {
        Some((member, _)) => reply_member(reply, member),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

fn several(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let with_scores = call.argc() == 4 && call.is(3, "withscores");
    let wanted = Wanted::parse(call, 2, with_scores)?;
    if call.argc() > 3 && !with_scores {
        return Err(SYNTAX);
    }
    let (key, server) = (call.key(1), call.server);
    let most = draw::most(call);
    let (reader, reply) = call.split();
    let shape = Shape::with_scores(with_scores, reply);
    let Some(set) = reader.sorted_set(&key)? else {
        reply.array(0);
        return Ok(Outcome::Done);
    };
    match wanted {
        Wanted::Different(count) => {
            shape.header(reply, count.min(set.len()));
            let random = &mut || server.random();
            set.sample(count, random, &mut |member, score| shape.member(reply, member, score));
            Ok(Outcome::Done)
        }
        Wanted::Draws(draws) => {
            shape.header(reply, draws);
            Ok(draw::repeat(draws, most, reply, |reply| {
                if let Some((member, score)) = set.random(server.random()) {
                    shape.member(reply, member, score);
                }
            }))
        }
    }
}
