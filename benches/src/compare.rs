//! `compare`: the same loads on every server, in alternating rounds.
//!
//! Each round starts every server fresh and writes all keys, then every test visits the servers in
//! turn (each round begins with another one). Goals are those of the server pinned to one core and
//! a load on the other: CPU time per operation against redis.
//!
//! An operation is one command, whatever it holds: MGET of a hundred keys is one.

use std::time::Duration;

use crate::Outcome;
use crate::load::{Load, Spec, Tally, Until};
use crate::peer::{Peer, Server, Stage, Way};
use crate::process::{pin, thread_cpu_ns};
use crate::report::{Report, Table, median, number, ratio};
use crate::request::{MANY, Op, Ttl, ValueSize};
use crate::scan::Wire;
use crate::standard::FLOOR;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Length of one test on one server.
    pub time: Duration,
    /// Keys written beforehand and asked for.
    pub keys: u64,
    /// Length of the values.
    pub size: usize,
    /// Connections.
    pub connections: usize,
    /// Pipeline depths.
    pub pipelines: Vec<u32>,
    /// Names of the tests (see [`TESTS`]).
    pub tests: Vec<String>,
    /// The server others are set in relation to.
    pub reference: String,
    /// Seed of the loads.
    pub seed: u64,
}

/// A load by name.
#[derive(Debug)]
pub struct Test {
    /// Name on the command line and in the tables.
    pub name: &'static str,
    /// Requests and their shares.
    pub mix: &'static [(Op, u32)],
    /// Whether memcached can do it.
    pub everywhere: bool,
}

/// The tests there are.
pub const TESTS: &[Test] = &[
    Test { name: "get", mix: &[(Op::Get, 1)], everywhere: true },
    Test { name: "set", mix: &[(Op::Set, 1)], everywhere: true },
    Test { name: "mixed", mix: &[(Op::Get, 19), (Op::Set, 1)], everywhere: true },
    Test { name: "ping", mix: &[(Op::Ping, 1)], everywhere: true },
    Test { name: "incr", mix: &[(Op::Incr, 1)], everywhere: false },
    Test { name: "mset", mix: &[(Op::Mset, 1)], everywhere: false },
    Test { name: "mget100", mix: &[(Op::Mget100, 1)], everywhere: false },
    Test { name: "mset100", mix: &[(Op::Mset100, 1)], everywhere: false },
];

/// CPU time per operation Dunlin may use, as a share of redis's: test, pipeline, limit.
const GOALS: &[(&str, u32, f64)] = &[
    ("get", 1, 0.92),
    ("set", 1, 0.92),
    ("get", 16, 0.48),
    ("set", 16, 0.48),
    ("get", 64, 0.32),
    ("set", 64, 0.42),
];

/// One load on one server.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What the generator saw.
    pub tally: Tally,
    /// The server's CPU time per operation in nanoseconds.
    pub cpu_per_op: f64,
    /// The server's CPU time as a share of the elapsed time.
    pub cpu_share: f64,
    /// The generator's CPU time as a share of the elapsed time: near 1 it was the limit.
    pub load_share: f64,
}

/// Runs a closed loop against `server` from the core `core`.
///
/// # Errors
///
/// When the load breaks off.
pub fn measure(server: &Server, core: Option<usize>, spec: Spec) -> Outcome<Measured> {
    let run = || {
        pin(core);
        let load = Load::connect(&server.target, server.wire, spec)?;
        let before = server.process.cpu_ns();
        let own = thread_cpu_ns();
        let tally = load.run()?;
        let own = (thread_cpu_ns() - own) as f64;
        let cpu = server.process.cpu_ns().saturating_sub(before) as f64;
        let cpu_per_op = cpu / tally.ops.max(1) as f64;
        let elapsed = tally.elapsed.as_nanos().max(1) as f64;
        let (cpu_share, load_share) = (cpu / elapsed, own / elapsed);
        Ok(Measured { tally, cpu_per_op, cpu_share, load_share })
    };
    let joined = std::thread::scope(|scope| scope.spawn(run).join());
    let result = joined.unwrap_or_else(|_| Err("the load panicked".into()));
    result.map_err(|e: crate::Failure| {
        let end = server.process.ended().map_or(String::new(), |end| format!(" (ended: {end})"));
        format!("{}: {e}{end}", server.name).into()
    })
}

