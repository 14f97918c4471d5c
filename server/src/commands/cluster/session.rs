//! ASKING, READONLY and READWRITE: what clients say before they send commands to a node that does not
//! own the slot. There is nothing to allow: slots are handed over whole, so no node has a part of one,
//! and copies are not read.

use super::{docs, node};
use crate::commands::call::Call;
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Flags, Outcome};

const CONNECTION: &[&str] = &["connection"];

const fn row(name: &'static str, flags: Flags, summary: &'static str) -> Command {
    Command::new(name, Arity::exactly(1), accept)
        .flags(flags)
        .categories(CONNECTION)
        .docs(docs("3.0.0", "O(1)", summary))
}

pub(super) const ASKING: Command =
    row("asking", flag_set!(FAST), "Announces a command that follows an ASK redirection.");

pub(super) const READONLY: Command = row(
    "readonly",
    flag_set!(FAST | LOADING | STALE),
    "Allows a connection to read from a node that has copies.",
);

pub(super) const READWRITE: Command =
    row("readwrite", flag_set!(FAST | LOADING | STALE), "Takes back what READONLY has allowed.");

fn accept(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    call.reply.ok();
    Ok(Outcome::Done)
}
