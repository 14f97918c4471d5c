//! `stall`: the slowest reply under an open load while something big happens.
//!
//! Scenarios, each on a fresh server:
//! - `new-keys`: every request writes a key that was not there, so tables grow all the time;
//! - `unlink-big`: values of 100 MB are removed by UNLINK and DEL;
//! - `flushall`: FLUSHALL with all keys in place;
//! - `shrink`: CONFIG SET maxmemory to a hundredth of what is held, under `allkeys-lru`.
//!
//! Only the load goes to the server that answers with a constant ([`crate::floor`], by `--servers`):
//! its slowest reply is the machine's own.
//!
//! The rate is a share (half) of the peak that a closed loop of the same requests, connections and
//! pipeline reaches on the same server just before, or given by `--rate`.

use std::time::Duration;

use crate::Outcome;
use crate::compare::{fill, measure};
use crate::load::{self, Keys, Spec, Until};
use crate::open::{self, Arrivals};
use crate::peer::{Peer, Server, Stage};
use crate::process::pin;
use crate::report::{Report, Table, number};
use crate::request::{Op, Ttl, ValueSize};
use crate::scan::Wire;
use crate::standard::FLOOR;

/// What to do and how hard.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of scenarios.
    pub scenarios: Vec<String>,
    /// Keys: written anew in `new-keys`, in place before the others. Not given: ten and five
    /// million.
    pub keys: Option<u64>,
    /// Length of the load (`new-keys` ends when all are written).
    pub time: Duration,
    /// Requests per second; if not given, `share` of the peak.
    pub rate: Option<f64>,
    /// Share of the measured peak.
    pub share: f64,
    /// Connections.
    pub connections: usize,
    /// Requests arriving together.
    pub pipeline: u32,
    /// Spacing of the arrivals.
    pub arrivals: Arrivals,
    /// Length of the values.
    pub size: usize,
    /// Big values removed by each of UNLINK and DEL.
    pub big_count: usize,
    /// Their length.
    pub big_size: usize,
    /// Seed of the load.
    pub seed: u64,
}

impl Plan {
    fn keys_of(&self, scenario: &str) -> u64 {
        match scenario {
            "new-keys" => self.keys.unwrap_or(10_000_000),
            "unlink-big" => self.keys.unwrap_or(u64::MAX).min(100_000),
            _ => self.keys.unwrap_or(5_000_000),
        }
    }
}

/// The scenarios there are.
pub const SCENARIOS: &[&str] = &["new-keys", "unlink-big", "flushall", "shrink"];
/// The slowest reply Dunlin may give on a quiet machine.
const GOAL: Duration = Duration::from_millis(2);
/// `shrink` does not go below this: servers count clients' buffers too, and would refuse writes.
const SHRUNK: u64 = 8 << 20;
/// A generator that was away this long says nothing about the server.
const QUIET: Duration = Duration::from_millis(1);

/// Runs the scenarios on every RESP server.
///
/// # Errors
///
/// When a server fails or breaks off.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    for scenario in &plan.scenarios {
        if !SCENARIOS.contains(&scenario.as_str()) {
            return Err(format!("no scenario named {scenario}").into());
        }
        let title = format!(
            "stall: {scenario}, {} keys, pipeline {}, {:?} arrivals",
            plan.keys_of(scenario),
            plan.pipeline,
            plan.arrivals
        );
        let columns = [
            "server",
            "peak kops/s",
            "rate kops/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "slowest us",
            "due at s",
            "over 2 ms",
            "slices over 2 ms",
            "errors",
            "action ms",
            "own pause us",
            "waited ms",
        ];
        let mut table = Table::new(&title, &columns);
        let mut slowest = Vec::new();
        for peer in stage.peers.iter().filter(|p| p.wire == Wire::Resp) {
            let (row, result) = one(stage, plan, peer, scenario)?;
            table.row(row);
            slowest.push((peer.name.clone(), result));
        }
        report.table(table);
        judge(scenario, &slowest, report);
    }
    Ok(())
}

