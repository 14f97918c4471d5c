//! `cluster`: what it costs to be a node of a cluster, in CPU time per operation.
//!
//! Three servers of the same program stand side by side: one that is no node (`off`), one that is a
//! cluster by itself (`on`), and one whose slots are all another node's (`moved`: every GET is answered
//! with MOVED). Every round each gets the same closed loop of GETs, another one first each time; what
//! counts is the median of the ratios within the rounds ([`crate::compare`] says why).
//!
//! Then the node `on` gets a map of 5,000 ranges, and CLUSTER SLOTS is asked for: the first answer renders
//! it, the others do not.

use std::time::Duration;

use redis_protocol::resp2::types::OwnedFrame;

use crate::Outcome;
use crate::compare::{fill, measure};
use crate::control::Control;
use crate::load::{Spec, Until};
use crate::peer::{Server, Stage};
use crate::report::{Report, Table, median, number, ratio};
use crate::request::{Ttl, ValueSize};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Length of one load on one server.
    pub time: Duration,
    /// Keys.
    pub keys: u64,
    /// Length of the values.
    pub size: usize,
    /// Connections.
    pub connections: usize,
    /// Pipeline depths.
    pub pipelines: Vec<u32>,
    /// Seed of the loads.
    pub seed: u64,
}

const SIDES: [&str; 3] = ["off", "on", "moved"];
/// What a GET may cost on a node, to one on a server that is none.
const ON: f64 = 1.05;
/// What a MOVED may cost, to a GET on a node.
const MOVED: f64 = 1.2;
/// The depth at which these are judged.
const JUDGED: u32 = 16;
/// Ranges of the large map.
const RANGES: usize = 5000;
/// What CLUSTER SLOTS may take with them, in microseconds of server time.
const SLOTS_US: f64 = 1000.0;
/// Another node, whom nobody asks.
const ELSEWHERE: &str = "127.0.0.1 1";

/// Runs the comparison.
///
/// # Errors
///
/// When a server cannot be started, breaks off or answers otherwise.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut cpu = vec![[Vec::new(), Vec::new(), Vec::new()]; plan.pipelines.len()];
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        let sides = sides(stage, plan)?;
        for (p, pipeline) in plan.pipelines.iter().enumerate() {
            for k in 0..SIDES.len() {
                let side = (k + round + p) % SIDES.len();
                let spec = Spec {
                    connections: plan.connections,
                    pipeline: *pipeline,
                    key_space: plan.keys,
                    size: ValueSize::Fixed(plan.size),
                    until: Until::Time(plan.time),
                    seed: plan.seed + round as u64,
                    ..Spec::default()
                };
                let measured = measure(&sides[side].0, stage.load_core, spec)?;
                let wanted = if SIDES[side] == "moved" { measured.tally.ops } else { 0 };
                if measured.tally.errors != wanted {
                    let text = measured.tally.first_error.unwrap_or_default();
                    return Err(format!("{}: error replies: {text}", SIDES[side]).into());
                }
                cpu[p][side].push(measured.cpu_per_op);
            }
        }
    }
    let title = format!(
        "GET and MOVED: {} connections, {} keys, medians of {} rounds",
        plan.connections, plan.keys, plan.rounds
    );
    let columns = ["pipeline", "off ns/op", "on ns/op", "moved ns/op", "on / off", "moved / on"];
    let mut table = Table::new(&title, &columns);
    for (pipeline, [off, on, moved]) in plan.pipelines.iter().zip(&cpu) {
        table.row(vec![
            u64::from(*pipeline).into(),
            number(median(off), 1),
            number(median(on), 1),
            number(median(moved), 1),
            number(ratio(on, off), 3),
            number(ratio(moved, on), 3),
        ]);
    }
    report.table(table);
    for (pipeline, [off, on, moved]) in plan.pipelines.iter().zip(&cpu) {
        if *pipeline == JUDGED {
            let (on, moved) = (ratio(on, off), ratio(moved, on));
            report.goal(on <= ON, &format!("GET on a node {on:.3} <= {ON}"));
            report.goal(moved <= MOVED, &format!("MOVED {moved:.3} <= {MOVED} of a GET"));
        }
    }
    topology(stage, report)
}

