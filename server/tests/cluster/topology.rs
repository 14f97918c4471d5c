//! What clients and operators are told of the cluster, beside what redis-server tells them.

use crate::reference::redis;
use crate::support::resp::{Decoded, decode};
use crate::support::{Server, Value};
use dunlin::cluster::map::{Holders, Map};
use dunlin::cluster::node::{Endpoint, Member, NodeId};
use dunlin::cluster::view::{Kind, Preferred, View};
use dunlin_protocol::Proto;
use std::sync::Arc;

/// Lines to which both answer the same. Some of them change nothing on either side.
const LINES: &[&str] = &[
    "ASKING",
    "READONLY",
    "READWRITE",
    "ASKING x",
    "READONLY x",
    "CLUSTER",
    "CLUSTER NOSUCH",
    "CLUSTER KEYSLOT foo{hash_tag}",
    "CLUSTER KEYSLOT",
    "CLUSTER COUNTKEYSINSLOT 1",
    "CLUSTER COUNTKEYSINSLOT 16384",
    "CLUSTER COUNTKEYSINSLOT -1",
    "CLUSTER COUNTKEYSINSLOT x",
    "CLUSTER GETKEYSINSLOT 1 10",
    "CLUSTER GETKEYSINSLOT 1 -1",
    "CLUSTER GETKEYSINSLOT 1 x",
    "CLUSTER GETKEYSINSLOT 20000 1",
    "CLUSTER REPLICAS x",
    "CLUSTER SLAVES x",
    "CLUSTER SLAVES",
    "CLUSTER COUNT-FAILURE-REPORTS x",
    "CLUSTER SAVECONFIG",
    "CLUSTER SET-CONFIG-EPOCH x",
    "CLUSTER SET-CONFIG-EPOCH -1",
    "CLUSTER NODES x",
    "CLUSTER INFO x",
    "CLUSTER SLOTS x",
    "CLUSTER MYID x",
    "CLUSTER LINKS x",
    "SPUBLISH foo x",
    "SPUBLISH bar x",
    "SSUBSCRIBE foo",
    "SSUBSCRIBE foo bar",
    "SUNSUBSCRIBE foo bar",
    "SUNSUBSCRIBE foo",
    "INFO cluster",
    "COMMAND GETKEYS SPUBLISH a b",
];

#[test]
fn replies_are_those_of_redis() {
    let Some((first, second)) = redis() else { return };
    let ours = crate::node(&[]);
    let give = format!("DEBUG SLOTS GIVE 8192 16383 127.0.0.1 {}", second.port());
    assert_eq!(ours.client().run(&give), Value::ok());
    for hello in ["HELLO 2", "HELLO 3"] {
        let [mut theirs, mut ours] = [first.client(), ours.client()];
        let mode = |hello: Value| {
            let items = hello.items();
            items
                .iter()
                .position(|item| item.bytes() == Some(b"mode"))
                .map(|at| items[at + 1].text())
        };
        assert_eq!(mode(ours.run(hello)), mode(theirs.run(hello)));
        for line in LINES {
            assert_eq!(ours.run(line), theirs.run(line), "{hello}: {line}");
        }
    }
}

#[test]
fn a_server_that_is_no_node_says_so_like_redis() {
    let Some(redis) = Server::redis(&[]) else { return };
    let ours = Server::dunlin(&[]);
    let [mut theirs, mut ours] = [redis.client(), ours.client()];
    let others = [
        "CLUSTER SLOTS",
        "CLUSTER SHARDS",
        "CLUSTER HELP",
        "CLUSTER MEET 127.0.0.1 1",
        "CLUSTER ADDSLOTS 1",
        "CLUSTER RESET x",
    ];
    for line in LINES.iter().chain(&others).filter(|line| !line.contains("SUBSCRIBE")) {
        assert_eq!(ours.run(line), theirs.run(line), "{line}");
    }
}

/// A node of redis as a member, and its line of CLUSTER NODES without what changes all the time.
fn member(line: &str) -> (NodeId, Member, String) {
    let mut words: Vec<&str> = line.split(' ').collect();
    let (client, bus) = words[1].split_once('@').expect("a port of the bus");
    let (ip, port) = client.rsplit_once(':').expect("a port");
    let endpoint = Endpoint {
        ip: ip.parse().expect("an address"),
        hostname: String::new(),
        port: port.parse().expect("a port"),
        tls_port: 0,
        bus_port: bus.parse().expect("a port"),
    };
    let id = words[0].parse().expect("an identity");
    words[4..7].copy_from_slice(&["0", "0", "5"]);
    let member =
        Member { endpoint, incarnation: 1, weight: 100, zone: String::new(), leaving: false };
    (id, member, words.join(" "))
}

