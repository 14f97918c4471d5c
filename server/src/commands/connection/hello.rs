//! HELLO and AUTH. Users and their passwords are in [`crate::acl`].

use super::client::{BAD_NAME, is_name};
use crate::acl::{DEFAULT_USER, LogContext, Reason};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX, quoting};
use crate::commands::server::REDIS_VERSION;
use crate::commands::spec::{Arity, Command, Flags, Outcome};
use dunlin_protocol::{Proto, number};

const OPEN_FLAGS: Flags = flag_set!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY);

const WRONG_PASS: ReplyError =
    ReplyError::new("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD: ReplyError = ReplyError::new(
    "ERR AUTH <password> called without any password configured for the default user. \
     Are you sure your configuration is correct?",
);
const HELLO_NO_AUTH: ReplyError = ReplyError::new(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
     <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
     RESP protocol version at the same time",
);

pub(super) const AUTH: Command =
    Command::new("auth", Arity::at_least(2), auth).flags(OPEN_FLAGS.with(Flags::SENSITIVE)).docs(
        Docs::new(
            Group::Connection,
            "1.0.0",
            "O(N) where N is the number of passwords defined for the user",
            "Authenticates the connection.",
        )
        .history(&[("6.0.0", "Added ACL style (username and password).")])
        .args(&[Arg::string("username").optional().since("6.0.0"), Arg::string("password")]),
    );

fn auth(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let (user, password) = match call.argc() {
        2 => {
            let users = call.server.acl.users();
            if users.get(DEFAULT_USER).is_some_and(|user| user.needs_no_password()) {
                return Err(NO_PASSWORD);
            }
            (DEFAULT_USER, call.arg(1))
        }
        3 => (call.arg(1), call.arg(2)),
        _ => return Err(SYNTAX),
    };
    authenticate(call, user, password)?;
    call.reply.ok();
    Ok(Outcome::Done)
}

fn authenticate(call: &mut Call<'_, '_>, user: &[u8], password: &[u8]) -> Result<(), ReplyError> {
    match call.server.acl.log_in(user, password) {
        Some(login) => {
            call.client.log_in(login);
            Ok(())
        }
        None => {
            let top = call.may_block();
            let context = if top { LogContext::TopLevel } else { LogContext::Multi };
            let command = call.arg(0);
            call.server.log_denied(call.client, Reason::Login, context, command, user, call.now);
            Err(WRONG_PASS)
        }
    }
}

pub(super) const HELLO: Command =
    Command::new("hello", Arity::at_least(1), hello).flags(OPEN_FLAGS).docs(
        Docs::new(
            Group::Connection,
            "6.0.0",
            "O(1)",
            "Agrees on the protocol version and introduces server and client to each other.",
        )
        .history(&[(
            "6.2.0",
            "`protover` made optional; when called without arguments the command reports the \
             current connection's context.",
        )])
        .args(&[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block("auth", &[Arg::string("username"), Arg::string("password")])
                    .token("AUTH")
                    .optional(),
                Arg::string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()]),
    );

fn hello(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let proto = match call.request.get(1) {
        None => None,
        Some(text) => Some(match number::parse_i64(text) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        }),
    };
    let (mut login, mut name) = (None, None);
    let mut i = 2;
    while i < call.argc() {
        let left = call.argc() - 1 - i;
        if call.is(i, "AUTH") && left >= 2 {
            login = Some((call.arg(i + 1), call.arg(i + 2)));
            i += 3;
        } else if call.is(i, "SETNAME") && left >= 1 {
            name = Some(call.arg(i + 1));
            if !is_name(call.arg(i + 1)) {
                return Err(BAD_NAME);
            }
            i += 2;
        } else {
            return Err(quoting("ERR Syntax error in HELLO option '", call.arg(i), "'"));
        }
    }
    if let Some((user, password)) = login {
        authenticate(call, user, password)?;
    }
    if !call.client.authenticated {
        return Err(HELLO_NO_AUTH);
    }
    if let Some(name) = name {
        let name = String::from_utf8_lossy(name).into_owned();
        call.client.shared.set_labels(|labels| labels.name = name);
    }
    if let Some(proto) = proto {
        super::set_proto(call, proto);
    }
    introduce(call);
    Ok(Outcome::Done)
}

/// `server` says redis: libraries compare it when they look for features.
fn introduce(call: &mut Call<'_, '_>) {
    let id = i64::try_from(call.client.id()).unwrap_or(i64::MAX);
    let proto = if call.reply.proto() == Proto::Resp3 { 3 } else { 2 };
    let mode = call.server.mode();
    let reply = &mut *call.reply;
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    for (field, value) in [("proto", proto), ("id", id)] {
        reply.bulk(field.as_bytes());
        reply.int(value);
    }
    for (field, value) in [("mode", mode), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}