/// Writes keys `0..keys` and checks that the server, unless it is the floor, holds them all.
///
/// # Errors
///
/// When a write is refused or keys are missing afterwards.
pub fn fill(server: &Server, core: Option<usize>, spec: Spec) -> Outcome<Tally> {
    let keys = spec.key_space;
    let tally = measure(server, core, spec)?.tally;
    if server.name == FLOOR {
        return Ok(tally);
    }
    tally.expect_clean(&format!("{}: filling", server.name))?;
    let held = server.control()?.items()?;
    if held != keys {
        return Err(format!("{}: {held} items after writing {keys}", server.name).into());
    }
    Ok(tally)
}

#[derive(Debug, Default, Clone)]
struct Series {
    cpu: Vec<f64>,
    rate: Vec<f64>,
    percentiles: [Vec<f64>; 4],
    share: Vec<f64>,
    load_share: Vec<f64>,
}

impl Series {
    fn add(&mut self, m: &Measured) {
        self.cpu.push(m.cpu_per_op);
        self.rate.push(m.tally.rate());
        self.share.push(m.cpu_share);
        self.load_share.push(m.load_share);
        let latency = &m.tally.latency;
        for (list, q) in self.percentiles.iter_mut().zip([0.5, 0.99, 0.999, 1.0]) {
            list.push(latency.value_at_quantile(q) as f64 / 1000.0);
        }
    }
}

/// Runs the comparison.
///
/// # Errors
///
/// When a server cannot be started, breaks off, or answers wrongly.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let cells = cells(plan)?;
    let stage = &able(stage.clone())?;
    let mut series = vec![vec![Series::default(); stage.peers.len()]; cells.len()];
    let mut per_item = vec![Vec::new(); stage.peers.len()];
    for round in 0..plan.rounds {
        eprintln!("round {} of {}", round + 1, plan.rounds);
        let mut servers = Vec::new();
        for (i, peer) in stage.peers.iter().enumerate() {
            let server = stage.start(peer)?;
            let before = server.process.rss().0;
            fill(
                &server,
                stage.load_core,
                Spec {
                    seed: plan.seed,
                    ..Spec::fill(plan.keys, ValueSize::Fixed(plan.size), Ttl::None)
                },
            )?;
            let grown = server.process.rss().0.saturating_sub(before);
            per_item[i].push(grown as f64 / plan.keys as f64);
            servers.push(server);
        }
        for (c, cell) in cells.iter().enumerate() {
            for k in 0..servers.len() {
                let i = (k + round) % servers.len();
                if servers[i].wire == Wire::Memcached && !cell.test.everywhere {
                    continue;
                }
                let seed = plan.seed + (round * 1000 + c) as u64;
                let measured = visit(&servers[i], stage, plan, cell, seed)?;
                series[c][i].add(&measured);
            }
        }
    }
    print(stage, plan, &cells, &series, &per_item, report);
    Ok(())
}

/// The stage with those servers that answer the way it goes; others may be built without TLS.
fn able(mut stage: Stage) -> Outcome<Stage> {
    if matches!(stage.way(), Way::Tcp) {
        return Ok(stage);
    }
    let ping = || Spec {
        connections: 1,
        mix: vec![(Op::Ping, 1)],
        until: Until::Ops(1),
        ..Spec::default()
    };
    let answers = |peer: &Peer| measure(&stage.start(peer)?, stage.load_core, ping()).map(|_| ());
    let (mut found, mut first) = (Vec::new(), None);
    for peer in &stage.peers {
        match answers(peer) {
            Ok(()) => found.push(peer.clone()),
            Err(e) => {
                eprintln!("note: {} cannot do {}, left out ({e})", peer.name, stage.way());
                first = first.or(Some(e));
            }
        }
    }
    if found.is_empty() {
        return Err(first.unwrap_or_else(|| "no server to measure".into()));
    }
    stage.peers = found;
    Ok(stage)
}

struct TestCell {
    test: &'static Test,
    pipeline: u32,
}

fn cells(plan: &Plan) -> Outcome<Vec<TestCell>> {
    let mut cells = Vec::new();
    for wanted in &plan.tests {
        let found = TESTS.iter().find(|test| test.name == wanted);
        let test = found.ok_or_else(|| format!("no test named {wanted}"))?;
        cells.extend(plan.pipelines.iter().map(|&pipeline| TestCell { test, pipeline }));
    }
    Ok(cells)
}

