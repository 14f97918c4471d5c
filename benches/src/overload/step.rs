//! `step`: the load of `dear` goes from 0.5 to 2 times the capacity and back, then to and fro once
//! per second.
//!
//! A step is **settled** from the slice of 50 ms on after which nearly all slices have GETs as fast
//! and as sure as `dear` wants them (p95: a slice is too short for a p99). What counts is the worst
//! half wave; beside it the middle one is shown, because a half wave has ten slices, and two pauses of
//! the machine look like a wave that did not settle.
//! **Oscillation** is looked for in the work done per tenth of a second while the load stays at twice
//! the capacity: half the distance between its tenth and its ninetieth percentile. `INFO overload` is
//! read every 25 ms.

use std::time::Duration;

use super::Plan;
use super::calibrate::start;
use super::dear::Costs;
use super::neighbours::{Info, Reading};
use super::plot::{Axis, Figure, Line, Panel, Point};
use super::rounds::{mid, rounds};
use super::tally::{Fate, Sample, percentile, slices};
use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, median, number};

const LOW: f64 = 0.5;
const HIGH: f64 = 2.0;
/// Seconds before, during and after the step, and of half a wave.
const STEP: [f64; 3] = [1.0, 2.0, 1.0];
const HALF_WAVE: f64 = 0.5;
const WAVES: usize = 3;
const EVERY: Duration = Duration::from_millis(25);
/// Slices in microseconds: of latencies, and of work done.
const SLICE: u32 = 50_000;
const WORK_SLICE: u32 = 100_000;

const SETTLED_P95_MS: f64 = 5.0;
const SETTLED_SHARE: f64 = 0.95;
const SETTLE_GOAL_MS: f64 = 200.0;
const OSCILLATION_GOAL: f64 = 10.0;
/// The controller's limit in `INFO overload`: line and field.
const LIMIT: (&str, &str) = ("overload_dear_commands", "limit");

/// One server in one round.
struct Visit {
    up_ms: f64,
    down_ms: f64,
    /// Of the middle one of the half waves, and of the one that took longest.
    wave_ms: f64,
    worst_wave_ms: f64,
    oscillation: f64,
    limits: [f64; 3],
    /// GET's p95 and the work done over time.
    latency: Vec<(f64, f64)>,
    work: Vec<(f64, f64)>,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let begin = |peer: &_| {
        let server = start(stage, peer, &[])?;
        let costs = Costs::measure(&server, plan)?;
        Ok((server, costs))
    };
    let one = |_: &_, (server, costs): &(Server, Costs), seed| visit(server, costs, plan, seed);
    let results = rounds(stage, plan, ("step", plan.rounds), begin, one)?;
    report.table(table(stage, plan, &results));
    for (peer, visits) in stage.peers.iter().zip(&results) {
        if peer.name == "dunlin" {
            judge(visits, report);
        }
    }
    if let Some(dir) = &plan.plots {
        figure(stage, &results).write(&dir.join("overload-step.svg"))?;
    }
    Ok(())
}

/// Seconds and factor of each phase.
fn phases() -> Vec<(f64, f64)> {
    let mut phases = vec![(STEP[0], LOW), (STEP[1], HIGH), (STEP[2], LOW)];
    for _ in 0..WAVES {
        phases.extend([(HALF_WAVE, HIGH), (HALF_WAVE, LOW)]);
    }
    phases
}

