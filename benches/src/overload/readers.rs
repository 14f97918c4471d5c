//! `readers`: light clients beside 500 that ask for a value of 1 MB four times at once and read
//! slowly or not at all. All servers get the same `maxmemory-clients`; a server that holds every
//! reply that nobody reads would need 2 GB.

use super::calibrate::start;
use super::light::{Light, Noticed};
use super::neighbours::Readers;
use super::rounds::{against, between, mid, rounds};
use super::traffic::command;
use super::{OFF, Plan, mib};
use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, number};

const COUNT: usize = 500;
const BIG: usize = 1_000_000;
const EACH: usize = 4;
/// Bytes per second that those who read at all read together.
const BANDWIDTH: f64 = 20e6;
const P99_GOAL_TIMES: f64 = 1.5;

/// One server in one pair of slices.
struct Visit {
    light: Noticed,
    growth: f64,
    received: f64,
    closed: f64,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let begin = |peer: &_| begin(stage, plan, peer);
    let one = |_: &_, begun: &Begun, seed| visit(begun, plan, seed);
    let results = rounds(stage, plan, ("readers", plan.pairs), begin, one)?;
    report.table(table(stage, plan, &results));
    for (peer, visits) in stage.peers.iter().zip(&results) {
        if peer.name != "dunlin" {
            continue;
        }
        let growth = visits.iter().map(|v| v.growth).fold(0.0, f64::max);
        let budget = plan.client_budget as f64;
        let text =
            format!("readers: RSS + at most {growth:.0} MiB <= the budget of {budget:.0} MiB");
        report.goal(growth <= budget, &text);
        let times = mid(visits, |v| v.light.times());
        let text = format!("readers: light steady p99 {times:.2} <= 1.5 times its baseline");
        report.goal(times <= P99_GOAL_TIMES, &text);
    }
    Ok(())
}

/// A server, and its memory before there was a reader.
struct Begun {
    server: Server,
    rss: u64,
}

impl Begun {
    fn evicted(&self) -> Outcome<u64> {
        Ok(self.server.control()?.info("stats", "evicted_clients")?.unwrap_or(0))
    }
}

fn begin(stage: &Stage, plan: &Plan, peer: &Peer) -> Outcome<Begun> {
    let budget = format!("{}mb", plan.client_budget);
    let server = start(stage, peer, &["--maxmemory-clients", &budget])?;
    server.control()?.call(&[b"SET", b"big", &vec![b'b'; BIG]])?;
    let rss = server.process.rss().0;
    Ok(Begun { server, rss })
}

fn visit(begun: &Begun, plan: &Plan, seed: u64) -> Outcome<Visit> {
    let light = Light::new(plan, seed);
    let request = command(&[b"GET", b"big"]).repeat(EACH);
    let before = begun.evicted()?;
    let mut readers = Readers::new(begun.server.addr, light.span, COUNT, request, BANDWIDTH);
    let noticed = light.drive(&begun.server, &mut [&mut readers])?;
    Ok(Visit {
        light: noticed,
        growth: mib(noticed.after.peak.saturating_sub(begun.rss)),
        received: readers.received as f64 / 1e6 / light.seconds(),
        closed: begun.evicted()?.saturating_sub(before) as f64,
    })
}

fn table(stage: &Stage, plan: &Plan, results: &[Vec<Visit>]) -> Table {
    let title = format!(
        "readers: {} GET/s of 50 light clients beside {COUNT} that ask for {EACH} x {} MB and read \
         slowly or never, maxmemory-clients {} MiB, medians of {} pairs of {} s",
        plan.light_rate,
        BIG / 1_000_000,
        plan.client_budget,
        plan.pairs,
        plan.seconds
    );
    let columns = [
        "server",
        "RSS + MiB",
        "clients evicted",
        "read MB/s",
        "alone p99 ms",
        "beside p99 ms",
        "steady p99 ms",
        "times",
        "quartiles",
        "x off",
        "failed %",
        "server busy",
        "own p99 ms",
    ];
    let mut table = Table::new(&title, &columns);
    for (peer, visits) in stage.peers.iter().zip(results) {
        let of = |field: fn(&Visit) -> f64, decimals| number(mid(visits, field), decimals);
        table.row(vec![
            peer.name.as_str().into(),
            of(|v| v.growth, 0),
            of(|v| v.closed, 0),
            of(|v| v.received, 1),
            of(|v| v.light.alone, 3),
            of(|v| v.light.p99, 3),
            of(|v| v.light.steady, 3),
            of(|v| v.light.times(), 2),
            between(visits, |v| v.light.times(), 2),
            against(stage, results, visits, OFF, |v| v.light.steady),
            of(|v| v.light.failed, 2),
            of(|v| v.light.busy, 2),
            of(|v| v.light.own, 3),
        ]);
    }
    table
}
