//! Misses by their cause: each cause provoked in every way there is.

use crate::support::{Client, Server, Value};
use crate::{info, until};

const CAUSES: [&str; 4] = ["never_set", "expired", "evicted", "deleted"];

/// Misses by cause since the counters were reset; they must add up to all misses.
#[track_caller]
fn misses(client: &mut Client) -> [u64; 4] {
    let counts = CAUSES.map(|cause| info(client, &format!("keyspace_misses_{cause}")));
    assert_eq!(counts.iter().sum::<u64>(), info(client, "keyspace_misses"), "the parts of all");
    counts
}

/// What one line has missed; it must have missed something.
#[track_caller]
fn missed(client: &mut Client, line: &str) -> [u64; 4] {
    client.run("CONFIG RESETSTAT");
    let reply = client.run(line);
    assert!(!reply.is_error(), "{line}: {reply:?}");
    misses(client)
}

const NEVER: [u64; 4] = [1, 0, 0, 0];
const EXPIRED: [u64; 4] = [0, 1, 0, 0];
const DELETED: [u64; 4] = [0, 0, 0, 1];

fn sleep(millis: u64) {
    std::thread::sleep(std::time::Duration::from_millis(millis));
}

#[test]
fn a_key_that_was_never_set() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for line in
        ["GET a", "STRLEN a", "HGET a f", "LLEN a", "EXISTS a", "TTL a", "OBJECT ENCODING a"]
    {
        assert_eq!(missed(&mut client, line), NEVER, "{line}");
    }
    assert_eq!(missed(&mut client, "MGET a b c"), [3, 0, 0, 0]);
    client.run("SET a 1");
    assert_eq!(missed(&mut client, "MGET a b"), NEVER);
    assert_eq!(missed(&mut client, "GET a"), [0; 4]);
}

#[test]
fn a_key_that_somebody_has_removed() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for (make, remove) in [
        ("SET k 1", "DEL k"),
        ("SET k 1", "UNLINK k"),
        ("SET k 1", "GETDEL k"),
        ("SET k 1", "RENAME k other"),
        ("SET k 1", "MOVE k 7"),
        ("SET k 1", "EXPIRE k -1"),
        ("SET k 1", "EVAL redis.call('del',KEYS[1]) 1 k"),
        ("RPUSH k a", "LPOP k"),
        ("SADD k a", "SREM k a"),
        ("HSET k f v", "HDEL k f"),
        ("ZADD k 1 a", "ZPOPMIN k"),
    ] {
        client.run("FLUSHALL");
        client.run(&format!("DEL {}", "k other"));
        assert!(!client.run(make).is_error(), "{make}");
        let removed = client.run(remove);
        assert!(!removed.is_error(), "{remove}: {removed:?}");
        assert_eq!(missed(&mut client, "GET k"), DELETED, "{make}, {remove}");
        client.run(make);
        client.run("DEL k");
        assert_eq!(missed(&mut client, "EXISTS k"), DELETED, "{make}, again");
    }
}

#[test]
fn a_big_collection_that_was_renamed_or_removed() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let fill = |client: &mut Client| {
        let members: Vec<String> = (0..2000).map(|i| format!("member:{i}")).collect();
        let head = ["SADD", "big"].map(str::to_owned);
        client.call(&head.into_iter().chain(members).collect::<Vec<_>>());
    };
    fill(&mut client);
    client.run("RENAME big moved");
    assert_eq!(missed(&mut client, "SCARD big"), DELETED);
    fill(&mut client);
    client.run("DEL big");
    assert_eq!(missed(&mut client, "SCARD big"), DELETED);
}

