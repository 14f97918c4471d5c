//! `dunlin-bench`: measures Dunlin and its peers. `dunlin-bench help` lists the subcommands.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use dunlin_benches::peer::{Peer, Stage};
use dunlin_benches::report::Report;
use dunlin_benches::scan::Wire;
use dunlin_benches::{Outcome, compare, process};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let matches = cli().get_matches();
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
    if report.failures().is_empty() {
        0.into()
    } else {
        1.into()
    }
}

fn dispatch(matches: &ArgMatches, report: &mut Report) -> Outcome<()> {
    match matches.subcommand() {
        Some(("compare", m)) => compare::run(&stage(m)?, &compare_plan(m), report),
        _ => Err("no such subcommand".into()),
    }
}

fn cli() -> Command {
    Command::new("dunlin-bench")
        .about("Loads and measurements, side by side with other servers")
        .subcommand_required(true)
        .arg(text("json", "write the tables to this file too").global(true))
        .subcommand(compare_cli())
}

// ---- arguments in common

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn count(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    text(name, help)
        .value_parser(value_parser!(u64))
        .default_value(default)
}

fn real(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    text(name, help)
        .value_parser(value_parser!(f64))
        .default_value(default)
}

fn list(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    text(name, help).value_delimiter(',').default_value(default)
}

fn with_servers(command: Command) -> Command {
    command
        .arg(text(
            "dunlin",
            "path of dunlin (default: beside this program)",
        ))
        .arg(text("dunlin-args", "more arguments for dunlin").default_value(""))
        .arg(count("workers", "1", "dunlin's workers"))
        .arg(text("servers", "only these, by name").value_delimiter(','))
        .arg(
            text(
                "peer",
                "another server: name=command with {port}; name:memcached=... for its protocol",
            )
            .action(ArgAction::Append),
        )
        .arg(text("server-core", "core for the servers, or `any`").default_value("0"))
        .arg(text("load-core", "core for the load, or `any`").default_value("1"))
        .arg(count("port", "7100", "first of the hundred ports used"))
        .arg(count("seed", "1", "seed of the loads"))
}

fn num(m: &ArgMatches, name: &str) -> u64 {
    m.get_one::<u64>(name).copied().unwrap_or_default()
}

fn seconds(m: &ArgMatches, name: &str) -> Duration {
    Duration::from_secs_f64(
        m.get_one::<f64>(name)
            .copied()
            .unwrap_or_default()
            .max(0.001),
    )
}

fn strings(m: &ArgMatches, name: &str) -> Vec<String> {
    m.get_many::<String>(name)
        .map(|v| v.cloned().collect())
        .unwrap_or_default()
}

fn numbers(m: &ArgMatches, name: &str) -> Vec<u32> {
    strings(m, name)
        .iter()
        .filter_map(|s| s.parse().ok())
        .collect()
}

/// The servers asked for that are installed, Dunlin first.
fn stage(m: &ArgMatches) -> Outcome<Stage> {
    let beside = std::env::current_exe()?.with_file_name("dunlin");
    let path = m.get_one::<String>("dunlin").cloned();
    let path = path.unwrap_or_else(|| beside.to_string_lossy().into_owned());
    let args = strings(m, "dunlin-args").join(" ");
    let mut peers = vec![Peer::dunlin(&path, num(m, "workers") as usize).with_args(&args)];
    peers.extend(Peer::known());
    for spec in strings(m, "peer") {
        let (name, command) = spec.split_once('=').ok_or("--peer wants name=command")?;
        let (name, wire) = match name.split_once(':') {
            Some((name, "memcached")) => (name, Wire::Memcached),
            _ => (name, Wire::Resp),
        };
        peers.push(Peer::new(name, wire, command));
    }
    let wanted = strings(m, "servers");
    if let Some(unknown) = wanted.iter().find(|w| !peers.iter().any(|p| p.name == **w)) {
        return Err(format!("no server named {unknown}").into());
    }
    peers.retain(|p| wanted.is_empty() || wanted.contains(&p.name));
    let (found, missing): (Vec<Peer>, Vec<Peer>) = peers.into_iter().partition(Peer::is_installed);
    for peer in missing {
        eprintln!("note: {} not found, left out", peer.name);
    }
    if found.is_empty() {
        return Err("no server to measure".into());
    }
    let port = u16::try_from(num(m, "port"))?;
    Ok(Stage::new(
        found,
        core(m, "server-core")?,
        core(m, "load-core")?,
        port,
    ))
}

fn core(m: &ArgMatches, name: &str) -> Outcome<Option<usize>> {
    let text = strings(m, name).join("");
    if text == "any" {
        return Ok(None);
    }
    let id: usize = text.parse().map_err(|_| format!("--{name}: {text}"))?;
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    Ok(cores.iter().any(|c| c.id == id).then_some(id))
}

// ---- compare

fn compare_cli() -> Command {
    let command = Command::new("compare")
        .about("Throughput, latency, CPU time per operation and memory in alternating rounds")
        .arg(count("rounds", "5", "rounds"))
        .arg(real("seconds", "1.5", "length of a test on one server"))
        .arg(count("keys", "1000000", "keys"))
        .arg(count("value", "64", "bytes per value"))
        .arg(count("connections", "50", "connections"))
        .arg(list("pipeline", "1,16,64", "pipeline depths"))
        .arg(list(
            "tests",
            "get,set,mixed",
            "of get,set,mixed,ping,incr,mset",
        ))
        .arg(text("reference", "the server others are compared with").default_value("redis"));
    with_servers(command)
}

fn compare_plan(m: &ArgMatches) -> compare::Plan {
    compare::Plan {
        rounds: num(m, "rounds") as usize,
        time: seconds(m, "seconds"),
        keys: num(m, "keys"),
        size: num(m, "value") as usize,
        connections: num(m, "connections") as usize,
        pipelines: numbers(m, "pipeline"),
        tests: strings(m, "tests"),
        reference: strings(m, "reference").join(""),
        seed: num(m, "seed"),
    }
}
