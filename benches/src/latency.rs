//! `latency`: open loops at shares of each server's peak.
//!
//! The peak is that of a closed loop of the same requests. Latency counts from the planned times, so
//! queues that build up while a server is busy with something else are seen.

use std::time::Duration;

use crate::Outcome;
use crate::compare::fill;
use crate::load::{self, Keys, Spec, Until};
use crate::open::{self, Arrivals};
use crate::peer::Stage;
use crate::report::{Report, Table, number};
use crate::request::{Op, Ttl, ValueSize};
use crate::stall::{drive, peak};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rates as shares of the peak.
    pub shares: Vec<f64>,
    /// Length of each load.
    pub time: Duration,
    /// Keys, all in place beforehand.
    pub keys: u64,
    /// Exponent of their distribution; uniform if not given.
    pub zipf: Option<f64>,
    /// Requests and their shares.
    pub mix: Vec<(Op, u32)>,
    /// Connections.
    pub connections: usize,
    /// Requests arriving together.
    pub pipeline: u32,
    /// One rate instead of shares of the peak.
    pub rate: Option<f64>,
    /// Spacing of the arrivals.
    pub arrivals: Arrivals,
    /// Length of the values.
    pub size: usize,
    /// Seed of the loads.
    pub seed: u64,
}

/// Replies later than this count as failed.
const DEADLINE: Duration = Duration::from_millis(10);

/// Runs the loads on every server.
///
/// # Errors
///
/// When a server fails, breaks off or answers wrongly.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let title = format!(
        "open loop, {:?} arrivals of {} over {} connections, {} keys",
        plan.arrivals, plan.pipeline, plan.connections, plan.keys
    );
    let columns = [
        "server",
        "kops/s planned",
        "kops/s done",
        "p50 us",
        "p90 us",
        "p99 us",
        "p99.9 us",
        "slowest us",
        "over 10 ms",
        "own pause us",
    ];
    let mut table = Table::new(&title, &columns);
    let keys = plan.zipf.map_or(Keys::Uniform, Keys::Zipf);
    let size = ValueSize::Fixed(plan.size);
    for peer in &stage.peers {
        let rates: Vec<f64> = match plan.rate {
            Some(rate) => vec![rate],
            None => {
                let most = peak(
                    stage,
                    peer,
                    load::Spec {
                        connections: plan.connections,
                        pipeline: plan.pipeline,
                        mix: plan.mix.clone(),
                        key_space: plan.keys,
                        keys: keys.clone(),
                        size,
                        until: Until::Time(Duration::from_secs(2)),
                        seed: plan.seed,
                        ..load::Spec::default()
                    },
                )?;
                plan.shares.iter().map(|share| share * most).collect()
            }
        };
        let server = stage.start(peer)?;
        fill(&server, stage.load_core, Spec::fill(plan.keys, size, Ttl::None))?;
        for rate in rates {
            let spec = open::Spec {
                rate,
                pipeline: plan.pipeline,
                arrivals: plan.arrivals,
                ops: (rate * plan.time.as_secs_f64()) as u64,
                connections: plan.connections,
                mix: plan.mix.clone(),
                key_space: plan.keys,
                keys: keys.clone(),
                size,
                ttl: Ttl::None,
                actions: Vec::new(),
                deadline: DEADLINE,
                seed: plan.seed,
            };
            let result = drive(stage, &server, &spec)?;
            result.tally.expect_clean(&peer.name)?;
            let latency = &result.tally.latency;
            let us = |q: f64| number(latency.value_at_quantile(q) as f64 / 1000.0, 0);
            table.row(vec![
                peer.name.as_str().into(),
                number(rate / 1000.0, 1),
                number(result.tally.rate() / 1000.0, 1),
                us(0.5),
                us(0.9),
                us(0.99),
                us(0.999),
                us(1.0),
                result.late.into(),
                number(result.own_pause.as_secs_f64() * 1e6, 0),
            ]);
        }
    }
    report.table(table);
    Ok(())
}
