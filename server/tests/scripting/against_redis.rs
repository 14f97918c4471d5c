//! The engine and redis-server run the same scripts.

use crate::Fixture;
use crate::scripts::SCRIPTS;
use crate::support::process::Server;
use crate::support::{Value, redis_server};
use dunlin_protocol::Proto;

/// What is written in Lua here and called as the last act of a function has lost its caller: the
/// error does not say where it was. Redis's are written in C.
const TAIL: &str = "the place of an error in a tail call";

/// Where the engine is not what Redis 7.0 is, and why.
const ACCEPTED: &[(&str, &str)] = &[
    ("return redis.call('echo', -0)", "since 7.2 an integer is passed on as one"),
    ("return pairs(nil)", TAIL),
    ("return pairs()", TAIL),
    ("return next()", TAIL),
    ("return next({}, 'nokey')", TAIL),
    ("return setmetatable(1, 2)", TAIL),
    ("return setmetatable({}, 2)", TAIL),
    ("return setmetatable({})", TAIL),
    ("return rawget()", TAIL),
    ("return rawset(1, 2, 3)", TAIL),
    ("return unpack()", TAIL),
];

#[test]
fn scripts_give_what_redis_gives() {
    let Some(_) = redis_server() else { return };
    let redis = Server::redis(&[]).expect("it starts");
    for (proto, mut client) in [(Proto::Resp2, redis.client()), (Proto::Resp3, redis.client3())] {
        assert_eq!(client.run("FLUSHALL"), Value::ok());
        let mut ours = Fixture::new();
        ours.proto = proto;
        let mut wrong = Vec::new();
        for script in SCRIPTS {
            let theirs = client.call(&["EVAL", script, "2", "k1", "k2", "a1", "7", ""]);
            let ours = ours.eval(script, &["k1", "k2"], &["a1", "7", ""]);
            if ours != theirs && !ACCEPTED.iter().any(|(known, _)| known == script) {
                wrong.push(format!("{script}\n  redis: {theirs:?}\n  here:  {ours:?}"));
            }
        }
        let count = wrong.len();
        assert!(wrong.is_empty(), "{count} differ in {proto:?}:\n{}", wrong.join("\n"));
    }
}
