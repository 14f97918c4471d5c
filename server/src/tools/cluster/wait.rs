//! Waiting until slots have moved.

use super::Refused;
use super::node::{Node, shown};
use super::picture::{Figures, Picture};
use super::progress::Progress;
use dunlin_protocol::client::Value;
use std::time::Duration;

/// How often a member is asked, and in a second.
const INTERVAL: Duration = Duration::from_millis(200);
const LOOKS: u32 = 5;
/// How often in a row nothing may have changed: a minute.
const STALL: u32 = 60 * LOOKS;

/// What is left to do, and whether it is more than slots.
struct Left {
    slots: u64,
    other: bool,
}

/// Waits until a cluster that has the members `with` serves, and slots are where they shall be and
/// have copies.
pub(super) fn settle(member: &mut Node, with: &[String]) -> Result<(), Refused> {
    let left = |member: &mut Node| {
        let picture = Picture::of(member)?;
        let has_them = with.iter().all(|id| picture.nodes.iter().any(|node| node.id == *id));
        let figures = Figures::of(member)?;
        let is_done = has_them && figures.is_ok() && figures.unprotected() == 0;
        Ok(Left { slots: figures.to_move(), other: !is_done })
    };
    until_none(member, STALL, left)?;
    eprintln!("every slot is where it shall be");
    Ok(())
}

/// Waits until `id` is no member any more, as one that stays sees it. It stays for `linger` seconds
/// when it has given its slots away.
pub(super) fn until_gone(stays: &mut Node, id: &str, linger: u32) -> Result<(), Refused> {
    let mut is_empty = false;
    let left = |stays: &mut Node| {
        let picture = Picture::of(stays)?;
        let leaver = picture.nodes.iter().find(|node| node.id == id);
        let slots = leaver.map_or(0, |leaver| leaver.count().into());
        if slots == 0 && leaver.is_some() && !is_empty {
            is_empty = true;
            eprintln!("it has no slots any more, and tells clients where they are for {linger} s");
        }
        Ok(Left { slots, other: leaver.is_some() })
    };
    until_none(stays, STALL.saturating_add(linger.saturating_mul(LOOKS)), left)?;
    eprintln!("it has left");
    Ok(())
}

fn until_none(
    node: &mut Node,
    patience: u32,
    mut left: impl FnMut(&mut Node) -> Result<Left, Refused>,
) -> Result<(), Refused> {
    let mut progress = Progress::new("slots");
    let (mut fewest, mut idle) = (u64::MAX, 0);
    loop {
        let Left { slots, other } = left(node)?;
        progress.show(slots);
        if slots == 0 && !other {
            progress.end();
            return Ok(());
        }
        idle = if slots < fewest { 0 } else { idle + 1 };
        fewest = fewest.min(slots);
        if idle == patience {
            progress.end();
            let why = last_error(node).map(|why| format!(": {why}")).unwrap_or_default();
            return Err(format!("{slots} slots are left, and nothing goes on{why}"));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// What a member says of the moves of slots that it knows.
pub(super) fn moves(node: &mut Node) -> Vec<Vec<(String, String)>> {
    let Ok(Value::Array(moves)) = node.ask(&["CLUSTER", "MIGRATION", "STATUS", "ALL"]) else {
        return Vec::new();
    };
    let text = |value: &Value| match value {
        Value::Bulk(text) | Value::Simple(text) => shown(text),
        Value::Int(number) => number.to_string(),
        _ => String::new(),
    };
    let fields = |value: Value| match value {
        Value::Array(items) => {
            items.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
        }
        _ => Vec::new(),
    };
    moves.into_iter().map(fields).collect()
}

fn last_error(node: &mut Node) -> Option<String> {
    let errors = moves(node).into_iter().flatten().filter(|(field, _)| field == "last_error");
    errors.map(|(_, text)| text).rfind(|text| !text.is_empty())
}
