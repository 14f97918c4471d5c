//! BZPOPMIN, BZPOPMAX, BZMPOP.

use crate::scenario::everywhere;

#[test]
fn what_is_there_is_taken_at_once() {
    everywhere(&["a: ZADD z 1 one 2 two 3 three 4 four => 4
         a: BZPOPMIN none z 0 => [z one 1]
         a: BZPOPMAX z 0 => [z four 4]
         a3: BZPOPMIN z 0 => [z two ,2]
         a: BZMPOP 0 2 none z MAX => [z [[three 3]]]
         a: EXISTS z => 0
         a: ZADD z 1 one 2.5 two => 2
         a3: BZMPOP 0 1 z MIN COUNT 5 => [z [[one ,1] [two ,2.5]]]
         a: RPUSH l x => 1
         a: BZPOPMIN l 0 => -WRONGTYPE Operation against a key holding the wrong kind of value
         a: BZMPOP 0 1 z MID => -ERR syntax error
         a: BZMPOP x 1 z MIN => -ERR timeout is not a float or out of range
         a: BZPOPMIN z -1 => -ERR timeout is negative"]);
}

#[test]
fn who_waits_gets_what_comes() {
    everywhere(&[
        "a> BZPOPMIN z 0
         b> BZPOPMAX z 0
         c3> BZPOPMIN y z 0
         x: ZADD z 1 a 2 b 3 c 4 d => 4
         a< [z a 1]
         b< [z d 4]
         c3< [z b ,2]
         x: ZRANGE z 0 -1 => [c]",
        "a> BZMPOP 0 2 y z MIN COUNT 2
         x: ZADD z 1 a 2 b 3 c => 3
         a< [z [[a 1] [b 2]]]
         a> BZPOPMAX w 0
         x: ZRANGESTORE w z 0 -1 => 1
         a< [w c 3]
         a> BZPOPMIN w 0
         x: ZUNIONSTORE w 2 z z => 1
         a< [w c 6]
         a> BZPOPMIN w 0
         x: GEOADD w 1 1 place => 1
         a< [w place 3377822707026402]
         a> BZPOPMIN w 0
         x: ZINCRBY w 5 m => 5
         a< [w m 5]",
    ]);
}