fn visit(server: &Server, costs: &Costs, plan: &Plan, seed: u64) -> Outcome<Visit> {
    let mut traffic = costs.traffic(plan, &phases(), seed);
    traffic.trace = true;
    let mut info = Info::new(server.addr, EVERY);
    let (outcomes, _) = super::drive(server, &traffic, &mut [&mut info])?;
    let trace = &outcomes.trace;
    let gets = slices(trace, Some(0), 0, SLICE);
    let ends: Vec<f64> = phases()
        .iter()
        .scan(0.0, |end, (seconds, _)| {
            *end += seconds;
            Some(*end)
        })
        .collect();
    // Slices of phase `i`.
    let of_phase = |i: usize| {
        let slice = |seconds: f64| (seconds * 1e6 / f64::from(SLICE)).round() as usize;
        let from = if i == 0 { 0 } else { slice(ends[i - 1]) };
        &gets[from.min(gets.len())..slice(ends[i]).min(gets.len())]
    };
    let waves: Vec<f64> = (3..phases().len()).map(|i| settled(of_phase(i))).collect();
    let work = work(trace, costs);
    let plateau = ((STEP[0] + 0.2) * 10.0).round() as usize..((STEP[0] + STEP[1]) * 10.0) as usize;
    let steady: Vec<f64> =
        work.iter().map(|w| w.1).skip(plateau.start).take(plateau.len()).collect();
    let seconds = |i: usize, length: u32| (i as f64 + 0.5) * f64::from(length) / 1e6;
    let latency = |(i, slice): (usize, &Vec<Sample>)| (seconds(i, SLICE), percentile(slice, 0.95));
    Ok(Visit {
        up_ms: settled(of_phase(1)),
        down_ms: settled(of_phase(2)),
        wave_ms: median(&waves),
        worst_wave_ms: waves.iter().copied().fold(0.0, f64::max),
        oscillation: oscillation(steady),
        limits: limits(&info.readings, STEP[0] + 0.2, STEP[0] + STEP[1]),
        latency: gets.iter().enumerate().map(latency).collect(),
        work,
    })
}

/// How long after its begin a phase has settled, in milliseconds; its length if never.
fn settled(slices: &[Vec<Sample>]) -> f64 {
    let calm = |slice: &Vec<Sample>| {
        let good = slice.iter().filter(|s| s.fate == Fate::Good).count() as f64;
        good >= SETTLED_SHARE * slice.len() as f64 && percentile(slice, 0.95) <= SETTLED_P95_MS
    };
    let calm: Vec<bool> = slices.iter().map(calm).collect();
    let nearly_all = |from: &usize| {
        let rest = &calm[*from..];
        rest[0] && rest.iter().filter(|c| **c).count() * 10 >= rest.len() * 9
    };
    let found = (0..calm.len()).find(nearly_all);
    found.unwrap_or(calm.len()) as f64 * f64::from(SLICE) / 1000.0
}

/// Work done in each slice as a share of a core, by the time of its replies.
fn work(trace: &[Sample], costs: &Costs) -> Vec<(f64, f64)> {
    let mut done: Vec<f64> = Vec::new();
    for sample in trace.iter().filter(|s| s.fate == Fate::Good) {
        let at = (sample.due.saturating_add(sample.took) / WORK_SLICE) as usize;
        if at >= done.len() {
            done.resize(at + 1, 0.0);
        }
        done[at] += if sample.class == 0 { costs.get } else { costs.dear };
    }
    let length = f64::from(WORK_SLICE) / 1e6;
    done.iter().enumerate().map(|(i, w)| ((i as f64 + 0.5) * length, w / length)).collect()
}

/// Half the distance of the tenth and the ninetieth percentile, in percent of the mean.
fn oscillation(mut values: Vec<f64>) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * last as f64).round() as usize];
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    100.0 * (at(0.9) - at(0.1)) / 2.0 / mean
}

/// Least, middle and greatest limit between two moments.
fn limits(readings: &[Reading], from: f64, until: f64) -> [f64; 3] {
    let within = |r: &&Reading| (from..until).contains(&r.at.as_secs_f64());
    let mut limits: Vec<f64> =
        readings.iter().filter(within).filter_map(|r| r.number(LIMIT.0, LIMIT.1)).collect();
    limits.sort_by(f64::total_cmp);
    let at = |i: usize| limits.get(i).copied().unwrap_or(f64::NAN);
    [at(0), at(limits.len() / 2), at(limits.len().saturating_sub(1))]
}

