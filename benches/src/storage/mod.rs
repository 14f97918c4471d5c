//! `storage`: the keyspace alone, in this process, against concurrent maps.
//!
//! Zipf-distributed keys in batches, as a worker gets them from pipelines; values are copied out on
//! a read and replaced on a write. All engines see the same streams of operations, drawn
//! beforehand, and make their keys from the numbers in registers, so what is measured is the map.
//! Engines and loads take turns within a round, and what is compared is compared within rounds: the
//! cores of a virtual machine may be near each other in one moment and far apart in the next, and
//! then everything that two threads write to costs twice as much. A run ends when the first of its
//! threads is through its stream, and what was done until then counts: with more threads than cores
//! the scheduler does not share the cores evenly, and the last threads would be measured alone.
//!
//! Two figures per cell: **CPU time per operation** (threads' own, hardly disturbed by
//! neighbours) and wall-clock throughput of all threads together. Scaling is given by wall clock
//! and, as `threads x (CPU per operation with one thread / with n)`, by CPU: what contention alone
//! would leave on a quiet machine.
//!
//! For Dunlin the table also shows contention: the share of turns that found the role taken, jobs
//! left with a holder, and how many a release found.

mod dunlin;
mod engines;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use dunlin_storage::huge_pages::{HugePages, Step};

use crate::process::{pin, thread_cpu_ns};
use crate::report::{Cell, Report, Table, median, number, ratio};
use crate::rng::{Rng, Zipf, mix};
use crate::{Failure, Outcome};

pub use dunlin::Dunlin;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Engines by name.
    pub engines: Vec<String>,
    /// Shard counts Dunlin is built with.
    pub shards: Vec<u32>,
    /// Thread counts.
    pub threads: Vec<u32>,
    /// Shares of reads in percent.
    pub reads: Vec<u32>,
    /// Keys.
    pub keys: u64,
    /// Length of the values.
    pub size: usize,
    /// Operations per batch.
    pub batch: usize,
    /// Operations of one run, all threads together.
    pub ops: u64,
    /// Rounds.
    pub rounds: usize,
    /// Exponent of the keys' distribution.
    pub zipf: f64,
    /// Whether to measure reads of one hot key too.
    pub hot: bool,
    /// Seed of the streams.
    pub seed: u64,
}

/// Names of the engines there are.
pub const ENGINES: &str = "dunlin,plain,dashmap,papaya,moka,quick_cache,rwlock";

/// Those that Dunlin is compared with, and how much of their CPU time it may take with 95 % and with 50 %
/// reads and two threads.
const RIVALS: [&str; 4] = ["dashmap", "papaya", "moka", "quick_cache"];
const GOALS: [(u32, f64); 2] = [(95, 0.35), (50, 0.45)];
/// How many times the CPU time of itself Dunlin takes at least if its batches fetch nothing ahead, and of
/// how many keys on: far more than the processor's caches hold.
const GOAL_PLAIN: f64 = 1.5;
const COLD: u64 = 10_000_000;

/// One operation on a key number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op(u32);

impl Op {
    const WRITE: u32 = 1 << 31;

    fn new(key: u32, write: bool) -> Self {
        Self(key | if write { Self::WRITE } else { 0 })
    }

    /// Number of the key.
    #[must_use]
    pub fn key(self) -> u32 {
        self.0 & !Self::WRITE
    }

    /// Whether it replaces the value; else it reads.
    #[must_use]
    pub fn is_write(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// The 16 bytes of the key.
    #[inline]
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        let n = u64::from(self.key());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        bytes[8..].copy_from_slice(&mix(n).to_le_bytes());
        bytes
    }
}

/// A map under test.
pub trait Engine: Sync {
    /// The calling thread's access to it.
    fn worker(&self) -> Box<dyn Worker + '_>;

    /// Forgets counters.
    fn reset(&self) {}

    /// Contention since the last reset, if the engine can tell.
    fn contention(&self) -> Option<Contention> {
        None
    }
}

