//! BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.

use crate::scenario::{everywhere, newer};

#[test]
fn what_is_there_is_taken_at_once() {
    everywhere(&[
        "a: RPUSH k 1 2 3 => 3
         a: BLPOP nokey k 0 => [k 1]
         a: BRPOP k nokey 0.5 => [k 3]
         a: BLMPOP 0 2 nokey k LEFT => [k [2]]
         a: EXISTS k => 0
         a: RPUSH k 1 2 3 4 5 => 5
         a: BLMPOP 0 1 k RIGHT COUNT 2 => [k [5 4]]
         a3: BLPOP k 0 => [k 1]
         a: BLMOVE k other LEFT RIGHT 0 => 2
         a: BRPOPLPUSH k other 0 => 3
         a: LRANGE other 0 -1 => [3 2]",
        "a: SET s x => OK
         a: BLPOP s 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
         a: RPUSH k 1 => 1
         a: BLPOP s k 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
         a: BLPOP k s 0 => [k 1]
         a: BLMOVE s k LEFT LEFT 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
         a: RPUSH k 1 => 1
         a: BLMOVE k s LEFT LEFT 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
         a: LRANGE k 0 -1 => [1]",
    ]);
}

#[test]
fn who_waits_gets_what_comes() {
    everywhere(&[
        "a> BLPOP k 0
         b: RPUSH k x y => 2
         a< [k x]
         b: LRANGE k 0 -1 => [y]",
        "a> BRPOP k 0
         b: RPUSH k x y => 2
         a< [k y]",
        "a> BLMPOP 0 2 k l LEFT COUNT 10
         b: RPUSH l x y z => 3
         a< [l [x y z]]
         b: EXISTS l => 0",
        "a3> BLMPOP 0 1 k RIGHT COUNT 2
         b: RPUSH k x y z => 3
         a3< [k [z y]]",
        "a> BLMOVE k l LEFT RIGHT 0
         b: RPUSH k x => 1
         a< x
         b: LRANGE l 0 -1 => [x]
         b: EXISTS k => 0",
        "a> BRPOPLPUSH k k 0
         b: RPUSH k x y => 2
         a< y
         b: LRANGE k 0 -1 => [y x]",
        "a> BLPOP k k 0
         b: RPUSH k x y => 2
         a< [k x]
         b: DEL k => 1
         a> BLPOP l k l 0
         b: RPUSH l 1 => 1
         a< [l 1]",
    ]);
}

#[test]
fn the_first_who_waits_is_served_first() {
    everywhere(&[
        "a> BLPOP k 0
         b> BRPOP k 0
         c> BLPOP k 0
         x: RPUSH k 1 2 => 2
         a< [k 1]
         b< [k 2]
         x: RPUSH k 3 4 => 2
         c< [k 3]
         x: LRANGE k 0 -1 => [4]",
        // The order of a key is that in which its own waiters came.
        "a> BLPOP k1 0
         b> BLPOP k2 k1 0
         c> BLPOP k2 0
         x: RPUSH k2 1 => 1
         b< [k2 1]
         x: RPUSH k1 2 => 1
         a< [k1 2]
         x: RPUSH k2 3 => 1
         c< [k2 3]",
        // Who waits for several keys gets the first that has something, in the order of the call.
        "a> BLPOP k1 k2 k3 0
         x: RPUSH k3 3 => 1
         a< [k3 3]
         x: RPUSH k2 2 => 1
         x: RPUSH k1 1 => 1
         a: BLPOP k1 k2 k3 0 => [k1 1]",
        // One that takes several leaves nothing to the next.
        "a> BLMPOP 0 1 k LEFT COUNT 5
         b> BLPOP k 0
         x: RPUSH k 1 2 3 => 3
         a< [k [1 2 3]]
         x: RPUSH k 4 => 1
         b< [k 4]",
    ]);
}

#[test]
fn moves_make_others_ready() {
    everywhere(&[
        "a> BLMOVE k1 k2 LEFT RIGHT 0
         b> BLMOVE k2 k3 LEFT RIGHT 0
         c> BLMOVE k3 k4 LEFT RIGHT 0
         d> BLPOP k4 0
         x: RPUSH k1 v => 1
         x: EXISTS k1 k2 k3 k4 => 0
         a< v
         b< v
         c< v
         d< [k4 v]",
        "a> BLMOVE k1 k2 LEFT RIGHT 0
         b> BLMOVE k2 k1 LEFT RIGHT 0
         c> BLPOP k1 0
         x: RPUSH k1 v => 1
         a< v
         b< v
         c< [k1 v]",
        "a> BLMOVE k k LEFT RIGHT 0
         b> BLPOP k 0
         x: RPUSH k 1 2 => 2
         a< 1
         b< [k 2]
         x: LRANGE k 0 -1 => [1]",
        "x: RPUSH k1 v => 1
         a> BLPOP k2 0
         x: BLMOVE k1 k2 LEFT LEFT 0 => v
         a< [k2 v]",
        // Who cannot put it anywhere gets an error, and the next one the element.
        "x: SET string s => OK
         a> BLMOVE k string LEFT RIGHT 0
         b> BLPOP k 0
         x: RPUSH k 1 => 1
         a< -WRONGTYPE Operation against a key holding the wrong kind of value
         b< [k 1]",
    ]);
}

