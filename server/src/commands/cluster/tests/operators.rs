//! What operators want, what is refused to them, and what fails.

use super::*;

#[test]
fn what_operators_want_is_asked_for_and_answered_when_it_is_done() {
    let mut bench = Bench::one_of_three();
    for (line, asked) in [
        ("cluster meet 10.0.0.4 7004", "meet 10.0.0.4 7004 None".to_owned()),
        ("cluster meet ::1 7004 9", "meet ::1 7004 Some(9)".to_owned()),
        (&format!("cluster forget {ID_2}"), format!("forget {ID_2}")),
        (&format!("cluster weight {ID_2} 7"), format!("Weight {{ node: {ID_2}, weight: 7 }}")),
        ("cluster leave", format!("Leave {{ node: {ID_1}, leaving: true }}")),
        ("cluster leave cancel", format!("Leave {{ node: {ID_1}, leaving: false }}")),
        ("cluster failover takeover", format!("Leave {{ node: {ID_1}, leaving: true }}")),
        ("cluster reset", "reset false".to_owned()),
        ("cluster reset hard", "reset true".to_owned()),
    ] {
        assert_eq!(bench.asked(line), [asked], "{line}");
    }
    assert_eq!(bench.run(&format!("cluster weight {ID_3}")), ":300");
    assert_eq!(bench.run(&format!("cluster forget {ID_9}")), "+OK");
    assert_eq!(bench.run("cluster bumpepoch"), "+STILL 12");
    assert_eq!(bench.run("cluster saveconfig"), "+OK");
    assert_eq!(bench.run("cluster set-config-epoch 3"), "+OK");
    for line in ["asking", "readonly", "readwrite"] {
        assert_eq!(bench.run(line), "+OK");
    }
    assert!(bench.double.taken().is_empty());
}

#[test]
fn what_cannot_be_wanted_is_refused() {
    let mut bench = Bench::one_of_three();
    let placed = "Slots are placed by the cluster: use CLUSTER WEIGHT or CLUSTER MIGRATION IMPORT";
    let copies = "Copies are placed by the cluster: there are no replicas (see cluster-replicas)";
    let arity = |name: &str| {
        format!("unknown subcommand or wrong number of arguments for '{name}'. Try CLUSTER HELP.")
    };
    for (line, error) in [
        ("cluster meet 1.2.3.4 x", "Invalid TCP base port specified: x"),
        ("cluster meet 1.2.3.4 7000 x", "Invalid TCP bus port specified: x"),
        ("cluster meet 1.2.3.4 99999", "Invalid node address specified: 1.2.3.4:99999"),
        ("cluster meet 1.2.3.4 7000 1 1", &arity("meet")),
        ("cluster forget x", "Unknown node x"),
        (&format!("cluster forget {ID_1}"), "I tried hard but I can't forget myself..."),
        (&format!("cluster weight {ID_2} 10001"), "A weight is between 0 and 10000"),
        (&format!("cluster weight {ID_2} x"), "value is not an integer or out of range"),
        ("cluster weight x 1", "Unknown node x"),
        ("cluster leave now", "syntax error"),
        ("cluster failover x", "syntax error"),
        ("cluster reset x", "syntax error"),
        ("cluster set-config-epoch -1", "Invalid config epoch specified: -1"),
        ("cluster addslots 1", placed),
        ("cluster addslotsrange 1 2", placed),
        ("cluster delslots 1", placed),
        ("cluster delslotsrange 1 2", placed),
        ("cluster flushslots", placed),
        ("cluster setslot 1 stable", placed),
        (&format!("cluster replicate {ID_2}"), copies),
        ("select 1", "SELECT is not allowed in cluster mode"),
        ("swapdb 0 0", "SWAPDB is not allowed in cluster mode"),
        ("move {06S} 1", "MOVE is not allowed in cluster mode"),
        ("copy {06S} {06S}1 db 1", "Copying to another database is not allowed in cluster mode"),
    ] {
        assert_eq!(bench.run(line), format!("-ERR {error}"), "{line}");
    }
    assert_eq!(bench.run("select 0"), "+OK");
    assert_eq!(bench.run("set {06S} 1"), "+OK");
    let keys = "-ERR CLUSTER RESET can't be called with master nodes containing keys";
    assert_eq!(bench.run("cluster reset"), keys);
    assert!(bench.double.taken().is_empty());
}

#[test]
fn failures_reach_the_operator() {
    let mut bench = Bench::one_of_three();
    for (why, error) in [
        ("no such member", "-ERR no such member"),
        ("nobody leads", "-CLUSTERDOWN nobody leads"),
        ("lost", "-ERR It is not known whether that was done: lost"),
    ] {
        bench.double.fail(why);
        assert_eq!(bench.run("cluster leave"), error);
    }
    bench.double.fail("it has keys");
    assert_eq!(bench.run("cluster meet 10.0.0.4 7004"), "-ERR it has keys");
    bench.double.fail("");
    let waits = "-ERR This is not allowed in a transaction or a script: it waits for other nodes";
    assert_eq!(bench.run("multi"), "+OK");
    assert_eq!(bench.run("cluster leave"), "+QUEUED");
    assert_eq!(bench.run("exec"), format!("*1 {waits}"));
    let mut down = Bench::new(Some(Arc::new(Cluster::new(NodeId::from(1)))));
    assert_eq!(down.run("cluster leave"), "-CLUSTERDOWN The node is not up yet");
    assert!(down.run("cluster info").contains("cluster_known_nodes:1"));
    assert_eq!(down.run("cluster slots"), "-CLUSTERDOWN The cluster is down");
}
