//! What shows the map, the slots and their keys; without a cluster, and without a lease.

use super::*;
use crate::commands::cluster::COMMANDS;
use crate::commands::table::table;

#[test]
fn without_a_cluster_every_command_says_so() {
    let mut bench = Bench::new(None);
    let arguments = |entry: &crate::commands::table::Entry| {
        let count = entry.command.arity.code().unsigned_abs() as usize;
        " 1".repeat(count - entry.full_name.split('|').count())
    };
    let ours = |entry: &&crate::commands::table::Entry| {
        entry.container == Some("cluster")
            || COMMANDS.iter().any(|row| row.name == entry.command.name && row.name != "cluster")
    };
    let lines = table().entries().iter().filter(ours);
    let lines: Vec<String> =
        lines.map(|entry| entry.full_name.replace('|', " ") + &arguments(entry)).collect();
    assert_eq!(lines.len(), 39);
    for line in lines {
        let wanted = "-ERR This instance has cluster support disabled";
        assert_eq!(bench.run(&line), wanted, "{line}");
    }
}

#[test]
fn what_shows_the_map() {
    let mut bench = Bench::one_of_three();
    assert_eq!(bench.run("cluster myid"), format!("$40 {ID_1}"));
    assert_eq!(bench.run("cluster myshardid"), format!("$40 {ID_1}"));
    assert_eq!(bench.run("cluster epoch"), ":12");
    assert!(bench.run("cluster slots").starts_with("*3 *3 :0 :99 *4 $8 10.0.0.1 :7001 $40"));
    assert!(bench.run("cluster shards").starts_with("*3 *4 $5 slots *2 :0 :99"));
    let nodes = bench.run("cluster nodes");
    assert!(nodes.contains(" myself,master - 0 0 12 connected 0-99\n"), "{nodes}");
    assert_eq!(bench.run(&format!("cluster replicas {ID_2}")), "*0");
    assert_eq!(bench.run(&format!("cluster slaves {ID_2}")), "*0");
    assert_eq!(bench.run("cluster replicas x"), "-ERR Unknown node x");
    assert_eq!(bench.run(&format!("cluster count-failure-reports {ID_3}")), ":0");
    let links = format!(
        "*1 *12 $9 direction $2 to $4 node $40 {ID_2} $11 create-time :7 $6 events $2 rw \
         $21 send-buffer-allocated :9 $16 send-buffer-used :8"
    );
    assert_eq!(bench.run("cluster links"), links);
}

#[test]
fn info() {
    let mut bench = Bench::one_of_three();
    let text = bench.run("cluster info");
    let text = text.split_once(' ').map_or("", |(_, lines)| lines);
    assert_eq!(
        text,
        format!(
            "cluster_state:fail cluster_slots_assigned:16383 cluster_slots_ok:16383 \
             cluster_slots_pfail:0 cluster_slots_fail:0 cluster_known_nodes:3 cluster_size:3 \
             cluster_current_epoch:12 cluster_my_epoch:12 cluster_stats_messages_raft_sent:3 \
             cluster_stats_messages_publish_sent:1 cluster_stats_messages_sent:4 \
             cluster_stats_messages_publish_received:2 cluster_stats_messages_received:2 \
             total_cluster_links_buffer_limit_exceeded:0 cluster_links_refused:0 \
             cluster_links_truncated:0 cluster_links_malformed:0 cluster_raft_role:follower \
             cluster_raft_term:5 cluster_raft_applied_index:40 cluster_raft_commit_index:41 \
             cluster_raft_leader:{ID_3} cluster_replicas:0 cluster_slots_to_move:0 \
             cluster_slots_without_backup:16384 cluster_fences:0 cluster_fences_in_vain:0 \
             cluster_fence_last_ms:0 cluster_fence_longest_ms:0 cluster_stream_lag:0"
        )
    );
    let mut whole = map();
    let holders = Holders { owner: Some(NodeId::from(3)), ..Holders::default() };
    whole.slots.set(SLOTS - 1, SLOTS - 1, holders);
    bench.cluster().adopt(Arc::new(Map { epoch: 13, ..whole }), |_| true);
    assert!(bench.run("cluster info").contains("cluster_state:ok "));
    assert!(bench.run("info server").contains("redis_mode:cluster"));
    assert!(bench.run("info cluster").contains("cluster_enabled:1"));
    assert!(bench.run("hello 2").contains("$4 mode $7 cluster"));
}

