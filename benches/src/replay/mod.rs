//! `replay`: miss ratios on traces at fixed bytes.
//!
//! A trace is played look-aside: GET, and on a miss SET. Three kinds of caches play it:
//!
//! - models of policies, with exact bookkeeping ([`models`]);
//! - `store`: Dunlin's real keyspace in this process, with everything that it counts ([`store`]);
//! - servers, over RESP ([`server`]), if `--servers` names any.
//!
//! The **footprint** of a trace is what Dunlin's keyspace takes with all its keys in it; budgets are
//! shares of that, in bytes. A model weighs each key with what it takes in the store. A server's
//! `maxmemory` is the budget and what the empty server says that it uses, which for some is a
//! megabyte.
//!
//! The table has a row per trace and share, and ends with the ratio of the store (and of each server)
//! to exact LRU and to the best of the models.

pub mod models;
pub mod server;
pub mod store;
pub mod synthetic;
pub mod trace;

use dunlin_storage::{Options, Policy};

use crate::Outcome;
use crate::peer::Stage;
use crate::report::{Cell, Report, Table, mean, number};
use store::Store;
use trace::Trace;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Traces: `[NAME=]PATH[:FORMAT]`.
    pub traces: Vec<String>,
    /// Names of made traces.
    pub made: Vec<String>,
    /// Budgets, in percent of the footprint.
    pub shares: Vec<f64>,
    /// Names of the models.
    pub models: Vec<String>,
    /// The store's policies.
    pub policies: Vec<Policy>,
    /// The store's shards; 0: as many as a server of one worker has within the budget.
    pub shards: usize,
    /// Bytes of a value where the trace does not say.
    pub value: usize,
    /// Requests of a trace at most.
    pub requests: usize,
    /// What servers play with.
    pub over_wire: server::Plan,
    /// Seed of the made traces.
    pub seed: u64,
}

/// Shards of a server of one worker.
const SHARDS: usize = 16;

impl Plan {
    fn shards_within(&self, budget: u64) -> usize {
        match self.shards {
            0 => Options::shards_within(SHARDS, budget),
            set => set,
        }
    }
}

/// The goals: mean and largest ratio to exact LRU, largest ratio to the best of the models.
const GOAL_MEAN: f64 = 0.93;
const GOAL_WORST: f64 = 1.05;
const GOAL_BEST: f64 = 1.03;

/// A column's ratios over all points.
#[derive(Debug, Default)]
struct Standing {
    name: String,
    to_lru: Vec<f64>,
    to_best: Vec<f64>,
}

/// Plays all traces.
///
/// # Errors
///
/// When a trace cannot be read or a server fails.
pub fn run(stage: Option<&Stage>, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let contestants = server::contestants(stage, &plan.over_wire);
    let stores = plan.policies.iter().map(|policy| match plan.policies.len() {
        1 => "store".to_owned(),
        _ => policy.name().to_owned(),
    });
    let own: Vec<String> = stores.chain(contestants.iter().map(|c| c.name.clone())).collect();
    let mut columns = vec!["trace", "requests", "keys", "MB", "share"];
    columns.extend(plan.models.iter().map(String::as_str));
    columns.extend(own.iter().map(String::as_str));
    let ratios: Vec<String> =
        own.iter().flat_map(|name| [format!("{name}/lru"), format!("{name}/best")]).collect();
    columns.extend(ratios.iter().map(String::as_str));
    let mut table = Table::new("miss ratio, look-aside", &columns);
    let named = |name: &String| Standing { name: name.clone(), ..Standing::default() };
    let mut standings: Vec<Standing> = own.iter().map(named).collect();
    let made = plan.made.iter().map(|name| {
        synthetic::make(name, plan.seed).ok_or_else(|| format!("no made trace {name}").into())
    });
    for trace in plan.traces.iter().map(|spec| trace::read(spec, plan.requests)).chain(made) {
        let mut trace = trace?;
        trace.requests.truncate(plan.requests);
        play(stage, plan, &contestants, &trace, &mut table, &mut standings)?;
    }
    report.table(table);
    for standing in standings.iter().filter(|standing| !standing.to_lru.is_empty()) {
        standing.judge(report);
    }
    Ok(())
}

