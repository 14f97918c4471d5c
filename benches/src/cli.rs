//! The command line: subcommands, their arguments, and the plans made of them.

mod cluster;
mod compare;
mod overload;
mod replay;
mod soak;

use std::time::Duration;

pub(crate) use self::cluster::{cluster_plan, migration_plan, placement_plan};
pub(crate) use self::compare::{compare_plan, compare_stage};
pub(crate) use self::overload::{overhead_plan, overload_plan};
pub(crate) use self::replay::{replay_plan, replay_stage};
pub(crate) use self::soak::soak_plan;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use dunlin_benches::open::Arrivals;
use dunlin_benches::peer::{Peer, Stage};
use dunlin_benches::request::{Op, ValueSize};
use dunlin_benches::scan::Wire;
use dunlin_benches::{
    Outcome, expiry, latency, maxmemory, memory, mixes, scripts, stall, standard, storage,
};

pub(crate) fn command() -> Command {
    Command::new("dunlin-bench")
        .about("Loads and measurements, side by side with other servers")
        .subcommand_required(true)
        .arg(text("json", "write the tables to this file too").global(true))
        .subcommand(compare::compare_cli())
        .subcommand(standard_cli())
        .subcommand(floor_cli())
        .subcommand(latency_cli())
        .subcommand(stall_cli())
        .subcommand(soak::soak_cli())
        .subcommand(scripts_cli())
        .subcommand(memory_cli())
        .subcommand(collections_cli())
        .subcommand(maxmemory_cli())
        .subcommand(expiry_cli())
        .subcommand(storage_cli())
        .subcommand(mixes_cli())
        .subcommand(cluster::placement_cli())
        .subcommand(cluster::migration_cli())
        .subcommand(cluster::cluster_cli())
        .subcommand(replay::replay_cli())
        .subcommand(overload::overload_cli())
        .subcommand(overload::overhead_cli())
}

// ---- arguments in common

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn count(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    text(name, help).value_parser(value_parser!(u64)).default_value(default)
}

fn real(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    text(name, help).value_parser(value_parser!(f64)).default_value(default)
}

fn list(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    text(name, help).value_delimiter(',').default_value(default)
}

