//! CLIENT LIST and INFO.

use super::filter::Filters;
use super::{OTHERS, OWN, docs};
use crate::client::line;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};

const TYPES: &[Arg] = &[
    Arg::flag("normal", "NORMAL"),
    Arg::flag("master", "MASTER"),
    Arg::flag("replica", "REPLICA"),
    Arg::flag("pubsub", "PUBSUB"),
];

pub(super) const LIST: Command = Command::new("list", Arity::at_least(2), list)
    .flags(OTHERS)
    .docs(
        docs(
            "2.4.0",
            "O(N) where N is the number of client connections",
            "Describes the connections, one line each.",
        )
        .history(&[
            ("2.8.12", "Added unique client `id` field."),
            ("5.0.0", "Added optional `TYPE` filter."),
            ("6.0.0", "Added `user` field."),
            (
                "6.2.0",
                "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` \
                 filter.",
            ),
            ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
            ("7.0.3", "Added `ssub` field."),
        ])
        .args(&[
            Arg::one_of("client-type", TYPES).token("TYPE").optional().since("5.0.0"),
            Arg::integer("client-id").token("ID").optional().multiple().since("6.2.0"),
        ]),
    )
    .tips(&["nondeterministic_output"]);

fn list(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let filters = Filters::of_list(call)?;
    let (me, now) = (call.client.id(), call.now);
    let mut text = String::new();
    for client in filters.candidates(&call.server.clients) {
        if filters.pass(&client, me, now) {
            line::write(&client, now, &mut text);
        }
    }
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

pub(super) const INFO: Command = Command::new("info", Arity::exactly(2), info)
    .flags(OWN)
    .docs(docs("6.2.0", "O(1)", "Describes the connection."))
    .tips(&["nondeterministic_output"]);

fn info(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut text = String::new();
    line::write(&call.client.shared, call.now, &mut text);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}