fn table(stage: &Stage, plan: &Plan, results: &[Vec<Visit>]) -> Table {
    let title = format!(
        "step: the load of dear from {LOW} to {HIGH} times the capacity and back, then {WAVES} waves \
         of 1 s, medians of {} rounds",
        plan.rounds
    );
    let columns = [
        "server",
        "settled up ms",
        "settled down ms",
        "wave ms",
        "worst wave ms",
        "oscillation %",
        "limit least",
        "limit mid",
        "limit most",
    ];
    let mut table = Table::new(&title, &columns);
    for (peer, visits) in stage.peers.iter().zip(results) {
        let of = |field: fn(&Visit) -> f64| number(mid(visits, field), 0);
        table.row(vec![
            peer.name.as_str().into(),
            of(|v| v.up_ms),
            of(|v| v.down_ms),
            of(|v| v.wave_ms),
            of(|v| v.worst_wave_ms),
            number(mid(visits, |v| v.oscillation), 1),
            of(|v| v.limits[0]),
            of(|v| v.limits[1]),
            of(|v| v.limits[2]),
        ]);
    }
    table
}

fn judge(visits: &[Visit], report: &mut Report) {
    for (what, ms) in [
        ("up", mid(visits, |v| v.up_ms)),
        ("down", mid(visits, |v| v.down_ms)),
        ("in the worst wave", mid(visits, |v| v.worst_wave_ms)),
    ] {
        report.goal(
            ms <= SETTLE_GOAL_MS,
            &format!("step: settled {what} after {ms:.0} ms <= {SETTLE_GOAL_MS} ms"),
        );
    }
    let share = mid(visits, |v| v.oscillation);
    let text = format!("step: work done oscillates by {share:.1} % <= {OSCILLATION_GOAL} %");
    report.goal(share <= OSCILLATION_GOAL, &text);
}

/// The first round, over time.
fn figure(stage: &Stage, results: &[Vec<Visit>]) -> Figure {
    let lines = |series: fn(&Visit) -> &[(f64, f64)]| -> Vec<Line> {
        let line = |(peer, visits): (&Peer, &Vec<Visit>)| {
            let points = visits.first().map(series).unwrap_or_default();
            let point = |&(x, y): &(f64, f64)| Point { x, y, low: y, high: y };
            Line::new(&peer.name, points.iter().map(point).collect())
        };
        stage.peers.iter().zip(results).map(line).collect()
    };
    Figure {
        title: "Steps of load: 0.5 and 2 times the capacity".to_owned(),
        panels: vec![
            Panel {
                title: "GET p95 of each 50 ms, ms".to_owned(),
                across: "seconds".to_owned(),
                x: Axis::linear(),
                y: Axis::log(&[]),
                lines: lines(|v| &v.latency),
            },
            Panel {
                title: "work done, share of a core".to_owned(),
                across: "seconds".to_owned(),
                x: Axis::linear(),
                y: Axis::linear(),
                lines: lines(|v| &v.work),
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(took_ms: u32, fate: Fate) -> Vec<Sample> {
        vec![Sample { due: 0, took: took_ms * 1000, class: 0, fate }; 20]
    }

    #[test]
    fn settled_when_nearly_all_that_follows_is_calm() {
        let (calm, slow) = (slice(1, Fate::Good), slice(9, Fate::Good));
        let mut phase = vec![calm.clone(); 20];
        assert_eq!(settled(&phase), 0.0);
        phase[0] = slow.clone();
        phase[1] = slice(1, Fate::Unsent);
        phase[10] = slow.clone();
        assert_eq!(settled(&phase), 100.0);
        assert_eq!(settled(&vec![slow; 20]), 1000.0);
    }

    #[test]
    fn oscillation_is_half_the_range() {
        assert_eq!(oscillation(vec![1.0; 10]), 0.0);
        assert!((oscillation(vec![0.9, 1.1, 0.9, 1.1]) - 10.0).abs() < 1e-9);
        assert!(oscillation(Vec::new()).is_nan());
    }
}
