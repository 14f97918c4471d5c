//! `migration`: what writers notice while a node joins and the slots that they write to move.
//!
//! Some nodes are a cluster; another one stands by. An open loop writes only to keys in slots that will
//! move, first for a while as it is (**idle**), then while the other node joins, until everything is
//! where it shall be and has its copies (**join**), then once more (**after**). Latency counts from the
//! planned times, over all redirections. All servers share one core, the load has the other.
//!
//! The rate is a share of what a closed loop of the same requests reaches on the same cluster.
//!
//! Memory of a job: how far an old owner's resident memory rises above that of the idle phase, while it
//! sends. What it may hold beyond its data is the credit of one peer, and a name for each changed key
//! that the peer has not been told of.

mod engine;
mod keys;
mod nodes;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::{Pace, Phase, Spec};
use keys::Keys;
use nodes::{Node, Nodes};

use crate::Outcome;
use crate::peer::Stage;
use crate::process::pin;
use crate::report::{Cell, Report, Table, median, number};
use crate::request::Op;

/// What to do and how hard.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds, each with nodes of its own.
    pub rounds: usize,
    /// Nodes before the join.
    pub members: usize,
    /// Keys, all in slots that will move.
    pub keys: usize,
    /// Length of the idle phase, and of the one after the join.
    pub time: Duration,
    /// Requests per second; if not given, `share` of the peak.
    pub rate: Option<f64>,
    /// Share of the measured peak.
    pub share: f64,
    /// Connections to each node.
    pub connections: usize,
    /// Requests and their shares.
    pub mix: Vec<(Op, u32)>,
    /// Length of the values.
    pub size: usize,
    /// Seed of the load.
    pub seed: u64,
}

/// 99th percentile during the join, to that before it.
const GOAL: f64 = 2.0;
/// How long commands may wait for a batch of slots.
const FENCE: u64 = 100;
/// Bytes that a peer grants.
const CREDIT: u64 = 4 << 20;
/// What a changed key costs that a peer has not been told of, its name included.
const DIRTY: u64 = 128;
/// Resident memory is not exact: the allocator of each thread keeps some.
const SLACK: u64 = 4 << 20;
const WINDOW: usize = 64;
const PHASES: [&str; 3] = ["idle", "join", "after"];

/// What came of a round.
struct Round {
    rate: f64,
    phases: Vec<Phase>,
    join: Join,
    /// Of all nodes: fences, those that came to nothing, the longest in milliseconds.
    fences: [u64; 3],
    /// By how much the memory of an old owner rose at most, and what it may.
    memory: (u64, u64),
    slots: usize,
}

/// Runs the experiment on the first peer, which has to be Dunlin.
///
/// # Errors
///
/// When a node fails, a reply is none, or the cluster does not come to rest.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut rounds: Vec<Round> = Vec::new();
    for number in 0..plan.rounds {
        let peak = rounds.first().map(|round| round.rate);
        rounds.push(round(stage, plan, number as u64, plan.rate.or(peak))?);
    }
    let title = format!(
        "migration: {} nodes and one that joins, {} keys of {} bytes in the {} slots that move",
        plan.members, plan.keys, plan.size, rounds[0].slots
    );
    let columns = [
        "round",
        "phase",
        "kops/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "slowest ms",
        "to idle",
        "moved",
        "lost",
        "errors",
        "seconds",
        "own pause ms",
    ];
    let mut table = Table::new(&title, &columns);
    for (number, round) in rounds.iter().enumerate() {
        for (name, phase) in PHASES.iter().zip(&round.phases) {
            table.row(row(number, name, phase, &round.phases[0]));
        }
    }
    report.table(table);
    report.table(costs(&rounds));
    judge(&rounds, report);
    Ok(())
}

fn row(round: usize, name: &str, phase: &Phase, idle: &Phase) -> Vec<Cell> {
    vec![
        (round as u64 + 1).into(),
        name.into(),
        number(phase.rate() / 1000.0, 1),
        number(phase.ms(0.5), 2),
        number(phase.ms(0.99), 2),
        number(phase.ms(0.999), 2),
        number(phase.ms(1.0), 1),
        number(phase.ms(0.99) / idle.ms(0.99), 2),
        phase.moved.into(),
        phase.lost.into(),
        phase.errors.into(),
        number(phase.length.as_secs_f64(), 2),
        number(phase.own_pause.as_secs_f64() * 1e3, 1),
    ]
}

fn costs(rounds: &[Round]) -> Table {
    let columns = [
        "round",
        "join s",
        "fences",
        "in vain",
        "longest ms",
        "dirty keys",
        "memory MB",
        "bound MB",
    ];
    let mut table = Table::new("the join", &columns);
    let mb = |bytes: u64| number(bytes as f64 / 1e6, 1);
    for (n, round) in rounds.iter().enumerate() {
        let [fences, vain, longest] = round.fences;
        table.row(vec![
            (n as u64 + 1).into(),
            number(round.join.length.as_secs_f64(), 2),
            fences.into(),
            vain.into(),
            longest.into(),
            round.join.dirty.into(),
            mb(round.memory.0),
            mb(round.memory.1),
        ]);
    }
    table
}

