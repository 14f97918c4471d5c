//! `collections`: resident bytes of many small collections, and of one large one.

use std::fmt::Write as _;

use crate::Outcome;
use crate::peer::{Peer, Stage};
use crate::report::{Report, Table, number};
use crate::scan::Wire;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What to fill.
struct Kind {
    name: &'static str,
    /// Collections at the scale 1.
    keys: u64,
    /// The command that makes the one of a number.
    make: fn(u64) -> Vec<String>,
    /// Resident bytes Dunlin may take, as a share of redis's.
    goal: f64,
}

fn hash(i: u64) -> Vec<String> {
    let fields = (0..10).flat_map(|j| [format!("field{j}"), format!("value{}", i * 10 + j)]);
    ["HSET".into(), format!("hash:{i:08}")].into_iter().chain(fields).collect()
}

fn set(i: u64) -> Vec<String> {
    let members = (0..10).map(|j| format!("member{}", i + j));
    ["SADD".into(), format!("set:{i:08}")].into_iter().chain(members).collect()
}

fn zset(i: u64) -> Vec<String> {
    let members = (0..10).flat_map(|j| [format!("{}", i + j), format!("member{j}")]);
    ["ZADD".into(), format!("zset:{i:08}")].into_iter().chain(members).collect()
}

fn list(i: u64) -> Vec<String> {
    let elements = (0..100).map(|j| format!("element{}", i + j));
    ["RPUSH".into(), format!("list:{i:08}")].into_iter().chain(elements).collect()
}

/// Ten members of one sorted set, in an order of scores that is not that of the commands.
fn large_zset(i: u64) -> Vec<String> {
    let members = (i * 10..i * 10 + 10)
        .flat_map(|n| [format!("{}", n.wrapping_mul(7919) % 1_000_003), format!("member:{n:08}")]);
    ["ZADD".into(), "zset".into()].into_iter().chain(members).collect()
}

const KINDS: &[Kind] = &[
    Kind { name: "hashes of 10 fields", keys: 100_000, make: hash, goal: 0.9 },
    Kind { name: "sets of 10", keys: 100_000, make: set, goal: 0.9 },
    Kind { name: "sorted sets of 10", keys: 100_000, make: zset, goal: 0.9 },
    Kind { name: "lists of 100", keys: 100_000, make: list, goal: 0.9 },
    Kind { name: "one sorted set, tens of", keys: 100_000, make: large_zset, goal: 0.8 },
];

/// Commands sent before their replies are read.
const BATCH: u64 = 500;

/// Fills fresh servers with each kind and compares.
///
/// # Errors
///
/// When a server fails or answers with an error.
pub fn run(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let columns = ["collections", "number", "server", "grown MB", "resident MB", "ratio to redis"];
    let mut table = Table::new("resident memory of collections", &columns);
    for kind in KINDS {
        let peers: Vec<&Peer> = stage.peers.iter().filter(|p| p.wire == Wire::Resp).collect();
        let sizes = peers.iter().map(|p| size(stage, p, kind)).collect::<Outcome<Vec<_>>>()?;
        let named = |name: &str| peers.iter().position(|p| p.name == name).map(|at| sizes[at].1);
        let redis = named("redis").unwrap_or(f64::NAN);
        for (peer, (grown, resident)) in peers.iter().zip(&sizes) {
            let mb = f64::from(1 << 20);
            table.row(vec![
                kind.name.into(),
                kind.keys.into(),
                peer.name.as_str().into(),
                number(grown / mb, 1),
                number(resident / mb, 1),
                number(resident / redis, 2),
            ]);
        }
        if let (Some(dunlin), true) = (named("dunlin"), redis.is_finite()) {
            let (share, goal) = (dunlin / redis, kind.goal);
            report.goal(share <= goal, &format!("{}: {share:.2} <= {goal}", kind.name));
        }
    }
    report.table(table);
    Ok(())
}

/// How much a fresh server grows, and to what.
fn size(stage: &Stage, peer: &Peer, kind: &Kind) -> Outcome<(f64, f64)> {
    let server = stage.start(peer)?;
    let before = server.process.rss().0;
    let mut stream = TcpStream::connect(server.addr)?;
    let mut from = 0;
    while from < kind.keys {
        let to = (from + BATCH).min(kind.keys);
        let mut text = String::new();
        for i in from..to {
            let args = (kind.make)(i);
            let _ = write!(text, "*{}\r\n", args.len());
            for arg in &args {
                let _ = write!(text, "${}\r\n{arg}\r\n", arg.len());
            }
        }
        stream.write_all(text.as_bytes())?;
        integers(&mut stream, to - from).map_err(|e| format!("{}: {e}", server.name))?;
        from = to;
    }
    // Memory that is given back late is not held against anybody.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let resident = server.process.rss().0;
    Ok((resident.saturating_sub(before) as f64, resident as f64))
}

/// Reads so many replies, all of them integers.
fn integers(stream: &mut TcpStream, count: u64) -> Outcome<()> {
    let (mut seen, mut begins, mut room) = (0, true, [0; 16 * 1024]);
    while seen < count {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
        for byte in &room[..read] {
            if begins && *byte != b':' {
                return Err(String::from_utf8_lossy(&room[..read]).into());
            }
            begins = *byte == b'\n';
            seen += u64::from(begins);
        }
    }
    Ok(())
}
