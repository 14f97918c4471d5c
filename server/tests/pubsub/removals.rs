//! Keyspace notifications of what the store removes by itself, in the background or because a
//! command comes upon it.

use crate::events::Listener;
use crate::support::process::against_reference;
use crate::support::{Server, Value, eventually};
use std::time::Duration;

const ALL: (&str, &str) = ("EAn", "PSUBSCRIBE __key*__:*");

/// Dunlin, and the reference if it is there.
fn both(dunlin: &[&str], reference: &[&str]) -> Vec<Server> {
    let reference = || Server::redis(reference);
    match against_reference() {
        true => reference().into_iter().collect(),
        false => std::iter::once(Server::dunlin(dunlin)).chain(reference()).collect(),
    }
}

#[test]
fn expired_keys_are_told_of_without_any_command() {
    for server in both(&[], &[]) {
        let mut listener = Listener::start(&server, ALL.0, ALL.1);
        assert_eq!(listener.events("SET a 1 PX 20"), "new=a set=a expire=a");
        assert_eq!(listener.next(1), "expired=a");
        listener.commands.run("SELECT 3");
        assert_eq!(listener.events("RPUSH list 1 2"), "3:new=list 3:rpush=list");
        assert_eq!(listener.events("PEXPIRE list 20"), "3:expire=list");
        assert_eq!(listener.next(1), "3:expired=list");
        // After a swap the key is in the other database.
        listener.commands.run("SELECT 0");
        assert_eq!(listener.events("SET s 1 PX 50"), "new=s set=s expire=s");
        assert_eq!(listener.events("SWAPDB 0 2"), "");
        assert_eq!(listener.next(1), "2:expired=s");
        assert_eq!(listener.events("PING"), "");
    }
}

/// Commands that come upon keys `a` and `b` whose time is over.
#[rustfmt::skip]
const LATE: &[(&str, &str)] = &[
    ("SET a 2", "expired=a new=a set=a"),
    ("DEL a b", "expired=a expired=b"),
    ("UNLINK a", "expired=a"),
    ("INCR a", "expired=a new=a incrby=a"),
    ("LPUSH a x", "expired=a new=a lpush=a"),
    ("HSET a f v", "expired=a new=a hset=a"),
    ("SADD a m", "expired=a new=a sadd=a"),
    ("RENAME live a", "expired=a new=a rename_from=live rename_to=a"),
    ("COPY live a", "expired=a new=a copy_to=a"),
    ("MSET a 1 b 2", "expired=a new=a set=a expired=b new=b set=b"),
    // They store nothing.
    ("PERSIST a", "expired=a"),
    ("EXPIRE a 100", "expired=a"),
    ("SET a 2 XX", "expired=a"),
    ("GETEX a PERSIST", "expired=a"),
    ("GETDEL a", "expired=a"),
    ("LPOP a", "expired=a"),
    ("SPOP a", "expired=a"),
    ("HDEL a f", "expired=a"),
    ("ZREM a m", "expired=a"),
    ("LTRIM a 0 1", "expired=a"),
    ("XDEL a 1-1", "expired=a"),
    ("EVAL return{redis.call('persist','a')} 1 a", "expired=a"),
];

#[test]
fn a_write_to_an_expired_key_tells_of_its_end_first() {
    let args = ["--enable-debug-command", "yes"];
    for server in both(&args, &args) {
        let mut listener = Listener::start(&server, ALL.0, ALL.1);
        assert_eq!(listener.commands.run("DEBUG SET-ACTIVE-EXPIRE 0"), Value::ok());
        for (line, wanted) in LATE {
            listener.commands.run("FLUSHALL");
            listener.events("SET live 1");
            listener.events("SET a 1 PX 1");
            listener.events("SET b 1 PX 1");
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(listener.events(line), *wanted, "{} {line}", server.name);
            // Once.
            listener.events("DEL a b live");
            assert_eq!(listener.events("DEL a b live"), "", "{} {line}", server.name);
        }
        listener.events("SET a 1 PX 1");
        std::thread::sleep(Duration::from_millis(5));
        listener.commands.run("MULTI");
        listener.commands.run("PERSIST a");
        assert_eq!(listener.events("EXEC"), "expired=a", "{}", server.name);
        assert_eq!(listener.commands.run("DBSIZE"), Value::Int(0));
    }
}

/// Reads that come upon them. `keymiss` is asked for, too.
#[rustfmt::skip]
const LATE_READS: &[(&str, &str)] = &[
    ("GET a", "expired=a keymiss=a"),
    ("MGET live a b", "expired=a keymiss=a expired=b keymiss=b"),
    ("EXISTS a b", "expired=a keymiss=a expired=b keymiss=b"),
    ("TTL a", "expired=a keymiss=a"),
    ("TYPE a", "expired=a keymiss=a"),
    ("HGETALL a", "expired=a keymiss=a"),
    ("LRANGE a 0 -1", "expired=a keymiss=a"),
    ("SUNION a b", "expired=a keymiss=a expired=b keymiss=b"),
    ("SCAN 0 COUNT 100", "expired=a expired=b"),
    ("SCAN 0 COUNT 100 MATCH b", "expired=b"),
    ("SCAN 0 COUNT 100 TYPE set", ""),
    ("SCAN 0 COUNT 100 TYPE string", "expired=a expired=b"),
    ("EVAL return{redis.call('get','a'),redis.call('exists','b')} 2 a b",
        "expired=a keymiss=a expired=b keymiss=b"),
];