fn judge(scenario: &str, results: &[(String, open::Result)], report: &mut Report) {
    let of = |name: &str| results.iter().find(|(n, _)| n == name).map(|(_, r)| r);
    let max = |r: &open::Result| Duration::from_nanos(r.tally.latency.max());
    for (name, result) in results {
        for (took, error) in &result.actions {
            if let Some(text) = error {
                report.fail(format!("{scenario}: {name} answered {text} after {took:?}"));
            }
        }
    }
    let Some(dunlin) = of("dunlin") else { return };
    if dunlin.own_pause > QUIET {
        println!("the machine was not quiet: the generator was away for {:?}", dunlin.own_pause);
    }
    let text = format!("{scenario}: slowest reply {:?} <= {GOAL:?}", max(dunlin));
    report.goal(max(dunlin) <= GOAL, &text);
    if let Some(redis) = of("redis") {
        let text = format!("{scenario}: slowest reply {:?}, redis's {:?}", max(dunlin), max(redis));
        report.goal(max(dunlin) <= max(redis), &text);
    }
    if dunlin.tally.errors > 0 {
        let text = dunlin.tally.first_error.as_deref().unwrap_or_default();
        report.fail(format!("{scenario}: {} error replies: {text}", dunlin.tally.errors));
    }
}

fn one(
    stage: &Stage,
    plan: &Plan,
    peer: &Peer,
    scenario: &str,
) -> Outcome<(Vec<crate::report::Cell>, open::Result)> {
    let mix =
        if scenario == "new-keys" { vec![(Op::Set, 1)] } else { vec![(Op::Get, 19), (Op::Set, 1)] };
    let peak = match plan.rate {
        Some(rate) => rate / plan.share,
        None => peak(stage, peer, peak_spec(plan, &mix))?,
    };
    let rate = peak * plan.share;
    let server = stage.start(peer)?;
    let keys = plan.keys_of(scenario);
    let is_floor = server.name == FLOOR;
    if !is_floor {
        prepare(stage, plan, &server, scenario)?;
    }
    let ops = if scenario == "new-keys" { keys } else { (rate * plan.time.as_secs_f64()) as u64 };
    let spec = open::Spec {
        rate,
        pipeline: plan.pipeline,
        arrivals: plan.arrivals,
        ops,
        connections: plan.connections,
        mix,
        key_space: keys,
        keys: if scenario == "new-keys" { Keys::Sequence } else { Keys::Uniform },
        size: ValueSize::Fixed(plan.size),
        ttl: Ttl::None,
        actions: match is_floor {
            true => Vec::new(),
            false => actions(plan, &server, scenario, ops as f64 / rate)?,
        },
        deadline: GOAL,
        seed: plan.seed,
    };
    let waited = server.process.run_delay_ns();
    let result = drive(stage, &server, &spec)?;
    let waited = server.process.run_delay_ns().saturating_sub(waited);
    if !is_floor {
        check(&server, scenario, keys)?;
    }
    let latency = &result.tally.latency;
    let us = |q: f64| number(latency.value_at_quantile(q) as f64 / 1000.0, 0);
    let action = result.actions.iter().map(|a| a.0).max().unwrap_or_default();
    let slices = result.timeline.iter().filter(|&&t| t > GOAL).count();
    let row = vec![
        peer.name.as_str().into(),
        number(peak / 1000.0, 1),
        number(rate / 1000.0, 1),
        us(0.5),
        us(0.99),
        us(0.999),
        us(1.0),
        number(result.slowest_at.as_secs_f64(), 2),
        result.late.into(),
        number(slices as f64, 0),
        result.tally.errors.into(),
        number(action.as_secs_f64() * 1000.0, 2),
        number(result.own_pause.as_secs_f64() * 1e6, 0),
        number(waited as f64 / 1e6, 1),
    ];
    Ok((row, result))
}

/// Runs an open loop against `server` from the generator's core.
pub(crate) fn drive(stage: &Stage, server: &Server, spec: &open::Spec) -> Outcome<open::Result> {
    let run = || {
        pin(stage.load_core);
        open::run(server.addr, server.wire, spec)
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err("the load panicked".into()))
        .map_err(|e| format!("{}: {e} {:?}", server.name, server.process.ended()).into())
}