fn with_servers(command: Command) -> Command {
    command
        .arg(text("dunlin", "path of dunlin (default: beside this program)"))
        .arg(text("dunlin-args", "more arguments for dunlin").default_value(""))
        .arg(count("workers", "1", "dunlin's workers"))
        .arg(text("servers", "only these, by name").value_delimiter(','))
        .arg(
            text(
                "peer",
                "another server: name=command with {port}; name:memcached=... for its protocol; \
                 with {socket}, or {tls-port}, {cert} and {key}, for these ways",
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
    Duration::from_secs_f64(m.get_one::<f64>(name).copied().unwrap_or_default().max(0.001))
}

fn strings(m: &ArgMatches, name: &str) -> Vec<String> {
    m.get_many::<String>(name).map(|v| v.cloned().collect()).unwrap_or_default()
}

fn numbers(m: &ArgMatches, name: &str) -> Vec<u32> {
    strings(m, name).iter().filter_map(|s| s.parse().ok()).collect()
}

/// The servers asked for that are installed, Dunlin first.
pub(crate) fn stage(m: &ArgMatches) -> Outcome<Stage> {
    let beside = std::env::current_exe()?.with_file_name("dunlin");
    let path = m.get_one::<String>("dunlin").cloned();
    let path = path.unwrap_or_else(|| beside.to_string_lossy().into_owned());
    let args = strings(m, "dunlin-args").join(" ");
    let mut peers = vec![Peer::dunlin(&path, num(m, "workers") as usize).with_args(&args)];
    peers.extend(Peer::known());
    let own = std::env::current_exe()?;
    let floor = format!("{} floor --port {{port}}", own.to_string_lossy());
    peers.push(Peer::new(standard::FLOOR, Wire::Resp, &floor));
    peers.push(
        peers[0].clone().named(dunlin_benches::overload::OFF).with_args("--overload-control no"),
    );
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
    // Only on demand: the one holds nothing, the other is Dunlin once more.
    let special =
        |p: &Peer| [standard::FLOOR, dunlin_benches::overload::OFF].contains(&p.name.as_str());
    let asked = |p: &Peer| wanted.contains(&p.name);
    peers.retain(|p| asked(p) || (wanted.is_empty() && !special(p)));
    let (found, missing): (Vec<Peer>, Vec<Peer>) = peers.into_iter().partition(Peer::is_installed);
    for peer in missing {
        eprintln!("note: {} not found, left out", peer.name);
    }
    if found.is_empty() {
        return Err("no server to measure".into());
    }
    Ok(Stage::new(found, core(m, "server-core")?, core(m, "load-core")?, port(m)?))
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

// ---- redis-benchmark

fn standard_cli() -> Command {
    let command = Command::new("redis-benchmark")
        .about("CPU time per operation in redis-benchmark's own tests")
        .arg(count("rounds", "3", "rounds"))
        .arg(count("requests", "200000", "requests of a test"))
        .arg(count("connections", "50", "connections"))
        .arg(count("pipeline", "16", "requests sent together"))
        .arg(text("tests", "only these, by name").value_delimiter(','));
    with_servers(command)
}

pub(crate) fn standard_plan(m: &ArgMatches) -> standard::Plan {
    standard::Plan {
        rounds: num(m, "rounds") as usize,
        requests: num(m, "requests"),
        connections: num(m, "connections"),
        pipeline: num(m, "pipeline"),
        tests: strings(m, "tests"),
    }
}

fn floor_cli() -> Command {
    Command::new("floor")
        .about("A server that answers every command with a constant; `--servers floor` starts it")
        .arg(count("port", "7099", "where it listens on 127.0.0.1"))
        .arg(
            text("value", "answer GET with values of so many bytes, and take SETs of such ones")
                .value_parser(value_parser!(usize)),
        )
}

pub(crate) fn floor_value(m: &ArgMatches) -> Option<usize> {
    m.get_one::<usize>("value").copied()
}

pub(crate) fn port(m: &ArgMatches) -> Outcome<u16> {
    Ok(u16::try_from(num(m, "port"))?)
}

// ---- open loops

fn with_pace(command: Command) -> Command {
    with_servers(command)
        .arg(count("connections", "50", "connections"))
        .arg(count("pipeline", "16", "requests arriving together"))
        .arg(
            Arg::new("poisson")
                .long("poisson")
                .action(ArgAction::SetTrue)
                .help("arrivals as a Poisson process instead of evenly spaced"),
        )
}

fn with_arrivals(command: Command) -> Command {
    with_pace(command)
        .arg(
            text("rate", "requests per second instead of a share of the peak")
                .value_parser(value_parser!(f64)),
        )
        .arg(count("value", "64", "bytes per value"))
}

fn arrivals(m: &ArgMatches) -> Arrivals {
    if m.get_flag("poisson") { Arrivals::Poisson } else { Arrivals::Fixed }
}

fn latency_cli() -> Command {
    let command = Command::new("latency")
        .about("Open loop: latency from the planned times, at shares of the peak")
        .arg(list("share", "0.5,0.9", "shares of the peak of a closed loop"))
        .arg(real("seconds", "5", "length of each load"))
        .arg(count("keys", "1000000", "keys"))
        .arg(real("zipf", "0", "exponent of the keys' distribution, 0 = uniform"))
        .arg(list("mix", "get:19,set:1", "requests and their shares"));
    with_arrivals(command)
}

pub(crate) fn latency_plan(m: &ArgMatches) -> latency::Plan {
    let share = |text: &String| text.parse::<f64>().ok();
    latency::Plan {
        shares: strings(m, "share").iter().filter_map(share).collect(),
        time: seconds(m, "seconds"),
        keys: num(m, "keys"),
        zipf: m.get_one::<f64>("zipf").copied().filter(|&s| s > 0.0),
        mix: mix(&strings(m, "mix")),
        connections: num(m, "connections") as usize,
        pipeline: num(m, "pipeline") as u32,
        rate: m.get_one::<f64>("rate").copied(),
        arrivals: arrivals(m),
        size: num(m, "value") as usize,
        seed: num(m, "seed"),
    }
}

fn stall_cli() -> Command {
    let command = Command::new("stall")
        .about("The slowest reply of an open loop while something big happens")
        .arg(list("scenario", "new-keys,unlink-big,flushall,shrink", "scenarios"))
        .arg(
            text("keys", "keys (default: 10,000,000 for new-keys, 5,000,000 for the others)")
                .value_parser(value_parser!(u64)),
        )
        .arg(real("seconds", "8", "length of the load (new-keys: until all are written)"))
        .arg(real("share", "0.5", "rate as a share of the peak"))
        .arg(count("big-count", "5", "big values for each of UNLINK and DEL"))
        .arg(count("big-size", "100000000", "their bytes"));
    with_arrivals(command)
}

pub(crate) fn stall_plan(m: &ArgMatches) -> stall::Plan {
    stall::Plan {
        scenarios: strings(m, "scenario"),
        keys: m.get_one::<u64>("keys").copied(),
        time: seconds(m, "seconds"),
        rate: m.get_one::<f64>("rate").copied(),
        share: m.get_one::<f64>("share").copied().unwrap_or(0.5),
        connections: num(m, "connections") as usize,
        pipeline: num(m, "pipeline") as u32,
        arrivals: arrivals(m),
        size: num(m, "value") as usize,
        big_count: num(m, "big-count") as usize,
        big_size: num(m, "big-size") as usize,
        seed: num(m, "seed"),
    }
}

fn scripts_cli() -> Command {
    let command = Command::new("scripts")
        .about(
            "Open loop of GETs with and without a client that runs one long script after the other",
        )
        .arg(count("rounds", "5", "rounds"))
        .arg(real("seconds", "2", "length of each load"))
        .arg(real("script-ms", "200", "length of each script"))
        .arg(real("rate", "20000", "requests per second"))
        .arg(count("connections", "50", "connections"))
        .arg(count("pipeline", "1", "requests arriving together"))
        .arg(
            Arg::new("poisson")
                .long("poisson")
                .action(ArgAction::SetTrue)
                .help("arrivals as a Poisson process instead of evenly spaced"),
        )
        .arg(count("keys", "100000", "keys"))
        .arg(count("value", "64", "bytes per value"));
    with_servers(command)
}

pub(crate) fn scripts_plan(m: &ArgMatches) -> scripts::Plan {
    let real = |name: &str| m.get_one::<f64>(name).copied().unwrap_or_default();
    scripts::Plan {
        rounds: num(m, "rounds").max(1) as usize,
        time: seconds(m, "seconds"),
        script: Duration::from_secs_f64(real("script-ms").max(1.0) / 1000.0),
        rate: real("rate").max(1.0),
        arrivals: arrivals(m),
        connections: num(m, "connections").max(1) as usize,
        pipeline: num(m, "pipeline").max(1) as u32,
        keys: num(m, "keys").max(1),
        size: num(m, "value") as usize,
        seed: num(m, "seed"),
    }
}

// ---- memory

fn memory_cli() -> Command {
    let command = Command::new("memory")
        .about("Resident bytes per item, and garbage under overwrites")
        .arg(list("items", "1000000,1500000,2000000,3000000", "numbers of items"))
        .arg(list("values", "16,64,512", "bytes per value"))
        .arg(list("ttl", "no,yes", "without, with a time to live"))
        .arg(count("connections", "4", "connections that write the items"))
        .arg(list(
            "shift",
            "32,200",
            "bytes per value that come after 60 % were removed, 0 = leave it out",
        ))
        .arg(count("shift-items", "1000000", "items of that test"))
        .arg(count("shift-from", "64", "bytes per value before"))
        .arg(count("overwrites", "4000000", "overwrites of the garbage test, 0 = leave it out"))
        .arg(count("overwrite-keys", "1000000", "keys overwritten"));
    with_servers(command)
}

pub(crate) fn memory_plan(m: &ArgMatches) -> memory::Plan {
    memory::Plan {
        items: numbers(m, "items").into_iter().map(u64::from).filter(|&n| n > 0).collect(),
        sizes: numbers(m, "values").into_iter().map(|n| n as usize).collect(),
        ttls: strings(m, "ttl").iter().map(|t| t == "yes").collect(),
        connections: num(m, "connections") as usize,
        shift: numbers(m, "shift").into_iter().filter(|&n| n > 0).map(|n| n as usize).collect(),
        shift_items: num(m, "shift-items"),
        shift_from: num(m, "shift-from") as usize,
        overwrites: num(m, "overwrites"),
        overwrite_keys: num(m, "overwrite-keys"),
    }
}

fn maxmemory_cli() -> Command {
    let command = Command::new("maxmemory")
        .about("Ten times as much as fits, under every policy")
        .arg(count("limit-mb", "200", "maxmemory"))
        .arg(count("times", "10", "bytes written, as a multiple of the limit"))
        .arg(list("policies", maxmemory::POLICIES, "policies"))
        .arg(text("sizes", "log (every order of magnitude alike) or uniform").default_value("log"))
        .arg(count("min", "1", "shortest value"))
        .arg(count("max", "100000", "longest value"))
        .arg(count("client-budget-mb", "16", "resident bytes granted to connections"))
        .arg(count("connections", "20", "connections"))
        .arg(count("pipeline", "4", "requests per batch"));
    with_servers(command)
}

pub(crate) fn maxmemory_plan(m: &ArgMatches) -> Outcome<maxmemory::Plan> {
    let (min, max) = (num(m, "min") as usize, num(m, "max") as usize);
    if min == 0 || min > max {
        return Err("--min must be 1 at least and --max not below it".into());
    }
    let size = match strings(m, "sizes").join("").as_str() {
        "log" => ValueSize::Logarithmic(min, max),
        "uniform" => ValueSize::Uniform(min, max),
        other => return Err(format!("--sizes {other}").into()),
    };
    Ok(maxmemory::Plan {
        limit: num(m, "limit-mb") << 20,
        times: num(m, "times"),
        policies: strings(m, "policies"),
        size,
        client_budget: num(m, "client-budget-mb") << 20,
        connections: num(m, "connections") as usize,
        pipeline: num(m, "pipeline") as u32,
        seed: num(m, "seed"),
    })
}

fn collections_cli() -> Command {
    let command = Command::new("collections").about("Resident memory of collections");
    with_servers(command)
}

// ---- expiry

fn expiry_cli() -> Command {
    let command = Command::new("expiry")
        .about("A million keys with random deadlines that nobody asks for")
        .arg(count("keys", "1000000", "keys"))
        .arg(real("spread", "60", "seconds over which the deadlines lie"))
        .arg(real("lead", "6", "seconds granted for writing the keys"))
        .arg(real("patience", "20", "seconds to wait after the last deadline"))
        .arg(count("value", "64", "bytes per value"));
    with_servers(command)
}

pub(crate) fn expiry_plan(m: &ArgMatches) -> expiry::Plan {
    expiry::Plan {
        keys: num(m, "keys"),
        spread: seconds(m, "spread"),
        lead: seconds(m, "lead"),
        patience: seconds(m, "patience"),
        size: num(m, "value") as usize,
    }
}

// ---- storage

fn storage_cli() -> Command {
    Command::new("storage")
        .about("The keyspace alone, in this process, against concurrent maps")
        .arg(list("engines", storage::ENGINES, "engines"))
        .arg(list("shards", "16", "shards of dunlin's keyspace, one engine each"))
        .arg(list("threads", "1,2,8", "threads"))
        .arg(list("reads", "95,50", "percentages of reads"))
        .arg(count("keys", "1000000", "keys"))
        .arg(count("value", "64", "bytes per value"))
        .arg(count("batch", "16", "operations per batch"))
        .arg(count("ops", "4000000", "operations of a run, all threads together"))
        .arg(count("rounds", "5", "rounds"))
        .arg(real("zipf", "0.99", "exponent of the keys' distribution"))
        .arg(
            Arg::new("no-hot")
                .long("no-hot")
                .action(ArgAction::SetTrue)
                .help("leave out the reads of one hot key"),
        )
        .arg(count("seed", "1", "seed of the streams"))
}

pub(crate) fn storage_plan(m: &ArgMatches) -> storage::Plan {
    let some = |name| numbers(m, name).into_iter().filter(|&n| n > 0).collect();
    storage::Plan {
        engines: strings(m, "engines"),
        shards: some("shards"),
        threads: some("threads"),
        reads: numbers(m, "reads"),
        keys: num(m, "keys").clamp(1, 1 << 31),
        size: num(m, "value") as usize,
        batch: num(m, "batch").max(1) as usize,
        ops: num(m, "ops"),
        rounds: num(m, "rounds") as usize,
        zipf: m.get_one::<f64>("zipf").copied().unwrap_or(0.99),
        hot: !m.get_flag("no-hot"),
        seed: num(m, "seed"),
    }
}

fn mixes_cli() -> Command {
    Command::new("mixes")
        .about("The keyspace with small collections, in this process, from one thread and from two")
        .arg(list("mixes", mixes::MIXES, "mixes of commands"))
        .arg(list("threads", "1,2", "threads; others are compared with the first"))
        .arg(count("shards", "16", "shards"))
        .arg(count("keys", "1000", "keys"))
        .arg(count("elements", "50", "elements of each collection"))
        .arg(count("batch", "16", "commands per batch"))
        .arg(count("ops", "4000000", "commands of a run, all threads together"))
        .arg(count("rounds", "5", "rounds"))
        .arg(count("seed", "1", "seed of the streams"))
}

pub(crate) fn mixes_plan(m: &ArgMatches) -> Outcome<mixes::Plan> {
    let threads: Vec<u32> = numbers(m, "threads").into_iter().filter(|&n| n > 0).collect();
    if threads.is_empty() {
        return Err("--threads wants numbers".into());
    }
    Ok(mixes::Plan {
        mixes: strings(m, "mixes"),
        threads,
        shards: num(m, "shards").max(1) as usize,
        keys: num(m, "keys").clamp(1, 1 << 31),
        elements: num(m, "elements").clamp(1, 1 << 31),
        batch: num(m, "batch").max(1) as usize,
        ops: num(m, "ops"),
        rounds: num(m, "rounds").max(1) as usize,
        seed: num(m, "seed"),
    })
}

fn mix(parts: &[String]) -> Vec<(Op, u32)> {
    let one = |part: &String| {
        let (name, share) = part.split_once(':').unwrap_or((part, "1"));
        let op = Op::ALL.iter().find(|op| op.name() == name)?;
        Some((*op, share.parse().ok()?))
    };
    parts.iter().filter_map(one).collect()
}
