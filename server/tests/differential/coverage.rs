//! Which commands there are: every one of Valkey 8 but for those that a cache without disk, replicas,
//! modules and a cluster has no use for.

use crate::support::{Server, Value};
use std::collections::BTreeSet;

/// The top-level commands of Valkey 8, by its own descriptions of them (the names of the files in
/// `src/commands`, without those of subcommands).
const VALKEY: &str = "
    acl append asking auth bgrewriteaof bgsave bitcount bitfield bitfield_ro bitop bitpos
    blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin client cluster command
    config copy dbsize debug decr decrby del discard dump echo eval eval_ro evalsha
    evalsha_ro exec exists expire expireat expiretime failover fcall fcall_ro flushall
    flushdb function geoadd geodist geohash geopos georadius georadius_ro georadiusbymember
    georadiusbymember_ro geosearch geosearchstore get getbit getdel getex getrange getset
    hdel hello hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield
    hscan hset hsetnx hstrlen hvals incr incrby incrbyfloat info keys lastsave latency lcs
    lindex linsert llen lmove lmpop lolwut lpop lpos lpush lpushx lrange lrem lset ltrim
    memory mget migrate module monitor move mset msetnx multi object persist pexpire
    pexpireat pexpiretime pfadd pfcount pfdebug pfmerge pfselftest ping psetex psubscribe
    psync pttl publish pubsub punsubscribe quit randomkey readonly readwrite rename renamenx
    replconf replicaof reset restore restore-asking role rpop rpoplpush rpush rpushx sadd
    save scan scard script sdiff sdiffstore select sentinel set setbit setex setnx setrange
    shutdown sinter sintercard sinterstore sismember slaveof slowlog smembers smismember
    smove sort sort_ro spop spublish srandmember srem sscan ssubscribe strlen subscribe
    substr sunion sunionstore sunsubscribe swapdb sync time touch ttl type unlink
    unsubscribe unwatch wait waitaof watch xack xadd xautoclaim xclaim xdel xgroup xinfo
    xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim zadd zcard zcount zdiff
    zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin
    zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex
    zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank
    zscan zscore zunion zunionstore
";

/// Commands that are not to be here, and why.
const OUT_OF_SCOPE: &[(&str, &str)] = &[
    ("module", "native modules are code for another server"),
    ("sentinel", "of the process that watches other servers"),
    ("failover replconf replicaof slaveof psync sync", "there are no replicas"),
    ("bgrewriteaof", "there is no append-only file"),
    ("restore-asking", "slots move as a whole, not key by key"),
];

fn names<'a>(lists: &[(&'a str, &str)]) -> BTreeSet<&'a str> {
    lists.iter().flat_map(|(names, _)| names.split_whitespace()).collect()
}

/// Whether it is a command, here or elsewhere.
pub(crate) fn is_command(name: &str) -> bool {
    VALKEY.split_whitespace().any(|known| known == name)
}

/// Whether Dunlin is not to have this command.
pub(crate) fn is_out_of_scope(name: &str) -> bool {
    names(OUT_OF_SCOPE).contains(name)
}

#[test]
fn every_command_of_valkey_is_there_or_left_out_for_a_reason() {
    let server = Server::dunlin_unhurried(&[]);
    let listed = server.client().run("COMMAND LIST").items();
    let listed: BTreeSet<String> = listed.iter().map(Value::text).collect();
    let valkey: BTreeSet<&str> = VALKEY.split_whitespace().collect();
    assert_eq!(valkey.len(), 242);
    let out = names(OUT_OF_SCOPE);
    assert!(out.is_subset(&valkey), "no name is misspelt");
    for (names, why) in OUT_OF_SCOPE {
        println!("not there: {names}: {why}");
    }
    let missing: Vec<&&str> = valkey.iter().filter(|name| !listed.contains(**name)).collect();
    let unexplained: Vec<_> = missing.iter().filter(|name| !out.contains(**name)).collect();
    assert!(unexplained.is_empty(), "COMMAND LIST lacks {unexplained:?}");
    let needless: Vec<_> = out.iter().filter(|name| listed.contains(**name)).collect();
    assert!(needless.is_empty(), "{needless:?} are there after all");
}
