//! Many clients that wait, push, are killed, unblocked and timed out at random, on several workers: no
//! element is lost or delivered twice, and nobody sleeps who could be served.
//!
//! What was given to a client that is killed before it reads it is gone, as in Redis. How many
//! replies that are is known exactly: the server counts a blocking command when it ends, and the
//! clients count what they read.

use crate::support::client::Broken;
use crate::support::{Client, Rng, Server, Value, alone, eventually};
use crate::{SOON, info};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

const CONSUMERS: usize = 24;
const PRODUCERS: usize = 4;
const EACH: usize = 2_000;
const SOURCES: usize = 5;
/// How long the last element may take to find its consumer.
const DRAIN: Duration = Duration::from_secs(60);

/// What the consumers of a run share.
#[derive(Default)]
struct Run {
    /// Connections of the consumers, for those who kill and unblock.
    ids: Vec<AtomicI64>,
    stop: AtomicBool,
    /// Elements that pops have returned.
    taken: Mutex<Vec<String>>,
    /// Elements that moves have returned.
    moved: Mutex<Vec<String>>,
    /// Replies that were read.
    replies: AtomicI64,
}

/// What is done with one reply.
type Note = fn(&Run, &str, &Value);

fn note(list: &Mutex<Vec<String>>, element: &Value) {
    list.lock().expect("no test has failed").push(element.text());
}

/// Sends random commands until told to stop; connects again when killed.
fn consume(server: &Server, run: &Run, slot: usize, command: fn(&mut Rng) -> String, noted: Note) {
    let mut rng = Rng::part(11, slot as u64);
    while !run.stop.load(Ordering::Acquire) {
        let mut client = server.client();
        client.set_patience(DRAIN * 2);
        let hello = if rng.chance(1, 2) { "HELLO 2" } else { "HELLO 3" };
        let Ok(_) = client.try_recv_after(format!("{hello}\r\nCLIENT ID\r\n").as_bytes()) else {
            continue;
        };
        let Ok(Value::Int(number)) = client.try_recv() else { continue };
        run.ids[slot].store(number, Ordering::Release);
        loop {
            let line = command(&mut rng);
            match client.try_recv_after(format!("{line}\r\n").as_bytes()) {
                Ok(reply) => {
                    run.replies.fetch_add(1, Ordering::Relaxed);
                    if !reply.is_null() && !reply.is_error() {
                        noted(run, &line, &reply);
                    }
                    if let Some(error) = reply.error_text() {
                        assert!(error.starts_with("UNBLOCKED "), "{line}: {error}");
                    }
                }
                Err(Broken::Closed) => break,
                Err(broken) => panic!("{line}: {broken:?}"),
            }
        }
    }
}

/// Kills and unblocks consumers until told to stop.
fn disturb(mut client: Client, run: &Run, done: &AtomicBool) {
    let mut rng = Rng::new(5);
    while !done.load(Ordering::Acquire) {
        let victim = rng.pick(&run.ids).load(Ordering::Acquire);
        match rng.below(4) {
            0 => client.run(&format!("CLIENT KILL ID {victim}")),
            1 => client.run(&format!("CLIENT UNBLOCK {victim} ERROR")),
            _ => client.run(&format!("CLIENT UNBLOCK {victim}")),
        };
        if rng.chance(1, 3) {
            thread::sleep(Duration::from_micros(rng.below(2_000) as u64));
        }
    }
}

/// Lets producers and consumers loose; when everything is produced and `drained`, ends the consumers.
/// Returns what they have noted, and how many replies of `names` they have not read.
fn storm(
    server: &Server,
    names: &[&str],
    command: fn(&mut Rng) -> String,
    noted: Note,
    produce: fn(&mut Client, &mut Rng, Vec<String>),
    drained: impl Fn(&mut Client) -> bool,
) -> (Run, i64) {
    let run = Run { ids: (0..CONSUMERS).map(|_| AtomicI64::new(0)).collect(), ..Run::default() };
    let (done, mut watcher) = (AtomicBool::new(false), server.client());
    thread::scope(|scope| {
        let run = &run;
        for slot in 0..CONSUMERS {
            scope.spawn(move || consume(server, run, slot, command, noted));
        }
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|who| {
                scope.spawn(move || {
                    let (mut client, mut rng) = (server.client(), Rng::part(3, who as u64));
                    let mut next = 0;
                    while next < EACH {
                        let count = rng.below(5).min(EACH - next - 1) + 1;
                        let elements = (next..next + count).map(|n| format!("{who}:{n}"));
                        produce(&mut client, &mut rng, elements.collect());
                        next += count;
                    }
                })
            })
            .collect();
        let chaos = scope.spawn(|| disturb(server.client(), run, &done));
        producers.into_iter().for_each(|producer| producer.join().expect("it produces"));
        done.store(true, Ordering::Release);
        chaos.join().expect("it disturbs");
        let drained = eventually(DRAIN, || drained(&mut watcher));
        run.stop.store(true, Ordering::Release);
        // Who is between two commands would wait for ever after a single round.
        eventually(SOON, || {
            watcher.run("CLIENT KILL TYPE normal SKIPME yes");
            thread::sleep(Duration::from_millis(20));
            info(&mut watcher, "connected_clients") == 1
        });
        assert!(drained, "somebody sleeps who could be served");
    });
    let unread = calls(&mut watcher, names) - run.replies.load(Ordering::Relaxed);
    let empty = eventually(SOON, || info(&mut watcher, "total_blocking_keys") == 0);
    assert!(empty, "somebody stands in a queue");
    (run, unread)
}

