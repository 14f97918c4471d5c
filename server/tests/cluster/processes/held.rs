//! Replies that wait for copies which do not come, because their node stands still.

use super::super::support::{Client, Value, alone, command, eventually};
use super::COPIED;
use super::nodes::{LIMIT, Node, Nodes};

/// Two nodes, of which one leads and alone votes. While it stands still nobody can agree that it has no
/// copies any more: as long as the other one has its lease, replies of that one wait.
struct Pair {
    nodes: Nodes,
    leader: usize,
    /// A key of the other one.
    key: String,
}

impl Pair {
    fn new() -> Self {
        let args = ["--workers", "1", "--enable-debug-command", "local"];
        let patience = ["--cluster-node-timeout", "60000"];
        let nodes = Nodes::cluster(2, &[&COPIED[..], &args, &patience].concat());
        let leader = nodes.leader();
        let mut client = nodes.nodes[1 - leader].client();
        let is_here = |key: &String| !client.run(&format!("EXISTS {key}")).is_error();
        let key = (0..1_000).map(|n| n.to_string()).find(is_here).expect("it has slots");
        // Whatever the leader says.
        assert_eq!(client.run("DEBUG SLOTS LEASE 3600000"), Value::ok());
        Pair { nodes, leader, key }
    }

    fn client(&self) -> Client {
        self.nodes.nodes[1 - self.leader].client()
    }

    fn leader(&self) -> &Node {
        &self.nodes.nodes[self.leader]
    }
}

#[test]
fn a_pause_may_end_while_earlier_replies_are_held() {
    let _alone = alone();
    let pair = Pair::new();
    let (mut paused, mut control) = (pair.client(), pair.client());
    let key = pair.key.as_str();
    pair.leader().stop();
    let pipeline = [
        command(&["SET", key, "1"]),
        command(&["CLIENT", "PAUSE", "3600000", "WRITE"]),
        command(&["SET", key, "2"]),
    ];
    paused.send(&pipeline.concat());
    // On the only worker, so the turn is over.
    let get = format!("GET {key}");
    assert!(eventually(LIMIT, || control.run(&get) == Value::bulk("1")));
    assert_eq!(control.run("CLIENT UNPAUSE"), Value::ok());
    pair.leader().signal("CONT");
    paused.set_patience(LIMIT);
    for line in pipeline.map(|line| String::from_utf8_lossy(&line).into_owned()) {
        assert_eq!(paused.recv(), Value::ok(), "{line}");
    }
    assert_eq!(control.run(&get), Value::bulk("2"));
}

#[test]
fn who_is_dropped_before_it_waits_is_given_nothing() {
    let _alone = alone();
    let pair = Pair::new();
    let (mut writes, mut waits, mut control) = (pair.client(), pair.client(), pair.client());
    let [key, list] = ["key", "list"].map(|name| format!("{{{}}}{name}", pair.key));
    pair.leader().stop();
    writes.send_command(&["SET", &key, "1"]);
    assert!(eventually(LIMIT, || control.run(&format!("EXISTS {key}")) == Value::Int(1)));
    // It may have written as well, so what it was answered before is held, too.
    waits.send_command(&["BLPOP", &list, "0"]);
    let blocked = || control.run("INFO clients").text().contains("blocked_clients:1\r\n");
    assert!(eventually(LIMIT, blocked));
    assert_eq!(control.run("DEBUG SLOTS LEASE 300"), Value::ok());
    assert!(waits.is_closed());
    assert_eq!(control.run("DEBUG SLOTS LEASE 3600000"), Value::ok());
    let mut pushes = pair.client();
    pushes.send_command(&["RPUSH", &list, "element"]);
    let there = || control.run(&format!("LLEN {list}")) == Value::Int(1);
    assert!(eventually(LIMIT, there), "the element is lost");
}
