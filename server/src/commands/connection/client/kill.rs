//! CLIENT KILL.

use super::filter::Filters;
use super::{OTHERS, docs};
use crate::client::ClientShared;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};
use std::sync::Arc;

const TYPES: &[Arg] = &[
    Arg::flag("normal", "NORMAL"),
    Arg::flag("master", "MASTER").since("3.2.0"),
    Arg::flag("slave", "SLAVE"),
    Arg::flag("replica", "REPLICA").since("5.0.0"),
    Arg::flag("pubsub", "PUBSUB"),
];

const FILTERS: &[Arg] = &[
    Arg::integer("client-id").token("ID").optional().since("2.8.12"),
    Arg::one_of("client-type", TYPES).token("TYPE").optional().since("2.8.12"),
    Arg::string("username").token("USER").optional(),
    Arg::string("addr").token("ADDR").optional(),
    Arg::string("laddr").token("LADDR").optional().since("6.2.0"),
    Arg::one_of("skipme", &[Arg::flag("yes", "YES"), Arg::flag("no", "NO")])
        .token("SKIPME")
        .optional(),
    Arg::integer("maxage").token("MAXAGE").optional().since("7.4.0"),
];

pub(super) const KILL: Command = Command::new("kill", Arity::at_least(3), kill).flags(OTHERS).docs(
    docs("2.4.0", "O(N) where N is the number of client connections", "Closes connections.")
        .history(&[
            ("2.8.12", "Added new filter format."),
            ("2.8.12", "`ID` option."),
            ("3.2.0", "Added `master` type in for `TYPE` option."),
            (
                "5.0.0",
                "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward \
             compatibility.",
            ),
            ("6.2.0", "`LADDR` option."),
        ])
        .args(&[Arg::one_of(
            "filter",
            &[Arg::string("old-format"), Arg::one_of("new-format", FILTERS).multiple()],
        )]),
);

fn kill(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let me = call.client.id();
    let clients = &call.server.clients;
    let old_form = call.argc() == 3;
    let victims: Vec<Arc<ClientShared>> = if old_form {
        let addr = call.arg(2);
        let all = clients.all().into_iter();
        // All of a unix socket have the same address.
        all.filter(|client| client.addr.as_bytes() == addr).collect()
    } else {
        let mut filters = Filters::of_kill(call)?;
        filters.skip_me.get_or_insert(true);
        let candidates = filters.candidates(clients).into_iter();
        candidates.filter(|client| filters.pass(client, me, call.now)).collect()
    };
    if old_form && victims.is_empty() {
        return Err("ERR No such client".into());
    }
    let mut outcome = Outcome::Done;
    for victim in &victims {
        if victim.id == me {
            // Itself: after the reply.
            victim.set_flag(ClientShared::CLOSING, true);
            outcome = Outcome::Close;
        } else {
            victim.kill();
        }
    }
    if old_form {
        call.reply.ok();
    } else {
        call.reply.int(i64::try_from(victims.len()).unwrap_or(i64::MAX));
    }
    Ok(outcome)
}