/// How many of these commands have ended.
fn calls(client: &mut Client, names: &[&str]) -> i64 {
    let text = client.run("INFO commandstats").text();
    let count = |name: &&str| {
        let line = text.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")))?;
        line.split("calls=").nth(1)?.split(',').next()?.parse::<i64>().ok()
    };
    names.iter().filter_map(count).sum()
}

fn all() -> BTreeSet<String> {
    (0..PRODUCERS).flat_map(|who| (0..EACH).map(move |n| format!("{who}:{n}"))).collect()
}

/// The elements as a set; each only once.
#[track_caller]
fn once(elements: impl IntoIterator<Item = String>, what: &str) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    for element in elements {
        assert!(!set.contains(&element), "{element} was {what} twice");
        set.insert(element);
    }
    set
}

fn sources(rng: &mut Rng, prefix: &str) -> String {
    let mut keys: Vec<String> = (0..SOURCES).map(|n| format!("{prefix}{n}")).collect();
    let skip = rng.below(SOURCES);
    keys.rotate_left(skip);
    // All of them, so that what is in any of them concerns everybody who waits.
    keys.join(" ")
}

fn timeout(rng: &mut Rng) -> &'static str {
    rng.pick::<&str>(&["0", "0", "0", "0.001", "0.01"])
}

#[test]
fn lists() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "3"]);
    let command = |rng: &mut Rng| {
        let (keys, timeout) = (sources(rng, "l"), timeout(rng));
        let (one, kept) = (rng.below(SOURCES), rng.below(3));
        match rng.below(6) {
            0 | 1 => format!("BLPOP {keys} {timeout}"),
            2 => format!("BRPOP {keys} {timeout}"),
            3 => format!("BLMPOP {timeout} {SOURCES} {keys} LEFT COUNT 3"),
            4 => format!("BLMOVE l{one} kept{kept} LEFT RIGHT 0.005"),
            _ => format!("BRPOPLPUSH l{one} l{} 0.005", (one + 1) % SOURCES),
        }
    };
    let noted: Note = |run, line, reply| match (line.split(' ').next(), reply) {
        (Some("BLMOVE"), element) => note(&run.moved, element),
        (Some("BRPOPLPUSH"), _) => {}
        (Some("BLMPOP"), reply) => {
            reply.items()[1].items().iter().for_each(|element| note(&run.taken, element));
        }
        _ => note(&run.taken, &reply.items()[1]),
    };
    let produce = |client: &mut Client, rng: &mut Rng, elements: Vec<String>| {
        let (elements, key) = (elements.join(" "), rng.below(SOURCES));
        let reply = match rng.below(3) {
            0 => client.run(&format!("LPUSH l{key} {elements}")),
            1 => client.run(&format!("RPUSH l{key} {elements}")),
            _ => {
                let own = format!("staging{}", elements.split(':').next().expect("a producer"));
                client.run(&format!("RPUSH {own} {elements}"));
                while client.run(&format!("RENAMENX {own} l{key}")) == Value::Int(0) {
                    thread::sleep(Duration::from_micros(100));
                }
                Value::Int(1)
            }
        };
        assert!(reply.int() > 0, "{reply:?}");
    };
    let drained = |client: &mut Client| {
        (0..SOURCES).all(|n| client.run(&format!("LLEN l{n}")) == Value::Int(0))
    };
    let names = ["blpop", "brpop", "blmpop", "blmove", "brpoplpush"];
    let (run, unread) = storm(&server, &names, command, noted, produce, drained);
    let mut watcher = server.client();
    let kept = (0..3).flat_map(|n| watcher.run(&format!("LRANGE kept{n} 0 -1")).items());
    let kept = once(kept.map(|element| element.text()), "kept");
    let taken = once(run.taken.into_inner().expect("all have ended"), "taken");
    let moved = once(run.moved.into_inner().expect("all have ended"), "moved");
    assert!(moved.is_subset(&kept) && taken.is_disjoint(&kept));
    let missing: Vec<_> =
        all().into_iter().filter(|e| !taken.contains(e) && !kept.contains(e)).collect();
    // A reply of BLMPOP has up to three.
    let most = usize::try_from(unread).expect("clients read what was sent") * 3;
    assert!(missing.len() <= most, "{} are missing, {unread} replies were not read", missing.len());
    assert!(taken.len() > EACH, "they were taken by pops, too");
}

