//! What changes the cluster. Nearly all of it is a change of the map that the members have to agree
//! on, so a command is answered when they have, and this node shows it.

use super::later::{self, Begun, failed, propose};
use super::{CHANGES, UNORDERED, docs, identity, member, node};
use crate::blocking::Word;
use crate::cluster::change::Change;
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX, quoting};
use crate::commands::help;
use crate::commands::spec::{Arity, Command, Outcome};
use dunlin_protocol::number;
use std::sync::Arc;

/// Highest weight of a member.
const MAX_WEIGHT: i64 = 10_000;

pub(super) const MEET: Command =
    Command::new("meet", Arity::at_least(4), meet).flags(CHANGES).docs(
        docs("3.0.0", "O(1)", "Brings two nodes into one cluster.")
            .history(&[("4.0.0", "Added the optional `cluster_bus_port` argument.")])
            .args(&[
                Arg::string("ip"),
                Arg::integer("port"),
                Arg::integer("cluster-bus-port").optional().since("4.0.0"),
            ]),
    );

fn meet(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, _, operations| {
        if call.argc() > 5 {
            return Err(help::wrong_subcommand(call));
        }
        let parsed = |i: usize, what: &str| {
            let text = call.arg(i);
            let wrong = || quoting(&format!("ERR Invalid TCP {what} port specified: "), text, "");
            number::parse_i64(text).ok_or_else(wrong)
        };
        let (port, bus_port) = (parsed(3, "base")?, (call.argc() == 5).then(|| parsed(4, "bus")));
        let bus_port = bus_port.transpose()?;
        let invalid = || {
            let address = [call.arg(2), b":", call.arg(3)].concat();
            quoting("ERR Invalid node address specified: ", &address, "")
        };
        let in_range = |port: i64| u16::try_from(port).ok().filter(|port| *port > 0);
        let port = in_range(port).ok_or_else(invalid)?;
        let bus_port = bus_port.map(|port| in_range(port).ok_or_else(invalid)).transpose()?;
        let host = std::str::from_utf8(call.arg(2)).ok().filter(|host| !host.is_empty());
        let host = host.ok_or_else(invalid)?.to_owned();
        let admin = Arc::clone(&operations.admin);
        Ok(Begun::later(async move {
            let met = admin.meet(host, port, bus_port).await;
            met.map(|()| Word::Ok).map_err(|why| failed(&why))
        }))
    })
}

pub(super) const FORGET: Command =
    Command::new("forget", Arity::exactly(3), forget).flags(CHANGES).docs(
        docs("3.0.0", "O(1)", "Removes a node from the cluster.").args(&[Arg::string("node-id")]),
    );

fn forget(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, cluster, operations| {
        let view = cluster.view().get();
        // Tools tell every node, and the first one has told all.
        let has_gone =
            |id| !view.map().members.contains_key(&id) && view.map().former.contains_key(&id);
        if identity(call.arg(2)).is_some_and(has_gone) {
            return Ok(Begun::Now(Word::Ok));
        }
        let node = member(call, 2, &view)?;
        if node == view.me() {
            return Err("ERR I tried hard but I can't forget myself...".into());
        }
        let admin = Arc::clone(&operations.admin);
        Ok(Begun::later(async move {
            admin.forget(node).await.map(|()| Word::Ok).map_err(|why| failed(&why))
        }))
    })
}

pub(super) const WEIGHT: Command =
    Command::new("weight", Arity::at_least(3), weight).flags(CHANGES).docs(
        docs(
            "8.6.0",
            "O(N) where N is the number of ranges of slots",
            "Answers or sets how many slots a node takes in proportion to others (Dunlin only).",
        )
        .args(&[Arg::string("node-id"), Arg::integer("weight").optional()]),
    );

fn weight(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, cluster, operations| {
        if call.argc() > 4 {
            return Err(help::wrong_subcommand(call));
        }
        let view = cluster.view().get();
        let node = member(call, 2, &view)?;
        if call.argc() == 3 {
            let weight = view.map().members.get(&node).map_or(0, |member| member.weight);
            return Ok(Begun::Now(Word::Int(weight.into())));
        }
        let weight = Some(call.int(3)?).filter(|weight| (0..=MAX_WEIGHT).contains(weight));
        let weight = weight.and_then(|weight| u32::try_from(weight).ok());
        let Some(weight) = weight else {
            return Err(format!("ERR A weight is between 0 and {MAX_WEIGHT}").into());
        };
        Ok(propose(cluster, operations, Change::Weight { node, weight }))
    })
}

