//! Nodes that have no room: their memory or their disk is full, or their directory is gone. And all
//! keys go while slots move.

use super::super::support::{Client, Value, alone, eventually};
use super::checker::{Checker, Faults};
use super::client::Router;
use super::nodes::{LIMIT, Nodes};
use super::{COPIED, SECOND, STILL, rounds};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Keys that make a move take its time, and how long each value is.
const BULK: usize = 3000;
const LONG: usize = 10_000;
/// Memory of a node that a quarter of that does not fit into.
const LITTLE: &str = "4mb";

fn bulk(number: usize) -> String {
    format!("bulk:{number}")
}

/// Three nodes that have something to move.
fn loaded(args: &[&str]) -> Nodes {
    let nodes = Nodes::cluster(3, args);
    let mut router = Router::new(&nodes.addresses());
    let value = "x".repeat(LONG);
    for number in 0..BULK {
        let set = router.repeat(&["SET", &bulk(number), &value]);
        assert_eq!(set, Value::ok());
    }
    nodes
}

/// How many of the keys there are, seen by clients.
fn bulk_of(nodes: &Nodes) -> usize {
    let mut router = Router::new(&nodes.addresses());
    (0..BULK).filter(|number| router.repeat(&["EXISTS", &bulk(*number)]) == Value::Int(1)).count()
}

/// A fourth node comes, with these arguments; returns when slots move.
fn begin_to_move(nodes: &mut Nodes, args: &[&str]) -> usize {
    let fourth = nodes.prepare();
    nodes.restart_with(fourth, args);
    nodes.tool(&["add-node", "--no-wait", &nodes.address(fourth), &nodes.address(0)]);
    fourth
}

fn flush(client: &mut Client) {
    assert_eq!(client.run("FLUSHALL"), Value::ok());
}

fn flush_by_script(client: &mut Client) {
    let reply = client.call(&["EVAL", "return redis.call('FLUSHALL')", "0"]);
    assert_eq!(reply, Value::ok());
}

fn flush_in_transaction(client: &mut Client) {
    client.run("MULTI");
    client.run("PING");
    client.run("FLUSHALL");
    assert_eq!(client.run("EXEC").items().last(), Some(&Value::ok()));
}

#[test]
fn all_keys_go_while_slots_move() {
    let _alone = alone();
    for _ in 0..rounds(1) {
        let mut nodes = loaded(&COPIED);
        let checker = Checker::start(&nodes.addresses(), Faults::Copied);
        checker.work(SECOND);
        begin_to_move(&mut nodes, &[]);
        checker.phase("slots move");
        let moves = || {
            let left = nodes.nodes[0].figure("cluster_slots_to_move");
            left.and_then(|left| left.parse().ok()).is_some_and(|left: u32| left > 0)
        };
        assert!(eventually(LIMIT, moves), "{}", nodes.figures());
        checker.erase(|| {
            // The taker is the last one: what has gone to it meanwhile is there.
            let ways = [flush, flush_by_script, flush_in_transaction];
            for (node, way) in nodes.nodes.iter().zip(ways.iter().cycle()) {
                way(&mut node.client());
            }
        });
        checker.phase("all keys are gone");
        nodes.settle();
        checker.work(SECOND);
        checker.end();
        assert_eq!(bulk_of(&nodes), 0);
    }
}

#[test]
fn a_taker_without_memory_evicts() {
    let _alone = alone();
    let mut nodes = loaded(&[]);
    // What was evicted is missed, and never old.
    let checker = Checker::start(&nodes.addresses(), Faults::Lost);
    checker.work(SECOND);
    let little = ["--maxmemory", LITTLE, "--maxmemory-policy", "allkeys-lru"];
    let fourth = begin_to_move(&mut nodes, &little);
    checker.phase("slots move");
    nodes.settle();
    checker.work(SECOND);
    checker.end();
    assert!((1..BULK).contains(&bulk_of(&nodes)));
    // Those that it had evicted before it owned them are not where they were, either.
    let mut router = Router::new(&nodes.addresses());
    (0..BULK).for_each(|number| drop(router.repeat(&["DEL", &bulk(number)])));
    std::thread::sleep(SECOND);
    nodes.kill(fourth);
    nodes.settle();
    assert_eq!(bulk_of(&nodes), 0);
}

