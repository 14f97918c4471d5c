//! XREAD and XREADGROUP with BLOCK.

use crate::scenario::{everywhere, newer};

#[test]
fn readers_get_what_is_added() {
    everywhere(&[
        "a> XREAD BLOCK 0 STREAMS s $
         b3> XREAD BLOCK 0 STREAMS none s $ $
         x: XADD s 5-1 f v => 5-1
         a< [[s [[5-1 [f v]]]]]
         b3< {s [[5-1 [f v]]]}
         a: XREAD BLOCK 0 STREAMS s 0 => [[s [[5-1 [f v]]]]]
         a> XREAD COUNT 1 BLOCK 0 STREAMS s $
         x: XADD s 5-2 f w => 5-2
         a< [[s [[5-2 [f w]]]]]",
        // Nothing comes after this for a while.
        "a> XREAD BLOCK 0 STREAMS s 10-0
         x: XADD s 5-0 f v => 5-0
         x: XADD s 10-0 f v => 10-0
         x: XTRIM s MAXLEN 0 => 2
         x: XADD s 11-0 f v => 11-0
         a< [[s [[11-0 [f v]]]]]",
        // `$` is what it was.
        "x: XADD s 5-0 f v => 5-0
         a> XREAD BLOCK 0 STREAMS s $
         x: DEL s => 1
         x: XADD s 3-0 f v => 3-0
         x: XADD s 6-0 f v => 6-0
         a< [[s [[6-0 [f v]]]]]",
        "x: XADD s 5-0 f v => 5-0
         a> XREAD BLOCK 0 STREAMS t 0
         x: RENAME s t => OK
         a< [[t [[5-0 [f v]]]]]
         a> XREAD BLOCK 0 STREAMS u 0
         x: COPY t u => 1
         a< [[u [[5-0 [f v]]]]]
         a> XREAD BLOCK 0 STREAMS s $
         x: XGROUP CREATE s g $ MKSTREAM => OK
         x: SET t x => OK
         x: XADD s 1-0 f v => 1-0
         a< [[s [[1-0 [f v]]]]]",
    ]);
}

