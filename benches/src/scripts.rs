//! `scripts`: what a client notices of another one's long script.
//!
//! An open load of GETs runs on each server twice per round: beside nothing, and beside a client that
//! sends one script after the other which each take a while on a key of their own. The connections
//! are spread over all workers, so some are on the one that the scripts come in on. What counts is the
//! 99th percentile of the GETs beside the scripts, compared with that beside nothing.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::compare::fill;
use crate::load::{Keys, Spec};
use crate::open::{self, Arrivals};
use crate::peer::{Server, Stage};
use crate::report::{Report, Table, median, number};
use crate::request::{Op, Ttl, ValueSize};
use crate::scan::Wire;
use crate::stall::drive;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Length of each load.
    pub time: Duration,
    /// Length of each script.
    pub script: Duration,
    /// GETs per second.
    pub rate: f64,
    /// Spacing of the arrivals.
    pub arrivals: Arrivals,
    /// Connections.
    pub connections: usize,
    /// Requests arriving together.
    pub pipeline: u32,
    /// Keys.
    pub keys: u64,
    /// Length of the values.
    pub size: usize,
    /// Seed of the loads.
    pub seed: u64,
}

/// Reads its key, and lets time pass. It cannot ask for the time: that stands still.
const SCRIPT: &str = "redis.call('get', KEYS[1]) for i = 1, ARGV[1] do end return 1";
/// Rounds of the loop with which its speed is measured.
const MEASURED_LOOPS: u64 = 30_000_000;
/// How much slower the slowest hundredth may be beside scripts.
const GOAL: f64 = 3.0;
/// Replies later than this count as failed.
const DEADLINE: Duration = Duration::from_millis(10);

/// Percentiles of the rounds, in microseconds.
#[derive(Default)]
struct Series {
    p50: Vec<f64>,
    p99: Vec<f64>,
    slowest: f64,
    late: u64,
    own_pause: Duration,
}

impl Series {
    fn add(&mut self, result: &open::Result) {
        let latency = &result.tally.latency;
        let us = |nanos: u64| nanos as f64 / 1000.0;
        self.p50.push(us(latency.value_at_quantile(0.5)));
        self.p99.push(us(latency.value_at_quantile(0.99)));
        self.slowest = self.slowest.max(us(latency.max()));
        self.late += result.late;
        self.own_pause = self.own_pause.max(result.own_pause);
    }
}

/// Runs the loads on every RESP server.
///
/// # Errors
///
/// When a server fails, breaks off or answers wrongly.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let title = format!(
        "GETs beside scripts of {:?}: {} per second, {:?} arrivals of {} over {} connections, {} keys; \
         medians of {} rounds",
        plan.script,
        plan.rate,
        plan.arrivals,
        plan.pipeline,
        plan.connections,
        plan.keys,
        plan.rounds
    );
    let columns = [
        "server",
        "beside",
        "p50 us",
        "p99 us",
        "slowest us",
        "over 10 ms",
        "scripts",
        "own pause us",
        "p99 to quiet",
    ];
    let mut table = Table::new(&title, &columns);
    for peer in stage.peers.iter().filter(|peer| peer.wire == Wire::Resp) {
        let server = stage.start(peer)?;
        let size = ValueSize::Fixed(plan.size);
        fill(&server, stage.load_core, Spec::fill(plan.keys, size, Ttl::None))?;
        let loops = loops(&server, plan)?;
        let (mut quiet, mut beside, mut scripts) = (Series::default(), Series::default(), 0);
        for _ in 0..plan.rounds {
            quiet.add(&load(stage, plan, &server, Vec::new())?);
            let result = load(stage, plan, &server, actions(plan, loops))?;
            if let Some(error) = result.actions.iter().find_map(|(_, error)| error.as_ref()) {
                return Err(format!("{}: {error}", peer.name).into());
            }
            scripts += result.actions.len() as u64;
            beside.add(&result);
        }
        let ratio = median(&beside.p99) / median(&quiet.p99);
        for (name, series, count, ratio) in
            [("nothing", &quiet, 0, f64::NAN), ("scripts", &beside, scripts, ratio)]
        {
            table.row(vec![
                peer.name.as_str().into(),
                name.into(),
                number(median(&series.p50), 0),
                number(median(&series.p99), 0),
                number(series.slowest, 0),
                series.late.into(),
                count.into(),
                number(series.own_pause.as_secs_f64() * 1e6, 0),
                number(ratio, 2),
            ]);
        }
        if peer.name == "dunlin" {
            let text =
                format!("the 99th percentile beside scripts is {ratio:.2} times as long <= {GOAL}");
            report.goal(ratio <= GOAL, &text);
        }
    }
    report.table(table);
    Ok(())
}

fn load(
    stage: &Stage,
    plan: &Plan,
    server: &Server,
    actions: Vec<(Duration, Vec<u8>)>,
) -> Outcome<open::Result> {
    let spec = open::Spec {
        rate: plan.rate,
        pipeline: plan.pipeline,
        arrivals: plan.arrivals,
        ops: (plan.rate * plan.time.as_secs_f64()) as u64,
        connections: plan.connections,
        mix: vec![(Op::Get, 1)],
        key_space: plan.keys,
        keys: Keys::Uniform,
        size: ValueSize::Fixed(plan.size),
        ttl: Ttl::None,
        actions,
        deadline: DEADLINE,
        seed: plan.seed,
    };
    let result = drive(stage, server, &spec)?;
    result.tally.expect_clean(&server.name)?;
    Ok(result)
}

/// One script after the other, for as long as the load lasts.
/// How often the script has to loop on this server, to take as long as it is meant to.
fn loops(server: &Server, plan: &Plan) -> Outcome<u64> {
    let mut control = server.control()?;
    let begin = Instant::now();
    let loops = MEASURED_LOOPS.to_string();
    for arg in ["1", &loops] {
        let args = ["EVAL", SCRIPT, "1", "script's own", arg];
        control.call(&args.map(str::as_bytes))?;
    }
    Ok((MEASURED_LOOPS as f64 * plan.script.as_secs_f64() / begin.elapsed().as_secs_f64()) as u64)
}

fn actions(plan: &Plan, loops: u64) -> Vec<(Duration, Vec<u8>)> {
    let count = (plan.time.as_secs_f64() / plan.script.as_secs_f64()) as usize;
    let args = ["EVAL", SCRIPT, "1", "script's own", &loops.to_string()];
    let mut request = format!("*{}\r\n", args.len());
    for arg in args {
        request.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
    }
    vec![(Duration::ZERO, request.into_bytes()); count.max(1)]
}
