//! `hog`: light clients beside one with a pipeline of 100,000 GETs that is always full and one that
//! sets and gets a value of 100 MB again and again.

use super::calibrate::start;
use super::light::{Light, Noticed};
use super::neighbours::{Mover, Pipeline};
use super::rounds::{against, between, mid, rounds};
use super::traffic::{Fixed, command};
use super::{OFF, Plan};
use crate::Outcome;
use crate::peer::{Server, Stage};
use crate::report::{Report, Table, number};

const DEPTH: u64 = 100_000;
const HUGE: usize = 100_000_000;
const P99_GOAL_TIMES: f64 = 2.0;

/// One server in one pair of slices.
struct Visit {
    light: Noticed,
    piped: f64,
    moved: f64,
    broken: bool,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let begin = |peer: &_| {
        let server = start(stage, peer, &[])?;
        server.control()?.command(&format!("SET piped {}", "p".repeat(64)))?;
        Ok(server)
    };
    let one = |_: &_, server: &Server, seed| visit(server, plan, seed);
    let results = rounds(stage, plan, ("hog", plan.pairs), begin, one)?;
    report.table(table(stage, plan, &results));
    for (peer, visits) in stage.peers.iter().zip(&results) {
        if peer.name != "dunlin" {
            continue;
        }
        let times = mid(visits, |v| v.light.times());
        let text = format!("hog: light steady p99 {times:.2} <= 2 times its baseline");
        report.goal(times <= P99_GOAL_TIMES, &text);
        let (piped, moved) = (mid(visits, |v| v.piped), mid(visits, |v| v.moved));
        let text = format!("hog: heavy clients go on: {piped:.0} GET/s, {moved:.0} MB/s");
        let fine = visits.iter().all(|v| !v.broken && v.piped > 0.0 && v.moved > 0.0);
        report.goal(fine, &text);
    }
    Ok(())
}

fn visit(server: &Server, plan: &Plan, seed: u64) -> Outcome<Visit> {
    let light = Light::new(plan, seed);
    let fixed = Fixed {
        bytes: command(&[b"GET", b"piped"]),
        reply: format!("$64\r\n{}\r\n", "p".repeat(64)).into_bytes(),
    };
    let mut pipeline = Pipeline::new(server.addr, light.span, DEPTH, &fixed);
    let mut mover = Mover::new(server.addr, light.span, HUGE);
    let noticed = light.drive(server, &mut [&mut pipeline, &mut mover])?;
    Ok(Visit {
        light: noticed,
        piped: pipeline.answered() as f64 / light.seconds(),
        moved: mover.moved as f64 / 1e6 / light.seconds(),
        broken: pipeline.broken() || mover.broken(),
    })
}

fn table(stage: &Stage, plan: &Plan, results: &[Vec<Visit>]) -> Table {
    let title = format!(
        "hog: {} GET/s of 50 light clients beside a pipeline of {DEPTH} GETs and a client moving \
         {} MB, medians of {} pairs of {} s",
        plan.light_rate,
        HUGE / 1_000_000,
        plan.pairs,
        plan.seconds
    );
    let columns = [
        "server",
        "alone p99 ms",
        "beside p50 ms",
        "beside p99 ms",
        "steady p99 ms",
        "times",
        "quartiles",
        "x off",
        "failed %",
        "pipeline k/s",
        "moved MB/s",
        "server busy",
        "own p99 ms",
    ];
    let mut table = Table::new(&title, &columns);
    for (peer, visits) in stage.peers.iter().zip(results) {
        let of = |field: fn(&Visit) -> f64, decimals| number(mid(visits, field), decimals);
        table.row(vec![
            peer.name.as_str().into(),
            of(|v| v.light.alone, 3),
            of(|v| v.light.p50, 3),
            of(|v| v.light.p99, 3),
            of(|v| v.light.steady, 3),
            of(|v| v.light.times(), 2),
            between(visits, |v| v.light.times(), 2),
            against(stage, results, visits, OFF, |v| v.light.steady),
            of(|v| v.light.failed, 2),
            of(|v| v.piped / 1000.0, 0),
            of(|v| v.moved, 0),
            of(|v| v.light.busy, 2),
            of(|v| v.light.own, 3),
        ]);
    }
    table
}