#[test]
fn the_last_entry_may_be_asked_for_before_the_next_one() {
    newer(&["x: XADD t 1-0 f v => 1-0
         a> XREAD BLOCK 0 STREAMS s t + $
         b> XREAD BLOCK 0 STREAMS s u t + $ $
         x: XADD t 2-0 f w => 2-0
         a< [[t [[2-0 [f w]]]]]
         b< [[t [[2-0 [f w]]]]]
         a> XREAD BLOCK 0 STREAMS t s $ +
         x: XADD s 1-0 f v => 1-0
         a< [[s [[1-0 [f v]]]]]"]);
}

#[test]
fn members_of_a_group_are_served_in_turn() {
    everywhere(&[
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         b> XREADGROUP GROUP g two BLOCK 0 STREAMS s >
         c3> XREADGROUP GROUP g two BLOCK 0 NOACK STREAMS s >
         x: XADD s 1-0 f v => 1-0
         a< [[s [[1-0 [f v]]]]]
         x: XACK s g 1-0 => 1
         x: XADD s 2-0 f v => 2-0
         b< [[s [[2-0 [f v]]]]]
         x: XADD s 3-0 f v => 3-0
         c3< {s [[3-0 [f v]]]}
         x: XPENDING s g => [1 2-0 2-0 [[two 1]]]",
        // Other groups and readers without one get it too.
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         x: XGROUP CREATE s h $ => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         b> XREAD BLOCK 0 STREAMS s $
         c> XREADGROUP GROUP h one BLOCK 0 STREAMS s >
         x: XADD s 1-0 f v => 1-0
         a< [[s [[1-0 [f v]]]]]
         b< [[s [[1-0 [f v]]]]]
         c< [[s [[1-0 [f v]]]]]",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         x: XGROUP CREATE t g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s t > >
         b> XREADGROUP GROUP g one BLOCK 0 STREAMS t s > >
         x: XADD t 1-0 f v => 1-0
         a< [[t [[1-0 [f v]]]]]
         x: XADD s 1-0 f v => 1-0
         b< [[s [[1-0 [f v]]]]]
         a: XREADGROUP GROUP g one BLOCK 0 STREAMS s 0 => [[s [[1-0 [f v]]]]]
         a: XREADGROUP GROUP g one BLOCK 0 STREAMS s 5 => [[s []]]",
    ]);
}

#[test]
fn a_group_that_is_set_back_wakes_nobody() {
    // Whatever has happened to the stream since somebody waits for it.
    let set_back = |before: &str| {
        format!(
            "x: XADD s 1-0 f v => 1-0
             x: XGROUP CREATE s g $ => OK
             a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
             {before}
             x: XGROUP SETID s g 0 => OK
             x: XADD s 2-0 f w => 2-0
             a< [[s [[1-0 [f v]] [2-0 [f w]]]]]"
        )
    };
    let scenarios = ["", "x: XSETID s 1-0 => OK", "x: XACK s g 1-0 => 0"].map(set_back);
    everywhere(&scenarios.each_ref().map(String::as_str));
}

#[test]
fn members_hear_of_the_end_of_stream_and_group() {
    newer(&[
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         b> XREAD BLOCK 0 STREAMS s $
         x: DEL s => 1
         a< -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
         x: XADD s 1-0 f v => 1-0
         b< [[s [[1-0 [f v]]]]]",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         x: XGROUP CREATE s h $ => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         b> XREADGROUP GROUP h one BLOCK 0 STREAMS s >
         x: XGROUP DESTROY s g => 1
         a< -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
         x: XGROUP DESTROY s h => 1
         b< -NOGROUP No such key 's' or consumer group 'h' in XREADGROUP with GROUP option",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         x: SET s v => OK
         a< -WRONGTYPE Operation against a key holding the wrong kind of value",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         x: FLUSHALL => OK
         a< -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         x: RENAME s t => OK
         a< -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         x: PEXPIRE s 1 => 1
         a< -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         x: MOVE s 1 => 1
         y: SELECT 1 => OK
         y: LPUSH l x => 1
         a: SELECT 1 => OK
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         x: LPUSH s y => 1
         x: SWAPDB 0 1 => OK
         a< -WRONGTYPE Operation against a key holding the wrong kind of value",
        "x: XGROUP CREATE s g $ MKSTREAM => OK
         x: LPUSH l x => 1
         a> XREADGROUP GROUP g one BLOCK 0 STREAMS s >
         x: RENAME l s => OK
         a< -WRONGTYPE Operation against a key holding the wrong kind of value",
    ]);
}

#[test]
fn keys_that_are_waited_for_are_counted() {
    let server = crate::Server::dunlin(&["--workers", "2"]);
    let mut watcher = server.client();
    let counted = |watcher: &mut crate::Client| {
        let keys = crate::info(watcher, "total_blocking_keys");
        (keys, crate::info(watcher, "total_blocking_keys_on_nokey"))
    };
    watcher.run("XGROUP CREATE s g $ MKSTREAM");
    let mut a = crate::blocked(&server, &mut watcher, "BLPOP k l m k 0");
    assert_eq!(counted(&mut watcher), (3, 0));
    let mut b = crate::blocked(&server, &mut watcher, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    assert_eq!(counted(&mut watcher), (4, 1));
    watcher.run("DEL s");
    assert!(b.recv().is_error());
    assert_eq!(counted(&mut watcher), (3, 0));
    watcher.run("RPUSH l x");
    assert_eq!(a.recv().items().len(), 2);
    let none = crate::eventually(crate::SOON, || counted(&mut watcher) == (0, 0));
    assert!(none, "{:?}", counted(&mut watcher));
}

#[test]
fn arguments_are_looked_at_first() {
    everywhere(&["a: XREAD BLOCK x STREAMS s 0 => -ERR timeout is not an integer or out of range
         a: XREAD BLOCK -1 STREAMS s 0 => -ERR timeout is negative
         a: XREAD BLOCK 1.5 STREAMS s 0 => -ERR timeout is not an integer or out of range
         a: XREADGROUP GROUP g c BLOCK 0 STREAMS s > => -NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option
         a: SET s v => OK
         a: XREAD BLOCK 0 STREAMS s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value"]);
    // 7.0 adds without looking.
    newer(&["a: XREAD BLOCK 9223372036854775807 STREAMS s 0 => -ERR timeout is out of range"]);
}
