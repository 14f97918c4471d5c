//! What is about clusters.

use super::{count, list, mix, num, numbers, real, seconds, strings, text, with_servers};
use clap::{ArgMatches, Command, value_parser};
use dunlin_benches::{cluster, migration, placement};

// ---- placement

pub(super) fn placement_cli() -> Command {
    Command::new("placement")
        .about("Ways to place slots on the members of a cluster, compared by what they cost")
        .arg(list("members", "3,10,30,100", "numbers of members"))
        .arg(count("seed", "1", "seed of which member leaves"))
}

pub(crate) fn placement_plan(m: &ArgMatches) -> placement::Plan {
    placement::Plan { members: numbers(m, "members"), seed: num(m, "seed") }
}

// ---- a node of a cluster

pub(super) fn cluster_cli() -> Command {
    let command = Command::new("cluster")
        .about("CPU time of a GET on a node of a cluster, of MOVED, and of CLUSTER SLOTS")
        .arg(count("rounds", "20", "rounds"))
        .arg(real("seconds", "0.5", "length of a load on one server"))
        .arg(count("keys", "100000", "keys"))
        .arg(count("connections", "50", "connections"))
        .arg(list("pipeline", "1,16,64", "pipeline depths"))
        .arg(count("value", "64", "bytes per value"));
    with_servers(command)
}

pub(crate) fn cluster_plan(m: &ArgMatches) -> cluster::Plan {
    cluster::Plan {
        rounds: num(m, "rounds").max(1) as usize,
        time: seconds(m, "seconds"),
        keys: num(m, "keys").max(1),
        size: num(m, "value") as usize,
        connections: num(m, "connections").max(1) as usize,
        pipelines: numbers(m, "pipeline"),
        seed: num(m, "seed"),
    }
}

// ---- migration

pub(super) fn migration_cli() -> Command {
    let command = Command::new("migration")
        .about("Open loop on slots of a cluster that move because a node joins")
        .arg(count("rounds", "3", "rounds, each with nodes of its own"))
        .arg(count("members", "3", "nodes before the join"))
        .arg(count("keys", "500000", "keys, all in slots that move"))
        .arg(real("seconds", "6", "length of the load before the join, and of that after it"))
        .arg(
            text("rate", "requests per second instead of a share of the peak")
                .value_parser(value_parser!(f64)),
        )
        .arg(real("share", "0.3", "rate as a share of the peak"))
        .arg(count("connections", "200", "connections to each node, with one request each"))
        .arg(list("mix", "set:1", "requests and their shares, of set and get"))
        .arg(count("value", "64", "bytes per value"));
    with_servers(command)
}

pub(crate) fn migration_plan(m: &ArgMatches) -> migration::Plan {
    migration::Plan {
        rounds: num(m, "rounds").max(1) as usize,
        members: num(m, "members").max(1) as usize,
        keys: num(m, "keys").max(1) as usize,
        time: seconds(m, "seconds"),
        rate: m.get_one::<f64>("rate").copied(),
        share: m.get_one::<f64>("share").copied().unwrap_or(0.4),
        connections: num(m, "connections").max(1) as usize,
        mix: mix(&strings(m, "mix")),
        size: num(m, "value") as usize,
        seed: num(m, "seed"),
    }
}
