//! `maxmemory`: ten times as much as fits, under every policy.
//!
//! Values of 1 B to 100 KB (every order of magnitude alike, or every length alike) are written to
//! random keys until ten times `maxmemory` has gone over the wire. Watched all the time: the
//! resident size, which must stay below 1.10 x maxmemory + what the fresh process had + the
//! budget of the clients; and the replies: no error under a policy that may evict, exactly the
//! known text under `noeviction`. Under `volatile-*` every value has a time to live.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::compare::measure;
use crate::load::{Spec, Until};
use crate::peer::{Peer, Server, Stage};
use crate::report::{Report, Table, number};
use crate::request::{Op, Ttl, ValueSize};
use crate::scan::Wire;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The limit set.
    pub limit: u64,
    /// Bytes written, as a multiple of the limit.
    pub times: u64,
    /// Policies.
    pub policies: Vec<String>,
    /// Lengths of values.
    pub size: ValueSize,
    /// Resident bytes granted to connections.
    pub client_budget: u64,
    /// Connections.
    pub connections: usize,
    /// Requests per batch.
    pub pipeline: u32,
    /// Seed of the load.
    pub seed: u64,
}

/// Every policy there is.
pub const POLICIES: &str = "allkeys-lru,allkeys-lfu,allkeys-random,volatile-lru,volatile-lfu,\
                            volatile-random,volatile-ttl,noeviction";
/// What a write must be answered when nothing may be evicted.
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// Runs every policy on every RESP server.
///
/// # Errors
///
/// When a server fails or breaks off.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let title = format!(
        "maxmemory {} MB, {} times as much written, values {:?}",
        plan.limit >> 20,
        plan.times,
        plan.size
    );
    let columns = [
        "policy",
        "server",
        "requests",
        "refused",
        "kept",
        "evicted",
        "used/limit",
        "RSS/limit",
        "RSS allowed",
        "fresh MB",
        "cpu ns/op",
        "kops/s",
        "max us",
    ];
    let mut table = Table::new(&title, &columns);
    let mut verdicts = Vec::new();
    for policy in &plan.policies {
        for peer in stage.peers.iter().filter(|p| p.wire == Wire::Resp) {
            let row = one(stage, plan, peer, policy, &mut verdicts)?;
            table.row(row);
        }
    }
    report.table(table);
    for (met, text) in verdicts {
        report.goal(met, &text);
    }
    Ok(())
}

fn one(
    stage: &Stage,
    plan: &Plan,
    peer: &Peer,
    policy: &str,
    verdicts: &mut Vec<(bool, String)>,
) -> Outcome<Vec<crate::report::Cell>> {
    let server = stage.start(peer)?;
    let fresh = server.process.rss().0;
    let mut control = server.control()?;
    control.command(&format!("CONFIG SET maxmemory-policy {policy}"))?;
    control.command(&format!("CONFIG SET maxmemory {}", plan.limit))?;
    let ops = (plan.limit * plan.times) as f64 / (plan.size.mean() + crate::rng::KEY_LEN as f64);
    let ttl = if policy.starts_with("volatile") { Ttl::Seconds(3600) } else { Ttl::None };
    let spec = Spec {
        connections: plan.connections,
        pipeline: plan.pipeline,
        mix: vec![(Op::Set, 1)],
        // Most keys are new, some are overwritten by another length.
        key_space: (ops as u64 * 4).max(1),
        size: plan.size,
        ttl,
        until: Until::Ops(ops as u64),
        seed: plan.seed,
        ..Spec::default()
    };
    let over = AtomicBool::new(false);
    let (measured, watched) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&server, &over));
        let measured = measure(&server, stage.load_core, spec);
        over.store(true, Ordering::Relaxed);
        (measured, watcher.join().unwrap_or(0))
    });
    let measured = measured?;
    let tally = &measured.tally;
    let rss = watched.max(server.process.rss().1);
    let limit = plan.limit as f64;
    let allowed = 1.10 * limit + (plan.client_budget + fresh) as f64;
    let used = control.info("memory", "used_memory")?.unwrap_or(0);
    let evicted = control.info("stats", "evicted_keys")?.unwrap_or(0);
    if peer.name == "dunlin" {
        let ratio = rss as f64 / allowed;
        verdicts.push((ratio <= 1.0, format!("{policy}: peak RSS {ratio:.3} of what is allowed")));
        verdicts.push(replies_verdict(policy, tally));
    }
    Ok(vec![
        policy.into(),
        peer.name.as_str().into(),
        tally.ops.into(),
        tally.errors.into(),
        control.items()?.into(),
        evicted.into(),
        number(used as f64 / limit, 3),
        number(rss as f64 / limit, 3),
        number(allowed / limit, 3),
        number(fresh as f64 / f64::from(1 << 20), 1),
        number(measured.cpu_per_op, 0),
        number(tally.rate() / 1000.0, 1),
        number(tally.latency.max() as f64 / 1000.0, 0),
    ])
}

fn replies_verdict(policy: &str, tally: &crate::load::Tally) -> (bool, String) {
    let first = tally.first_error.as_deref();
    if policy == "noeviction" {
        let met = first == Some(OOM) && tally.other_errors == 0;
        let text = format!("{policy}: {} writes refused, with {first:?}", tally.errors);
        return (met, text);
    }
    let text = format!("{policy}: {} error replies ({})", tally.errors, first.unwrap_or("none"));
    (tally.errors == 0, text)
}

/// The largest resident size seen until it is over (the kernel's own peak counts lazily).
fn watch(server: &Server, over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(server.process.rss().0);
        thread::sleep(Duration::from_millis(10));
    }
    most
}
