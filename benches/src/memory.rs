//! `memory`: resident bytes per item, after a change of sizes, and garbage under overwrites.
//!
//! Per item: a fresh server for every value length, with and without a time to live, and for each
//! of several numbers of items (a table that doubles looks good at one number and bad at the next):
//! resident size after minus before, by items. Keys have 16 bytes.
//!
//! Change of sizes: of the items, 60 % are removed at random, and as many with values of another length
//! come in their place; the resident size then, and that of a fresh server with the same items. What a
//! server does in idle times to get it down it may do.
//!
//! Garbage: keys in place are overwritten at pipeline 64 while `limbo_bytes` of INFO memory is
//! read; `limbo_peak_bytes` catches what sampling misses, and the growth of the resident peak
//! what the server does not know.

mod shift;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::compare::{fill, measure};
use crate::load::{Spec, Until};
use crate::peer::{Peer, Server, Stage};
use crate::report::{Cell, Report, Table, mean, number};
use crate::request::{Op, Ttl, ValueSize};
use crate::scan::Wire;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of items.
    pub items: Vec<u64>,
    /// Lengths of values.
    pub sizes: Vec<usize>,
    /// Without, with a time to live.
    pub ttls: Vec<bool>,
    /// Connections that write; each costs the server buffers that are not items.
    pub connections: usize,
    /// Lengths of the values that come in the place of others; none leaves it out.
    pub shift: Vec<usize>,
    /// Items of that test.
    pub shift_items: u64,
    /// The length of their values before.
    pub shift_from: usize,
    /// Overwrites of the garbage test; none leaves it out.
    pub overwrites: u64,
    /// Keys they go to.
    pub overwrite_keys: u64,
}

/// Resident bytes per item Dunlin may take: value length, with a TTL, limit.
const GOALS: &[(usize, bool, f64)] = &[
    (64, false, 106.0),
    (64, true, 108.0),
    (16, false, 58.0),
    (16, true, 64.0),
    (512, false, 575.0),
];
/// Resident size after a change of sizes, by that of a fresh server, at most.
const SHIFT_GOAL: f64 = 1.35;
/// Garbage not yet freed, at most.
const LIMBO_GOAL: u64 = 32 << 20;

/// Runs both measurements.
///
/// # Errors
///
/// When a server fails.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    if !plan.items.is_empty() {
        per_item(stage, plan, report)?;
    }
    if !plan.shift.is_empty() {
        shift::run(stage, plan, report)?;
    }
    if plan.overwrites > 0 {
        garbage(stage, plan, report)?;
    }
    Ok(())
}

fn per_item(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let counts: Vec<String> = plan.items.iter().map(|n| format!("N={n}")).collect();
    let mut columns = vec!["server", "value", "ttl"];
    columns.extend(counts.iter().map(String::as_str));
    columns.extend(["mean", "payload"]);
    let mut table = Table::new("resident bytes per item (16-byte keys)", &columns);
    let mut means = Vec::new();
    for &size in &plan.sizes {
        for &with_ttl in &plan.ttls {
            for peer in &stage.peers {
                let bytes = plan
                    .items
                    .iter()
                    .map(|&n| bytes_per_item(stage, plan, peer, n, size, with_ttl))
                    .collect::<Outcome<Vec<f64>>>()?;
                let mut row: Vec<Cell> = vec![
                    peer.name.as_str().into(),
                    (size as u64).into(),
                    if with_ttl { "yes" } else { "no" }.into(),
                ];
                row.extend(bytes.iter().map(|&b| number(b, 1)));
                row.push(number(mean(&bytes), 1));
                row.push(((size + crate::rng::KEY_LEN) as u64).into());
                table.row(row);
                eprintln!("{} {size} {with_ttl}: {:.1}", peer.name, mean(&bytes));
                if peer.name == "dunlin" {
                    means.push((size, with_ttl, mean(&bytes)));
                }
            }
        }
    }
    report.table(table);
    for (size, with_ttl, bytes) in means {
        if let Some(goal) = GOALS.iter().find(|g| (g.0, g.1) == (size, with_ttl)) {
            let with = if with_ttl { " with a TTL" } else { "" };
            let text = format!("{size}-byte values{with}: {bytes:.1} <= {} bytes", goal.2);
            report.goal(bytes <= goal.2, &text);
        }
    }
    Ok(())
}

