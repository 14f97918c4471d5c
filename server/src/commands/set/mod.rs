//! Sets.
//!
//! Small sets are packed into their entries and read like strings; large ones are tables behind
//! them (see [`dunlin_storage::value::set`]). The handlers do not know the difference.

mod algebra;
mod docs;
mod members;
mod random;
mod scan;

use super::spec::Command;
use dunlin_protocol::Reply;
use dunlin_storage::value::listpack::Element;

pub(super) static COMMANDS: &[Command] = &[
    members::SADD,
    members::SREM,
    members::SMOVE,
    members::SISMEMBER,
    members::SMISMEMBER,
    members::SCARD,
    members::SMEMBERS,
    random::SPOP,
    random::SRANDMEMBER,
    algebra::SINTER,
    algebra::SINTERSTORE,
    algebra::SINTERCARD,
    algebra::SUNION,
    algebra::SUNIONSTORE,
    algebra::SDIFF,
    algebra::SDIFFSTORE,
    scan::SSCAN,
];

/// Replies a member.
fn reply_member(reply: &mut Reply, member: Element<'_>) {
    match member {
        Element::Int(value) => reply.bulk_int(value),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// A number of members as a reply.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