fn visit(
    server: &Server,
    stage: &Stage,
    plan: &Plan,
    cell: &TestCell,
    seed: u64,
) -> Outcome<Measured> {
    let spec = Spec {
        connections: plan.connections,
        pipeline: cell.pipeline,
        mix: cell.test.mix.to_vec(),
        key_space: plan.keys,
        size: ValueSize::Fixed(plan.size),
        until: Until::Time(plan.time),
        seed,
        ..Spec::default()
    };
    let measured = measure(server, stage.load_core, spec)?;
    if server.name == FLOOR {
        // Its answers are not meant to be right.
        return Ok(measured);
    }
    let what = format!("{}: {} at pipeline {}", server.name, cell.test.name, cell.pipeline);
    measured.tally.expect_clean(&what)?;
    if measured.tally.misses > 0 {
        return Err(format!("{what}: {} keys were gone", measured.tally.misses).into());
    }
    if cell.test.mix.iter().all(|(op, _)| op.reads()) && measured.tally.checked == 0 {
        return Err(format!("{what}: no value was compared").into());
    }
    Ok(measured)
}

/// Says how many keys the commands of some tests have, if they are among these.
fn hundreds(cells: &[TestCell]) -> String {
    let of = |cell: &TestCell| cell.test.mix.iter().any(|(op, _)| op.keys() == MANY);
    if cells.iter().any(of) {
        format!(" (mget100, mset100: of {MANY} keys)")
    } else {
        String::new()
    }
}

fn print(
    stage: &Stage,
    plan: &Plan,
    cells: &[TestCell],
    series: &[Vec<Series>],
    per_item: &[Vec<f64>],
    report: &mut Report,
) {
    let reference = stage.peers.iter().position(|p| p.name == plan.reference);
    let title = format!(
        "{} keys, {}-byte values, {} connections over {}; an operation is one command{}; \
         medians of {} rounds of {:.1} s; ratios to {}",
        plan.keys,
        plan.size,
        plan.connections,
        stage.way(),
        hundreds(cells),
        plan.rounds,
        plan.time.as_secs_f64(),
        plan.reference
    );
    let columns = [
        "test",
        "pipeline",
        "server",
        "cpu ns/op",
        "cpu ratio",
        "kops/s",
        "rate ratio",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "server busy",
        "load busy",
    ];
    let mut table = Table::new(&title, &columns);
    let mut ratios = Vec::new();
    for (cell, row) in cells.iter().zip(series) {
        for (peer, s) in stage.peers.iter().zip(row) {
            if s.cpu.is_empty() {
                continue;
            }
            let base = reference.map(|r| &row[r]).filter(|b| !b.cpu.is_empty());
            let cpu_ratio = base.map_or(f64::NAN, |b| ratio(&s.cpu, &b.cpu));
            if peer.name == "dunlin" {
                ratios.push((cell, cpu_ratio));
            }
            let mut line = vec![
                cell.test.name.into(),
                u64::from(cell.pipeline).into(),
                peer.name.as_str().into(),
                number(median(&s.cpu), 0),
                number(cpu_ratio, 3),
                number(median(&s.rate) / 1000.0, 1),
                number(base.map_or(f64::NAN, |b| ratio(&s.rate, &b.rate)), 2),
            ];
            line.extend(s.percentiles.iter().map(|p| number(median(p), 0)));
            line.push(number(median(&s.share), 2));
            line.push(number(median(&s.load_share), 2));
            table.row(line);
        }
    }
    report.table(table);
    let mut memory = Table::new("resident bytes per item", &["server", "bytes", "ratio"]);
    for (peer, list) in stage.peers.iter().zip(per_item) {
        let base = reference.map_or(f64::NAN, |r| median(&per_item[r]));
        let bytes = median(list);
        memory.row(vec![peer.name.as_str().into(), number(bytes, 1), number(bytes / base, 3)]);
    }
    report.table(memory);
    // The goals are those of this load.
    if plan.reference == "redis" && plan.size == 64 && matches!(stage.way(), Way::Tcp) {
        for (cell, cpu_ratio) in ratios {
            let goal = GOALS.iter().find(|g| g.0 == cell.test.name && g.1 == cell.pipeline);
            if let (Some(&(name, pipeline, limit)), true) = (goal, cpu_ratio.is_finite()) {
                let text = format!("{name} at pipeline {pipeline}: {cpu_ratio:.3} <= {limit}");
                report.goal(cpu_ratio <= limit, &text);
            }
        }
    }
}