pub(super) const LEAVE: Command =
    Command::new("leave", Arity::at_least(2), leave).flags(CHANGES).docs(
        docs(
            "8.6.0",
            "O(N) where N is the number of ranges of slots",
            "Has the node give its slots to others and leave the cluster (Dunlin only).",
        )
        .args(&[Arg::flag("cancel", "CANCEL").optional()]),
    );

fn leave(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, cluster, operations| {
        let leaving = match call.argc() {
            2 => true,
            3 if call.is(2, "CANCEL") => false,
            _ => return Err(SYNTAX),
        };
        let view = cluster.view().get();
        if leaving && view.map().members.len() < 2 {
            return Err("ERR This node is the only one of its cluster".into());
        }
        operations.admin.stay(false);
        Ok(propose(cluster, operations, Change::Leave { node: view.me(), leaving }))
    })
}

pub(super) const FAILOVER: Command =
    Command::new("failover", Arity::at_least(2), failover).flags(CHANGES).docs(
        docs("3.0.0", "O(1)", "Has the node give all its slots to others and stay a member.").args(
            &[Arg::one_of(
                "options",
                &[Arg::flag("force", "FORCE"), Arg::flag("takeover", "TAKEOVER")],
            )
            .optional()],
        ),
    );

/// In Redis a replica takes over from its master, which stays as a replica. Here all nodes are masters, and
/// copies of a node's slots are on all others: they take over, and this node stays a member without
/// slots, until it starts again or CLUSTER LEAVE CANCEL has it take its share back.
fn failover(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, cluster, operations| {
        match call.argc() {
            2 => {}
            3 if call.is(2, "FORCE") || call.is(2, "TAKEOVER") => {}
            3 => return Err(SYNTAX),
            _ => return Err(help::wrong_subcommand(call)),
        }
        let view = cluster.view().get();
        if view.map().members.len() < 2 {
            return Err("ERR There is no other node to take the slots".into());
        }
        operations.admin.stay(true);
        Ok(propose(cluster, operations, Change::Leave { node: view.me(), leaving: true }))
    })
}

pub(super) const RESET: Command = Command::new("reset", Arity::at_least(2), reset)
    .flags(flag_set!(ADMIN | NOSCRIPT | STALE))
    .docs(
        docs(
            "3.0.0",
            "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a \
             side effect.",
            "Makes the node a cluster of its own.",
        )
        .args(&[Arg::one_of(
            "reset-type",
            &[Arg::flag("hard", "HARD"), Arg::flag("soft", "SOFT")],
        )
        .optional()]),
    );

fn reset(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    later::answer(call, |call, cluster, operations| {
        let hard = match call.argc() {
            2 => false,
            3 if call.is(2, "HARD") => true,
            3 if call.is(2, "SOFT") => false,
            3 => return Err(SYNTAX),
            _ => return Err(help::wrong_subcommand(call)),
        };
        let keys = call.keyspace().keys_in_slots(|slot| cluster.routes.get(slot).is_own());
        if keys > 0 {
            let text = "ERR CLUSTER RESET can't be called with master nodes containing keys";
            return Err(text.into());
        }
        let admin = Arc::clone(&operations.admin);
        Ok(Begun::later(async move {
            admin.reset(hard).await.map(|()| Word::Ok).map_err(|why| failed(&why))
        }))
    })
}

pub(super) const SAVECONFIG: Command =
    Command::new("saveconfig", Arity::exactly(2), save_config).flags(CHANGES).docs(docs(
        "3.0.0",
        "O(1)",
        "Does nothing: what the members agree on is on disk before it counts.",
    ));

fn save_config(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    call.reply.ok();
    Ok(Outcome::Done)
}

pub(super) const BUMPEPOCH: Command = Command::new("bumpepoch", Arity::exactly(2), bump_epoch)
    .flags(CHANGES)
    .docs(docs("3.0.0", "O(1)", "Answers the epoch of the map, which only changes raise."))
    .tips(UNORDERED);

fn bump_epoch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let epoch = node(call)?.view().with(|view| view.map().epoch);
    call.reply.simple(&format!("STILL {epoch}"));
    Ok(Outcome::Done)
}

pub(super) const SET_CONFIG_EPOCH: Command =
    Command::new("set-config-epoch", Arity::exactly(3), set_config_epoch).flags(CHANGES).docs(
        docs("3.0.0", "O(1)", "Does nothing: the members agree on epochs.")
            .args(&[Arg::integer("config-epoch")]),
    );

fn set_config_epoch(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    node(call)?;
    let epoch = call.int(2)?;
    if epoch < 0 {
        return Err(format!("ERR Invalid config epoch specified: {epoch}").into());
    }
    call.reply.ok();
    Ok(Outcome::Done)
}