fn bytes_per_item(
    stage: &Stage,
    plan: &Plan,
    peer: &Peer,
    items: u64,
    size: usize,
    with_ttl: bool,
) -> Outcome<f64> {
    let server = stage.start(peer)?;
    let before = server.process.rss().0;
    let ttl = if with_ttl { Ttl::Seconds(86_400) } else { Ttl::None };
    let spec = Spec::fill(items, ValueSize::Fixed(size), ttl);
    fill(&server, stage.load_core, Spec { connections: plan.connections, ..spec })?;
    let after = settled(&server);
    Ok(after.saturating_sub(before) as f64 / items as f64)
}

/// Resident size once it has stopped changing (tables still moving, pages given back).
fn settled(server: &Server) -> u64 {
    let mut last = server.process.rss().0;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(250));
        let now = server.process.rss().0;
        if now.abs_diff(last) < 256 * 1024 {
            return now;
        }
        last = now;
    }
    last
}

fn garbage(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let title = format!(
        "{} overwrites of {} keys at pipeline 64, 64-byte values",
        plan.overwrites, plan.overwrite_keys
    );
    let columns = ["server", "limbo max MB", "limbo peak MB", "peak RSS growth MB", "kops/s"];
    let mut table = Table::new(&title, &columns);
    let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for peer in &stage.peers {
        let server = stage.start(peer)?;
        let size = ValueSize::Fixed(64);
        fill(&server, stage.load_core, Spec::fill(plan.overwrite_keys, size, Ttl::None))?;
        let before = settled(&server);
        server.process.reset_peak();
        let spec = Spec {
            pipeline: 64,
            mix: vec![(Op::Set, 1)],
            key_space: plan.overwrite_keys,
            until: Until::Ops(plan.overwrites),
            ..Spec::default()
        };
        let over = AtomicBool::new(false);
        let (measured, sampled) = thread::scope(|scope| {
            let sampler = scope.spawn(|| limbo_samples(&server, &over));
            let measured = measure(&server, stage.load_core, spec);
            over.store(true, Ordering::Relaxed);
            (measured, sampler.join().unwrap_or_else(|_| Err("the sampler panicked".into())))
        });
        let measured = measured?;
        measured.tally.expect_clean(&peer.name)?;
        let (limbo, peak) = sampled?;
        let growth = server.process.rss().1.saturating_sub(before);
        table.row(vec![
            peer.name.as_str().into(),
            limbo.map(|b| number(mb(b), 2)).into(),
            peak.map(|b| number(mb(b), 2)).into(),
            number(mb(growth), 1),
            number(measured.tally.rate() / 1000.0, 1),
        ]);
        if peer.name == "dunlin" {
            match peak.max(limbo) {
                Some(most) => {
                    let text = format!("garbage never above {:.1} MB <= 32 MB", mb(most));
                    report.goal(most <= LIMBO_GOAL, &text);
                }
                None => report.fail("INFO memory has no limbo_bytes".to_owned()),
            }
        }
    }
    report.table(table);
    Ok(())
}

/// The largest `limbo_bytes` seen and the server's own `limbo_peak_bytes`.
fn limbo_samples(server: &Server, over: &AtomicBool) -> Outcome<(Option<u64>, Option<u64>)> {
    if server.wire != Wire::Resp {
        return Ok((None, None));
    }
    let mut control = server.control()?;
    let mut most = None;
    while !over.load(Ordering::Relaxed) {
        most = most.max(control.info("memory", "limbo_bytes")?);
        if most.is_none() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let peak = control.info("memory", "limbo_peak_bytes")?;
    Ok((most, peak))
}
