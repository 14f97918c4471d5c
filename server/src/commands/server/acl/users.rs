//! ACL SETUSER, DELUSER, GETUSER, LIST and USERS.

use super::super::docs;
use super::{ADMIN, ALL_NODES};
use crate::acl::{DEFAULT_USER, SelectorText};
use crate::client::{ClientShared, ClientUser};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::Reply;

const EACH_USER: &str = "O(N). Where N is the number of configured users.";

pub(super) const SETUSER: Command = Command::new("setuser", Arity::at_least(3), setuser)
    .flags(ADMIN)
    .docs(
        docs(
            "6.0.0",
            "O(N). Where N is the number of rules provided.",
            "Makes a user or changes what it may do.",
        )
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            ("7.0.0", "Added selectors and key based permissions."),
        ])
        .args(&[Arg::string("username"), Arg::string("rule").optional().multiple()]),
    )
    .tips(ALL_NODES);

fn setuser(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let rules: Vec<&[u8]> = call.request.iter().skip(3).collect();
    let name = call.arg(2);
    call.server.acl.set_user(name, &rules)?;
    call.reply.ok();
    Ok(changed(call, &[], |user| user == name))
}

pub(super) const DELUSER: Command = Command::new("deluser", Arity::at_least(3), deluser)
    .flags(ADMIN)
    .docs(
        docs(
            "6.0.0",
            "O(1) amortized time considering the typical user.",
            "Deletes users and closes their connections.",
        )
        .args(&[Arg::string("username").multiple()]),
    )
    .tips(ALL_NODES);

fn deluser(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let names: Vec<&[u8]> = call.request.iter().skip(2).collect();
    if names.contains(&DEFAULT_USER) {
        return Err("ERR The 'default' user cannot be removed".into());
    }
    let gone = call.server.acl.delete_users(&names);
    call.reply.int(i64::try_from(gone.len()).unwrap_or(i64::MAX));
    Ok(changed(call, &gone, |_| false))
}

/// Users have changed: those with the numbers `gone` are no more, and those of the names that
/// `altered` takes may have lost channels. Closes the connections of the former, and of the latter
/// those that have subscribed to such a channel. The change holds for the next command of this
/// connection already, which may stand in the same pipeline; others see it at their next turn.
pub(super) fn changed(
    call: &mut Call<'_, '_>,
    gone: &[u64],
    altered: impl Fn(&[u8]) -> bool,
) -> Outcome {
    let me = call.client.id();
    let users = call.server.acl.users();
    call.server.pubsub.close_unless(|client, name, is_pattern| {
        let ClientUser { name: user, id } = client.user();
        // Its own connection ends after the reply, see below.
        if client.id == me || !altered(&user) {
            return true;
        }
        let user = users.get(&user).filter(|user| user.id() == id);
        user.is_some_and(|user| user.may_use_channel(name, is_pattern))
    });
    if !gone.is_empty() {
        for client in call.server.clients.all() {
            if client.id != me && gone.contains(&client.user().id) {
                client.kill();
            }
        }
    }
    if call.client.keeps_subscriptions(&call.server.acl) {
        Outcome::Done
    } else {
        // Itself: after the reply.
        call.client.shared.set_flag(ClientShared::CLOSING, true);
        Outcome::Close
    }
}

pub(super) const GETUSER: Command =
    Command::new("getuser", Arity::exactly(3), getuser).flags(ADMIN).docs(
        docs(
            "6.0.0",
            "O(N). Where N is the number of password, command and pattern rules that the user has.",
            "Answers what a user may do.",
        )
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            (
                "7.0.0",
                "Added selectors and changed the format of key and channel patterns from a list \
                 to their rule representation.",
            ),
        ])
        .args(&[Arg::string("username")]),
    );

fn getuser(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let users = call.server.acl.users();
    let reply = &mut *call.reply;
    let Some(user) = users.get(call.request.arg(2)) else {
        reply.null();
        return Ok(Outcome::Done);
    };
    reply.map(6);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    let digests = user.password_digests();
    reply.array(digests.len());
    digests.for_each(|digest| reply.bulk(digest.as_bytes()));
    let texts = user.selector_texts();
    let (root, others) = texts.split_at(1);
    root.iter().for_each(|text| write_selector(reply, text));
    reply.bulk(b"selectors");
    reply.array(others.len());
    for text in others {
        reply.map(3);
        write_selector(reply, text);
    }
    Ok(Outcome::Done)
}

fn write_selector(reply: &mut Reply, text: &SelectorText) {
    for (field, rules) in
        [("commands", &text.commands), ("keys", &text.keys), ("channels", &text.channels)]
    {
        reply.bulk(field.as_bytes());
        reply.bulk(rules);
    }
}

pub(super) const LIST: Command = Command::new("list", Arity::exactly(2), list)
    .flags(ADMIN)
    .docs(docs("6.0.0", EACH_USER, "Lists all users as lines of the configuration file."));

fn list(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let users = call.server.acl.users();
    call.reply.array(users.all().len());
    for user in users.all() {
        let line = [b"user ".as_slice(), user.name(), b" ", &user.describe()].concat();
        call.reply.bulk(&line);
    }
    Ok(Outcome::Done)
}

pub(super) const USERS: Command = Command::new("users", Arity::exactly(2), users)
    .flags(ADMIN)
    .docs(docs("6.0.0", EACH_USER, "Lists the names of all users."));

fn users(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let users = call.server.acl.users();
    call.reply.array(users.all().len());
    users.all().for_each(|user| call.reply.bulk(user.name()));
    Ok(Outcome::Done)
}