/// A thread's access to a map.
pub trait Worker {
    /// Runs a batch; the number of reads that found their key.
    fn batch(&mut self, ops: &[Op]) -> u64;

    /// Finishes what was left with others; the number of reads that found their key.
    fn finish(&mut self) -> u64 {
        0
    }
}

/// How often threads met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contention {
    /// Turns that began at once.
    pub taken: u64,
    /// Turns that found the role taken.
    pub busy: u64,
    /// Jobs run for others.
    pub jobs: u64,
    /// Releases that found jobs.
    pub batches: u64,
    /// Most jobs one release found.
    pub batch_max: u64,
}

struct Named {
    name: String,
    engine: Box<dyn Engine>,
}

#[derive(Clone, Default)]
struct Series {
    cpu: Vec<f64>,
    wall: Vec<f64>,
    met: Contention,
}

/// The loads: share of reads and number of threads, or reads of one key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Load {
    reads: u32,
    threads: u32,
    hot: bool,
}

/// Runs the measurement.
///
/// # Errors
///
/// When an engine loses keys.
pub fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let engines = build(plan)?;
    back_with_huge_pages()?;
    let loads = loads(plan);
    let mut series = vec![vec![Series::default(); engines.len()]; loads.len()];
    let streams: Vec<_> = loads.iter().map(|&load| streams(plan, load)).collect();
    for round in 0..plan.rounds {
        for (l, streams) in streams.iter().enumerate() {
            for k in 0..engines.len() {
                let i = (k + round) % engines.len();
                let Named { name, engine } = &engines[i];
                engine.reset();
                let (cpu, wall) = run_once(engine.as_ref(), streams, plan.batch)
                    .map_err(|e| format!("{name}: {e}"))?;
                let s = &mut series[l][i];
                s.cpu.push(cpu);
                s.wall.push(wall);
                s.met.add(engine.contention().unwrap_or_default());
            }
        }
        eprintln!("round {} of {}", round + 1, plan.rounds);
    }
    print(plan, &engines, &loads, &series, report);
    Ok(())
}

/// As the server does it all the time. Here it concerns the memory of all engines alike.
fn back_with_huge_pages() -> Outcome<()> {
    let mut pages = HugePages::default();
    pages.begin(true)?;
    while let Step::Looked { .. } = pages.step() {}
    Ok(())
}

fn build(plan: &Plan) -> Outcome<Vec<Named>> {
    let mut all: Vec<Named> = Vec::new();
    for name in &plan.engines {
        let mut add = |name: String, engine: Box<dyn Engine>| all.push(Named { name, engine });
        match name.as_str() {
            "dunlin" => {
                for &shards in &plan.shards {
                    let engine = Dunlin::new(shards as usize, plan.keys, plan.size);
                    add(format!("dunlin-{shards}"), Box::new(engine));
                }
            }
            "plain" => {
                let shards = plan.shards.first().copied().unwrap_or(1) as usize;
                let engine = Dunlin::new(shards, plan.keys, plan.size).without_prefetch();
                add(name.clone(), Box::new(engine));
            }
            "dashmap" => add(name.clone(), Box::new(engines::Dash::new(plan.keys, plan.size))),
            "papaya" => add(name.clone(), Box::new(engines::Papaya::new(plan.keys, plan.size))),
            "moka" => add(
                name.clone(),
                Box::new(engines::Cloning::<engines::Moka>::new(plan.keys, plan.size)),
            ),
            "quick_cache" => add(
                name.clone(),
                Box::new(engines::Cloning::<engines::Quick>::new(plan.keys, plan.size)),
            ),
            "rwlock" => add(name.clone(), Box::new(engines::Locked::new(plan.keys, plan.size))),
            other => return Err(format!("no engine named {other}").into()),
        }
    }
    Ok(all)
}

fn loads(plan: &Plan) -> Vec<Load> {
    let mut loads = Vec::new();
    for &reads in &plan.reads {
        loads.extend(plan.threads.iter().map(|&threads| Load { reads, threads, hot: false }));
    }
    if plan.hot {
        loads.extend([1, 2].map(|threads| Load { reads: 100, threads, hot: true }));
    }
    loads
}

