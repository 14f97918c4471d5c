//! The arguments of `overload` and `overhead`.

use std::time::Duration;

use clap::{ArgMatches, Command};
use dunlin_benches::{overhead, overload};

use super::{count, list, num, real, seconds, strings, text, with_servers};

pub(super) fn overload_cli() -> Command {
    let command = Command::new("overload")
        .about(
            "Open loop far beyond the capacity, noisy neighbours, steps of load; tables and plots",
        )
        .arg(list("scenarios", overload::SCENARIOS, "scenarios"))
        .arg(real("seconds", "2", "length of each load"))
        .arg(count("rounds", "3", "rounds of cheap, dear, step and crowds"))
        .arg(count("pairs", "11", "pairs of slices, alone and beside: hog, storm and readers"))
        .arg(text("plots", "write the plots (SVG) into this folder"))
        .arg(real("deadline-ms", "100", "a request answered later has failed"))
        .arg(real(
            "cheap-us",
            "20",
            "what makes a cheap request dearer for the server, 0 = nothing",
        ))
        .arg(real("dear-ms", "2", "length of a dear command"))
        .arg(real("light-rate", "20000", "requests per second of light clients"))
        .arg(list("storms", overload::STORMS, "storms"))
        .arg(real("storm-rate", "10000", "new connections per second of a storm"))
        .arg(count("client-budget-mb", "64", "maxmemory-clients where readers do not read"));
    with_servers(command).mut_arg("servers", |arg| arg.default_value("dunlin,dunlin-off,redis"))
}

pub(crate) fn overload_plan(m: &ArgMatches) -> overload::Plan {
    let real = |name: &str| m.get_one::<f64>(name).copied().unwrap_or_default();
    overload::Plan {
        scenarios: strings(m, "scenarios"),
        seconds: real("seconds").max(0.05),
        rounds: num(m, "rounds").max(1) as usize,
        pairs: num(m, "pairs").max(1) as usize,
        plots: m.get_one::<String>("plots").map(Into::into),
        deadline: Duration::from_secs_f64(real("deadline-ms").max(1.0) / 1000.0),
        cheap_us: real("cheap-us").max(0.0),
        dear_ms: real("dear-ms").max(0.05),
        light_rate: real("light-rate").max(1.0),
        storms: strings(m, "storms"),
        storm_rate: real("storm-rate").max(200.0),
        client_budget: num(m, "client-budget-mb"),
        seed: num(m, "seed"),
    }
}

pub(super) fn overhead_cli() -> Command {
    let on = "--overload-control yes --admin-port {admin} --hot-key-sampling 1000";
    let off = "--overload-control no --admin-port 0 --hot-key-sampling 0";
    let command = Command::new("overhead")
        .about("CPU time per operation with overload control, scraping and sampling on and off")
        .arg(count("rounds", "9", "rounds"))
        .arg(real("seconds", "1.2", "length of a load on one server"))
        .arg(
            text("on", "arguments of the one side; {admin} is a free port")
                .default_value(on)
                .allow_hyphen_values(true),
        )
        .arg(
            text("off", "arguments of the other side").default_value(off).allow_hyphen_values(true),
        )
        .arg(count("keys", "100000", "keys"))
        .arg(count("value", "64", "bytes per value"))
        .arg(count("connections", "50", "connections"))
        .arg(count("pipeline", "16", "requests per batch"));
    with_servers(command).mut_arg("servers", |arg| arg.default_value("dunlin"))
}

pub(crate) fn overhead_plan(m: &ArgMatches) -> overhead::Plan {
    overhead::Plan {
        rounds: num(m, "rounds").max(1) as usize,
        time: seconds(m, "seconds"),
        on: strings(m, "on").join(" "),
        off: strings(m, "off").join(" "),
        keys: num(m, "keys").max(1),
        size: num(m, "value") as usize,
        connections: num(m, "connections").max(1) as usize,
        pipeline: num(m, "pipeline").max(1) as u32,
        seed: num(m, "seed"),
    }
}
