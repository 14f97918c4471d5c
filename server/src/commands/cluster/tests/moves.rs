//! Moves of slots, in the words of Redis and of Valkey.

use super::*;

#[test]
fn moves_in_the_words_of_redis() {
    let mut bench = Bench::one_of_three();
    let name = format!("$40 {}", "a".repeat(40));
    assert_eq!(bench.run("cluster migration import 100 200 300 300"), name);
    assert_eq!(bench.double.taken(), [format!("start [(100, 200), (300, 300)] {ID_1}")]);
    assert_eq!(bench.run("cluster migration cancel all"), ":2");
    assert_eq!(bench.run("cluster migration cancel id x"), ":2");
    assert_eq!(bench.double.taken(), ["cancel None", "cancel Some(\"x\")"]);
    let arity = "wrong number of arguments for 'cluster|migration' command";
    for (line, error) in [
        ("import 100", arity),
        ("import 100 200 300", arity),
        ("import 200 100", "start slot number 200 is greater than end slot number 100"),
        ("import 14000 18000", "Invalid or out of range slot"),
        ("import -1 0", "Invalid or out of range slot"),
        ("import 700 800 790 900", "Slot 790 specified multiple times"),
        ("import 16383 16383", "slot has no owner: 16383"),
        ("import 700 15000", "slots belong to different source nodes"),
        ("import 0 5", "this node is already the owner of the slot range"),
        ("cancel x", "unknown argument"),
        ("cancel all x", arity),
        ("status id", arity),
        ("what ever", "unknown argument"),
    ] {
        assert_eq!(
            bench.run(&format!("cluster migration {line}")),
            format!("-ERR {error}"),
            "{line}"
        );
    }
    bench.set_moves(vec![job(2, 1, (150, 160), Stage::Copying), job(1, 3, (5, 6), Stage::Done)]);
    let exists = "-ERR overlapping import exists for slot range: 155-155";
    assert_eq!(bench.run("cluster migration import 155 155"), exists);
    let b = "b".repeat(40);
    let of = |slots: &str, from: &str, to: &str, operation: &str, state: &str, pause: u8| {
        format!(
            "*24 $2 id $40 {b} $5 slots {slots} $6 source $40 {from} $4 dest $40 {to} \
             $9 operation {operation} $5 state {state} $10 last_error $5 so so $7 retries :1 \
             $11 create_time :1000 $10 start_time :2000 $8 end_time :3000 $14 write_pause_ms :{pause}"
        )
    };
    let one = of("$11 150-160 7-7", ID_2, ID_1, "$6 import", "$17 accumulate-buffer", 0);
    let two = of("$7 5-6 7-7", ID_1, ID_3, "$7 migrate", "$9 completed", 6);
    assert_eq!(bench.run("cluster migration status all"), format!("*2 {one} {two}"));
    assert_eq!(bench.run(&format!("cluster migration status id {b}")), format!("*2 {one} {two}"));
    assert_eq!(bench.run("cluster migration status id other"), "*0");
}

#[test]
fn moves_in_the_words_of_valkey() {
    let mut bench = Bench::one_of_three();
    let line = format!(
        "cluster migrateslots slotsrange 0 9 20 29 node {ID_2} slotsrange 40 40 node {ID_3}"
    );
    let asked = [format!("start [(0, 9), (20, 29)] {ID_2}"), format!("start [(40, 40)] {ID_3}")];
    assert_eq!(bench.asked(&line), asked);
    bench.set_moves(vec![job(1, 3, (50, 60), Stage::HandingOver)]);
    for (line, error) in [
        ("range 0 1", "syntax error"),
        ("slotsrange 0 1 node", "syntax error"),
        ("slotsrange 0 1 2", "No end slot for final slot range"),
        (&format!("slotsrange node {ID_2}"), "No slot ranges specified"),
        (
            &format!("slotsrange 9 1 node {ID_2}"),
            "Start slot number 9 is greater than end slot number 1.",
        ),
        (&format!("slotsrange 0 99999 node {ID_2}"), "Invalid or out of range slot"),
        (&format!("slotsrange 0 200 node {ID_2}"), "Requested slots span multiple shards"),
        (&format!("slotsrange 16383 16383 node {ID_2}"), "Slot 16383 has no node served."),
        (&format!("slotsrange 200 201 node {ID_2}"), "Slots are not served by this node."),
        (
            &format!("slotsrange 0 9 5 6 node {ID_2}"),
            "Slot range 5-6 overlaps with previous range 0-9.",
        ),
        (&format!("slotsrange 55 70 node {ID_2}"), "I am already migrating slot 55."),
        ("slotsrange 0 1 node x", "Invalid node name: x"),
        (&format!("slotsrange 0 1 node {ID_9}"), &format!("Unknown node name: {ID_9}")),
        (&format!("slotsrange 0 1 node {ID_1}"), "Target node can not be this node."),
        (
            &format!("slotsrange 0 1 node {ID_2} slotsrange 1 2 node {ID_3}"),
            "Slot ranges in migrations overlap",
        ),
    ] {
        assert_eq!(
            bench.run(&format!("cluster migrateslots {line}")),
            format!("-ERR {error}"),
            "{line}"
        );
    }
    let b = "b".repeat(40);
    assert_eq!(
        bench.run("cluster getslotmigrations"),
        format!(
            "*1 *24 $4 name $40 {b} $9 operation $6 EXPORT $11 slot_ranges $9 50-60 7-7 \
             $11 target_node $40 {ID_3} $11 source_node $40 {ID_1} $11 create_time :1 \
             $16 last_update_time :4 $13 last_ack_time :5 $5 state $15 failover-paused \
             $7 message $5 so so $8 cow_size :0 $19 remaining_repl_size :70"
        )
    );
    assert_eq!(bench.asked("cluster cancelslotmigrations"), ["cancel None"]);
    bench.set_moves(vec![job(1, 3, (50, 60), Stage::Cancelled)]);
    assert_eq!(bench.run("cluster cancelslotmigrations"), "-ERR No migrations ongoing");
}
