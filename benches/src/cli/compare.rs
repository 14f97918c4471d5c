//! The arguments of `compare`.

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Command};
use dunlin_benches::floor::LARGE;
use dunlin_benches::peer::{Peer, Stage, Way};
use dunlin_benches::standard::FLOOR;
use dunlin_benches::{Outcome, compare};

use super::{count, list, num, numbers, real, seconds, stage, strings, text, with_servers};

pub(super) fn compare_cli() -> Command {
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
            "of get,set,mixed,ping,incr,mset (of ten keys),mget100,mset100",
        ))
        .arg(
            text("transport", "what the loads go over; servers that cannot are left out")
                .value_parser(PossibleValuesParser::new(Way::NAMES))
                .default_value("tcp"),
        )
        .arg(text("reference", "the server others are compared with").default_value("redis"));
    with_servers(command)
}

/// The servers that can be reached over the transport asked for.
pub(crate) fn compare_stage(m: &ArgMatches) -> Outcome<Stage> {
    let mut stage = stage(m)?.over(Way::named(&strings(m, "transport").join(""))?);
    let size = num(m, "value");
    if size >= LARGE as u64 {
        let tell = |peer: Peer| match peer.name.as_str() {
            FLOOR => peer.with_args(&format!("--value {size}")),
            _ => peer,
        };
        stage.peers = stage.peers.into_iter().map(tell).collect();
    }
    if stage.peers.is_empty() {
        return Err("no server to measure".into());
    }
    Ok(stage)
}

pub(crate) fn compare_plan(m: &ArgMatches) -> compare::Plan {
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
