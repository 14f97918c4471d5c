//! CLUSTER LINKS and COUNT-FAILURE-REPORTS: what this node knows of its connections to others.

use super::{SHOWS, UNORDERED, docs, member, node};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use dunlin_protocol::Reply;

pub(super) const LINKS: Command = Command::new("links", Arity::exactly(2), links)
    .flags(SHOWS.without(Flags::LOADING))
    .docs(docs(
        "7.0.0",
        "O(N) where N is the total number of Cluster nodes",
        "Lists the connections to and from other nodes.",
    ))
    .tips(UNORDERED);

fn links(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let links = node(call)?.operations().map(|operations| operations.admin.links());
    let links = links.unwrap_or_default();
    let reply = &mut *call.reply;
    reply.array(links.len());
    for link in links {
        reply.map(6);
        text(reply, "direction", if link.outgoing { "to" } else { "from" });
        text(reply, "node", &link.node.to_string());
        number(reply, "create-time", link.created);
        text(reply, "events", if link.writes { "rw" } else { "r" });
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        number(reply, "send-buffer-allocated", bytes(link.allocated));
        number(reply, "send-buffer-used", bytes(link.used));
    }
    Ok(Outcome::Done)
}

fn text(reply: &mut Reply, field: &str, value: &str) {
    reply.bulk(field.as_bytes());
    reply.bulk(value.as_bytes());
}

fn number(reply: &mut Reply, field: &str, value: i64) {
    reply.bulk(field.as_bytes());
    reply.int(value);
}

pub(super) const COUNT_FAILURE_REPORTS: Command =
    Command::new("count-failure-reports", Arity::exactly(3), count_failure_reports)
        .flags(flag_set!(ADMIN | STALE))
        .docs(
            docs(
                "3.0.0",
                "O(N) where N is the number of failure reports",
                "Counts the nodes that take another one for failed.",
            )
            .args(&[Arg::string("node-id")]),
        )
        .tips(UNORDERED);

/// Nodes do not report each other: a member that does not renew its lease is removed.
fn count_failure_reports(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let view = node(call)?.view().get();
    member(call, 2, &view)?;
    call.reply.int(0);
    Ok(Outcome::Done)
}
