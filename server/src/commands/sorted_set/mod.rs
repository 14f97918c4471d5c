//! Sorted sets.
//!
//! Small ones are packed into their entries and read like strings; large ones are tables behind them
//! (see [`dunlin_storage::value::sorted_set`]). The handlers do not know the difference.
//!
//! Commands that take a part of a sorted set (by rank, by score, by member) read it into a [`Part`]
//! and ask for its ranks; the rest is the same for all of them.
//!
//! [`Part`]: dunlin_storage::value::sorted_set::Part

mod add;
mod blocking;
mod bounds;
mod combine;
mod count;
mod docs;
mod pop;
mod random;
mod range;
mod rank;
mod remove;
mod scan;
mod score;
mod select;

use super::spec::Command;
pub(super) use add::add_pairs;
use dunlin_protocol::{Proto, Reply};
use dunlin_storage::value::listpack::Element;
pub(super) use range::store;

pub(super) static COMMANDS: &[Command] = &[
    add::ZADD,
    add::ZINCRBY,
    remove::ZREM,
    remove::ZREMRANGEBYRANK,
    remove::ZREMRANGEBYSCORE,
    remove::ZREMRANGEBYLEX,
    score::ZCARD,
    score::ZSCORE,
    score::ZMSCORE,
    count::ZCOUNT,
    count::ZLEXCOUNT,
    rank::ZRANK,
    rank::ZREVRANK,
    range::ZRANGE,
    range::ZREVRANGE,
    range::ZRANGEBYSCORE,
    range::ZREVRANGEBYSCORE,
    range::ZRANGEBYLEX,
    range::ZREVRANGEBYLEX,
    range::ZRANGESTORE,
    pop::ZPOPMIN,
    pop::ZPOPMAX,
    pop::ZMPOP,
    blocking::BZPOPMIN,
    blocking::BZPOPMAX,
    blocking::BZMPOP,
    random::ZRANDMEMBER,
    scan::ZSCAN,
    combine::ZUNION,
    combine::ZINTER,
    combine::ZDIFF,
    combine::ZUNIONSTORE,
    combine::ZINTERSTORE,
    combine::ZDIFFSTORE,
    combine::ZINTERCARD,
];

/// Replies a member.
pub(super) fn reply_member(reply: &mut Reply, member: Element<'_>) {
    match member {
        Element::Int(value) => reply.bulk_int(value),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// How members are replied: alone, or with their scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A list of members.
    Members,
    /// Members and scores in turn.
    Flat,
    /// A list of pairs.
    Pairs,
}

impl Shape {
    /// The shape in which WITHSCORES answers: RESP3 has pairs.
    fn with_scores(wanted: bool, reply: &Reply) -> Self {
        match (wanted, reply.proto()) {
            (false, _) => Shape::Members,
            (true, Proto::Resp2) => Shape::Flat,
            (true, Proto::Resp3) => Shape::Pairs,
        }
    }

    /// The header of `count` members.
    fn header(self, reply: &mut Reply, count: usize) {
        reply.array(if self == Shape::Flat { count.saturating_mul(2) } else { count });
    }

    fn member(self, reply: &mut Reply, member: Element<'_>, score: f64) {
        if self == Shape::Pairs {
            reply.array(2);
        }
        reply_member(reply, member);
        if self != Shape::Members {
            reply.double(score);
        }
    }

    /// Replies members in the order in which they come.
    fn members<'a>(
        self,
        reply: &mut Reply,
        members: impl ExactSizeIterator<Item = (Element<'a>, f64)>,
    ) {
        self.header(reply, members.len());
        members.for_each(|(member, score)| self.member(reply, member, score));
    }
}

/// A number of members as a reply.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
