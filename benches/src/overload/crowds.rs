//! `crowds`: clients that only take places, and what is left of them when they have gone.
//!
//! - `half`: 9,900 connections (`maxclients` is 10,000) that stop in the middle of a command;
//! - `held`: 200 connections to a server that has 64 file descriptors;
//! - `reset`: connections as fast as they can be made, each a PING and a reset.
//!
//! While the crowd is there and does nothing the server should do nothing either (its CPU time as a
//! share of a core); **recovery** is counted from the first of the crowd's closes until a new client has
//! its PONG.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Plain};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::Plan;
use super::neighbours::{SocketOptions, open};
use super::rounds::{mid, rounds};
use crate::Outcome;
use crate::peer::{Server, Stage};
use crate::report::{Report, Table, number};

const HALF: usize = 9_900;
const HELD: usize = 200;
/// Descriptors of a server that is to have few.
const FEW: u64 = 64;
/// Connections of a storm of resets that are made before they are reset, and how long it lasts.
const AT_ONCE: usize = 100;
const STORM: Duration = Duration::from_secs(1);
/// The crowd comes in groups so that the system's queue of connections has room for it.
const GROUP: usize = 50;
const BETWEEN_GROUPS: Duration = Duration::from_millis(2);
/// Until the crowd has come, and how long it is looked at then.
const ARRIVING: Duration = Duration::from_millis(700);
const AT_REST: Duration = Duration::from_millis(500);
/// Who has not got its reply by then has not got it.
const GIVE_UP: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(2);

const RECOVERY_GOAL_MS: f64 = 1000.0;
const REST_GOAL: f64 = 0.2;

/// Share of a core at rest, and milliseconds until the server was well again.
type Crowd = (f64, f64);

/// One server in one round.
struct Visit {
    half: Crowd,
    held: Crowd,
    reset: Crowd,
}

/// Servers with as many descriptors as they want, and with few.
struct Begun {
    server: Server,
    poor: Server,
}

/// Runs the scenario.
pub(super) fn run(stage: &Stage, plan: &Plan, report: &mut Report) -> Outcome<()> {
    let begin = |peer: &_| {
        let (server, poor) = (stage.start(peer)?, stage.start(peer)?);
        let limit = Rlimit { current: Some(FEW), maximum: Some(FEW) };
        let pid = i32::try_from(poor.process.pid()).ok().and_then(Pid::from_raw);
        // None would be this process.
        prlimit(Some(pid.ok_or("a process has a number")?), Resource::Nofile, limit)?;
        Ok(Begun { server, poor })
    };
    let one = |_: &_, begun: &Begun, _| visit(begun);
    let results = rounds(stage, plan, ("crowds", plan.rounds), begin, one)?;
    report.table(table(stage, plan, &results));
    for (peer, visits) in stage.peers.iter().zip(&results) {
        if peer.name == "dunlin" {
            judge(visits, report);
        }
    }
    Ok(())
}

fn visit(begun: &Begun) -> Outcome<Visit> {
    let Begun { server, poor } = begun;
    Ok(Visit {
        half: crowd(server, HALF, b"*1\r\n$4\r\nPI")?,
        held: crowd(poor, HELD, b"")?,
        reset: resets(server)?,
    })
}

/// A crowd that comes, says something, waits, and goes.
fn crowd(server: &Server, count: usize, words: &[u8]) -> Outcome<Crowd> {
    let mut clients = Vec::with_capacity(count);
    for i in 0..count {
        // With fewer descriptors of our own the crowd is smaller.
        clients.extend(open(server.addr, SocketOptions::default()).ok());
        if i % GROUP == GROUP - 1 {
            std::thread::sleep(BETWEEN_GROUPS);
        }
    }
    if clients.len() < count {
        eprintln!("note: {}: only {} of {count} could come", server.name, clients.len());
    }
    std::thread::sleep(ARRIVING);
    for client in &mut clients {
        // Some may have been refused.
        let _ = client.write(words);
    }
    std::thread::sleep(ARRIVING);
    let rest = at_rest(server);
    let begin = Instant::now();
    drop(clients);
    Ok((rest, recovered(server.addr, begin)))
}

/// Clients that ask for something and reset their connections.
fn resets(server: &Server) -> Outcome<Crowd> {
    let options = SocketOptions { reset: true, ..SocketOptions::default() };
    let end = Instant::now() + STORM;
    while Instant::now() < end {
        let mut clients = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            // Without a port the storm is a little weaker.
            clients.extend(open(server.addr, options).ok());
        }
        clients.iter_mut().for_each(ask);
    }
    let took = recovered(server.addr, Instant::now());
    Ok((at_rest(server), took))
}

fn ask(client: &mut TcpStream) {
    // It may be refused, or not be connected yet: then it is reset without a word.
    let _ = client.write(b"PING\r\n");
}

/// What the server does while nobody asks it for anything, as a share of a core.
fn at_rest(server: &Server) -> f64 {
    let before = server.process.cpu_ns();
    std::thread::sleep(AT_REST);
    let used = server.process.cpu_ns().saturating_sub(before);
    used as f64 / AT_REST.as_nanos() as f64
}

/// Milliseconds until a new client has its reply.
fn recovered(addr: SocketAddr, begin: Instant) -> f64 {
    while begin.elapsed() < GIVE_UP {
        if is_served(addr).unwrap_or(false) {
            break;
        }
        std::thread::sleep(RETRY);
    }
    begin.elapsed().as_secs_f64() * 1000.0
}

fn is_served(addr: SocketAddr) -> std::io::Result<bool> {
    let mut client = Plain::connect_timeout(&addr, GIVE_UP)?;
    client.set_read_timeout(Some(GIVE_UP))?;
    client.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    client.read_exact(&mut reply)?;
    Ok(reply == *b"+PONG\r\n")
}

fn worst(visits: &[Visit], field: impl Fn(&Visit) -> f64) -> f64 {
    visits.iter().map(field).fold(0.0, f64::max)
}

/// How a crowd is called, and its figures.
type Kind = (&'static str, fn(&Visit) -> Crowd);

const KINDS: [Kind; 3] = [
    ("half commands", |visit| visit.half),
    ("64 descriptors", |visit| visit.held),
    ("resets", |visit| visit.reset),
];

fn judge(visits: &[Visit], report: &mut Report) {
    for (name, of) in KINDS {
        let (rest, took) = (worst(visits, |v| of(v).0), worst(visits, |v| of(v).1));
        let text = format!("crowds, {name}: {:.1} % of a core at rest < 20 %", 100.0 * rest);
        report.goal(rest < REST_GOAL, &text);
        let text = format!("crowds, {name}: well again after {took:.0} ms <= 1 s, at worst");
        report.goal(took <= RECOVERY_GOAL_MS, &text);
    }
}

fn table(stage: &Stage, plan: &Plan, results: &[Vec<Visit>]) -> Table {
    let title = format!(
        "crowds: {HALF} half commands, {HELD} connections to a server with {FEW} descriptors, \
         {STORM:?} of resets; {} rounds",
        plan.rounds
    );
    let columns = ["server", "crowd", "at rest % of a core", "recovery ms", "at most ms"];
    let mut table = Table::new(&title, &columns);
    for (peer, visits) in stage.peers.iter().zip(results) {
        for (name, of) in KINDS {
            table.row(vec![
                peer.name.as_str().into(),
                name.into(),
                number(100.0 * mid(visits, |v| of(v).0), 1),
                number(mid(visits, |v| of(v).1), 1),
                number(worst(visits, |v| of(v).1), 1),
            ]);
        }
    }
    table
}