/// One stream of operations per thread.
fn streams(plan: &Plan, load: Load) -> Vec<Vec<Op>> {
    let zipf = Zipf::new(plan.keys, plan.zipf);
    let per_thread = plan.ops / u64::from(load.threads);
    let stream = |thread: u32| {
        let mut rng = Rng::new(plan.seed + u64::from(thread));
        let draw = |_| {
            let rank = if load.hot { 0 } else { zipf.sample(&mut rng) };
            let write = rng.below(100) >= u64::from(load.reads);
            Op::new((mix(rank) % plan.keys) as u32, write)
        };
        (0..per_thread).map(draw).collect()
    };
    (0..load.threads).map(stream).collect()
}

/// What a thread has done until the first one was through.
struct Part {
    begin: Instant,
    end: Instant,
    cpu: u64,
    ops: usize,
    found: u64,
}

/// CPU time per operation (ns) and throughput (million per second) of one run.
fn run_once(engine: &dyn Engine, streams: &[Vec<Op>], batch: usize) -> Outcome<(f64, f64)> {
    let barrier = Barrier::new(streams.len());
    let over = AtomicBool::new(false);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let one = |i: usize, ops: &[Op]| {
        // More threads than cores are left to the scheduler: preemption is what they are for.
        if streams.len() <= cores.len() {
            pin(Some(cores[i].id));
        }
        let mut worker = engine.worker();
        barrier.wait();
        let (begin, cpu) = (Instant::now(), thread_cpu_ns());
        let (mut done, mut found) = (0, 0);
        for chunk in ops.chunks(batch) {
            if over.load(Ordering::Relaxed) {
                break;
            }
            found += worker.batch(chunk);
            done += chunk.len();
        }
        over.store(true, Ordering::Relaxed);
        let end = Instant::now();
        found += worker.finish();
        Part { begin, end, cpu: thread_cpu_ns() - cpu, ops: done, found }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = streams
            .iter()
            .enumerate()
            .map(|(i, ops)| {
                let one = &one;
                scope.spawn(move || one(i, ops))
            })
            .collect();
        handles.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut parts = Vec::new();
    for result in results {
        parts.push(result.map_err(|_| Failure::from("a thread panicked"))?);
    }
    let total: usize = parts.iter().map(|p| p.ops).sum();
    let done = streams.iter().zip(&parts).flat_map(|(stream, part)| &stream[..part.ops]);
    let reads = done.filter(|op| !op.is_write()).count() as u64;
    let found: u64 = parts.iter().map(|p| p.found).sum();
    if found != reads {
        return Err(format!("{found} of {reads} reads found their key").into());
    }
    let cpu: u64 = parts.iter().map(|p| p.cpu).sum();
    let (Some(begin), Some(end)) =
        (parts.iter().map(|p| p.begin).min(), parts.iter().map(|p| p.end).min())
    else {
        return Err("no threads".into());
    };
    let wall = (end - begin).as_secs_f64();
    Ok((cpu as f64 / total as f64, total as f64 / wall / 1e6))
}

impl Contention {
    fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.busy += other.busy;
        self.jobs += other.jobs;
        self.batches += other.batches;
        self.batch_max = self.batch_max.max(other.batch_max);
    }
}

