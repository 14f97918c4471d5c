//! The arguments of `replay`.

use clap::{Arg, ArgAction, ArgMatches, Command};
use dunlin_benches::Outcome;
use dunlin_benches::peer::Stage;
use dunlin_benches::replay::{self, models, synthetic};
use dunlin_storage::Policy;

use super::{count, list, num, stage, strings, text, with_servers};

pub(super) fn replay_cli() -> Command {
    let command = Command::new("replay")
        .about("Miss ratios on traces at fixed bytes: models, the keyspace, servers over RESP")
        .arg(
            text("trace", "a trace: [NAME=]PATH[:FORMAT]; - is the standard input")
                .action(ArgAction::Append),
        )
        .arg(
            Arg::new("made")
                .long("made")
                .value_delimiter(',')
                .help(format!("made traces: all, or of {}", synthetic::NAMES.join(","))),
        )
        .arg(list("shares", "1,5,20", "budgets in percent of the footprint"))
        .arg(list("models", models::LIST, "policies to compare with, by name"))
        .arg(list("store-policies", Policy::default().name(), "policies of the keyspace"))
        .arg(count("shards", "0", "shards of the keyspace; 0: as in a server of one worker"))
        .arg(count("value", "1000", "bytes of a value where the trace does not say"))
        .arg(count("requests", "20000000", "requests of a trace at most"))
        .arg(list("policies", "allkeys-lru,allkeys-lfu", "policies of the servers but dunlin"))
        .arg(text("dunlin-policies", "policies of dunlin instead of its own").value_delimiter(','))
        .arg(count("pipeline", "64", "requests of a server sent together at most"));
    with_servers(command)
}

/// The servers, if any were asked for.
pub(crate) fn replay_stage(m: &ArgMatches) -> Outcome<Option<Stage>> {
    if strings(m, "servers").is_empty() { Ok(None) } else { stage(m).map(Some) }
}

pub(crate) fn replay_plan(m: &ArgMatches) -> Outcome<replay::Plan> {
    let policy = |name: &String| Policy::parse(name).ok_or_else(|| format!("no policy {name}"));
    let policies: Result<Vec<Policy>, String> =
        strings(m, "store-policies").iter().map(policy).collect();
    let mut made = strings(m, "made");
    if made.iter().any(|name| name == "all") {
        made = synthetic::NAMES.map(str::to_owned).to_vec();
    }
    Ok(replay::Plan {
        traces: strings(m, "trace"),
        made,
        shares: strings(m, "shares").iter().filter_map(|share| share.parse().ok()).collect(),
        models: strings(m, "models"),
        policies: policies?,
        shards: num(m, "shards") as usize,
        value: num(m, "value").clamp(1, 1 << 28) as usize,
        requests: num(m, "requests") as usize,
        over_wire: replay::server::Plan {
            policies: strings(m, "policies"),
            own_policies: strings(m, "dunlin-policies"),
            pipeline: num(m, "pipeline") as usize,
        },
        seed: num(m, "seed"),
    })
}
