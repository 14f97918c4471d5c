//! `soak`: the same load for hours, at a share of the peak, and what grows or drifts meanwhile.
//!
//! Reads and writes of values of many lengths with a lifetime, over more keys than fit: the table
//! grows, keys expire and are evicted all the time. The load is open and cut into windows; each has
//! connections of its own, so that what a connection leaves behind adds up. After each window, with
//! its connections closed, the server's resident bytes and open files are read.
//!
//! After the warm-up: the slope of the resident bytes is that of a line by least squares; the 99.9th
//! percentile drifts by the ratio of its medians over the last and the first quarter of the windows.

use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::compare::measure;
use crate::load::{self, Keys, Until};
use crate::open::{self, Arrivals};
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, mean, median, number};
use crate::request::{Op, Ttl, ValueSize};
use crate::scan::Wire;
use crate::stall::drive;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rate as a share of the peak of a closed loop of the same requests.
    pub share: f64,
    /// Length of the whole load.
    pub time: Duration,
    /// What of it does not count.
    pub warm_up: Duration,
    /// Length of a window.
    pub window: Duration,
    /// Lines of the table.
    pub lines: usize,
    /// `maxmemory`, in bytes.
    pub limit: u64,
    /// Keys that are asked for.
    pub keys: u64,
    /// Exponent of their distribution; uniform if not given.
    pub zipf: Option<f64>,
    /// Lengths of the values.
    pub size: ValueSize,
    /// Their lifetime in seconds.
    pub ttl: u32,
    /// Requests and their shares.
    pub mix: Vec<(Op, u32)>,
    /// Connections.
    pub connections: usize,
    /// Requests arriving together.
    pub pipeline: u32,
    /// Spacing of the arrivals.
    pub arrivals: Arrivals,
    /// Seed of the loads.
    pub seed: u64,
}

/// Growth of the resident bytes, as a share of them in an hour.
const GOAL_SLOPE: f64 = 0.001;
/// 99.9th percentile at the end as a multiple of that at the beginning.
const GOAL_DRIFT: f64 = 1.10;
/// A reply later than this counts as late.
const DEADLINE: Duration = Duration::from_millis(100);
/// Length of the closed loop that finds the peak.
const CLOSED: Duration = Duration::from_secs(10);
/// What a server is given to close the connections of a window.
const SETTLE: Duration = Duration::from_millis(200);

/// What was seen in a window and after it.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    /// Hours since the load began.
    hours: f64,
    rss: f64,
    files: usize,
    /// Requests per second.
    rate: f64,
    p50_us: f64,
    p999_us: f64,
    late: u64,
    own_pause_us: f64,
}

/// Runs it on one RESP server after the other.
///
/// # Errors
///
/// When a server fails, breaks off or answers wrongly.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    for peer in stage.peers.iter().filter(|p| p.wire == Wire::Resp) {
        one(stage, plan, peer, report)?;
    }
    Ok(())
}

fn one(stage: &Stage, plan: &Plan, peer: &Peer, report: &mut Report) -> Outcome<()> {
    let server = stage.start(peer)?;
    server.control()?.command(&format!("CONFIG SET maxmemory {}", plan.limit))?;
    // More than fits: the peak is that of a server that evicts.
    let fits = plan.limit as f64 / plan.size.mean().max(1.0);
    let fill = load::Spec::fill(plan.keys.min(2 * fits as u64), plan.size, Ttl::Seconds(plan.ttl));
    measure(&server, stage.load_core, fill)?;
    let peak = measure(&server, stage.load_core, closed(plan))?.tally.rate();
    let rate = peak * plan.share;
    let mut samples = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < plan.time {
        let seed = plan.seed + 1 + samples.len() as u64;
        let result = drive(stage, &server, &window(plan, rate, seed))?;
        result.tally.expect_clean(&peer.name)?;
        thread::sleep(SETTLE);
        samples.push(sample(&server, &result, begin.elapsed()));
    }
    print(plan, peer, peak, &samples, report);
    let warm_up = plan.warm_up.as_secs_f64() / 3600.0;
    let counted: Vec<Sample> = samples.into_iter().filter(|s| s.hours > warm_up).collect();
    judge(peer, &counted, report);
    Ok(())
}

fn closed(plan: &Plan) -> load::Spec {
    load::Spec {
        connections: plan.connections,
        pipeline: plan.pipeline,
        mix: plan.mix.clone(),
        key_space: plan.keys,
        keys: keys(plan),
        size: plan.size,
        ttl: Ttl::Seconds(plan.ttl),
        until: Until::Time(CLOSED.min(plan.window)),
        seed: plan.seed,
    }
}

fn window(plan: &Plan, rate: f64, seed: u64) -> open::Spec {
    open::Spec {
        rate,
        pipeline: plan.pipeline,
        arrivals: plan.arrivals,
        ops: (rate * plan.window.as_secs_f64()).max(1.0) as u64,
        connections: plan.connections,
        mix: plan.mix.clone(),
        key_space: plan.keys,
        keys: keys(plan),
        size: plan.size,
        ttl: Ttl::Seconds(plan.ttl),
        actions: Vec::new(),
        deadline: DEADLINE,
        seed,
    }
}

