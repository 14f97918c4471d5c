//! Scripts and functions: a pool of texts, so that they meet again, over keys and values of the test.
//!
//! Each gives the same on both servers whatever it finds: what has no order is not replied, and no
//! error says where in a text it was raised by a function that is written in another language.

use crate::compare::Rule;
use crate::sequence::Step;
use crate::values::Values;

/// Weight and grammar.
pub(crate) const TABLE: &[(u32, &str)] = &[
    (14, "EVAL script (0|1 key|2 key key|3 key key key) (value|int|float)*"),
    (4, "EVAL_RO script (0|1 key|2 key key) (value|int)*"),
    (3, "EVAL script (int|junk) key* int*"),
    (3, "EVALSHA sha (0|1 key|2 key key) (value|int)*"),
    (1, "EVALSHA_RO sha (0|1 key) (value|int)*"),
    (2, "SCRIPT LOAD script"),
    (1, "SCRIPT EXISTS sha+"),
    (1, "SCRIPT FLUSH [ASYNC|SYNC|junk]"),
    (3, "FUNCTION LOAD [REPLACE] library"),
    (6, "FCALL function (0|1 key|2 key key) (value|int)*"),
    (2, "FCALL_RO function (0|1 key) (value|int)*"),
    (1, "FUNCTION (DELETE libraryname|FLUSH|STATS|LIST|LIST LIBRARYNAME libraryname WITHCODE)"),
    (1, "COMMAND GETKEYS (EVAL script|EVALSHA sha|FCALL function) (int|junk) key* int*"),
];

const SCRIPTS: &[&str] = &[
    "return 1",
    "return {1, 2, {3, 'x'}, false, 1.9}",
    "return {KEYS, ARGV}",
    "return {#KEYS, #ARGV, KEYS[1], ARGV[1]}",
    "return redis.call('get', KEYS[1])",
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.call('set', KEYS[1], ARGV[1] or 'v', 'ex', 1000)",
    "return redis.call('incrby', KEYS[1], ARGV[1] or 1)",
    "return redis.pcall('incr', KEYS[1])",
    "redis.call('set', KEYS[1], 'x') return redis.call('incr', KEYS[1])",
    "return redis.call('type', KEYS[1])",
    "return {redis.call('exists', unpack(KEYS)), redis.call('del', unpack(KEYS))}",
    "return redis.call('rename', KEYS[1], KEYS[2])",
    "return redis.call('mget', unpack(KEYS))",
    "return redis.call('rpush', KEYS[1], unpack(ARGV))",
    "return redis.call('lrange', KEYS[1], 0, -1)",
    "return redis.call('lmove', KEYS[1], KEYS[2], 'left', 'right')",
    "return redis.call('zadd', KEYS[1], 1, 'a', 2.5, 'b', ARGV[1] or 3, 'c')",
    "return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
    "return redis.call('zscore', KEYS[1], 'b')",
    "redis.setresp(3) return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
    "redis.setresp(3) return redis.call('zscore', KEYS[1], 'b')",
    "redis.setresp(3) return {redis.call('sismember', KEYS[1], 'a'), redis.call('get', 'nokey')}",
    "return redis.call('hset', KEYS[1], 'f', ARGV[1], 'g', 2)",
    "return redis.call('hmget', KEYS[1], 'f', 'g', 'h')",
    "redis.setresp(3) local h = redis.call('hgetall', KEYS[1]) return h.map and h.map.f",
    "return redis.call('sadd', KEYS[1], unpack(ARGV))",
    "return redis.call('sort', KEYS[1], 'alpha')",
    "return redis.call('scard', KEYS[1]) + redis.call('llen', KEYS[2] or KEYS[1])",
    "return redis.call('select', 1)",
    "redis.call('select', 2) return redis.call('set', KEYS[1], 'two')",
    "return redis.call('dbsize') >= 0",
    "return redis.call('xadd', KEYS[1], '*', 'f') or 1",
    "return redis.call('nosuch')",
    "return redis.call('get')",
    "return redis.call('multi')",
    "return redis.call('eval', 'return 1', 0)",
    "return redis.call('flushall')",
    "return redis.error_reply('MY mistake')",
    "return redis.error_reply('mistake')",
    "return redis.status_reply('fine')",
    "return {ok = 'fine'}",
    "return {err = 'MY mistake'}",
    "return {double = 3.5}",
    "return {map = {a = 1}}",
    "return {set = {a = true}}",
    "return cjson.encode({1, 'a', false})",
    "return cmsgpack.unpack(cmsgpack.pack(ARGV))",
    "return redis.sha1hex(ARGV[1] or '')",
    "return tonumber(ARGV[1])",
    "return tostring(ARGV[1])",
    "return #ARGV[1]",
    "error('mine')",
    "error({err = 'MY own'})",
    "x = 1",
    "return nosuch",
    "return 1 x",
    "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 1)",
    "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
    "#!lua\nreturn redis.call('set', KEYS[1], 'flags')",
    "#!lua flags=nosuch\nreturn 1",
    "#!nosuch\nreturn 1",
    "local n = 0 for i = 1, 1000 do n = n + i end return n",
    "for i = 1, 20 do redis.call('rpush', KEYS[1], i) end return redis.call('llen', KEYS[1])",
    "return redis.call('set', 'notdeclared', ARGV[1] or 1)",
    "return redis.call('incr', ARGV[1])",
    "return redis.call('lrange', ARGV[1] or KEYS[1], 0, 3)",
    "local ok = pcall(redis.call, 'incr', KEYS[1]) return tostring(ok)",
];

const LIBRARIES: &[&str] = &[
    "#!lua name=one\nredis.register_function('f', function(keys, args) return {keys, args} end)",
    "#!lua name=one\nredis.register_function('f', function() return 'new' end)
     redis.register_function{function_name='g', flags={'no-writes'}, description='reads',
         callback=function(keys) return redis.call('get', keys[1]) end}",
    "#!lua name=two\nredis.register_function('h', function(keys, args)
         return redis.call('set', keys[1], args[1]) end)",
    "#!lua name=three\nredis.register_function('f', function() end)",
    "#!lua name=four\nlocal n = 0",
    "#!lua name=four\nredis.call('get', 'k')",
    "#!lua name=\nreturn 1",
    "#!lua\nreturn 1",
    "return 1",
];

/// One argument of a kind of scripts, if it is one.
pub(crate) fn kind(values: &mut Values, kind: &str) -> Option<Vec<u8>> {
    match kind {
        "script" => Some(values.rng.pick(SCRIPTS).as_bytes().to_vec()),
        "library" => Some(values.rng.pick(LIBRARIES).as_bytes().to_vec()),
        "sha" if values.rng.chance(1, 10) => Some(values.text(&["short", ""])),
        "sha" => Some(dunlin::scripting::sha1_hex(values.rng.pick(SCRIPTS).as_bytes()).to_vec()),
        "function" => Some(values.text(&["f", "F", "g", "h", "nosuch", ""])),
        "libraryname" => Some(values.text(&["one", "two", "three", "*", "nosuch"])),
        _ => None,
    }
}

/// How the replies are compared, if the command needs a rule.
pub(crate) fn rule(step: &Step) -> Option<Rule> {
    // The order is that of a hash table.
    let lists = step.name() == "function" && step.word(1) == "list";
    lists.then_some(Rule::Kind)
}