/// What the nodes of redis agree on as a map, and their lines.
fn map_of(nodes: &str) -> (Map, Vec<String>) {
    let (mut map, mut lines) = (Map { epoch: 5, ..Map::default() }, Vec::new());
    for line in nodes.lines() {
        let (id, member, masked) = member(line);
        map.members.insert(id, member);
        for range in line.split(' ').skip(8) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let [first, last] = [first, last].map(|slot| slot.parse().expect("a slot"));
            map.slots.set(first, last, Holders { owner: Some(id), ..Holders::default() });
        }
        lines.push(masked);
    }
    lines.sort();
    (map, lines)
}

fn shown(view: &View, kind: Kind, proto: Proto) -> Value {
    match decode(&view.reply(kind, proto, false)) {
        Ok(Decoded::Value(value, _)) => value,
        Ok(Decoded::Partial) => panic!("{kind:?} is cut off"),
        Err(why) => panic!("{kind:?}: {why}"),
    }
}

fn sorted(value: Value) -> Vec<Value> {
    let mut items = value.items();
    items.sort();
    items
}

#[test]
fn the_map_of_redis_looks_the_same() {
    let Some((first, _second)) = redis() else { return };
    for (hello, proto) in [("HELLO 2", Proto::Resp2), ("HELLO 3", Proto::Resp3)] {
        let mut client = first.client();
        client.run(hello);
        let (map, lines) = map_of(&client.run("CLUSTER NODES").text());
        assert_eq!(map.members.len(), 2);
        let me = client.run("CLUSTER MYID").text().parse().expect("an identity");
        let view = View::new(Arc::new(map), me, Preferred::Ip);
        assert_eq!(shown(&view, Kind::Slots, proto), client.run("CLUSTER SLOTS"));
        let shards = sorted(shown(&view, Kind::Shards, proto));
        assert_eq!(shards, sorted(client.run("CLUSTER SHARDS")));
        let ours = shown(&view, Kind::Nodes, proto);
        assert!(matches!(
            (&ours, proto),
            (Value::Verbatim(..), Proto::Resp3) | (Value::Bulk(_), Proto::Resp2)
        ));
        let text = ours.text();
        let mut ours: Vec<&str> = text.lines().collect();
        ours.sort_unstable();
        assert_eq!(ours, lines);
    }
}

#[test]
fn figures_have_the_names_of_redis() {
    let Some((first, _second)) = redis() else { return };
    let names = |server: &Server| {
        let text = server.client().run("CLUSTER INFO").text();
        let names = text.lines().filter_map(|line| line.split_once(':').map(|(name, _)| name));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let ours = crate::node(&[]);
    let (theirs, ours_) = (names(&first), names(&ours));
    let kinds = |name: &&String| {
        !name.starts_with("cluster_stats_messages_") || name.matches('_').count() == 3
    };
    for name in theirs.iter().filter(kinds) {
        assert!(ours_.contains(name), "{name} is not among {ours_:?}");
    }
    assert_eq!(ours_[..9], theirs[..9]);
    let info = ours.client().run("CLUSTER INFO").text();
    assert!(info.contains("cluster_state:ok\r\n") && info.contains("cluster_known_nodes:1\r\n"));
}

#[test]
fn endpoints_are_as_they_are_announced() {
    let server = crate::node(&[
        "--cluster-announce-ip",
        "192.0.2.7",
        "--cluster-announce-hostname",
        "one.example",
        "--cluster-announce-port",
        "7001",
        "--cluster-announce-bus-port",
        "7002",
    ]);
    let mut client = server.client();
    let id = client.run("CLUSTER MYID").text();
    let epoch = client.run("CLUSTER EPOCH").int();
    let line = format!(
        "{id} 192.0.2.7:7001@7002,one.example myself,master - 0 0 {epoch} connected 0-16383\n"
    );
    assert_eq!(client.run("CLUSTER NODES").text(), line);
    let host = |client: &mut crate::Client| {
        client.run("CLUSTER SLOTS").items()[0].items()[2].items()[0].clone()
    };
    assert_eq!(host(&mut client), Value::bulk("192.0.2.7"));
    let set = "CONFIG SET cluster-preferred-endpoint-type";
    assert_eq!(client.run(&format!("{set} hostname")), Value::ok());
    assert_eq!(host(&mut client), Value::bulk("one.example"));
    assert_eq!(client.run(&format!("{set} unknown-endpoint")), Value::ok());
    assert_eq!(host(&mut client), Value::NullBulk);
    let settings = client.run("CONFIG GET cluster-announce-port").items();
    assert_eq!(settings, [Value::bulk("cluster-announce-port"), Value::bulk("7001")]);
}

#[test]
fn what_waits_for_others_does_not_hold_up_the_worker() {
    // Alone it is not up for others, and says so at once.
    let server = crate::node(&["--workers", "1"]);
    let mut client = server.client();
    let text = crate::error(client.run("CLUSTER MEET 127.0.0.1 1"));
    assert!(!text.is_empty());
    assert_eq!(server.client().run("PING"), Value::Simple(b"PONG".to_vec()));
}