fn keys(plan: &Plan) -> Keys {
    plan.zipf.map_or(Keys::Uniform, Keys::Zipf)
}

fn sample(server: &Server, result: &open::Result, at: Duration) -> Sample {
    let us = |q: f64| result.tally.latency.value_at_quantile(q) as f64 / 1000.0;
    Sample {
        hours: at.as_secs_f64() / 3600.0,
        rss: server.process.rss().0 as f64,
        files: server.process.files(),
        rate: result.tally.rate(),
        p50_us: us(0.5),
        p999_us: us(0.999),
        late: result.late,
        own_pause_us: result.own_pause.as_secs_f64() * 1e6,
    }
}

fn print(plan: &Plan, peer: &Peer, peak: f64, samples: &[Sample], report: &mut Report) {
    let title = format!(
        "{}: {:.0} kops/s, {} of the peak, in windows of {:?}; maxmemory {} MB, {} keys, values {:?} \
         for {} s",
        peer.name,
        peak * plan.share / 1000.0,
        plan.share,
        plan.window,
        plan.limit >> 20,
        plan.keys,
        plan.size,
        plan.ttl
    );
    let columns = [
        "minutes",
        "windows",
        "RSS MB",
        "files",
        "kops/s",
        "p50 us",
        "p99.9 us",
        "over 100 ms",
        "own pause us",
    ];
    let mut table = Table::new(&title, &columns);
    for line in samples.chunks(samples.len().div_ceil(plan.lines.max(1)).max(1)) {
        let middle = |of: fn(&Sample) -> f64| median(&line.iter().map(of).collect::<Vec<_>>());
        table.row(vec![
            number(line[line.len() - 1].hours * 60.0, 1),
            (line.len() as u64).into(),
            number(middle(|s| s.rss) / f64::from(1 << 20), 2),
            number(middle(|s| s.files as f64), 0),
            number(middle(|s| s.rate) / 1000.0, 1),
            number(middle(|s| s.p50_us), 0),
            number(middle(|s| s.p999_us), 0),
            line.iter().map(|s| s.late).sum::<u64>().into(),
            number(middle(|s| s.own_pause_us), 0),
        ]);
    }
    report.table(table);
}

fn judge(peer: &Peer, counted: &[Sample], report: &mut Report) {
    let name = &peer.name;
    if counted.len() < 4 {
        return report.fail(format!("{name}: too few windows after the warm-up"));
    }
    let growth = slope(counted) / mean(&counted.iter().map(|s| s.rss).collect::<Vec<_>>());
    let text = format!("{name}: RSS grows by {:.3} % in an hour", growth * 100.0);
    report.goal(growth <= GOAL_SLOPE, &format!("{text} <= {:.1} %", GOAL_SLOPE * 100.0));
    let files = || counted.iter().map(|s| s.files);
    let (least, most) = (files().min().unwrap_or(0), files().max().unwrap_or(0));
    report.goal(least == most, &format!("{name}: {least} to {most} open files, always as many"));
    let drift = drift(counted);
    let text = format!("{name}: p99.9 at the end {drift:.3} of that at the beginning");
    report.goal(drift <= GOAL_DRIFT, &format!("{text} <= {GOAL_DRIFT:.2}"));
}

/// Growth of the resident bytes in an hour, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let at = mean(&samples.iter().map(|s| s.hours).collect::<Vec<_>>());
    let rss = mean(&samples.iter().map(|s| s.rss).collect::<Vec<_>>());
    let sum = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    sum(&|s| (s.hours - at) * (s.rss - rss)) / sum(&|s| (s.hours - at).powi(2))
}

/// The 99.9th percentile in the last quarter of the windows as a multiple of that in the first.
fn drift(samples: &[Sample]) -> f64 {
    let quarter = samples.len() / 4;
    let middle = |part: &[Sample]| median(&part.iter().map(|s| s.p999_us).collect::<Vec<_>>());
    middle(&samples[samples.len() - quarter..]) / middle(&samples[..quarter])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window every three minutes.
    fn samples(of: impl Fn(usize) -> (f64, f64)) -> Vec<Sample> {
        let one = |i| {
            let (rss, p999_us) = of(i);
            Sample { hours: i as f64 / 20.0, rss, p999_us, ..Sample::default() }
        };
        (0..40).map(one).collect()
    }

    #[test]
    fn growth_is_that_of_the_line_beneath_the_noise() {
        let growing =
            samples(|i| (1e9 + i as f64 * 1e6 + if i % 2 == 0 { 5e5 } else { -5e5 }, 1.0));
        let slope = slope(&growing);
        assert!((slope / 2e7 - 1.0).abs() < 0.02, "{slope}");
    }

    #[test]
    fn drift_is_seen_and_single_windows_are_not() {
        let quiet = samples(|i| (1e9, if i == 38 { 9000.0 } else { 500.0 }));
        assert!((drift(&quiet) - 1.0).abs() < 1e-9);
        let drifting = samples(|i| (1e9, if i < 20 { 500.0 } else { 600.0 }));
        assert!((drift(&drifting) - 1.2).abs() < 1e-9);
    }
}
