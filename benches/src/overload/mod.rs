//! `overload`: what a server does with more than it can do.
//!
//! Every scenario is an open loop ([`engine`]): Poisson arrivals planned ahead, latency from the
//! planned time, a request not answered or not even sent by its deadline has failed. **Goodput** is
//! correct replies within the deadline per second. The server has one core, the generator the
//! other. Scenarios:
//! - `cheap`: more and more GETs and SETs, to ten times the capacity;
//! - `dear`: the same with one command in ten that takes 2 ms;
//! - `hog`: light clients beside a pipeline that is never empty and a client that moves huge values;
//! - `storm`: light clients beside thousands of new connections per second, plain and TLS;
//! - `readers`: light clients beside hundreds that ask for megabytes and do not read them;
//! - `step`: steps and a square wave of load, for what the controller does in time;
//! - `crowds`: clients that only take places (not an open loop).
//!
//! [`rounds`] says how the servers take turns, and why ratios are taken within a round. Tables show
//! medians. Goals are those of `dunlin`; `dunlin-off` is the same program with its gates open.

mod calibrate;
mod cheap;
mod crowds;
mod dear;
mod engine;
mod hog;
mod light;
mod neighbours;
mod plot;
mod readers;
mod rounds;
mod step;
mod storm;
mod tally;
#[cfg(test)]
mod tests;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use self::engine::Watch;
use self::neighbours::Neighbour;
use self::tally::Outcomes;
use self::traffic::Traffic;
use crate::Outcome;
use crate::peer::{Server, Stage};
use crate::process::pin;
use crate::report::Report;

/// The name of Dunlin without adaptive gates among the servers.
pub const OFF: &str = "dunlin-off";
/// The scenarios there are.
pub const SCENARIOS: &str = "cheap,dear,hog,storm,readers,step,crowds";

/// The storms there are.
pub const STORMS: &str = "plain,tls,hello";

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of scenarios.
    pub scenarios: Vec<String>,
    /// Length of each load.
    pub seconds: f64,
    /// Rounds of `cheap`, `dear`, `step` and `crowds`.
    pub rounds: usize,
    /// Pairs of a slice alone and one beside neighbours, for `hog`, `storm` and `readers`.
    pub pairs: usize,
    /// Where plots are written, if they are.
    pub plots: Option<PathBuf>,
    /// A request answered later has failed.
    pub deadline: Duration,
    /// What a cheap request is to cost the server, in microseconds; 0 leaves it as it is.
    pub cheap_us: f64,
    /// What a dear command takes, in milliseconds.
    pub dear_ms: f64,
    /// Requests per second of the light clients.
    pub light_rate: f64,
    /// Names of the storms.
    pub storms: Vec<String>,
    /// New connections per second of a storm.
    pub storm_rate: f64,
    /// Bytes that replies waiting for readers may take (`maxmemory-clients`), in MiB.
    pub client_budget: u64,
    /// Seed of the loads.
    pub seed: u64,
}

/// Runs the scenarios.
///
/// # Errors
///
/// When a server fails, breaks off or answers nonsense.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    if let Some(dir) = &plan.plots {
        std::fs::create_dir_all(dir)?;
    }
    more_descriptors();
    // The loads run in this thread; a server that may run anywhere must not inherit its core.
    let core = stage.server_core.and(stage.load_core);
    let all = || {
        pin(core);
        for scenario in &plan.scenarios {
            match scenario.as_str() {
                "cheap" => cheap::run(stage, plan, report)?,
                "dear" => dear::run(stage, plan, report)?,
                "hog" => hog::run(stage, plan, report)?,
                "storm" => storm::run(stage, plan, report)?,
                "readers" => readers::run(stage, plan, report)?,
                "step" => step::run(stage, plan, report)?,
                "crowds" => crowds::run(stage, plan, report)?,
                other => return Err(format!("no scenario named {other}").into()),
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| scope.spawn(all).join())
        .unwrap_or_else(|_| Err("a scenario panicked".into()))
}

/// A storm needs thousands; the servers inherit the limit. Room for them is made before there are
/// threads: later, whoever opens one too many for the system's table waits ten milliseconds.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer the clients beyond them count as refused.
    let _ = setrlimit(Resource::Nofile, limit);
    let last = limit.current.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS)) - 1;
    let _ = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), last as i32);
}

/// Descriptors there is room for from the beginning.
const DESCRIPTORS: u64 = 16 * 1024;

/// Keys in place in every scenario, and the length of their values.
const KEYS: u64 = 10_000;
const VALUE: usize = 64;

/// What a server has used at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_ns: u64,
    rss: u64,
    peak: u64,
}

/// Runs a load; also what the server had used at the begin of each phase, and at the end.
fn drive(
    server: &Server,
    traffic: &Traffic,
    neighbours: &mut [&mut dyn Neighbour],
) -> Outcome<(Outcomes, Vec<Usage>)> {
    let mut usage = Vec::new();
    server.process.reset_peak();
    let watch: Watch<'_> = &mut |_| {
        let (rss, peak) = server.process.rss();
        usage.push(Usage { cpu_ns: server.process.cpu_ns(), rss, peak });
    };
    let result = undisturbed(|| engine::run(server.addr, traffic, neighbours, watch));
    let outcomes = result.map_err(|e| {
        let end = server.process.ended().map_or(String::new(), |end| format!(" (ended: {end})"));
        format!("{}: {e}{end}", server.name)
    })?;
    if let Some(text) = &outcomes.first_wrong {
        eprintln!("note: {} answered wrongly, first: {text}", server.name);
    }
    Ok((outcomes, usage))
}

/// Does something at the highest priority, if the system allows it: whatever else the generator's core
/// has to do for milliseconds would be taken for latency.
fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    const MOST: i32 = 20;
    let before = rustix::process::nice(0);
    let allowed = rustix::process::nice(-MOST);
    let done = work();
    if let (Ok(before), Ok(now)) = (before, allowed) {
        let _ = rustix::process::nice(before - now);
    }
    done
}

/// The server's CPU time in a phase as a share of the phase.
fn busy(traffic: &Traffic, usage: &[Usage], phase: usize) -> f64 {
    match (usage.get(phase), usage.get(phase + 1)) {
        (Some(a), Some(b)) => {
            let used = b.cpu_ns.saturating_sub(a.cpu_ns) as f64;
            used / traffic.phases[phase].time.as_nanos() as f64
        }
        _ => f64::NAN,
    }
}

/// Bytes as MiB.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
