//! `cheap`: GETs and SETs at shares and multiples of the capacity.
//!
//! A GET costs the generator nearly what it costs the server, so one core could not offer ten times
//! what the other can serve. Every GET or SET therefore travels with a BITCOUNT of a string so long
//! that the server is busy for `--cheap-us` with it, whichever server it is. What the pool's
//! connections cannot take waits in the clients and fails there.

use super::calibrate::{Peak, gets, padding, peak, start};
use super::plot::{Axis, Figure, Line, Panel};
use super::rounds::{mid, point, rounds, spread};
use super::tally::{percentile, slices};
use super::traffic::{Class, Phase, Request, Traffic};
use super::{Plan, busy, drive, mib};
use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, median, number};

/// Loads as multiples of the capacity.
const FACTORS: [f64; 6] = [0.5, 0.9, 1.5, 2.0, 5.0, 10.0];
/// The load before and after: a healthy one.
const BASE: f64 = 0.5;
/// Seconds of it before and after.
const BEFORE: f64 = 0.8;
const AFTER: f64 = 0.8;
const CONNECTIONS: usize = 100;
/// 800 requests on the way: a queue of about 20 ms in the server.
const WINDOW: usize = 8;
/// Slices in which latencies are looked at after the load, in microseconds.
const SLICE: u32 = 25_000;
/// A p99 so near that of the time before is the same: it is of some hundred requests.
const SAME: f64 = 2.0;

const THROUGHPUT_GOAL: f64 = 0.95;
const RECOVERY_GOAL_MS: f64 = 200.0;

/// One load on one server.
#[derive(Clone, Copy, Debug)]
struct Step {
    offered: f64,
    throughput: f64,
    goodput: f64,
    p50: f64,
    p99: f64,
    base_p99: f64,
    recovery: f64,
    growth: f64,
    busy: f64,
    own: f64,
}

/// One server in one round.
struct Visit {
    capacity: f64,
    steps: Vec<Step>,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let begin = |peer: &_| start(stage, peer, &[]);
    let one = |_: &_, server: &Server, seed| visit(server, plan, seed);
    let results = rounds(stage, plan, ("cheap", plan.rounds), begin, one)?;
    report.table(table(stage, plan, &results));
    for (peer, visits) in stage.peers.iter().zip(&results) {
        if peer.name == "dunlin" {
            judge(visits, report);
        }
    }
    if let Some(dir) = &plan.plots {
        figure(stage, &results).write(&dir.join("overload-cheap.svg"))?;
    }
    Ok(())
}

fn visit(server: &Server, plan: &Plan, seed: u64) -> Outcome<Visit> {
    let padded = plan.cheap_us > 0.0;
    let traffic = Traffic {
        window: WINDOW,
        classes: vec![
            Class { share: 0.9, request: Request::Get },
            Class { share: 0.1, request: Request::Set },
        ],
        padding: padded.then(|| padding(server, plan.cheap_us / 1e6)).transpose()?,
        trace: true,
        seed,
        ..gets(plan, CONNECTIONS, Vec::new())
    };
    let fast = if padded { 4e6 / plan.cheap_us } else { 2e6 };
    let Peak { rate: capacity, .. } = peak(server, &traffic, fast)?;
    let steps = FACTORS.iter().map(|factor| step(server, plan, &traffic, capacity, *factor));
    Ok(Visit { capacity, steps: steps.collect::<Outcome<_>>()? })
}

fn step(
    server: &Server,
    plan: &Plan,
    traffic: &Traffic,
    capacity: f64,
    factor: f64,
) -> Outcome<Step> {
    let phases = vec![
        Phase::new(BEFORE, BASE * capacity),
        Phase::new(plan.seconds, factor * capacity),
        Phase::new(AFTER, BASE * capacity),
    ];
    let traffic = Traffic { phases, ..traffic.clone() };
    let (outcomes, usage) = drive(server, &traffic, &mut [])?;
    let received = outcomes.received(1);
    let begin = (BEFORE * 1e6) as u32;
    let end = begin + (plan.seconds * 1e6) as u32;
    // Of the slices' p99s the middle one: a pause of the machine is in few of them.
    let before = slices(&outcomes.trace, None, 0, SLICE);
    let before = before.iter().take((begin / SLICE) as usize);
    let base_p99 = median(&before.map(|slice| percentile(slice, 0.99)).collect::<Vec<_>>());
    let after = slices(&outcomes.trace, None, end, SLICE);
    let calm = |slice: &Vec<_>| percentile(slice, 0.99) <= SAME * base_p99;
    let recovered = after.windows(2).position(|pair| pair.iter().all(calm));
    let slice_ms = f64::from(SLICE) / 1000.0;
    Ok(Step {
        offered: outcomes.offered(1) as f64 / plan.seconds,
        throughput: received.right as f64 / plan.seconds,
        goodput: received.in_time as f64 / plan.seconds,
        p50: outcomes.ms(1, 0.5),
        p99: outcomes.ms(1, 0.99),
        base_p99,
        // The first slice of a load that left nothing behind is calm already.
        recovery: recovered.map_or(AFTER * 1000.0, |at| at as f64 * slice_ms),
        growth: mib(usage[2].peak.saturating_sub(usage[0].rss)),
        busy: busy(&traffic, &usage, 1),
        own: outcomes.own_ms(),
    })
}

