//! MIGRATE between two servers, and between Dunlin and the reference, each way.

use crate::support::{Client, Server, Value, eventually};
use std::net::TcpListener;
use std::time::Duration;

const ARGS: [&str; 2] = ["--enable-debug-command", "yes"];

/// Pairs of servers: ours and ours, ours and the reference, the reference and ours.
fn pairs() -> Vec<(Server, Server)> {
    let mut pairs = vec![(Server::dunlin(&ARGS), Server::dunlin(&ARGS))];
    if let (Some(one), Some(two)) = (Server::redis(&ARGS), Server::redis(&ARGS)) {
        pairs.push((Server::dunlin(&ARGS), one));
        pairs.push((two, Server::dunlin(&ARGS)));
    }
    pairs
}

/// `MIGRATE 127.0.0.1 <port of the server> ...`
fn migrate(from: &mut Client, to: &Server, rest: &str) -> Value {
    from.run(&format!("MIGRATE 127.0.0.1 {} {rest}", to.port()))
}

fn simple(text: &str) -> Value {
    Value::Simple(text.into())
}

#[test]
fn a_key_moves_with_its_value_and_its_time() {
    for (from, to) in pairs() {
        let (mut here, mut there) = (from.client(), to.client());
        there.run("SELECT 9");
        for line in [
            "SET string some",
            "RPUSH list a b c",
            "SADD set 1 2 x",
            "HSET hash f v g w",
            "ZADD zset 1 a 2.5 b",
            "XADD stream 1-1 f v",
        ] {
            here.run(line);
            let key = line.split(' ').nth(1).expect("a key");
            let digest = here.run(&format!("DEBUG DIGEST-VALUE {key}"));
            let moved = migrate(&mut here, &to, &format!("{key} 9 5000"));
            assert_eq!(moved, Value::ok(), "{line} {}", from.name);
            assert_eq!(here.run(&format!("EXISTS {key}")), Value::Int(0), "{line}");
            assert_eq!(there.run(&format!("DEBUG DIGEST-VALUE {key}")), digest, "{line}");
            assert_eq!(there.run(&format!("TTL {key}")), Value::Int(-1));
        }
        here.run("SET string x PX 100000");
        assert_eq!(migrate(&mut here, &to, "string 9 5000 COPY REPLACE"), Value::ok());
        assert_eq!(here.run("GET string"), Value::bulk("x"));
        assert_eq!(there.run("GET string"), Value::bulk("x"));
        let ttl = there.run("PTTL string").int();
        assert!((50_000..=100_000).contains(&ttl), "{ttl}");
        // Longer than one part, and than what the kernel takes at once.
        let value = "x".repeat(20_000_000);
        here.call(&["SET", "big", &value]);
        here.set_patience(Duration::from_secs(120));
        assert_eq!(migrate(&mut here, &to, "big 9 100000"), Value::ok());
        assert_eq!(there.run("STRLEN big"), Value::Int(20_000_000));
    }
}

/// What is asked of a source, and what is said, whoever is on either side.
#[test]
fn replies_are_those_of_the_reference() {
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for (from, to) in pairs() {
        let (mut here, mut there) = (from.client(), to.client());
        there.run("SET taken there");
        here.run("MSET taken here a 1 b 2 c 3");
        let lines = [
            "none 0 5000",
            "taken 0 5000",
            "taken 0 5000 COPY",
            "\"\" 0 5000 KEYS a none b",
            "\"\" 0 5000 KEYS",
            "\"\" 0 5000 KEYS none",
            "\"\" 0 5000 KEYS c taken",
            "taken 0 5000 REPLACE",
            "taken 0 5000 KEYS a b",
            "a 0 5000 NOSUCH",
            "a 0 5000 AUTH",
            "a 0 5000 AUTH2 x",
            "a x 5000",
            "a 0 x",
            "a 0",
            "l 16 5000",
            "l 0 5000 AUTH wrong",
            "l 0 5000 AUTH2 nobody wrong",
            "l 0 0",
            "",
        ];
        here.run("RPUSH l 1");
        let replies = lines.iter().map(|line| {
            let reply = migrate(&mut here, &to, line);
            let left = here.run("MGET taken a b c l");
            let arrived = there.run("MGET taken a b c l");
            format!("{line}: {reply:?} left {left:?} arrived {arrived:?}")
        });
        let mut replies: Vec<String> = replies.collect();
        // Nobody listens there.
        here.run("SET lost x");
        let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
        let line = format!("MIGRATE 127.0.0.1 {} lost 0 1000", gone.port());
        replies.push(format!("{:?}", here.run(&line)));
        said.push((format!("{} to {}", from.name, to.name), replies));
    }
    // Of the two that have the reference in different places the reference is right.
    for (who, replies) in &said {
        let theirs = &said.last().expect("one at least").1;
        let differ: Vec<_> = replies.iter().zip(theirs).filter(|(a, b)| a != b).collect();
        assert!(differ.is_empty(), "{who}: {differ:#?}");
    }
}