fn print(
    plan: &Plan,
    engines: &[Named],
    loads: &[Load],
    series: &[Vec<Series>],
    report: &mut Report,
) {
    let title = format!(
        "storage: {} keys, {}-byte values, zipf {}, batches of {}; medians of {} rounds",
        plan.keys, plan.size, plan.zipf, plan.batch, plan.rounds
    );
    let at = |name: &str| engines.iter().position(|e| e.name == name);
    let rivals = RIVALS.iter().filter_map(|name| at(name).map(|i| (format!("cpu to {name}"), i)));
    let rivals: Vec<(String, usize)> = rivals.collect();
    let mut columns = vec!["reads", "threads", "engine", "cpu ns/op", "Mops/s"];
    columns.extend(rivals.iter().map(|(name, _)| name.as_str()));
    columns.extend(["scaling", "scaling by cpu", "role busy %", "jobs", "jobs/batch", "batch max"]);
    let mut table = Table::new(&title, &columns);
    for (l, (load, row)) in loads.iter().zip(series).enumerate() {
        let single = loads.iter().position(|x| Load { threads: load.threads, ..*x } == *load);
        for (i, s) in row.iter().enumerate() {
            let base = single.map(|b| &series[b][i]).filter(|_| single != Some(l));
            let scaling = base.map_or(f64::NAN, |b| ratio(&s.wall, &b.wall));
            let by_cpu = base.map_or(f64::NAN, |b| ratio(&b.cpu, &s.cpu));
            let met = s.met;
            let told = met.taken > 0;
            let told = |cell: Cell| if told { cell } else { Cell::Empty };
            let busy = 100.0 * met.busy as f64 / (met.taken + met.busy) as f64;
            let mut cells = vec![
                if load.hot {
                    "one key".into()
                } else {
                    format!("{}%", load.reads).as_str().into()
                },
                u64::from(load.threads).into(),
                engines[i].name.as_str().into(),
                number(median(&s.cpu), 1),
                number(median(&s.wall), 2),
            ];
            cells.extend(rivals.iter().map(|(_, i)| number(ratio(&s.cpu, &row[*i].cpu), 2)));
            cells.extend([
                number(scaling, 2),
                number(by_cpu * f64::from(load.threads), 2),
                told(number(busy, 3)),
                told(met.jobs.into()),
                told(number(met.jobs as f64 / met.batches as f64, 2)),
                told(met.batch_max.into()),
            ]);
            table.row(cells);
        }
    }
    report.table(table);
    judge(plan.keys, engines, loads, series, report);
}

/// The goals, for Dunlin with its first shard count.
fn judge(
    keys: u64,
    engines: &[Named],
    loads: &[Load],
    series: &[Vec<Series>],
    report: &mut Report,
) {
    let at = |name: &str| engines.iter().position(|e| e.name == name);
    let Some(own) = engines.iter().position(|e| e.name.starts_with("dunlin")) else {
        return;
    };
    let find = |load: Load| loads.iter().position(|l| *l == load).map(|l| &series[l]);
    for (reads, limit) in GOALS {
        let at_threads = |threads| find(Load { reads, threads, hot: false });
        let Some(two) = at_threads(2) else { continue };
        for name in RIVALS {
            if let Some(other) = at(name) {
                let r = ratio(&two[own].cpu, &two[other].cpu);
                let text = format!("{reads}% reads, 2 threads: {r:.3} of {name}'s CPU <= {limit}");
                report.goal(r <= limit, &text);
            }
        }
        if let Some(plain) = at("plain").filter(|_| keys >= COLD) {
            let r = ratio(&two[plain].cpu, &two[own].cpu);
            let text =
                format!("{reads}% reads: {r:.2}x the CPU without prefetching >= {GOAL_PLAIN}");
            report.goal(r >= GOAL_PLAIN, &text);
        }
        if let Some(one) = at_threads(1) {
            let r = ratio(&two[own].wall, &one[own].wall);
            report.goal(r >= 1.8, &format!("{reads}% reads: 2 threads do {r:.2}x of one >= 1.8"));
        }
        if let Some(eight) = at_threads(8) {
            let r = ratio(&eight[own].wall, &two[own].wall);
            report.goal(r >= 0.9, &format!("{reads}% reads: 8 threads do {r:.2}x of two >= 0.9"));
        }
    }
    let hot = |threads| find(Load { reads: 100, threads, hot: true });
    if let (Some(one), Some(two)) = (hot(1), hot(2)) {
        let r = ratio(&two[own].wall, &one[own].wall);
        report.goal(r >= 1.9, &format!("reads of one key: 2 threads do {r:.2}x of one >= 1.9"));
    }
}
