//! `storm`: light clients beside thousands of new connections per second, by clients that give up
//! after a second.
//!
//! - `plain`: each sends PING and wants PONG;
//! - `tls`: the same after a full handshake of TLS 1.3 with an RSA key, at up to three times what
//!   the server can do (one core of clients cannot offer more);
//! - `hello`: clients that send the first message of a handshake and go on waiting, with a few
//!   among them that are in earnest.
//!
//! What a server **could** serve follows from what a handshake costs it when nothing else is going
//! on and the share of its core that the light clients leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::calibrate::{gets, start};
use super::light::{Light, Noticed};
use super::neighbours::{Handshake, Hello, Neighbour, Span, Storm};
use super::rounds::{against, between, mid, rounds};
use super::traffic::Phase;
use super::{OFF, Plan, drive};
use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, number};
use crate::scratch::Scratch;
use crate::tls::{CERT, KEY, identity};

const PATIENCE: Duration = Duration::from_secs(1);
const P99_GOAL_TIMES: f64 = 2.0;
const SERVED_GOAL: f64 = 80.0;
/// TLS handshakes offered, as a multiple of what the server can do, and at most.
const TLS_FACTOR: f64 = 3.0;
const TLS_MOST: f64 = 3000.0;
/// How long the cost of a handshake is measured, and how often (each time for longer) if there is none.
const MEASURED: Duration = Duration::from_millis(400);
const ATTEMPTS: u32 = 4;
/// Clients in earnest per second among those that only say hello.
const EARNEST: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
    Hello,
}

impl Kind {
    fn named(name: &str) -> Outcome<Self> {
        match name {
            "plain" => Ok(Self::Plain),
            "tls" => Ok(Self::Tls),
            "hello" => Ok(Self::Hello),
            other => Err(format!("no storm named {other}").into()),
        }
    }
}

/// One storm on one server in one pair of slices.
struct Visit {
    light: Noticed,
    came: f64,
    possible: f64,
    served: f64,
    gave_up: f64,
    refused: f64,
    p99: f64,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let scratch = Scratch::new()?;
    let config = identity(scratch.path())?;
    for name in &plan.storms {
        let kind = Kind::named(name)?;
        let what = format!("storm, {name}");
        let begin = |peer: &_| Target::begin(stage, plan, peer, kind, &scratch, &config);
        let one = |_: &_, target: &Target, seed| target.visit(plan, kind, &config, seed);
        let results = rounds(stage, plan, (&what, plan.pairs), begin, one)?;
        report.table(table(stage, plan, name, &results));
        for (peer, visits) in stage.peers.iter().zip(&results) {
            if peer.name == "dunlin" {
                judge(kind, name, visits, report);
            }
        }
    }
    Ok(())
}

/// A server to be stormed, and what a handshake costs it.
struct Target {
    server: Server,
    addr: SocketAddr,
    whole: Handshake,
    /// CPU time in seconds; NaN if no handshake was completed while it was measured.
    cost: f64,
}

impl Target {
    fn begin(
        stage: &Stage,
        plan: &Plan,
        peer: &Peer,
        kind: Kind,
        scratch: &Scratch,
        config: &Arc<ClientConfig>,
    ) -> Outcome<Self> {
        let port = stage.free_port()?;
        let (cert, key, text) = (scratch.file(CERT), scratch.file(KEY), port.to_string());
        let with_tls = [
            "--tls-port",
            &text,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
        ];
        let server = start(stage, peer, if kind == Kind::Plain { &[] } else { &with_tls })?;
        let mut addr = server.addr;
        if kind != Kind::Plain {
            addr.set_port(port);
        }
        let whole = match kind {
            Kind::Plain => Handshake::Plain,
            Kind::Tls | Kind::Hello => Handshake::Tls(Arc::clone(config)),
        };
        let mut target = Self { server, addr, whole, cost: f64::NAN };
        // Handshakes are cheaper when one follows the other, so the second look is nearer to a full
        // load.
        let seldom = target.measure(plan, if kind == Kind::Plain { 4000.0 } else { 300.0 })?;
        target.cost = target.measure(plan, (1.0 / seldom).min(plan.storm_rate))?;
        Ok(target)
    }