#[test]
fn whatever_makes_a_list_serves() {
    everywhere(&[
        "x: RPUSH l 1 2 3 => 3
         a> BLPOP k 0
         x: RENAME l k => OK
         a< [k 1]
         a> BLPOP l 0
         x: COPY k l => 1
         a< [l 2]
         a> BLPOP other 0
         x: RENAMENX l other => 1
         a< [other 3]
         a> BLPOP other 0
         x: LMOVE k other LEFT LEFT => 2
         a< [other 2]
         a> BLPOP other 0
         x: RPOPLPUSH k other => 3
         a< [other 3]",
        "a: SELECT 1 => OK
         a> BLPOP k 0
         x: RPUSH k 1 => 1
         x: MOVE k 1 => 1
         a< [k 1]
         a> BLPOP k 0
         x: RPUSH k 2 => 1
         x: SWAPDB 0 1 => OK
         a< [k 2]
         a> BLPOP k 0
         x: RPUSH k 3 => 1
         x: COPY k k DB 1 => 1
         a< [k 3]",
    ]);
}

#[test]
fn other_types_and_removals_do_not_end_the_wait() {
    everywhere(&[
        "a> BLPOP k 0
         x: SET k v => OK
         x: DEL k => 1
         x: SADD k m => 1
         x: RENAME k l => OK
         x: ZADD k 1 m => 1
         x: FLUSHALL => OK
         x: XADD k 1-0 f v => 1-0
         x: SWAPDB 0 1 => OK
         x: LPUSH k 1 => 1
         a< [k 1]",
        "a> BLPOP k 0
         b> BZPOPMIN k 0
         c> XREAD BLOCK 0 STREAMS k 0
         d> BLPOP k 0
         x: ZADD k 1 m => 1
         b< [k m 1]
         x: XADD k 5-0 f v => 5-0
         c< [[k [[5-0 [f v]]]]]
         x: DEL k => 1
         x: RPUSH k 1 2 => 2
         a< [k 1]
         d< [k 2]",
    ]);
}

#[test]
fn a_command_runs_again_as_a_whole() {
    // Since 7.2: another key has become something else meanwhile.
    newer(&["a> BLPOP s k 0
         x: SET s v => OK
         x: RPUSH k 1 => 1
         a< -WRONGTYPE Operation against a key holding the wrong kind of value
         x: LRANGE k 0 -1 => [1]"]);
}

#[test]
fn arguments_are_looked_at_first() {
    everywhere(&["a: BLPOP k x => -ERR timeout is not a float or out of range
         a: BLPOP k '' => -ERR timeout is not a float or out of range
         a: BLPOP k nan => -ERR timeout is not a float or out of range
         a: BLPOP k -1 => -ERR timeout is negative
         a: BLPOP k -0.01 => -ERR timeout is negative
         a: BLPOP k => -ERR wrong number of arguments for 'blpop' command
         a: BLMOVE a b LEFT UP 0 => -ERR syntax error
         a: BLMOVE a b LEFT RIGHT x => -ERR timeout is not a float or out of range
         a: BLMPOP 0 0 k LEFT => -ERR numkeys should be greater than 0
         a: BLMPOP x 0 k LEFT => -ERR numkeys should be greater than 0
         a: BLMPOP x 1 k LEFT => -ERR timeout is not a float or out of range
         a: BLMPOP 0 2 k LEFT => -ERR syntax error
         a: BLMPOP 0 1 k LEFT COUNT 0 => -ERR count should be greater than 0
         a: BLMPOP 0 1 k LEFT COUNT 1 COUNT 2 => -ERR syntax error
         a: BRPOPLPUSH a b -1 => -ERR timeout is negative
         a: SET s x => OK
         a: BLPOP s x => -ERR timeout is not a float or out of range"]);
    // 7.0 adds without looking.
    newer(&["a: BLPOP k 9223372036854775 => -ERR timeout is out of range
             a: BLPOP k 1e16 => -ERR timeout is out of range
             a: BLPOP k inf => -ERR timeout is out of range
             a: BLPOP k 1e300 => -ERR timeout is out of range
             a: BLPOP k -inf => -ERR timeout is negative"]);
}

#[test]
fn transactions_are_served_as_a_whole() {
    everywhere(&[
        "a> BLPOP k 0
         x: MULTI => OK
         x: RPUSH k 1 => QUEUED
         x: DEL k => QUEUED
         x: EXEC => [1 1]
         x: RPUSH k 2 3 => 2
         a< [k 2]",
        "a> BLMOVE k1 k2 LEFT RIGHT 0
         b> BLPOP k2 0
         x: MULTI => OK
         x: RPUSH k1 1 => QUEUED
         x: LLEN k1 => QUEUED
         x: EXEC => [1 1]
         a< 1
         b< [k2 1]",
        "a> BLPOP k 0
         x: RPUSH l b a => 2
         x: SORT l ALPHA STORE k => 2
         a< [k a]",
    ]);
    // 7.0 looks only at the key that was ready first.
    newer(&["a> BLPOP k1 k2 0
         x: MULTI => OK
         x: RPUSH k2 2 => QUEUED
         x: RPUSH k1 1 => QUEUED
         x: BLPOP none 0 => QUEUED
         x: BLMOVE none k2 LEFT LEFT 0 => QUEUED
         x: EXEC => [1 1 nil-array nil]
         a< [k1 1]
         a: LRANGE k2 0 -1 => [2]"]);
}