/// A server, and the directory of a node, which goes with it.
struct Side(Server, std::path::PathBuf);

impl Drop for Side {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

fn sides(stage: &Stage, plan: &Plan) -> Outcome<Vec<Side>> {
    let start = |name: &&str| {
        let side = start(stage, name)?;
        fill(
            &side.0,
            stage.load_core,
            Spec::fill(plan.keys, ValueSize::Fixed(plan.size), Ttl::None),
        )?;
        if *name == "moved" {
            side.0.control()?.command(&format!("DEBUG SLOTS GIVE 0 16383 {ELSEWHERE}"))?;
        }
        Ok(side)
    };
    SIDES.iter().map(start).collect()
}

/// A server; a node that owns all slots unless it is `off`.
fn start(stage: &Stage, name: &str) -> Outcome<Side> {
    let peer = stage.peers.iter().find(|p| p.name == "dunlin").ok_or("no dunlin to measure")?;
    let directory = std::env::temp_dir();
    let directory = directory.join(format!("dunlin-bench-cluster-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let path = directory.to_string_lossy().into_owned();
    let node =
        ["--cluster-enabled", "yes", "--enable-debug-command", "local", "--dir", path.as_str()];
    let args = if name == "off" { &[][..] } else { &node[..] };
    let side = Side(stage.start_with(&peer.clone().named(name), args)?, directory);
    if name != "off" {
        let mut control = side.0.control()?;
        wait(&mut control, "SET key 1")?;
        // On a busy machine it might lose its own for a moment.
        control.command("DEBUG SLOTS LEASE 3600000")?;
        control.command("DEL key")?;
    }
    Ok(side)
}

/// A node that has just begun does not serve at once.
fn wait(control: &mut Control, words: &str) -> Outcome<()> {
    for _ in 0..200 {
        if control.command(words).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    control.command(words).map(drop)
}

fn topology(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let side = start(stage, "on")?;
    let mut control = side.0.control()?;
    // Every other range is given away, to one of two nodes in turn: no two of them become one.
    for range in 0..RANGES / 2 {
        let (first, node) = (range * 6, 2 + range % 2);
        let last = first + 2;
        control.command(&format!("DEBUG SLOTS GIVE {first} {last} 127.0.0.1 {node}"))?;
    }
    let mut times = Vec::new();
    for _ in 0..20 {
        control.command("CONFIG RESETSTAT")?;
        let OwnedFrame::Array(rows) = control.command("CLUSTER SLOTS")? else {
            return Err("CLUSTER SLOTS: no array".into());
        };
        if rows.len() != RANGES {
            return Err(format!("CLUSTER SLOTS: {} ranges, not {RANGES}", rows.len()).into());
        }
        times.push(usec(&mut control)?);
    }
    let title = format!("CLUSTER SLOTS with {RANGES} ranges, microseconds of server time");
    let mut table = Table::new(&title, &["first", "later"]);
    table.row(vec![number(times[0], 0), number(median(&times[1..]), 0)]);
    report.table(table);
    let text = format!("CLUSTER SLOTS {:.0} us <= {SLOTS_US} us", times[0]);
    report.goal(times[0] <= SLOTS_US, &text);
    Ok(())
}

/// What CLUSTER SLOTS has taken since the figures were reset.
fn usec(control: &mut Control) -> Outcome<f64> {
    let OwnedFrame::BulkString(text) = control.command("INFO commandstats")? else {
        return Err("INFO commandstats: no text".into());
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_cluster|slots:"));
    let field = line.and_then(|line| line.split(',').find_map(|f| f.strip_prefix("usec=")));
    let usec = field.and_then(|usec| usec.parse().ok());
    usec.ok_or_else(|| "INFO commandstats: no CLUSTER SLOTS".into())
}
