//! The commands of Redis that give slots and replicas to nodes by hand. Here the members agree on a
//! place for everything, so there is nothing that one of them could be told.

use super::{CHANGES, docs, node};
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs};
use crate::commands::error::ReplyError;
use crate::commands::spec::{Arity, Command, Outcome};

const SLOTS_ARE_PLACED: ReplyError = ReplyError::new(
    "ERR Slots are placed by the cluster: use CLUSTER WEIGHT or CLUSTER MIGRATION IMPORT",
);
const COPIES_ARE_PLACED: ReplyError = ReplyError::new(
    "ERR Copies are placed by the cluster: there are no replicas (see cluster-replicas)",
);

const fn row(name: &'static str, arity: Arity, docs: Docs) -> Command {
    Command::new(name, arity, slots_are_placed).flags(CHANGES).docs(docs)
}

const PER_SLOT: &str = "O(N) where N is the total number of hash slot arguments";
const PER_RANGE: &str = "O(N) where N is the total number of the slots between the start slot and \
                         end slot arguments.";
const SLOT: &[Arg] = &[Arg::integer("slot").multiple()];
const RANGE: &[Arg] =
    &[Arg::block("range", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).multiple()];

pub(super) const ADDSLOTS: Command = row(
    "addslots",
    Arity::at_least(3),
    docs("3.0.0", PER_SLOT, "Refused: slots are placed by the cluster.").args(SLOT),
);

pub(super) const ADDSLOTSRANGE: Command = row(
    "addslotsrange",
    Arity::at_least(4),
    docs("7.0.0", PER_RANGE, "Refused: slots are placed by the cluster.").args(RANGE),
);

pub(super) const DELSLOTS: Command = row(
    "delslots",
    Arity::at_least(3),
    docs("3.0.0", PER_SLOT, "Refused: slots are placed by the cluster.").args(SLOT),
);

pub(super) const DELSLOTSRANGE: Command = row(
    "delslotsrange",
    Arity::at_least(4),
    docs("7.0.0", PER_RANGE, "Refused: slots are placed by the cluster.").args(RANGE),
);

pub(super) const FLUSHSLOTS: Command = row(
    "flushslots",
    Arity::exactly(2),
    docs("3.0.0", "O(1)", "Refused: slots are placed by the cluster."),
);

pub(super) const SETSLOT: Command = row(
    "setslot",
    Arity::at_least(4),
    docs("3.0.0", "O(1)", "Refused: slots are placed by the cluster.").args(&[
        Arg::integer("slot"),
        Arg::one_of(
            "subcommand",
            &[
                Arg::string("importing").token("IMPORTING").display("node-id"),
                Arg::string("migrating").token("MIGRATING").display("node-id"),
                Arg::string("node").token("NODE").display("node-id"),
                Arg::flag("stable", "STABLE"),
            ],
        ),
    ]),
);

fn slots_are_placed(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    Err(SLOTS_ARE_PLACED)
}

pub(super) const REPLICATE: Command =
    Command::new("replicate", Arity::exactly(3), replicate).flags(CHANGES).docs(
        docs("3.0.0", "O(1)", "Refused: copies are placed by the cluster.")
            .args(&[Arg::string("node-id")]),
    );

fn replicate(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    Err(COPIES_ARE_PLACED)
}