#[test]
fn a_key_whose_time_was_over() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    // Found by the read itself, which takes it away; then remembered.
    client.run("SET lazy 1 PX 1");
    client.run("SET there 1");
    sleep(20);
    assert_eq!(missed(&mut client, "GET lazy"), EXPIRED);
    assert_eq!(missed(&mut client, "GET lazy"), EXPIRED);
    client.run("SET lazy 1 PX 1");
    sleep(20);
    assert_eq!(missed(&mut client, "MGET other lazy there"), [1, 1, 0, 0], "each has its own");
    // Under the role, by a write, in a transaction and in a script.
    for line in [
        "GETEX lazy PERSIST",
        "GETDEL lazy",
        "EVAL redis.call('get',KEYS[1]) 1 lazy",
        "EVAL_RO redis.call('get',KEYS[1]) 1 lazy",
    ] {
        client.run("SET lazy 1 PX 1");
        sleep(20);
        assert_eq!(missed(&mut client, line), EXPIRED, "{line}");
    }
    client.run("SET lazy 1 PX 1");
    sleep(20);
    let mut other = server.client();
    other.run("MULTI");
    other.run("GET lazy");
    client.run("CONFIG RESETSTAT");
    other.run("EXEC");
    assert_eq!(misses(&mut client), EXPIRED);
    // And by the walk.
    client.run("SET walked 1 PX 1");
    client.run("DEBUG SET-ACTIVE-EXPIRE 1");
    until("the walk removes it", || client.run("DBSIZE") == Value::Int(1));
    assert_eq!(missed(&mut client, "GET walked"), EXPIRED);
    client.run("HSET fields f v");
    client.run("HPEXPIRE fields 1 FIELDS 1 f");
    until("the walk removes the hash", || client.run("DBSIZE") == Value::Int(1));
    assert_eq!(missed(&mut client, "HGET fields f"), EXPIRED);
    // What was overwritten after its time, and removed, was deleted.
    client.run("SET k 1 PX 1");
    sleep(20);
    client.run("SET k 2");
    client.run("DEL k");
    assert_eq!(missed(&mut client, "GET k"), DELETED);
}

#[test]
fn a_key_that_had_to_make_room() {
    let server = Server::dunlin(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut client = server.client();
    let value = "v".repeat(200);
    for i in 0..40_000 {
        client.send_command(&["SET", &format!("key:{i}"), &value]);
    }
    for _ in 0..40_000 {
        assert_eq!(client.recv(), Value::ok());
    }
    client.run("CONFIG RESETSTAT");
    let keys: Vec<u32> = (16_000..40_000).step_by(12).collect();
    keys.iter().for_each(|i| client.send_command(&["GET", &format!("key:{i}")]));
    let gone = keys.iter().filter(|_| client.recv().is_null()).count() as u64;
    let [never, expired, evicted, deleted] = misses(&mut client);
    assert_eq!((expired, deleted), (0, 0));
    assert!(gone > 300, "{gone} of those have gone");
    // As many are remembered as the store holds, about as many as were evicted lately.
    assert!(evicted > gone / 2, "evicted {evicted}, never set {never}");
}

#[test]
fn a_database_that_was_flushed() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC", "FLUSHDB SYNC"] {
        for i in 0..500 {
            client.run(&format!("SET key:{i} 1"));
        }
        client.run(flush);
        let known = |client: &mut Client| {
            client.run("CONFIG RESETSTAT");
            for i in 0..500 {
                client.run(&format!("GET key:{i}"));
            }
            let [never, expired, evicted, deleted] = misses(client);
            assert_eq!((never + deleted, expired, evicted), (500, 0, 0), "{flush}");
            deleted
        };
        until("the keys are remembered as they are freed", || known(&mut client) > 450);
        client.run("CONFIG RESETSTAT");
        client.run("GET another");
        assert_eq!(misses(&mut client), NEVER, "{flush}");
    }
}

#[test]
fn databases_have_their_own_past() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("SET k 1");
    client.run("DEL k");
    client.run("SELECT 1");
    assert_eq!(missed(&mut client, "GET k"), NEVER);
    client.run("SELECT 0");
    assert_eq!(missed(&mut client, "GET k"), DELETED);
    client.run("SWAPDB 0 1");
    assert_eq!(missed(&mut client, "GET k"), NEVER, "what is known goes with the keys");
    client.run("SELECT 1");
    assert_eq!(missed(&mut client, "GET k"), DELETED);
}

#[test]
fn what_is_remembered_takes_the_memory_that_it_may() {
    let server = Server::dunlin(&["--miss-memory", "64kb"]);
    let mut client = server.client();
    for round in 0..20 {
        for i in 0..10_000 {
            client.send_command(&["SET", &format!("key:{round}:{i}"), "1", "PX", "1"]);
        }
        (0..10_000).for_each(|_| drop(client.recv()));
    }
    until("everything expires", || client.run("DBSIZE") == Value::Int(0));
    let bytes = info(&mut client, "used_memory_misses");
    assert!((8 * 1024..=64 * 1024).contains(&bytes), "{bytes}");
    let off = Server::dunlin(&["--miss-memory", "0"]);
    let mut client = off.client();
    client.run("SET k 1");
    client.run("DEL k");
    assert_eq!(missed(&mut client, "GET k"), NEVER, "nothing is known");
    assert_eq!(info(&mut client, "used_memory_misses"), 0);
}
