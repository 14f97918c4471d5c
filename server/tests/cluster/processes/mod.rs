//! Whole clusters: real processes on the loopback interface or in network namespaces, and clients that
//! check what they see while nodes come, go, die and stand still, and networks fail.
//!
//! `DUNLIN_CLUSTER_ROUNDS` is how often each fault comes (once or twice if it is not set). What is
//! ignored as a part of the long form takes too long for every run: TESTING.md.

mod cells;
mod channels;
mod checker;
mod client;
mod clients;
mod held;
mod limits;
mod network;
mod nodes;
mod partitions;
mod switch;

use super::support::{Value, alone, eventually};
use checker::{Checker, Faults};
use nodes::{LIMIT, Nodes};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than a lease and the removal of who does not renew it.
const STILL: Duration = Duration::from_secs(5);
/// Every acknowledged write has a copy.
const COPIED: [&str; 2] = ["--cluster-replication", "sync"];

/// How often something is done in a short run, or in one of the length that is asked for.
fn rounds(few: u32) -> u32 {
    let asked = std::env::var("DUNLIN_CLUSTER_ROUNDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(few)
}

#[test]
fn nodes_join_and_leave_under_load() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &["--cluster-linger", "5"]);
    let fourth = nodes.start();
    let checker = Checker::start(&nodes.addresses(), Faults::None);
    checker.work(SECOND);
    nodes.tool(&["add-node", &nodes.address(fourth), &nodes.address(0)]);
    nodes.settle();
    assert!(nodes.tool(&["check", &nodes.address(0)]).starts_with("ok: 4 nodes"));
    assert_eq!(nodes.tool(&["info", &nodes.address(3)]).matches(" 4096 ").count(), 4);
    checker.work(SECOND);
    nodes.tool(&["del-node", &nodes.address(1)]);
    nodes.settle_with(3);
    nodes.tool(&["check", &nodes.address(0)]);
    let report = checker.end();
    assert_eq!(report.misses, 0);
}

#[test]
fn two_join_at_once_and_the_leader_leaves() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &["--cluster-linger", "5"]);
    let (fourth, fifth) = (nodes.start(), nodes.start());
    let checker = Checker::start(&nodes.addresses(), Faults::None);
    let member = nodes.address(0);
    checker.phase("joins");
    nodes.tool(&["add-node", "--no-wait", &nodes.address(fourth), &member]);
    nodes.tool(&["add-node", "--no-wait", &nodes.address(fifth), &member]);
    nodes.settle();
    checker.phase("leave of the leader");
    let leader = nodes.leader();
    let others = (0..5).filter(|at| *at != leader);
    nodes.tool(&["del-node", "--no-wait", &nodes.address(leader)]);
    let next = nodes.address(others.max().expect("four stay"));
    // The leaver is still a member, and goes while this is waited for.
    checker.phase("weight");
    nodes.tool(&["rebalance", &next, "--weight", &format!("{next}=200")]);
    nodes.settle_with(4);
    nodes.tool(&["check", &next]);
    checker.work(SECOND);
    assert_eq!(checker.end().misses, 0);
}

#[test]
fn nodes_die_and_come_back_empty() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &COPIED);
    let checker = Checker::start(&nodes.addresses(), Faults::Copied);
    for cycle in 0..rounds(2) {
        checker.work(SECOND);
        // Every other time it is the leader.
        checker.phase("dead");
        let leader = nodes.leader();
        let dies = if cycle % 2 == 0 { leader } else { (leader + 1) % 3 };
        nodes.kill(dies);
        nodes.settle();
        checker.phase("back");
        nodes.restart(dies);
        nodes.settle();
    }
    let report = checker.end();
    assert!(report.longest < 30 * SECOND, "{:?}", report.longest);
}

#[test]
fn nodes_end_and_come_back_under_load() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &[]);
    let checker = Checker::start(&nodes.addresses(), Faults::None);
    for cycle in 0..rounds(2) {
        checker.work(SECOND);
        checker.phase("it hands over");
        let leader = nodes.leader();
        let ends = if cycle % 2 == 0 { leader } else { (leader + 1) % 3 };
        // It exits with 0 if it could hand everything over.
        nodes.end(ends);
        checker.phase("back");
        nodes.restart(ends);
        nodes.settle();
    }
    assert_eq!(checker.end().misses, 0);
}

#[test]
fn a_node_that_restarts_at_once_brings_nothing_back() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &COPIED);
    let checker = Checker::start(&nodes.addresses(), Faults::Copied);
    for at in 0..3 {
        checker.work(SECOND);
        nodes.kill(at);
        nodes.restart(at);
        nodes.settle();
    }
    checker.end();
}

#[ignore = "part of the long form"]
#[test]
fn without_copies_there_are_misses_and_nothing_old() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &["--cluster-replicas", "0"]);
    let checker = Checker::start(&nodes.addresses(), Faults::Lost);
    checker.work(SECOND);
    nodes.kill(1);
    checker.work(STILL);
    nodes.restart(1);
    checker.work(STILL);
    let report = checker.end();
    assert!(report.misses > 0);
}

#[test]
fn a_node_that_stood_still_answers_nothing_old() {
    let _alone = alone();
    let nodes = Nodes::cluster(3, &COPIED);
    let mut checker = Checker::start(&nodes.addresses(), Faults::Copied);
    checker.insist(nodes.nodes[2].address());
    for _ in 0..rounds(1) {
        checker.work(SECOND);
        checker.phase("it stands still");
        nodes.nodes[2].signal("STOP");
        checker.work(STILL);
        checker.phase("it goes on");
        nodes.nodes[2].signal("CONT");
        nodes.settle();
    }
    checker.end();
}

#[test]
fn what_the_tool_refuses() {
    let _alone = alone();
    let nodes = Nodes::alone(2, &[]);
    let refused = |words: &[&str]| {
        let output = nodes.try_tool(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (one, two) = (nodes.address(0), nodes.address(1));
    // One that has just begun does not serve yet.
    let sets = || nodes.nodes[1].client().run("SET foo bar") == Value::ok();
    assert!(eventually(LIMIT, sets));
    assert!(refused(&["create", &one, &two]).contains("1 keys"));
    assert!(refused(&["create", &two, &two]).contains("named twice"));
    assert!(refused(&["check", "127.0.0.1:1"]).contains("refused"));
    assert!(refused(&["rebalance", &one, "--weight", "abcd=1"]).contains("no such member"));
    // The one with keys may be the first.
    nodes.tool(&["create", &two, &one]);
    assert!(refused(&["add-node", &one, &two]).contains("cluster of 2"));
    nodes.tool(&["check", &one]);
}