/// All caches and budgets with one trace.
fn play(
    stage: Option<&Stage>,
    plan: &Plan,
    contestants: &[server::Contestant<'_>],
    trace: &Trace,
    table: &mut Table,
    standings: &mut [Standing],
) -> Outcome<()> {
    let weights =
        Store::new(trace, plan.value, plan.shards_within(0), Policy::NoEviction, 0).fill();
    let footprint: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    for &share in &plan.shares {
        let budget = (footprint as f64 * share / 100.0) as u64;
        let mut row: Vec<Cell> = vec![
            trace.name.as_str().into(),
            (trace.requests.len() as u64).into(),
            (trace.sizes.len() as u64).into(),
            number(budget as f64 / f64::from(1 << 20), 2),
            format!("{share}%").as_str().into(),
        ];
        let mut by_model = Vec::new();
        for name in &plan.models {
            let model = models::make(name, &weights, budget, trace.requests.len());
            let mut model = model.ok_or_else(|| format!("no model named {name}"))?;
            by_model.push(models::miss_ratio(model.as_mut(), &trace.requests));
        }
        let mut own = Vec::new();
        for &policy in &plan.policies {
            let shards = plan.shards_within(budget);
            let mut store = Store::new(trace, plan.value, shards, policy, budget);
            own.push(models::miss_ratio(&mut store, &trace.requests));
        }
        if let Some(stage) = stage {
            for contestant in contestants {
                own.push(contestant.play(stage, &plan.over_wire, trace, plan.value, budget)?);
            }
        }
        row.extend(by_model.iter().chain(&own).map(|&ratio| number(ratio, 4)));
        let lru = plan.models.iter().position(|name| name == "lru").map(|at| by_model[at]);
        let best = by_model.iter().copied().reduce(f64::min);
        for (ratio, standing) in own.iter().zip(standings.iter_mut()) {
            let to = |other: Option<f64>| other.filter(|&o| o > 0.0).map(|other| ratio / other);
            standing.to_lru.extend(to(lru));
            standing.to_best.extend(to(best));
            row.extend([to(lru), to(best)].map(|r| r.map(|r| number(r, 3)).into()));
        }
        eprintln!("note: {} at {share} % played", trace.name);
        table.row(row);
    }
    Ok(())
}

impl Standing {
    fn judge(&self, report: &mut Report) {
        let most = |ratios: &[f64]| ratios.iter().copied().fold(0.0, f64::max);
        let above = |ratios: &[f64], goal| ratios.iter().filter(|&&ratio| ratio > goal).count();
        let (mean, worst) = (mean(&self.to_lru), most(&self.to_lru));
        let (name, points) = (&self.name, self.to_lru.len());
        report.goal(
            mean <= GOAL_MEAN && worst <= GOAL_WORST,
            &format!(
                "{name}: to exact LRU on average {mean:.3} <= {GOAL_MEAN}, at most {worst:.3} <= \
                 {GOAL_WORST} ({} of {points} points above)",
                above(&self.to_lru, GOAL_WORST)
            ),
        );
        let worst = most(&self.to_best);
        report.goal(
            worst <= GOAL_BEST,
            &format!(
                "{name}: to the best model at most {worst:.3} <= {GOAL_BEST} ({} of {points} points \
                 above)",
                above(&self.to_best, GOAL_BEST)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_plays_what_the_models_play() {
        let trace = synthetic::make("zipf1.0", 1).map(|mut trace| {
            trace.requests.truncate(100_000);
            trace
        });
        let trace = trace.expect("a name of the list");
        let mut all = Store::new(&trace, 100, 1, Policy::NoEviction, 0);
        let weights = all.fill();
        let footprint: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        assert!(footprint.abs_diff(all.used()) < weights.len() as u64 + 1);
        let budget = footprint / 20;
        let mut lru = models::make("lru", &weights, budget, 0).expect("a name of the list");
        let lru = models::miss_ratio(lru.as_mut(), &trace.requests);
        let mut store = Store::new(&trace, 100, 1, Policy::default(), budget);
        let own = models::miss_ratio(&mut store, &trace.requests);
        assert!(own < lru && own > lru / 2.0, "store {own} lru {lru}");
    }
}