#[test]
fn without_a_lease_clients_are_sent_to_others_and_operators_are_answered() {
    let mut bench = Bench::one_of_three();
    bench.cluster().lease.end();
    for line in ["cluster slots", "cluster shards", "get {06S}"] {
        assert_eq!(bench.run(line), "-CLUSTERDOWN The cluster is down", "{line}");
    }
    assert!(bench.run("cluster info").contains("cluster_state:fail"));
    assert!(bench.run("cluster nodes").contains("myself"));
}

#[test]
fn slots_and_their_keys() {
    let mut bench = Bench::one_of_three();
    let key = (0..).map(|n| format!("k{n}")).find(|key| slot::of(key.as_bytes()) == 5);
    let key = key.expect("a key of every slot");
    assert_eq!(bench.run(&format!("set {{{key}}}1 v")), "+OK");
    assert_eq!(bench.run(&format!("set {{{key}}}2 v")), "+OK");
    assert_eq!(bench.run("cluster keyslot foo{hash_tag}"), ":2515");
    assert_eq!(bench.run("cluster countkeysinslot 5"), ":2");
    assert_eq!(bench.run("cluster countkeysinslot 100"), ":0");
    assert_eq!(bench.run("cluster getkeysinslot 5 0"), "*0");
    assert!(bench.run("cluster getkeysinslot 5 1").starts_with("*1 "));
    let both = bench.run("cluster getkeysinslot 5 10");
    assert!(both.starts_with("*2 ") && both.contains(&format!("{{{key}}}1")), "{both}");
    let stats = "cluster slot-stats";
    let of = |slot: u16, keys: u16| format!("*2 :{slot} *2 $9 key-count :{keys}");
    assert_eq!(
        bench.run(&format!("{stats} slotsrange 4 5")),
        format!("*2 {} {}", of(4, 0), of(5, 2))
    );
    assert_eq!(bench.run(&format!("{stats} slotsrange 99 200")), format!("*1 {}", of(99, 0)));
    let first = format!("*1 {}", of(5, 2));
    assert_eq!(bench.run(&format!("{stats} orderby key-count limit 1")), first);
    let first = format!("*2 {} {}", of(0, 0), of(1, 0));
    assert_eq!(bench.run(&format!("{stats} orderby key-count asc limit 2")), first);
    assert!(bench.run(&format!("{stats} orderby key-count")).starts_with("*100 "));
    for (line, error) in [
        ("cluster countkeysinslot x", "value is not an integer or out of range"),
        ("cluster countkeysinslot 16384", "Invalid slot"),
        ("cluster getkeysinslot 16384 1", "Invalid slot or number of keys"),
        ("cluster getkeysinslot 1 -1", "Invalid slot or number of keys"),
        ("cluster getkeysinslot 1 x", "value is not an integer or out of range"),
        ("cluster slot-stats slotsrange 1 x", "Invalid or out of range slot"),
        (
            "cluster slot-stats slotsrange 2 1",
            "Start slot number 2 is greater than end slot number 1",
        ),
        ("cluster slot-stats orderby cpu-usec", "Unrecognized sort metric for ORDERBY."),
        (
            "cluster slot-stats orderby key-count asc desc",
            "Multiple filters of the same type are disallowed.",
        ),
        (
            "cluster slot-stats orderby key-count limit 0",
            "Limit has to lie in between 1 and 16384 (maximum number of slots).",
        ),
        ("cluster slot-stats orderby key-count x", "syntax error"),
        (
            "cluster slot-stats slotsrange 1",
            "unknown subcommand or wrong number of arguments for 'slot-stats'. Try CLUSTER HELP.",
        ),
    ] {
        assert_eq!(bench.run(line), format!("-ERR {error}"), "{line}");
    }
}
