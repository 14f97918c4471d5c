//! Resident size after most items were replaced by such of another size.

use std::thread;
use std::time::Duration;

use super::{Plan, SHIFT_GOAL, settled};
use crate::Outcome;
use crate::control::Control;
use crate::peer::{Server, Stage};
use crate::report::{Report, Table, number};
use crate::rng::key;
use crate::scan::Wire;

/// Keys per command.
const BATCH: usize = 100;
/// How long a server has at least to tidy up, and at most.
const PAUSE: Duration = Duration::from_secs(3);
const ROUNDS: usize = 20;

pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let title = format!(
        "resident MB after 60 % of {} items with {}-byte values were removed and others came",
        plan.shift_items, plan.shift_from
    );
    let columns =
        ["server", "new values", "full", "removed", "shifted", "fresh", "shifted / fresh"];
    let mut table = Table::new(&title, &columns);
    let mb = |bytes: u64| number(bytes as f64 / f64::from(1 << 20), 1);
    let mut ratios = Vec::new();
    for &len in &plan.shift {
        for peer in &stage.peers {
            let server = stage.start(peer)?;
            if server.wire != Wire::Resp {
                continue;
            }
            let (items, from) = (plan.shift_items, plan.shift_from);
            let before = server.process.rss().0;
            let mut control = server.control()?;
            store(&mut control, 0..items, from)?;
            let full = settled(&server) - before;
            let gone: Vec<Vec<u8>> = (0..items).filter(|n| !stays(*n)).map(name).collect();
            for batch in gone.chunks(BATCH) {
                call(&mut control, b"DEL", batch)?;
            }
            let removed = tidied(&server).saturating_sub(before);
            store(&mut control, items..items + gone.len() as u64, len)?;
            let shifted = tidied(&server).saturating_sub(before);
            drop(server);

            let server = stage.start(peer)?;
            let before = server.process.rss().0;
            let mut control = server.control()?;
            store(&mut control, (0..items).filter(|n| stays(*n)), from)?;
            store(&mut control, items..items + gone.len() as u64, len)?;
            let fresh = tidied(&server).saturating_sub(before);
            let ratio = shifted as f64 / fresh as f64;
            table.row(vec![
                peer.name.as_str().into(),
                (len as u64).into(),
                mb(full),
                mb(removed),
                mb(shifted),
                mb(fresh),
                number(ratio, 2),
            ]);
            if peer.name == "dunlin" {
                ratios.push((len, ratio));
            }
        }
    }
    report.table(table);
    for (len, ratio) in ratios {
        let text = format!("after a change to {len}-byte values: {ratio:.2} <= {SHIFT_GOAL}");
        report.goal(ratio <= SHIFT_GOAL, &text);
    }
    Ok(())
}

/// Two of five, in no order.
fn stays(n: u64) -> bool {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 5 < 2
}

fn name(n: u64) -> Vec<u8> {
    key(n).to_vec()
}

fn store(control: &mut Control, keys: impl Iterator<Item = u64>, len: usize) -> Outcome<()> {
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let value = vec![b'v'; len];
        let pairs = keys.by_ref().take(BATCH).flat_map(|n| [name(n), value.clone()]);
        call(control, b"MSET", &pairs.collect::<Vec<_>>())?;
    }
    Ok(())
}

fn call(control: &mut Control, command: &[u8], args: &[Vec<u8>]) -> Outcome<()> {
    let words: Vec<&[u8]> =
        std::iter::once(command).chain(args.iter().map(Vec::as_slice)).collect();
    control.call(&words).map(|_| ())
}

/// Resident size when the server has had time to tidy up and does no more.
fn tidied(server: &Server) -> u64 {
    let mut last = u64::MAX;
    for _ in 0..ROUNDS {
        thread::sleep(PAUSE);
        let now = server.process.rss().0;
        if now.saturating_add(1 << 20) > last {
            return now;
        }
        last = now;
    }
    last
}
