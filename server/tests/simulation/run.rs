//! One run: nodes, faults, checks, and at the end, when nothing goes wrong any more, everything has to be
//! well again.

use super::broken::Broken;
use super::check::{Checker, Report, is_settled};
use super::faults::{self, Fault};
use super::network::{self, Slot};
use super::node::{Clock, Plan};
use super::process::Process;
use super::rng::Rng;
use dunlin::cluster::meta::Random;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use turmoil::Sim;

/// How much time passes between two checks.
const TICK: Duration = Duration::from_millis(5);
/// Before anything goes wrong.
const CALM: Duration = Duration::from_secs(6);
/// How long it may take until all is well.
const REPAIR: Duration = Duration::from_secs(90);

thread_local! {
    /// Simulated time, for logs.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Simulated time, for logs.
pub(crate) struct Elapsed;

impl tracing_subscriber::fmt::time::FormatTime for Elapsed {
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(w, "{:?}", NOW.get())
    }
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Why a run has failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something has happened that must not.
    Wrong(String),
    /// It has not come to an end.
    Stuck(String),
}

/// What runs.
struct Nodes<'a> {
    sim: Sim<'a>,
    plans: Vec<Plan>,
    slots: Vec<Slot>,
    /// None: it was killed.
    processes: Vec<Option<Process>>,
    /// Who is started again, or goes on, and when.
    back: Vec<(usize, Duration)>,
    rng: Rng,
}

impl Nodes<'_> {
    fn new(mut sim: Sim<'_>, plans: Vec<Plan>, rng: Rng) -> Nodes<'_> {
        let (mut slots, mut processes) = (Vec::new(), Vec::new());
        for plan in &plans {
            let (simulated, kernel) = network::network();
            let slot: Slot = Arc::new(Mutex::new(Some(kernel)));
            let taken = Arc::clone(&slot);
            sim.host(plan.name.clone(), move || {
                let kernel = taken.lock().unwrap().take().expect("one for each start");
                kernel.run()
            });
            slots.push(slot);
            processes.push(Some(Process::start(plan, simulated, Duration::ZERO)));
        }
        Nodes { sim, plans, slots, processes, back: Vec::new(), rng }
    }

    /// Lets all run for a tick, in any order.
    fn step(&mut self) -> Result<Duration, String> {
        self.sim.step().map_err(|error| error.to_string())?;
        NOW.set(self.sim.elapsed());
        let mut order: Vec<usize> = (0..self.processes.len()).collect();
        (1..order.len()).for_each(|at| order.swap(at, self.rng.below(at + 1)));
        for node in order {
            if let Some(process) = &mut self.processes[node] {
                process.tick(TICK)?;
            }
        }
        Ok(self.sim.elapsed())
    }

    /// Whether a process can be killed or stopped.
    fn runs(&self, node: usize) -> bool {
        self.processes[node].as_ref().is_some_and(|process| !process.is_stopped())
    }

    fn kill(&mut self, node: usize, until: Duration) {
        *self.plans[node].place.lock().unwrap() = None;
        self.processes[node] = None;
        self.sim.crash(self.plans[node].name.as_str());
        self.back.push((node, until));
    }

    fn stop(&mut self, node: usize, until: Duration) {
        let now = self.sim.elapsed();
        self.processes[node].iter_mut().for_each(|process| process.stop(now));
        self.back.push((node, until));
    }

    /// Starts again who was killed, and lets go on who was stopped, if it is time or `all`.
    fn bring_back(&mut self, all: bool, checker: &mut Checker) {
        let now = self.sim.elapsed();
        let due: Vec<_> = self.back.extract_if(.., |(_, at)| all || *at <= now).collect();
        for (node, _) in due {
            if let Some(process) = &mut self.processes[node] {
                process.go_on(now);
                continue;
            }
            checker.restarted(node);
            let (simulated, kernel) = network::network();
            *self.slots[node].lock().unwrap() = Some(kernel);
            self.sim.bounce(self.plans[node].name.as_str());
            self.processes[node] = Some(Process::start(&self.plans[node], simulated, now));
        }
    }
}

/// What nodes there are.
fn plans(sim: &Sim<'_>, rng: &mut Rng, directory: &Directory, broken: Option<Broken>) -> Vec<Plan> {
    let count = 3 + rng.below(3);
    let zones = rng.below(2) == 0;
    let name = |node: usize| format!("node{}", node % count);
    (0..count)
        .map(|node| Plan {
            name: name(node),
            directory: directory.0.join(name(node)),
            clock: Clock::new(rng.next() >> 20, node % 2 == 1, broken),
            zone: if zones { format!("zone{}", node % 3) } else { String::new() },
            ip: sim.lookup(name(node)),
            join: match node {
                0 => Vec::new(),
                _ => vec![sim.lookup(name(0)), sim.lookup(name(node + 1))],
            },
            place: Arc::new(Mutex::new(None)),
            broken,
        })
        .collect()
}

/// Runs a seed.
pub(crate) fn run(seed: u64, faulty: Duration, broken: Option<Broken>) -> Result<Report, Failure> {
    Random::seed(seed);
    let mut rng = Rng::part(seed, 1);
    let path = format!("dunlin-simulation-{}-{seed}-{:x}", std::process::id(), Rng::random_seed());
    let directory = Directory(std::env::temp_dir().join(path));
    let latency = Duration::from_millis([2, 20, 60][rng.below(3)]);
    let sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(latency)
        .simulation_duration(Duration::from_secs(3600))
        .tcp_capacity(1 << 16)
        .enable_random_order()
        .build();
    let plans = plans(&sim, &mut rng, &directory, broken);
    let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    let places: Vec<_> = plans.iter().map(|plan| Arc::clone(&plan.place)).collect();
    let clocks: Vec<_> = plans.iter().map(|plan| plan.clock.clone()).collect();
    let mut nodes = Nodes::new(sim, plans, Rng::part(seed, 2));
    let mut checker = Checker::default();
    let mut next = CALM;
    let end = CALM + faulty;
    let mut settled = Err("not yet".to_owned());
    while nodes.sim.elapsed() < end + REPAIR {
        let now = nodes.step().map_err(Failure::Stuck)?;
        let checked = checker.check(&places, &clocks, now);
        checked.map_err(|why| Failure::Wrong(format!("{now:?}: {why}")))?;
        nodes.bring_back(now >= end, &mut checker);
        if now < end && now >= next {
            let fault = faults::draw(&mut rng, names.len());
            tracing::info!(?fault, "{now:?}");
            faults::apply(&nodes.sim, &fault, &names, latency);
            checker.report.faults += 1;
            match fault {
                Fault::Crash(node, pause) if nodes.runs(node) => nodes.kill(node, now + pause),
                Fault::Stop(node, pause) if nodes.runs(node) => {
                    checker.report.stops += 1;
                    nodes.stop(node, now + pause);
                }
                _ => {}
            }
            next = now + faults::pause(&mut rng);
        } else if now >= end && next != Duration::MAX {
            faults::apply(&nodes.sim, &Fault::Repair, &names, latency);
            next = Duration::MAX;
        } else if now >= end {
            settled = is_settled(&places, &clocks, now);
            if settled.is_ok() {
                return Ok(checker.report);
            }
        }
    }
    Err(Failure::Stuck(format!("never well again: {}", settled.unwrap_err())))
}