#[test]
fn a_read_of_an_expired_key_removes_it() {
    let args = ["--enable-debug-command", "yes"];
    for server in both(&args, &args) {
        let mut listener = Listener::start(&server, "EAm", ALL.1);
        assert_eq!(listener.commands.run("DEBUG SET-ACTIVE-EXPIRE 0"), Value::ok());
        for (line, wanted) in LATE_READS {
            if line.contains("TYPE s") && server.name == "redis-server" {
                // 7.0 looks keys up to know their types; newer ones do as Dunlin does.
                continue;
            }
            listener.commands.run("FLUSHALL");
            listener.events("SET live 1");
            listener.events("SET a 1 PX 1");
            listener.events("SET b 1 PX 1");
            std::thread::sleep(Duration::from_millis(5));
            let mut told: Vec<_> =
                listener.events(line).split_whitespace().map(str::to_owned).collect();
            let mut wanted: Vec<_> = wanted.split_whitespace().map(str::to_owned).collect();
            // SCAN has its own order, and misses are told of when it is certain that they stand.
            told.sort();
            wanted.sort();
            assert_eq!(told, wanted, "{} {line}", server.name);
            let gone = i64::try_from(told.iter().filter(|e| e.starts_with("expired")).count());
            assert_eq!(listener.commands.run("DBSIZE").int() + gone.expect("few"), 3, "{line}");
        }
    }
}

#[test]
fn evicted_keys_are_told_of() {
    for server in both(&[], &[]) {
        let mut listener = Listener::start(&server, ALL.0, ALL.1);
        listener.events("SET a 1");
        listener.events("SET b 1");
        listener.commands.run("CONFIG SET maxmemory-policy allkeys-lru");
        listener.commands.run("CONFIG SET maxmemory 1");
        assert_eq!(listener.next(2), "evicted=a evicted=b", "{}", server.name);
    }
}

#[test]
fn an_insertion_that_makes_room_tells_of_what_had_to_go() {
    let server = Server::dunlin(&["--maxmemory", "3mb"]);
    let mut listener = Listener::start(&server, "Ee", "PSUBSCRIBE __key*__:*");
    let value = "v".repeat(10_000);
    let mut gone = std::collections::HashSet::new();
    for i in 0..400 {
        for event in listener.events(&format!("SET key:{i} {value}")).split_terminator(' ') {
            let key = event.strip_prefix("evicted=").expect("only this class");
            assert!(gone.insert(key.to_owned()), "twice: {key}");
        }
    }
    assert!(!gone.is_empty());
    let mut client = server.client();
    for i in 0..400 {
        let key = format!("key:{i}");
        let there = client.run(&format!("EXISTS {key}")).int() == 1;
        assert!(!there || !gone.contains(&key), "{key} is there");
        // The background may have gone on for a moment.
        while !there && !gone.contains(&key) {
            let event = listener.next(1);
            gone.insert(event.replace("evicted=", ""));
        }
    }
}

#[test]
fn fields_that_expire_are_told_of_with_their_hash() {
    if against_reference() {
        return;
    }
    let server = Server::dunlin(&[]);
    let mut listener = Listener::start(&server, ALL.0, ALL.1);
    for fields in [3, 1000] {
        let pairs: String = (0..fields).map(|i| format!(" f{i} v")).collect();
        assert_eq!(listener.events(&format!("HSET h{pairs}")), "new=h hset=h");
        listener.events("HPEXPIRE h 20 FIELDS 2 f0 f1");
        assert_eq!(listener.next(1), "hexpired=h");
        assert_eq!(listener.commands.run("HLEN h").int(), fields - 2);
        let names: String = (2..fields).map(|i| format!(" f{i}")).collect();
        listener.events(&format!("HPEXPIRE h 20 FIELDS {}{names}", fields - 2));
        // A thousand go in slices, each told of; the end is the same.
        let mut told = Vec::new();
        let gone = eventually(Duration::from_secs(5), || {
            told.push(listener.next(1));
            told.last().is_some_and(|last| last == "del=h")
        });
        assert!(gone, "{told:?}");
        told.pop();
        assert!(!told.is_empty() && told.iter().all(|event| event == "hexpired=h"), "{told:?}");
        assert_eq!(listener.events("EXISTS h"), "");
    }
}

#[test]
fn only_if_their_class_is_asked_for() {
    for server in both(&[], &[]) {
        let mut listener = Listener::start(&server, "E$", ALL.1);
        assert_eq!(listener.events("SET a 1 PX 5"), "set=a");
        let mut other = server.client();
        assert!(eventually(Duration::from_secs(5), || other.run("DBSIZE") == Value::Int(0)));
        assert_eq!(listener.events("PING"), "");
        other.run("CONFIG SET notify-keyspace-events Ex");
        assert_eq!(listener.events("SET a 1 PX 5"), "");
        assert_eq!(listener.next(1), "expired=a");
    }
}
