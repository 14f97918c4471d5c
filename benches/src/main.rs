//! `dunlin-bench`: measures Dunlin and its peers. `dunlin-bench help` lists the subcommands.

mod cli;

use clap::ArgMatches;
use cli::stage;
use dunlin_benches::report::Report;
use dunlin_benches::{
    Outcome, cluster, collections, compare, expiry, floor, latency, maxmemory, memory, migration,
    mixes, overhead, overload, placement, process, replay, scripts, soak, stall, standard, storage,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let matches = cli::command().get_matches();
    let mut report = Report::default();
    let result = process::kill_all_on_signal().and_then(|()| dispatch(&matches, &mut report));
    if let Some(path) = matches.get_one::<String>("json")
        && let Err(e) = std::fs::write(path, report.json())
    {
        eprintln!("error: {path}: {e}");
    }
    if let Err(e) = result {
        eprintln!("error: {e}");
        return 2.into();
    }
    if report.failures().is_empty() { 0.into() } else { 1.into() }
}

fn dispatch(matches: &ArgMatches, report: &mut Report) -> Outcome<()> {
    match matches.subcommand() {
        Some(("compare", m)) => {
            compare::run(&cli::compare_stage(m)?, &cli::compare_plan(m), report)
        }
        Some(("redis-benchmark", m)) => standard::run(&stage(m)?, &cli::standard_plan(m), report),
        Some(("floor", m)) => floor::run(cli::port(m)?, cli::floor_value(m)),
        Some(("placement", m)) => placement::run(&cli::placement_plan(m), report),
        Some(("collections", m)) => collections::run(&stage(m)?, report),
        Some(("latency", m)) => latency::run(&stage(m)?, &cli::latency_plan(m), report),
        Some(("stall", m)) => stall::run(&stage(m)?, &cli::stall_plan(m), report),
        Some(("soak", m)) => soak::run(&stage(m)?, &cli::soak_plan(m), report),
        Some(("scripts", m)) => scripts::run(&stage(m)?, &cli::scripts_plan(m), report),
        Some(("memory", m)) => memory::run(&stage(m)?, &cli::memory_plan(m), report),
        Some(("maxmemory", m)) => maxmemory::run(&stage(m)?, &cli::maxmemory_plan(m)?, report),
        Some(("expiry", m)) => expiry::run(&stage(m)?, &cli::expiry_plan(m), report),
        Some(("storage", m)) => storage::run(&cli::storage_plan(m), report),
        Some(("cluster", m)) => cluster::run(&stage(m)?, &cli::cluster_plan(m), report),
        Some(("migration", m)) => migration::run(&stage(m)?, &cli::migration_plan(m), report),
        Some(("overload", m)) => overload::run(&stage(m)?, &cli::overload_plan(m), report),
        Some(("overhead", m)) => overhead::run(&stage(m)?, &cli::overhead_plan(m), report),
        Some(("mixes", m)) => mixes::run(&cli::mixes_plan(m)?, report),
        Some(("replay", m)) => {
            let stage = cli::replay_stage(m)?;
            replay::run(stage.as_ref(), &cli::replay_plan(m)?, report)
        }
        _ => Err("no such subcommand".into()),
    }
}
