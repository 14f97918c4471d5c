//! `redis-benchmark`: the server's CPU time in the tests which that program runs by itself.
//!
//! The load is the peer's own program, so nobody can say that ours suits us. It sends from one
//! thread, which is the limit of the whole: the servers are idle for a part of the time, and
//! what it costs to be woken is in the figures.

use std::process::{Command, Stdio};

use crate::Outcome;
use crate::peer::{Peer, Server, Stage};
use crate::process::{on_path, pin};
use crate::report::{Report, Table, median, number, ratio};
use crate::scan::Wire;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: usize,
    /// Requests of a test.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Requests sent together.
    pub pipeline: u64,
    /// Names of the tests; none stands for all.
    pub tests: Vec<String>,
}

/// A test of redis-benchmark.
struct Test {
    name: &'static str,
    /// The test that makes what this one takes.
    first: Option<&'static str>,
    /// The command to send; otherwise the name is its name there, too. That program measures
    /// its LRANGE together with the pushes that make the list.
    command: &'static str,
}

const fn test(name: &'static str) -> Test {
    Test { name, first: None, command: "" }
}

const fn takes(name: &'static str, first: &'static str) -> Test {
    Test { name, first: Some(first), command: "" }
}

const fn lrange(name: &'static str, command: &'static str) -> Test {
    Test { name, first: Some("lpush"), command }
}

/// Its default list.
const TESTS: &[Test] = &[
    test("ping_inline"),
    test("ping_mbulk"),
    test("set"),
    test("get"),
    test("incr"),
    test("lpush"),
    test("rpush"),
    takes("lpop", "lpush"),
    takes("rpop", "rpush"),
    test("sadd"),
    test("hset"),
    takes("spop", "sadd"),
    test("zadd"),
    takes("zpopmin", "zadd"),
    lrange("lrange_100", "LRANGE mylist 0 99"),
    lrange("lrange_300", "LRANGE mylist 0 299"),
    lrange("lrange_500", "LRANGE mylist 0 499"),
    lrange("lrange_600", "LRANGE mylist 0 599"),
    test("mset"),
];

/// CPU time per operation Dunlin may use, as a share of redis's.
const GOAL: f64 = 0.6;
const GOAL_LRANGE: f64 = 0.8;
/// The name of the server which answers with a constant.
pub const FLOOR: &str = "floor";

/// Runs the list against all servers in turn.
///
/// # Errors
///
/// When redis-benchmark is not there, or prints an error.
pub fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    if !on_path("redis-benchmark") {
        return Err("redis-benchmark is not on the PATH".into());
    }
    let peers: Vec<&Peer> = stage.peers.iter().filter(|p| p.wire == Wire::Resp).collect();
    let servers = peers.iter().map(|p| stage.start(p)).collect::<Outcome<Vec<Server>>>()?;
    let title = format!(
        "redis-benchmark -n {} -c {} -P {}: the server's CPU time, medians of {} rounds; ratios to redis",
        plan.requests, plan.connections, plan.pipeline, plan.rounds
    );
    let mut columns = vec!["test"];
    columns.extend(servers.iter().map(|server| server.name.as_str()));
    let ratios: Vec<String> = servers.iter().map(|s| format!("{} ratio", s.name)).collect();
    columns.extend(ratios.iter().map(String::as_str));
    let mut table = Table::new(&title, &columns);
    for test in wanted(&plan.tests)? {
        let cpu = rounds(stage, plan, test, &servers)?;
        let base = servers.iter().position(|s| s.name == "redis").map(|at| &cpu[at]);
        let shares: Vec<f64> =
            cpu.iter().map(|own| base.map_or(f64::NAN, |base| ratio(own, base))).collect();
        let mut row = vec![test.name.into()];
        row.extend(cpu.iter().map(|own| number(median(own), 0)));
        row.extend(shares.iter().map(|share| number(*share, 2)));
        table.row(row);
        let dunlin = servers.iter().zip(&shares).find(|(server, _)| server.name == "dunlin");
        if let (Some((_, share)), true) = (dunlin, plan.pipeline == 16) {
            let goal = if test.name.starts_with("lrange") { GOAL_LRANGE } else { GOAL };
            report.goal(*share <= goal, &format!("{}: {share:.2} <= {goal}", test.name));
        }
    }
    report.table(table);
    Ok(())
}

fn wanted(names: &[String]) -> Outcome<Vec<&'static Test>> {
    if let Some(unknown) = names.iter().find(|name| !TESTS.iter().any(|t| t.name == **name)) {
        return Err(format!("no test named {unknown}").into());
    }
    let asked = |test: &&Test| names.is_empty() || names.iter().any(|name| name == test.name);
    Ok(TESTS.iter().filter(asked).collect())
}

/// Nanoseconds of CPU time per request, by server and round. The floor has no lists to send.
fn rounds(stage: &Stage, plan: &Plan, test: &Test, servers: &[Server]) -> Outcome<Vec<Vec<f64>>> {
    let mut cpu = vec![Vec::new(); servers.len()];
    for round in 0..plan.rounds {
        for turn in 0..servers.len() {
            let at = (turn + round) % servers.len();
            let server = &servers[at];
            if server.name == FLOOR && test.name.starts_with("lrange") {
                continue;
            }
            server.control()?.command("FLUSHALL")?;
            if let Some(first) = test.first {
                send(stage, plan, server, &["-t", first])?;
            }
            let command: Vec<&str> = test.command.split(' ').collect();
            let before = server.process.cpu_ns();
            match test.command {
                "" => send(stage, plan, server, &["-t", test.name])?,
                _ => send(stage, plan, server, &command)?,
            }
            let used = server.process.cpu_ns().saturating_sub(before);
            cpu[at].push(used as f64 / plan.requests as f64);
        }
    }
    Ok(cpu)
}

/// Runs redis-benchmark on the core of the load.
fn send(stage: &Stage, plan: &Plan, server: &Server, what: &[&str]) -> Outcome<()> {
    let numbers = [
        ("-p", u64::from(server.addr.port())),
        ("-n", plan.requests),
        ("-c", plan.connections),
        ("-P", plan.pipeline),
    ];
    let mut command = Command::new("redis-benchmark");
    for (flag, value) in numbers {
        command.arg(flag).arg(value.to_string());
    }
    command.arg("-q").args(what).stdin(Stdio::null());
    let core = stage.load_core;
    // A child inherits the affinity of the thread that starts it.
    let run = || {
        pin(core);
        command.output()
    };
    let output = std::thread::scope(|scope| scope.spawn(run).join())
        .map_err(|_| "redis-benchmark could not be started")??;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // The floor does not know CONFIG, which is worth a warning to redis-benchmark.
    if !output.status.success() || (text.contains("rror") && server.name != FLOOR) {
        return Err(format!("redis-benchmark {what:?} on {}: {text}", server.name).into());
    }
    Ok(())
}
