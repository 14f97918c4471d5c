//! `soak`.

use clap::{ArgMatches, Command};
use dunlin_benches::request::ValueSize;
use dunlin_benches::soak::Plan;

use super::{arrivals, count, list, mix, num, real, seconds, strings, with_pace};

pub(crate) fn soak_cli() -> Command {
    let command = Command::new("soak")
        .about("The same load for hours: what grows, and whether latencies drift")
        .arg(real("share", "0.7", "rate as a share of the peak"))
        .arg(real("hours", "2", "length of the load"))
        .arg(real("warm-up", "1200", "seconds of it that do not count"))
        .arg(real("window", "60", "seconds of a window"))
        .arg(count("lines", "24", "lines of the table"))
        .arg(count("limit", "512", "maxmemory in MB"))
        .arg(count("keys", "4000000", "keys"))
        .arg(real("zipf", "0.9", "exponent of the keys' distribution, 0 = uniform"))
        .arg(count("smallest", "16", "least bytes of a value"))
        .arg(count("largest", "4096", "most bytes of a value"))
        .arg(count("ttl", "300", "lifetime of the values in seconds"))
        .arg(list("mix", "get:4,set:1", "requests and their shares"));
    with_pace(command)
}

pub(crate) fn soak_plan(m: &ArgMatches) -> Plan {
    let real = |name: &str| m.get_one::<f64>(name).copied().unwrap_or_default();
    let smallest = num(m, "smallest").max(1) as usize;
    Plan {
        share: real("share"),
        time: seconds(m, "hours") * 3600,
        warm_up: seconds(m, "warm-up"),
        window: seconds(m, "window"),
        lines: num(m, "lines") as usize,
        limit: num(m, "limit") << 20,
        keys: num(m, "keys"),
        zipf: Some(real("zipf")).filter(|&s| s > 0.0),
        size: ValueSize::Logarithmic(smallest, smallest.max(num(m, "largest") as usize)),
        ttl: num(m, "ttl") as u32,
        mix: mix(&strings(m, "mix")),
        connections: num(m, "connections") as usize,
        pipeline: num(m, "pipeline") as u32,
        arrivals: arrivals(m),
        seed: num(m, "seed"),
    }
}
