//! Networks that fail: nodes that hear nothing, are not heard, or late, or seldom. Clients reach all
//! nodes all the time, which is the hardest: a node that is cut off must know by itself that it may not
//! answer.

use super::super::support::{alone, eventually};
use super::checker::{Checker, Faults};
use super::network::Network;
use super::nodes::{LIMIT, Nodes};
use super::{COPIED, SECOND, STILL};
use std::time::Duration;

/// From one node to another: a round trip takes twice as long.
const DELAY: Duration = Duration::from_millis(100);
/// The same as far as it goes: most rounds bear it, not all (TESTING.md).
const LONG_DELAY: Duration = Duration::from_millis(200);

/// How nodes keep what they have, and what may come of that.
type Mode = (&'static [&'static str], Faults);

/// A copy of each slot has whatever was acknowledged.
const SYNC: Mode = (&COPIED, Faults::Copied);
/// There are no copies: all that a fault can bring is a miss. What is read in spite of that is a lease
/// that was not kept.
const ONCE: Mode = (&["--cluster-replicas", "0"], Faults::Lost);

/// Does something with three nodes, in whose network there is room for a fourth, and the clients of a
/// checker, one of whom insists on each node. Nothing where there can be no network.
fn with_three((args, faults): Mode, run: impl Fn(&mut Nodes, &Checker)) {
    let _alone = alone();
    for _ in 0..super::rounds(1) {
        let Some(network) = Network::new(4) else { return };
        let mut nodes = Nodes::cluster_in(network, 3, args);
        let mut checker = Checker::start(&nodes.addresses(), faults);
        nodes.addresses().into_iter().for_each(|node| checker.insist(node));
        checker.work(SECOND);
        run(&mut nodes, &checker);
        checker.end();
    }
}

/// The clients work while the network is as it is, and until all is well again after it has healed.
fn heals(nodes: &Nodes, checker: &Checker, after: Duration) {
    checker.work(after);
    checker.phase("healed");
    nodes.network().heal();
    nodes.settle();
    checker.work(SECOND);
}

/// The others serve all slots, and who is cut off knows that it does not.
#[track_caller]
fn others_serve(nodes: &Nodes, others: usize) {
    let serve = || nodes.count("cluster_state", "ok") == others;
    assert!(eventually(LIMIT, serve), "{}", nodes.figures());
}

fn leader_is_cut_off(nodes: &mut Nodes, checker: &Checker) {
    checker.phase("cut off");
    nodes.network().cut(&[nodes.leader()]);
    checker.work(STILL);
    others_serve(nodes, 2);
    heals(nodes, checker, Duration::ZERO);
}

fn leader_half_cut_off(nodes: &mut Nodes, checker: &Checker) {
    checker.phase("the leader is not heard");
    nodes.network().cut_from(&[nodes.leader()]);
    heals(nodes, checker, STILL);
    checker.phase("the leader hears nothing");
    nodes.network().cut_to(&[nodes.leader()]);
    heals(nodes, checker, STILL);
}

fn follower_half_cut_off(nodes: &mut Nodes, checker: &Checker) {
    checker.phase("a follower is not heard");
    nodes.network().cut_from(&[(nodes.leader() + 1) % 3]);
    heals(nodes, checker, STILL);
    checker.phase("a follower hears nothing");
    nodes.network().cut_to(&[(nodes.leader() + 1) % 3]);
    heals(nodes, checker, STILL);
}

/// Two of three are cut off from each other, and both from clients' view whole: the third hears both.
fn two_do_not_hear_each_other(nodes: &mut Nodes, checker: &Checker) {
    checker.phase("two do not hear each other");
    let leader = nodes.leader();
    nodes.network().part((leader + 1) % 3, (leader + 2) % 3);
    heals(nodes, checker, STILL);
    checker.phase("the leader and another do not hear each other");
    let leader = nodes.leader();
    nodes.network().part(leader, (leader + 1) % 3);
    heals(nodes, checker, STILL);
}

fn packets_are_lost(nodes: &mut Nodes, checker: &Checker) {
    checker.phase("loss");
    nodes.network().lose(20);
    checker.work(STILL);
    joins(nodes, checker);
    heals(nodes, checker, SECOND);
}

fn packets_come_late(nodes: &mut Nodes, checker: &Checker, delay: Duration) {
    checker.phase("delay");
    nodes.network().delay(delay);
    checker.work(STILL);
    assert_eq!(nodes.count("cluster_state", "ok"), 3, "{}", nodes.figures());
    joins(nodes, checker);
    heals(nodes, checker, SECOND);
}

/// A fourth node comes while the network is as it is; if it does not come in, it may try again.
fn joins(nodes: &mut Nodes, checker: &Checker) {
    let fourth = nodes.start();
    let words = ["add-node", &nodes.address(fourth), &nodes.address(0)];
    let is_in =
        || nodes.try_tool(&words).status.success() || nodes.count("cluster_known_nodes", "4") == 4;
    assert!(eventually(LIMIT, is_in), "{}", nodes.figures());
    checker.work(SECOND);
}

#[ignore = "part of the long form"]
#[test]
fn a_leader_is_cut_off() {
    with_three(ONCE, leader_is_cut_off);
}

#[test]
fn a_leader_is_cut_off_and_its_copies_take_over() {
    with_three(SYNC, leader_is_cut_off);
}

#[ignore = "part of the long form"]
#[test]
fn a_leader_is_not_heard_or_hears_nothing() {
    with_three(ONCE, leader_half_cut_off);
}

#[test]
fn a_leader_is_half_cut_off_and_its_copies_take_over() {
    with_three(SYNC, leader_half_cut_off);
}

#[ignore = "part of the long form"]
#[test]
fn a_follower_is_not_heard_or_hears_nothing() {
    with_three(ONCE, follower_half_cut_off);
}

#[ignore = "part of the long form"]
#[test]
fn a_follower_is_half_cut_off_and_its_copies_take_over() {
    with_three(SYNC, follower_half_cut_off);
}

#[ignore = "part of the long form"]
#[test]
fn two_nodes_do_not_hear_each_other() {
    with_three(ONCE, two_do_not_hear_each_other);
}

#[ignore = "part of the long form"]
#[test]
fn owners_do_not_hear_their_copies() {
    with_three(SYNC, two_do_not_hear_each_other);
}

#[ignore = "part of the long form"]
#[test]
fn a_fifth_of_all_packets_is_lost() {
    with_three(ONCE, packets_are_lost);
}

#[test]
fn a_fifth_of_all_packets_is_lost_with_copies() {
    with_three(SYNC, packets_are_lost);
}

#[test]
fn everything_comes_late() {
    with_three(SYNC, |nodes, checker| packets_come_late(nodes, checker, DELAY));
}

#[ignore = "part of the long form"]
#[test]
fn everything_comes_very_late() {
    with_three(SYNC, |nodes, checker| packets_come_late(nodes, checker, LONG_DELAY));
}

#[test]
fn a_minority_stops() {
    let _alone = alone();
    for _ in 0..super::rounds(1) {
        let Some(network) = Network::new(5) else { return };
        let nodes = Nodes::cluster_in(network, 5, ONCE.0);
        let mut checker = Checker::start(&nodes.addresses(), ONCE.1);
        nodes.addresses().into_iter().for_each(|node| checker.insist(node));
        checker.work(SECOND);
        checker.phase("a minority with the leader is cut off");
        let leader = nodes.leader();
        nodes.network().cut(&[leader, (leader + 1) % 5]);
        checker.work(STILL);
        others_serve(&nodes, 3);
        heals(&nodes, &checker, Duration::ZERO);
        checker.end();
    }
}