/// What a closed loop of the same requests reaches, on a server of its own.
pub(crate) fn peak(stage: &Stage, peer: &Peer, spec: load::Spec) -> Outcome<f64> {
    let server = stage.start(peer)?;
    if !matches!(spec.keys, Keys::Sequence) {
        fill(&server, stage.load_core, Spec::fill(spec.key_space, spec.size, Ttl::None))?;
    }
    Ok(measure(&server, stage.load_core, spec)?.tally.rate())
}

fn peak_spec(plan: &Plan, mix: &[(Op, u32)]) -> load::Spec {
    let new_keys = mix.len() == 1;
    load::Spec {
        connections: plan.connections,
        pipeline: plan.pipeline,
        mix: mix.to_vec(),
        key_space: if new_keys { u64::MAX } else { 1_000_000 },
        keys: if new_keys { Keys::Sequence } else { Keys::Uniform },
        size: ValueSize::Fixed(plan.size),
        until: Until::Time(Duration::from_secs(3)),
        seed: plan.seed,
        ..load::Spec::default()
    }
}

/// Brings the server to where the load begins.
fn prepare(stage: &Stage, plan: &Plan, server: &Server, scenario: &str) -> Outcome<()> {
    let mut control = server.control()?;
    if scenario == "shrink" {
        control.command("CONFIG SET maxmemory-policy allkeys-lru")?;
    }
    let keys = plan.keys_of(scenario);
    if scenario != "new-keys" {
        let size = ValueSize::Fixed(plan.size);
        fill(server, stage.load_core, Spec::fill(keys, size, Ttl::None))?;
    }
    if scenario == "unlink-big" {
        let value = vec![b'v'; plan.big_size];
        for i in 0..2 * plan.big_count {
            let reply = control.call(&[b"SET", big_key(i).as_bytes(), &value])?;
            if let redis_protocol::resp2::types::OwnedFrame::Error(text) = reply {
                return Err(format!("{}: {text}", server.name).into());
            }
        }
    }
    Ok(())
}

fn big_key(i: usize) -> String {
    format!("big:{i}")
}

fn actions(
    plan: &Plan,
    server: &Server,
    scenario: &str,
    length: f64,
) -> Outcome<Vec<(Duration, Vec<u8>)>> {
    let words = match scenario {
        "unlink-big" => {
            let command = |i: usize| if i < plan.big_count { "UNLINK" } else { "DEL" };
            (0..2 * plan.big_count).map(|i| format!("{} {}", command(i), big_key(i))).collect()
        }
        "flushall" => vec!["FLUSHALL".to_owned()],
        "shrink" => {
            let used = server.control()?.info("memory", "used_memory")?.unwrap_or(1 << 30);
            vec![format!("CONFIG SET maxmemory {}", (used / 100).max(SHRUNK))]
        }
        _ => Vec::new(),
    };
    let step = length / (words.len() + 1) as f64;
    let at = |i: usize| Duration::from_secs_f64(step * (i + 1) as f64);
    Ok(words.iter().enumerate().map(|(i, w)| (at(i), encode(w))).collect())
}

fn encode(words: &str) -> Vec<u8> {
    let args: Vec<&str> = words.split(' ').collect();
    let mut out = format!("*{}\r\n", args.len());
    for arg in args {
        out.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
    }
    out.into_bytes()
}

/// Whether the scenario did what it is about: a load beside which nothing happened shows nothing.
fn check(server: &Server, scenario: &str, keys: u64) -> Outcome<()> {
    let mut control = server.control()?;
    let mut held = control.items()?;
    if scenario == "shrink" {
        // Eviction may go on after the last request of a short load.
        for _ in 0..100 {
            if held < keys / 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            held = control.items()?;
        }
    }
    let good = match scenario {
        "new-keys" | "unlink-big" => held == keys,
        _ => held < keys / 2,
    };
    if good {
        return Ok(());
    }
    Err(format!("{}: {held} items after {scenario} with {keys} keys", server.name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_encoded() {
        assert_eq!(encode("DEL a"), b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n");
    }
}
