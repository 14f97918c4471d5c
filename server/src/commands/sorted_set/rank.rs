//! ZRANK, ZREVRANK: where a member stands.

use super::docs::{KEY, MEMBER, READ};
use super::number;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX, wrong_arity};
use crate::commands::spec::{Arity, Command, Handler, Outcome};

pub(super) const ZRANK: Command =
    row("zrank", zrank, "Returns the rank of a member, counted from the lowest score.");
pub(super) const ZREVRANK: Command =
    row("zrevrank", zrevrank, "Returns the rank of a member, counted from the highest score.");

const ARGS: &[Arg] = &[KEY, MEMBER, Arg::flag("withscore", "WITHSCORE").optional()];

const fn row(name: &'static str, handler: Handler, summary: &'static str) -> Command {
    Command::new(name, Arity::at_least(3), handler)
        .flags(flag_set!(READONLY | FAST))
        .keys(READ)
        .docs(
            Docs::new(Group::SortedSet, "2.0.0", "O(log(N))", summary)
                .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")])
                .args(ARGS),
        )
}

fn zrank(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    rank(call, false)
}

fn zrevrank(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    rank(call, true)
}

fn rank(call: &mut Call<'_, '_>, reverse: bool) -> Result<Outcome, ReplyError> {
    let with_score = match call.argc() {
        3 => false,
        4 if call.is(3, "withscore") => true,
        4 => return Err(SYNTAX),
        _ => return Err(wrong_arity(&call.entry.full_name)),
    };
    let (key, member) = (call.key(1), call.arg(2));
    let (reader, reply) = call.split();
    let found = reader.sorted_set(&key)?.and_then(|set| {
        let (rank, score) = set.rank(member)?;
        Some((if reverse { set.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            reply.array(2);
            reply.int(number(rank));
            reply.double(score);
        }
        Some((rank, _)) => reply.int(number(rank)),
        None if with_score => reply.null_array(),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}