/// One step of every round.
fn of(visits: &[Visit], i: usize) -> Vec<Step> {
    visits.iter().map(|visit| visit.steps[i]).collect()
}

/// What was served at a load as a share of the capacity, which was measured in the same minute:
/// machines change from round to round.
fn share(visits: &[Visit], i: usize) -> f64 {
    mid(visits, |v| v.steps[i].throughput / v.capacity)
}

/// The most that was served at any load, as such a share.
fn best(visits: &[Visit]) -> f64 {
    (0..FACTORS.len()).map(|i| share(visits, i)).fold(1.0, f64::max)
}

fn table(stage: &Stage, plan: &Plan, results: &[Vec<Visit>]) -> Table {
    let title = format!(
        "cheap: 90 % GET, 10 % SET, each with a BITCOUNT of {} us; {CONNECTIONS} connections with \
         at most {WINDOW} requests on the way, deadline {:?}, medians of {} rounds",
        plan.cheap_us, plan.deadline, plan.rounds
    );
    let columns = [
        "server",
        "x capacity",
        "offered k/s",
        "served k/s",
        "spread %",
        "% of peak",
        "goodput k/s",
        "p50 ms",
        "p99 ms",
        "base p99 ms",
        "back after ms",
        "RSS + MiB",
        "server busy",
        "own p99 ms",
    ];
    let mut table = Table::new(&title, &columns);
    for (peer, visits) in stage.peers.iter().zip(results) {
        let best = best(visits);
        for (i, factor) in FACTORS.iter().enumerate() {
            let steps = of(visits, i);
            let of = |field: fn(&Step) -> f64, decimals| number(mid(&steps, field), decimals);
            table.row(vec![
                peer.name.as_str().into(),
                number(*factor, 1),
                of(|s| s.offered / 1000.0, 1),
                of(|s| s.throughput / 1000.0, 1),
                number(spread(&steps, |s| s.throughput), 1),
                number(100.0 * share(visits, i) / best, 1),
                of(|s| s.goodput / 1000.0, 1),
                of(|s| s.p50, 2),
                of(|s| s.p99, 2),
                of(|s| s.base_p99, 2),
                of(|s| s.recovery, 0),
                of(|s| s.growth, 1),
                of(|s| s.busy, 2),
                of(|s| s.own, 3),
            ]);
        }
    }
    table
}

fn judge(visits: &[Visit], report: &mut Report) {
    let best = best(visits);
    for (i, factor) in FACTORS.iter().enumerate() {
        let steps = of(visits, i);
        // Below the capacity no more can be served than is offered.
        let share = share(visits, i) / factor.min(best);
        let text =
            format!("cheap {factor}x: {:.1} % of the peak (or the offer) >= 95 %", 100.0 * share);
        report.goal(share >= THROUGHPUT_GOAL, &text);
        let back = mid(&steps, |s| s.recovery);
        let text = format!("cheap {factor}x: base p99 again {back:.0} ms after the load <= 200 ms");
        report.goal(back <= RECOVERY_GOAL_MS, &text);
    }
}

fn figure(stage: &Stage, results: &[Vec<Visit>]) -> Figure {
    let lines = |field: fn(&Step) -> f64| -> Vec<Line> {
        let line = |(peer, visits): (&Peer, &Vec<Visit>)| {
            let each = FACTORS.iter().enumerate();
            let points = each.map(|(i, x)| point(*x, &of(visits, i), field)).collect();
            Line::new(&peer.name, points)
        };
        stage.peers.iter().zip(results).map(line).collect()
    };
    let across = || "offered load, times the capacity".to_owned();
    let x = || Axis::log(&FACTORS);
    Figure {
        title: "GET and SET beyond the capacity".to_owned(),
        panels: vec![
            Panel {
                title: "served, thousands per second".to_owned(),
                across: across(),
                x: x(),
                y: Axis::linear(),
                lines: lines(|s| s.throughput / 1000.0),
            },
            Panel {
                title: "p99 from the intended time, ms".to_owned(),
                across: across(),
                x: x(),
                y: Axis::log(&[]),
                lines: lines(|s| s.p99),
            },
        ],
    }
}
