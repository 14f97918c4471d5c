//! Channels of publish/subscribe, those of slots among them.

use super::*;

#[test]
fn messages_of_channels_go_to_all_and_those_of_sharded_ones_do_not() {
    let mut bench = Bench::one_of_three();
    assert_eq!(bench.run("publish news hello"), ":0");
    assert_eq!(bench.double.taken(), ["publish news hello"]);
    assert_eq!(bench.run("spublish {06S} hello"), ":0");
    assert!(bench.double.taken().is_empty());
    assert_eq!(bench.run("spublish foo hello"), "-MOVED 12182 10.0.0.3:7003");
    assert_eq!(bench.run("ssubscribe foo"), "-MOVED 12182 10.0.0.3:7003");
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(bench.run("ssubscribe {06S} foo"), cross);
}

#[test]
fn channels_of_slots_that_go_are_taken_away() {
    let mut bench = Bench::one_of_three();
    assert_eq!(bench.run("ssubscribe {06S}a"), "*3 $10 ssubscribe $6 {06S}a :1");
    let mut next = map();
    let holders = Holders { owner: Some(NodeId::from(2)), ..Holders::default() };
    next.slots.set(0, 99, holders);
    let lost = bench.cluster().adopt(Arc::new(Map { epoch: 13, ..next }), |_| true);
    bench.server.pubsub.take_away(|name| lost.contains(slot::of(name)));
    // It comes by itself, and the connection is an ordinary one again.
    assert_eq!(bench.run("cluster epoch"), "*3 $12 sunsubscribe $6 {06S}a :0 :13");
    assert_eq!(bench.run("ssubscribe {06S}a"), "-MOVED 0 10.0.0.2:7002");
}