#[test]
fn one_that_has_to_log_in_does() {
    for (from, to) in pairs() {
        let (mut here, mut there) = (from.client(), to.client());
        there.run("ACL SETUSER mover on >two ~* &* +@all");
        there.run("CONFIG SET requirepass one");
        here.run("MSET a 1 b 2 c 3");
        let refused = migrate(&mut here, &to, "a 0 5000").error_text().expect("refused");
        assert!(refused.starts_with("ERR Target instance replied with error: NOAUTH"), "{refused}");
        let refused = migrate(&mut here, &to, "a 0 5000 AUTH bad").error_text().expect("refused");
        assert!(refused.contains("WRONGPASS invalid username-password pair"), "{refused}");
        assert_eq!(here.run("EXISTS a b c"), Value::Int(3));
        assert_eq!(migrate(&mut here, &to, "a 0 5000 AUTH one"), Value::ok());
        assert_eq!(migrate(&mut here, &to, "b 0 5000 AUTH2 mover two"), Value::ok());
        assert_eq!(here.run("EXISTS a b c"), Value::Int(1));
        // Passwords are not shown.
        here.run("CONFIG SET slowlog-log-slower-than 0");
        migrate(&mut here, &to, "none 0 5000 COPY AUTH hidden AUTH2 who hidden KEYS");
        migrate(&mut here, &to, "none 0 5000 COPY AUTH hidden");
        let log = format!("{:?}", here.run("SLOWLOG GET 10"));
        assert!(log.contains("migrate") || log.contains("MIGRATE"), "{log}");
        assert!(!log.contains("hidden"), "{log}");
    }
}

/// A server that takes connections and says nothing.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

#[test]
fn nobody_waits_for_the_other_server() {
    let server = Server::dunlin(&["--workers", "1"]);
    let (mut client, mut other) = (server.client(), server.client());
    let target = silent();
    let port = target.local_addr().expect("it listens").port();
    other.run("SET k 1");
    let id = client.run("CLIENT ID").int();
    client.send(format!("MIGRATE 127.0.0.1 {port} k 0 60000\r\nPING\r\n").as_bytes());
    let blocked = |other: &mut Client| {
        eventually(Duration::from_secs(20), || {
            other.run("INFO clients").text().contains("blocked_clients:1\r\n")
        })
    };
    assert!(blocked(&mut other));
    assert_eq!(other.run("INCR k"), Value::Int(2), "the same worker, the same key");
    assert_eq!(other.run(&format!("CLIENT UNBLOCK {id}")), Value::Int(1));
    let error = client.recv().error_text();
    assert_eq!(error.as_deref(), Some("IOERR error or timeout reading to target instance"));
    assert_eq!(client.recv(), simple("PONG"));

    client.send(format!("MIGRATE 127.0.0.1 {port} k 0 60000\r\n").as_bytes());
    assert!(blocked(&mut other));
    assert_eq!(other.run(&format!("CLIENT KILL ID {id}")), Value::Int(1));
    assert!(client.is_closed());
    assert_eq!(other.run("GET k"), Value::bulk("2"), "it has not gone");

    let late = other.run(&format!("MIGRATE 127.0.0.1 {port} k 0 50"));
    let late = late.error_text().expect("it does not answer");
    assert_eq!(late, "IOERR error or timeout reading to target instance");
    assert_eq!(other.run("GET k"), Value::bulk("2"));
    // Nor in a transaction or a script.
    other.run("MULTI");
    other.run(&format!("MIGRATE 127.0.0.1 {port} k 0 60000"));
    let replies = other.run("EXEC").items();
    assert!(replies[0].error_text().expect("refused").contains("transaction"), "{replies:?}");
    let script = format!("return redis.call('MIGRATE','127.0.0.1','{port}',KEYS[1],'0','60000')");
    let refused = other.call(&["EVAL", &script, "1", "k"]).error_text().expect("refused");
    assert!(refused.contains("MIGRATE is not allowed in a transaction or a script"), "{refused}");
    assert_eq!(other.run("GET k"), Value::bulk("2"));
}