#[ignore = "part of the long form"]
#[test]
fn a_taker_without_memory_that_may_not_evict_takes_what_fits() {
    let _alone = alone();
    let mut nodes = loaded(&[]);
    let checker = Checker::start(&nodes.addresses(), Faults::None);
    checker.work(SECOND);
    let fourth =
        begin_to_move(&mut nodes, &["--maxmemory", LITTLE, "--maxmemory-policy", "noeviction"]);
    checker.phase("slots move");
    checker.work(STILL);
    assert_eq!(bulk_of(&nodes), BULK);
    let left = nodes.nodes[0].figure("cluster_slots_to_move");
    assert_ne!(left.as_deref(), Some("0"), "{}", nodes.figures());
    checker.phase("there is room");
    let mut client = nodes.nodes[fourth].client();
    assert_eq!(client.run("CONFIG SET maxmemory 0"), Value::ok());
    nodes.settle();
    checker.work(SECOND);
    assert_eq!(bulk_of(&nodes), BULK);
    assert_eq!(checker.end().misses, 0);
}

/// A small file system in memory, as long as this lives.
struct Small(PathBuf);

impl Small {
    /// None on a machine on which nothing may be mounted.
    fn at(path: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16m", "dunlin"]).arg(path);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            assert!(std::env::var_os("DUNLIN_REQUIRE_NETWORK").is_none(), "no small file system");
            println!("skipped: no small file system can be mounted");
        }
        is_mounted.then(|| Small(path.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        // It ends with an error, because it is full.
        assert!(std::fs::write(self.filler(), vec![1; 1 << 25]).is_err());
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).expect("it is there");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_disk_is_full() {
    let _alone = alone();
    let mut nodes = Nodes::alone(0, &COPIED);
    let mut disks = Vec::new();
    for at in 0..3 {
        nodes.prepare();
        let Some(disk) = Small::at(&nodes.nodes[at].cluster_dir()) else { return };
        disks.push(disk);
        nodes.restart(at);
    }
    let nodes = nodes.united();
    let checker = Checker::start(&nodes.addresses(), Faults::Copied);
    for round in 0..rounds(1) as usize {
        checker.work(SECOND);
        // Every other time it is not the leader.
        let full = (nodes.leader() + round % 2) % 3;
        checker.phase("a disk is full");
        disks[full].fill();
        let began = Instant::now();
        // There is much to write, so that it comes to the end of what room there is; the others agree
        // without the one that has none.
        let other = &nodes.nodes[(full + 1) % 3];
        let mut client = other.client();
        let Value::Bulk(id) = client.run("CLUSTER MYID") else { panic!("it has an id") };
        let id = String::from_utf8(id).expect("an id is text");
        let mut weights = (100..200).cycle();
        let is_replaced = || {
            let weight = weights.next().expect("there is always one more");
            client.run(&format!("CLUSTER WEIGHT {id} {weight}"));
            std::thread::sleep(SECOND / 10);
            other.figure("cluster_known_nodes").as_deref() == Some("2")
        };
        assert!(eventually(LIMIT, is_replaced), "{}", nodes.figures());
        println!("replaced after {} ms", began.elapsed().as_millis());
        checker.work(STILL);
        // Meanwhile it has stayed out.
        assert_eq!(other.figure("cluster_known_nodes").as_deref(), Some("2"));
        checker.phase("there is room again");
        disks[full].free();
        nodes.settle();
    }
    checker.end();
}

#[test]
fn a_node_without_its_directory_is_another_one() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &COPIED);
    let checker = Checker::start(&nodes.addresses(), Faults::Copied);
    for at in 0..rounds(1) as usize {
        let (at, other) = (at % 3, (at + 1) % 3);
        checker.work(SECOND);
        checker.phase("its directory is gone");
        nodes.kill(at);
        std::fs::remove_dir_all(nodes.nodes[at].cluster_dir()).expect("it is there");
        let other = nodes.address(other);
        nodes.restart_with(at, &["--cluster-join", &other]);
        // The one that it was is removed.
        checker.work(STILL);
        nodes.settle();
    }
    checker.end();
}