fn judge(rounds: &[Round], report: &mut Report) {
    let of = |phase: usize, quantile: f64| {
        let values: Vec<f64> = rounds.iter().map(|r| r.phases[phase].ms(quantile)).collect();
        median(&values)
    };
    let (idle, join) = (of(0, 0.99), of(1, 0.99));
    let text = format!("p99 during the join {join:.2} ms <= {GOAL} x {idle:.2} ms");
    report.goal(join <= GOAL * idle, &text);
    let longest = rounds.iter().map(|round| round.fences[2]).max().unwrap_or(0);
    report.goal(longest <= FENCE, &format!("longest fence {longest} ms <= {FENCE} ms"));
    let fits = rounds.iter().all(|round| round.memory.0 <= round.memory.1);
    report.goal(fits, "memory of a job within credit and changed keys");
    let phases = || rounds.iter().flat_map(|round| &round.phases);
    let (errors, lost): (u64, u64) =
        phases().fold((0, 0), |(e, l), phase| (e + phase.errors, l + phase.lost));
    let first = phases().find_map(|phase| phase.first_error.clone()).unwrap_or_default();
    report.goal(errors == 0, &format!("{errors} error replies {first}"));
    report.goal(lost == 0, &format!("{lost} keys lost"));
}

fn round(stage: &Stage, plan: &Plan, number: u64, rate: Option<f64>) -> Outcome<Round> {
    let peer = stage.peers.first().ok_or("no server to measure")?;
    let mut nodes = Nodes::start(stage, peer, plan.members)?;
    let owners = nodes.owners()?;
    let moving = nodes.moving(&owners);
    let keys = Keys::of(plan.keys, |slot| moving[usize::from(slot)]);
    let addresses = nodes.addresses();
    let spec = Spec {
        nodes: &addresses,
        owners,
        keys: &keys,
        connections: plan.connections,
        pace: Pace::Once(WINDOW),
        mix: &[(Op::Set, 1)],
        size: plan.size,
        seed: plan.seed + number,
    };
    load(stage, &spec, |_| Ok(()))?;
    let spec = Spec { mix: &plan.mix, ..spec };
    let rate = match rate {
        Some(rate) => rate,
        None => {
            let spec = Spec { pace: Pace::Closed(WINDOW), ..spec.clone() };
            let wait = |_: &AtomicUsize| {
                std::thread::sleep(Duration::from_secs(3));
                Ok(())
            };
            plan.share * load(stage, &spec, wait)?[0].rate()
        }
    };
    let spec = Spec { pace: Pace::Open(rate), ..spec };
    let (mut join, mut memory) = (Join::default(), Memory::default());
    let phases = load(stage, &spec, |phase| {
        std::thread::sleep(plan.time / 2);
        let mut idle = Memory::begin(&nodes.0[..plan.members]);
        std::thread::sleep(plan.time / 2);
        idle.end(&nodes.0);
        memory = Memory::begin(&nodes.0[..plan.members]);
        phase.store(1, Ordering::Relaxed);
        join = Join::make(&mut nodes, plan.members)?;
        phase.store(2, Ordering::Relaxed);
        memory.end(&nodes.0);
        memory.subtract(&idle);
        std::thread::sleep(plan.time);
        Ok(())
    })?;
    let mut fences = [0; 3];
    for node in &mut nodes.0 {
        fences[0] += node.figure("cluster_fences")?;
        fences[1] += node.figure("cluster_fences_in_vain")?;
        fences[2] = fences[2].max(node.figure("cluster_fence_longest_ms")?);
    }
    let slots = moving.iter().filter(|moves| **moves).count();
    let memory = (memory.most(), CREDIT + SLACK + join.dirty * DIRTY);
    Ok(Round { rate, phases, join, fences, memory, slots })
}

/// Runs a load from the generator's core, and beside it what decides on its phases. It ends when that
/// does.
fn load(
    stage: &Stage,
    spec: &Spec<'_>,
    direct: impl FnOnce(&AtomicUsize) -> Outcome<()>,
) -> Outcome<Vec<Phase>> {
    let phase = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let engine = scope.spawn(move || {
            pin(stage.load_core);
            engine::run(spec, phase, PHASES.len())
        });
        let directed = direct(phase);
        if !matches!(spec.pace, Pace::Once(_)) {
            phase.store(PHASES.len(), Ordering::Relaxed);
        }
        let phases = engine.join().unwrap_or_else(|_| Err("the load panicked".into()));
        directed.and(phases)
    })
}

/// The last node's way into the cluster.
#[derive(Clone, Copy, Debug, Default)]
struct Join {
    /// From MEET until nothing was left to do.
    length: Duration,
    /// The most changed keys that were seen waiting for peers on one node.
    dirty: u64,
}

impl Join {
    fn make(nodes: &mut Nodes, members: usize) -> Outcome<Self> {
        let (began, mut dirty) = (Instant::now(), 0);
        nodes.join(members)?;
        while !nodes.are_at_rest(members + 1)? {
            for node in &mut nodes.0[..members] {
                dirty = dirty.max(node.figure("cluster_stream_lag")?);
            }
            if began.elapsed() > nodes::LIMIT {
                return Err("the join does not come to an end".into());
            }
            std::thread::sleep(nodes::PAUSE);
        }
        Ok(Self { length: began.elapsed(), dirty })
    }
}

/// How far the resident memory of old owners rises.
#[derive(Clone, Debug, Default)]
struct Memory {
    before: Vec<u64>,
    rises: Vec<u64>,
}

impl Memory {
    fn begin(nodes: &[Node]) -> Self {
        let before = |node: &Node| {
            node.server.process.reset_peak();
            node.server.process.rss().0
        };
        Self { before: nodes.iter().map(before).collect(), rises: Vec::new() }
    }

    fn end(&mut self, nodes: &[Node]) {
        let peak = |node: &Node| node.server.process.rss().1;
        let rises = nodes.iter().zip(&self.before);
        self.rises = rises.map(|(node, before)| peak(node).saturating_sub(*before)).collect();
    }

    /// What rises anyway does not count.
    fn subtract(&mut self, other: &Self) {
        for (rise, anyway) in self.rises.iter_mut().zip(&other.rises) {
            *rise = rise.saturating_sub(*anyway);
        }
    }

    fn most(&self) -> u64 {
        self.rises.iter().copied().max().unwrap_or(0)
    }
}