#[test]
fn connections_are_kept_and_found_out_to_be_gone() {
    let from = Server::dunlin(&[]);
    let mut here = from.client();
    let kept = |here: &mut Client, n: usize| {
        here.run("INFO stats").text().contains(&format!("migrate_cached_sockets:{n}\r\n"))
    };
    {
        let to = Server::dunlin(&[]);
        let mut there = to.client();
        for db in [0, 3, 3, 0] {
            here.run("SET k v");
            assert_eq!(migrate(&mut here, &to, &format!("k {db} 5000")), Value::ok());
            assert!(kept(&mut here, 1));
            there.run(&format!("SELECT {db}"));
            assert_eq!(there.run("DEL k"), Value::Int(1), "in database {db}");
        }
        // The kept connection is closed by the other side; a new one is made.
        there.run("CLIENT KILL TYPE normal SKIPME yes");
        here.run("SET k v");
        assert_eq!(migrate(&mut here, &to, "k 0 5000"), Value::ok());
    }
    here.run("SET k v");
    let port = crate::support::process::free_port();
    let error = here.run(&format!("MIGRATE 127.0.0.1 {port} k 0 1000")).error_text();
    assert_eq!(error.as_deref(), Some("IOERR error or timeout writing to target instance"));
    let error = here.run("MIGRATE no.such.host.invalid 1 k 0 1000").error_text();
    assert_eq!(error.as_deref(), Some("IOERR error or timeout connecting to the client"));
    assert!(eventually(Duration::from_secs(60), || kept(&mut here, 0)), "idle ones are closed");
}

/// What others write while a key moves is on one side or on the other, and once.
#[test]
fn no_write_is_lost_while_a_key_moves() {
    let (from, to) = (Server::dunlin(&["--workers", "2"]), Server::dunlin(&[]));
    let (mut here, mut there) = (from.client(), to.client());
    let writer = {
        let mut writer = from.client();
        std::thread::spawn(move || {
            for _ in 0..20_000 {
                writer.run("INCR count");
            }
        })
    };
    let (mut arrived, mut moves, mut restless) = (0, 0, 0);
    while !writer.is_finished() {
        let reply = migrate(&mut here, &to, "count 0 20000");
        match reply.error_text() {
            None if reply == Value::ok() => {
                moves += 1;
                arrived += there.run("GETDEL count").text().parse::<i64>().expect("a number");
            }
            None => assert_eq!(reply, simple("NOKEY")),
            Some(text) => {
                assert!(text.contains("change all the time"), "{text}");
                restless += 1;
                // What was sent is not what counts: it is still here.
                there.run("DEL count");
            }
        }
    }
    writer.join().expect("it has written");
    let left = here.run("GET count");
    arrived += if left.is_null() { 0 } else { left.text().parse().expect("a number") };
    assert_eq!(arrived, 20_000, "{moves} moves, {restless} given up");
    assert!(moves > 0);
}
