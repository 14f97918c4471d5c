//! Looking at a cluster.

use super::Refused;
use super::node::{Access, Address, Node};
use super::picture::{Figures, Picture, Shown};
use super::wait::moves;
use std::io::Write as _;

/// A member, asked itself.
struct Asked {
    node: Node,
    picture: Picture,
    figures: Figures,
}

impl Asked {
    fn ask(address: &Address, access: &Access) -> Result<Self, Refused> {
        let mut node = Node::open(address, access)?;
        let picture = Picture::of(&mut node)?;
        let figures = Figures::of(&mut node)?;
        Ok(Asked { node, picture, figures })
    }
}

/// Asks all members, says what is wrong, and fails if something is.
pub(super) fn check(member: &Address, access: &Access) -> Result<(), Refused> {
    let mut first = Node::open(member, access)?;
    let picture = Picture::of(&mut first)?;
    let asked = picture.nodes.iter().map(|shown| Asked::ask(&shown.address, access));
    let (mut faults, mut members) = (Vec::new(), Vec::new());
    for one in asked {
        match one {
            Ok(one) => members.push(one),
            Err(why) => faults.push(why),
        }
    }
    faults.extend(faults_of(&picture, &members));
    if faults.is_empty() {
        let count = members.len();
        let has_copies = members.iter().all(|one| one.figures.number("cluster_replicas") > 0);
        let copies = if count > 1 && has_copies { ", and has its copies" } else { "" };
        say(&format!("ok: {count} nodes, every slot is served{copies}\n"));
        return Ok(());
    }
    Err(faults.join("\n"))
}

fn faults_of(picture: &Picture, members: &[Asked]) -> Vec<String> {
    let mut faults = Vec::new();
    let unowned = picture.unowned();
    if unowned > 0 {
        faults.push(format!("{unowned} slots have no owner"));
    }
    for one in members {
        let address = &one.node.address;
        if !one.figures.is_ok() {
            faults.push(format!("{address}: it does not serve (cluster_state is not ok)"));
        }
        if one.picture.owners() != picture.owners() {
            faults.push(format!("{address}: it shows another map than the first one"));
        }
    }
    // All know the same of these; the first one speaks for them.
    let Some(first) = members.first() else { return faults };
    let to_move = first.figures.to_move();
    if to_move > 0 {
        faults.push(format!("{to_move} slots are still to move"));
    }
    let alone = first.figures.unprotected();
    if alone > 0 {
        faults.push(format!("{alone} slots have no copy that could take over"));
    }
    faults
}

/// Shows the members and what they have.
pub(super) fn info(member: &Address, access: &Access) -> Result<(), Refused> {
    let mut first = Asked::ask(member, access)?;
    let mut text = format!(
        "{:<40} {:<21} {:>6} {:>6} {:>6} {:>12} state\n",
        "id", "address", "weight", "slots", "ranges", "keys"
    );
    for shown in &first.picture.nodes {
        let weight = first.node.ask(&["CLUSTER", "WEIGHT", &shown.id]);
        let weight = match weight {
            Ok(dunlin_protocol::client::Value::Int(weight)) => weight.to_string(),
            _ => "-".to_owned(),
        };
        text += &row(shown, &weight, Asked::ask(&shown.address, access));
    }
    let figures = &first.figures;
    text += &format!(
        "epoch {}, {} slots to move, {} without a copy\n",
        figures.get("cluster_current_epoch"),
        figures.to_move(),
        figures.number("cluster_slots_without_backup"),
    );
    for fields in moves(&mut first.node) {
        let get = |name: &str| {
            fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value.as_str())
        };
        if !["completed", "failed", "canceled"].contains(&get("state")) {
            let (slots, from, to) = (get("slots"), get("source"), get("dest"));
            text += &format!("moves: {slots} from {from} to {to}: {}\n", get("state"));
        }
    }
    say(&text);
    Ok(())
}

fn row(shown: &Shown, weight: &str, asked: Result<Asked, Refused>) -> String {
    let (keys, state) = match asked {
        Ok(mut one) => {
            let state = if one.figures.is_ok() { "ok" } else { "down" };
            (one.node.keys().map_or_else(|_| "-".to_owned(), |keys| keys.to_string()), state)
        }
        Err(_) => ("-".to_owned(), "unreachable"),
    };
    let address = shown.address.to_string();
    let (slots, ranges) = (shown.count(), shown.slots.len());
    format!(
        "{:<40} {address:<21} {weight:>6} {slots:>6} {ranges:>6} {keys:>12} {state}\n",
        shown.id
    )
}

/// Prints; a reader that has seen enough is no failure.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