    fn storm(&self, span: Span, rate: f64, handshake: Handshake) -> Storm {
        Storm::new(self.addr, span, rate, PATIENCE, handshake)
    }

    fn visit(
        &self,
        plan: &Plan,
        kind: Kind,
        config: &Arc<ClientConfig>,
        seed: u64,
    ) -> Outcome<Visit> {
        // The last to come are granted their patience.
        let light = Light::new(plan, seed).and_after(PATIENCE);
        let rate = match kind {
            Kind::Plain => plan.storm_rate,
            Kind::Tls => (TLS_FACTOR / self.cost).min(TLS_MOST),
            Kind::Hello => EARNEST,
        };
        let mut clients = self.storm(light.span, rate, self.whole.clone());
        let noticed = if kind == Kind::Hello {
            let hello = Handshake::Hello(Hello::of(config)?);
            let mut others = self.storm(light.span, plan.storm_rate - EARNEST, hello);
            light.drive(&self.server, &mut [&mut clients, &mut others])?
        } else {
            light.drive(&self.server, &mut [&mut clients])?
        };
        let per_second = |count: u64| count as f64 / light.seconds();
        let came = per_second(clients.came);
        let room = (1.0 - noticed.alone_busy).max(0.0) / self.cost;
        Ok(Visit {
            light: noticed,
            came,
            possible: if room.is_nan() { room } else { came.min(room) },
            served: per_second(clients.served),
            gave_up: per_second(clients.gave_up),
            refused: per_second(clients.refused),
            p99: clients.latency.value_at_quantile(0.99) as f64 / 1e6,
        })
    }

    /// The server's CPU time for one handshake, in seconds, when so many come per second. On a machine
    /// that is taken away for longer than clients are patient there may be none at first, and then no
    /// figure.
    fn measure(&self, plan: &Plan, rate: f64) -> Outcome<f64> {
        for attempt in 1..=ATTEMPTS {
            let time = MEASURED * attempt;
            let whole = self.whole.clone();
            let mut storm = self.storm(Span { from: Duration::ZERO, until: time }, rate, whole);
            // The engine wants a load; this one is nothing.
            let traffic = gets(plan, 1, vec![Phase { time, rate: 10.0 }]);
            let neighbours: &mut [&mut dyn Neighbour] = &mut [&mut storm];
            let (_, usage) = drive(&self.server, &traffic, neighbours)?;
            let used = usage[1].cpu_ns.saturating_sub(usage[0].cpu_ns) as f64 / 1e9;
            if storm.served > 0 {
                return Ok(used / storm.served as f64);
            }
        }
        eprintln!("note: {}: no handshake was completed: no figure", self.server.name);
        Ok(f64::NAN)
    }
}

fn judge(kind: Kind, name: &str, visits: &[Visit], report: &mut Report) {
    let times = mid(visits, |v| v.light.times());
    let text = format!("storm, {name}: established steady p99 {times:.2} <= 2 times its baseline");
    report.goal(times <= P99_GOAL_TIMES, &text);
    if kind != Kind::Hello {
        let share = mid(visits, |v| 100.0 * v.served / v.possible);
        let text = format!("storm, {name}: {share:.0} % of the possible handshakes >= 80 %");
        report.goal(share >= SERVED_GOAL, &text);
    }
}

fn table(stage: &Stage, plan: &Plan, name: &str, results: &[Vec<Visit>]) -> Table {
    let others = match name {
        "hello" => format!(" and {:.0}/s that only say hello", plan.storm_rate - EARNEST),
        _ => String::new(),
    };
    let title = format!(
        "storm, {name}: {} GET/s of 50 established clients beside new connections{others}; clients \
         give up after {PATIENCE:?}, medians of {} pairs of {} s",
        plan.light_rate, plan.pairs, plan.seconds
    );
    let columns = [
        "server",
        "came/s",
        "possible/s",
        "served/s",
        "% of possible",
        "gave up/s",
        "refused/s",
        "handshake p99 ms",
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
            of(|v| v.came, 0),
            of(|v| v.possible, 0),
            of(|v| v.served, 0),
            of(|v| 100.0 * v.served / v.possible, 0),
            of(|v| v.gave_up, 0),
            of(|v| v.refused, 0),
            of(|v| v.p99, 1),
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