#[test]
fn sorted_sets() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "3"]);
    let command = |rng: &mut Rng| {
        let (keys, timeout) = (sources(rng, "z"), timeout(rng));
        match rng.below(3) {
            0 => format!("BZPOPMIN {keys} {timeout}"),
            1 => format!("BZPOPMAX {keys} {timeout}"),
            _ => format!("BZMPOP {timeout} {SOURCES} {keys} MIN"),
        }
    };
    let noted: Note = |run, line, reply| {
        let member = &reply.items()[1];
        match line.starts_with("BZMPOP") {
            true => note(&run.taken, &member.items()[0].items()[0]),
            false => note(&run.taken, member),
        }
    };
    let produce = |client: &mut Client, rng: &mut Rng, elements: Vec<String>| {
        let pairs: Vec<_> = elements.iter().map(|e| format!("{} {e}", rng.below(100))).collect();
        let reply = client.run(&format!("ZADD z{} {}", rng.below(SOURCES), pairs.join(" ")));
        assert_eq!(reply.int(), elements.len() as i64);
    };
    let drained = |client: &mut Client| {
        client.run(&format!("EXISTS {}", sources(&mut Rng::new(1), "z"))) == Value::Int(0)
    };
    let names = ["bzpopmin", "bzpopmax", "bzmpop"];
    let (run, unread) = storm(&server, &names, command, noted, produce, drained);
    let taken = once(run.taken.into_inner().expect("all have ended"), "taken");
    let missing = all().len() - taken.len();
    assert!(missing as i64 <= unread, "{missing} are missing, {unread} replies were not read");
}

#[test]
fn groups_of_streams() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "3"]);
    let mut watcher = server.client();
    for n in 0..SOURCES {
        watcher.run(&format!("XGROUP CREATE s{n} g $ MKSTREAM"));
    }
    let command = |rng: &mut Rng| {
        let keys = sources(rng, "s");
        let timeout = rng.pick(&["0", "0", "1", "10"]);
        let places = [">"; SOURCES].join(" ");
        format!("XREADGROUP GROUP g c COUNT 3 BLOCK {timeout} STREAMS {keys} {places}")
    };
    let noted: Note = |run, _, reply| {
        let streams: Vec<(Value, Value)> = match reply {
            Value::Map(pairs) => pairs.clone(),
            _ => reply
                .items()
                .iter()
                .map(|pair| (pair.items()[0].clone(), pair.items()[1].clone()))
                .collect(),
        };
        for (_, entries) in streams {
            for entry in entries.items() {
                note(&run.taken, &entry.items()[1].items()[1]);
            }
        }
    };
    let produce = |client: &mut Client, rng: &mut Rng, elements: Vec<String>| {
        for element in elements {
            client.run(&format!("XADD s{} * f {element}", rng.below(SOURCES)));
        }
    };
    let pending =
        |client: &mut Client, n: usize| client.run(&format!("XPENDING s{n} g")).items()[0].int();
    let drained = |client: &mut Client| {
        (0..SOURCES).map(|n| pending(client, n)).sum::<i64>() == (PRODUCERS * EACH) as i64
    };
    let (run, unread) = storm(&server, &["xreadgroup"], command, noted, produce, drained);
    // What was delivered is pending, read or not: nothing is lost at all.
    let mut watcher = server.client();
    let taken = once(run.taken.into_inner().expect("all have ended"), "delivered");
    let missing = all().len() - taken.len();
    let most = unread * (3 * SOURCES) as i64;
    assert!(missing as i64 <= most, "{missing} are missing, {unread} replies were not read");
    let mut delivered: BTreeMap<i64, usize> = BTreeMap::new();
    for n in 0..SOURCES {
        let all = watcher.run(&format!("XPENDING s{n} g - + {}", PRODUCERS * EACH)).items();
        all.iter().for_each(|entry| *delivered.entry(entry.items()[3].int()).or_default() += 1);
    }
    assert_eq!(delivered, BTreeMap::from([(1, PRODUCERS * EACH)]), "each once");
}
