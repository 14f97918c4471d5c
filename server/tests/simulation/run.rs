//! One run: nodes, faults, checks, and at the end, when nothing goes wrong any more, everything has to be
//! well again.

use super::broken::Broken;
use super::check::{Checker, Report, is_settled};
use super::faults::{self, Fault};
use super::node::{self, Clock, Plan};
use super::rng::Rng;
use dunlin::cluster::meta::Random;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How much time passes between two checks.
const TICK: Duration = Duration::from_millis(5);
/// Before anything goes wrong.
const CALM: Duration = Duration::from_secs(6);
/// How long it may take until all is well.
const REPAIR: Duration = Duration::from_secs(90);

/// Simulated time, and which node says something, for logs.
pub(crate) struct Elapsed;

impl tracing_subscriber::fmt::time::FormatTime for Elapsed {
    fn format_time(&self, w: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        match turmoil::in_simulation().then(turmoil::sim_elapsed).flatten() {
            Some(elapsed) => write!(w, "{elapsed:?}"),
            None => write!(w, "-"),
        }
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

/// Runs a seed.
pub(crate) fn run(seed: u64, faulty: Duration, broken: Option<Broken>) -> Result<Report, Failure> {
    Random::seed(seed);
    let mut rng = Rng::part(seed, 1);
    let path = format!("dunlin-simulation-{}-{seed}-{:x}", std::process::id(), Rng::random_seed());
    let directory = Directory(std::env::temp_dir().join(path));
    let count = 3 + rng.below(3);
    let names: Vec<String> = (0..count).map(|node| format!("node{node}")).collect();
    let latency = Duration::from_millis([2, 20, 60][rng.below(3)]);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(latency)
        .simulation_duration(Duration::from_secs(3600))
        .tcp_capacity(1 << 16)
        .enable_random_order()
        .build();
    let zones = rng.below(2) == 0;
    let plans: Vec<Plan> = (0..count)
        .map(|node| Plan {
            name: names[node].clone(),
            directory: directory.0.join(&names[node]),
            clock: Clock {
                start: rng.next() >> 20,
                is_slow: broken == Some(Broken::SlowClock) && node % 2 == 1,
            },
            zone: if zones { format!("zone{}", node % 3) } else { String::new() },
            join: if node == 0 {
                Vec::new()
            } else {
                vec![names[0].clone(), names[(node + 1) % count].clone()]
            },
            place: Arc::new(Mutex::new(None)),
            broken,
        })
        .collect();
    for plan in &plans {
        let plan = plan.clone();
        sim.host(plan.name.clone(), move || node::run(plan.clone()));
    }
    let places: Vec<_> = plans.iter().map(|plan| Arc::clone(&plan.place)).collect();
    let clocks: Vec<_> = plans.iter().map(|plan| plan.clock).collect();
    let mut checker = Checker::default();
    let mut next = CALM;
    let mut down: Vec<(usize, Duration)> = Vec::new();
    let end = CALM + faulty;
    let mut settled = Err("not yet".to_owned());
    while sim.elapsed() < end + REPAIR {
        sim.step().map_err(|error| Failure::Stuck(error.to_string()))?;
        let now = sim.elapsed();
        let checked = checker.check(&places, &clocks, now);
        checked.map_err(|why| Failure::Wrong(format!("{now:?}: {why}")))?;
        let due = |(_, at): &(usize, Duration)| *at <= now || now >= end;
        for (node, _) in down.extract_if(.., |entry| due(entry)) {
            checker.restarted(node);
            sim.bounce(names[node].as_str());
        }
        if now < end && now >= next {
            let fault = faults::draw(&mut rng, count);
            tracing::info!(?fault, "{now:?}");
            faults::apply(&sim, &fault, &names, latency);
            checker.report.faults += 1;
            if let Fault::Crash(node, pause) = fault
                && down.iter().all(|(other, _)| *other != node)
            {
                *places[node].lock().unwrap() = None;
                sim.crash(names[node].as_str());
                down.push((node, now + pause));
            }
            next = now + faults::pause(&mut rng);
        } else if now >= end && next != Duration::MAX {
            faults::apply(&sim, &Fault::Repair, &names, latency);
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
