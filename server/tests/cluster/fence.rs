//! Handing slots over: what the fence promises, under load of every kind.

use crate::support::client::Broken;
use crate::support::{Client, Server, Value, eventually};
use crate::{error, half, node};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The slot of `bar`, and so of all keys here.
const SLOT: u16 = 5_061;

/// What a client sends over and over, and for how many of the replies it waits each time.
type Round = &'static [&'static [&'static str]];

const ROUNDS: &[Round] = &[
    // Reads and writes without and with company.
    &[&["GET", "{bar}0"]],
    &[
        &["SET", "{bar}0", "v"],
        &["GET", "{bar}0"],
        &["INCR", "{bar}n"],
        &["MGET", "{bar}0", "{bar}1"],
    ],
    &[&["INCR", "{bar}n"], &["INCR", "{bar}n"], &["MSET", "{bar}1", "x", "{bar}2", "y"]],
    // A key that others may write to.
    &[&["RENAME", "{bar}1", "{bar}2"], &["SET", "{bar}1", "x"], &["INCR", "{bar}n"]],
    // Transactions, whole and in two pieces.
    &[&["MULTI"], &["INCR", "{bar}n"], &["LPUSH", "{bar}list", "x"], &["EXEC"]],
    &[&["WATCH", "{bar}2"], &["MULTI"], &["SET", "{bar}3", "x"], &["EXEC"]],
    // Scripts: cheap ones here, and those that have not run on the pool.
    &[&["EVAL", "return redis.call('incr', KEYS[1])", "1", "{bar}n"]],
    &[&["EVAL", "for i = 1, 2000 do redis.call('get', KEYS[1]) end return 1", "1", "{bar}0"]],
    // What the load sends to the pool, and what waits for a key.
    &[&["LRANGE", "{bar}big", "0", "-1"], &["SORT", "{bar}big"]],
    &[
        &["BLPOP", "{bar}list", "0.05"],
        &["LPUSH", "{bar}list", "y"],
        &["LTRIM", "{bar}list", "0", "99"],
    ],
    // Another slot, which goes on.
    &[&["INCR", "hello"]],
];

/// Sends a round until a reply says that the keys have gone. How many INCRs were answered.
fn client(server: &Server, round: Round) -> JoinHandle<u64> {
    let mut client = server.client();
    let pipeline: Vec<u8> = round.iter().flat_map(|words| crate::support::command(words)).collect();
    std::thread::spawn(move || {
        let mut incremented = 0;
        loop {
            client.send(&pipeline);
            let replies: Vec<Value> = round.iter().map(|_| client.recv()).collect();
            let mut gone = false;
            for (words, reply) in round.iter().zip(replies) {
                incremented += count(words, &reply);
                let Value::Error(text) = &reply else { continue };
                let text = String::from_utf8_lossy(text);
                let expected = text.starts_with("MOVED 5061 ") || text.starts_with("EXECABORT");
                gone |= expected;
                assert!(expected || text.starts_with("ERR no such key"), "{words:?}: {text}");
            }
            if gone {
                return incremented;
            }
        }
    })
}

/// How often a reply says that the counter was incremented.
fn count(words: &[&str], reply: &Value) -> u64 {
    let is_script = words[0] == "EVAL" && words[1].contains("incr");
    match reply {
        Value::Int(_) if is_script || words == ["INCR", "{bar}n"] => 1,
        Value::Array(replies) if words == ["EXEC"] && replies.len() == 2 => 1,
        _ => 0,
    }
}

/// How often each command has run, but those of the test itself.
fn calls(client: &mut Client) -> BTreeMap<String, String> {
    let text = client.run("INFO commandstats").text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
    // What touches no key may run: MULTI, an EXEC that its watches have failed, the end of a wait.
    let own = ["info", "debug", "ping", "client", "multi", "exec", "blpop"];
    lines
        .filter(|(name, _)| !own.contains(name) && *name != "incr")
        .filter_map(|(name, rest)| Some((name.into(), rest.split(',').next()?.into())))
        .collect()
}

fn digest(client: &mut Client) -> Value {
    client.run("DEBUG DIGEST-VALUE {bar}0 {bar}1 {bar}2 {bar}3 {bar}n {bar}list {bar}big")
}

#[test]
fn nothing_touches_a_fenced_slot_and_nothing_is_lost() {
    // Everything that is not constant goes to the pool, and nothing is turned away.
    let args = ["--workers", "3", "--dear-command-threshold", "1", "--overload-control", "no"];
    let server = node(&args);
    let mut control = server.client();
    let words: Vec<String> = (0..3_000).map(|i| i.to_string()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    control.call(&[&["RPUSH", "{bar}big"], words.as_slice()].concat());
    control.run("SET {bar}1 x");
    let rounds = ROUNDS.iter().take(ROUNDS.len() - 1);
    let clients: Vec<_> =
        rounds.flat_map(|round| [client(&server, round), client(&server, round)]).collect();
    let elsewhere = elsewhere(&server);
    for turn in 0..12 {
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(control.run("DEBUG SLOTS FENCE 5061 5061"), Value::ok());
        let (ran, value) = (calls(&mut control), digest(&mut control));
        let others = elsewhere.1.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(calls(&mut control), ran, "something has run in turn {turn}");
        assert_eq!(digest(&mut control), value, "something has changed in turn {turn}");
        let go_on = || elsewhere.1.load(Ordering::Relaxed) > others;
        assert!(eventually(Duration::from_secs(20), go_on), "other slots go on");
        assert_eq!(control.run("DEBUG SLOTS UNFENCE 5061 5061"), Value::ok());
        let mut more = || calls(&mut control) != ran;
        assert!(eventually(Duration::from_secs(20), &mut more), "it goes on after turn {turn}");
    }
    assert_eq!(control.run("DEBUG SLOTS FENCE 5061 5061"), Value::ok());
    let value = digest(&mut control);
    assert_eq!(control.run("DEBUG SLOTS GIVE 5061 5061 127.0.0.1 1"), Value::ok());
    let acknowledged: u64 =
        clients.into_iter().map(|client| client.join().expect("it was sent away")).sum();
    assert_eq!(digest(&mut control), value, "from the fence on");
    assert_eq!(control.run("DEBUG SLOTS TAKE 5061 5061"), Value::ok());
    let stored = control.run("GET {bar}n").text();
    assert_eq!(stored, acknowledged.to_string(), "each was answered or sent away");
    drop(elsewhere);
}

/// A client of another slot, and how far it has come. It ends with the server.
fn elsewhere(server: &Server) -> (JoinHandle<()>, Arc<AtomicU64>) {
    let (mut client, count) = (server.client(), Arc::new(AtomicU64::new(0)));
    let shown = count.clone();
    let task = std::thread::spawn(move || {
        while let Ok(Value::Int(_)) = client.try_recv_after(b"INCR hello\r\n") {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (task, shown)
}

#[test]
fn who_waits_for_a_fence_can_be_killed_and_its_end_is_heard_of() {
    let server = half();
    let mut control = server.client();
    assert_eq!(control.run("DEBUG SLOTS FENCE 0 8191"), Value::ok());
    let (mut waits, mut killed) = (server.client(), server.client());
    let id = killed.run("CLIENT ID");
    for client in [&mut waits, &mut killed] {
        client.set_patience(Duration::from_millis(200));
        assert_eq!(client.try_recv_after(b"SET bar 1\r\n"), Err(Broken::Timeout));
        client.set_patience(crate::support::client::PATIENCE);
    }
    let Value::Int(id) = id else { panic!("not a number: {id:?}") };
    assert_eq!(control.run(&format!("CLIENT KILL ID {id}")), Value::Int(1));
    assert!(killed.is_closed());
    // A transaction is queued; its EXEC waits, and is sent away.
    let mut queues = server.client();
    for line in ["MULTI", "SET bar 2"] {
        assert!(!queues.run(line).is_error(), "{line}");
    }
    queues.send_command(&["EXEC"]);
    assert_eq!(control.run("DEBUG SLOTS GIVE 5061 5061 127.0.0.1 1"), Value::ok());
    assert_eq!(error(queues.recv()), format!("MOVED {SLOT} 127.0.0.1:1"));
    assert_eq!(error(waits.recv()), format!("MOVED {SLOT} 127.0.0.1:1"));
    // Of the others the fence is still there, until it is lifted.
    waits.set_patience(Duration::from_millis(200));
    assert_eq!(waits.try_recv_after(b"SET hello 1\r\n"), Err(Broken::Timeout));
    waits.set_patience(crate::support::client::PATIENCE);
    assert_eq!(control.run("DEBUG SLOTS UNFENCE 0 8191"), Value::ok());
    assert_eq!(waits.recv(), Value::ok());
}

#[test]
fn a_flush_waits_for_slots_that_are_being_handed_over() {
    let server = half();
    let mut control = server.client();
    // A transaction is queued; its EXEC waits.
    let ways: [Round; 4] = [
        &[&["FLUSHALL"]],
        &[&["MULTI"], &["FLUSHDB"], &["EXEC"]],
        &[&["EVAL", "return redis.call('FLUSHALL')", "0"]],
        &[&["EVAL", "redis.call('GET', KEYS[1]) return redis.pcall('FLUSHDB')", "1", "hello"]],
    ];
    for way in ways {
        assert_eq!(control.run("SET bar 1"), Value::ok());
        assert_eq!(control.run("DEBUG SLOTS FENCE 5061 5061"), Value::ok());
        let (last, first) = way.split_last().expect("a command");
        let mut flushes = server.client();
        first.iter().for_each(|words| assert!(!flushes.call(words).is_error(), "{words:?}"));
        flushes.set_patience(Duration::from_millis(200));
        let answer = flushes.try_recv_after(&crate::support::command(last));
        assert_eq!(answer, Err(Broken::Timeout), "{way:?}");
        flushes.set_patience(crate::support::client::PATIENCE);
        assert_eq!(control.run("DBSIZE"), Value::Int(1), "{way:?}");
        assert_eq!(control.run("DEBUG SLOTS UNFENCE 5061 5061"), Value::ok());
        let answer = flushes.recv();
        assert!(!answer.is_error(), "{way:?}: {answer:?}");
        assert_eq!(control.run("DBSIZE"), Value::Int(0), "{way:?}");
    }
}

#[test]
fn a_script_that_has_written_does_not_wait_with_a_flush() {
    let server = half();
    let mut control = server.client();
    assert_eq!(control.run("SET bar 1"), Value::ok());
    assert_eq!(control.run("DEBUG SLOTS FENCE 5061 5061"), Value::ok());
    let script = "redis.call('SET', KEYS[1], '1') return redis.call('FLUSHALL')";
    let answer = control.call(&["EVAL", script, "1", "hello"]);
    assert!(error(answer).starts_with("TRYAGAIN "));
    control.run("MULTI");
    control.call(&["EVAL", "return redis.call('FLUSHALL')", "0"]);
    let answers = control.run("EXEC").items();
    assert!(error(answers[0].clone()).starts_with("TRYAGAIN "));
    assert_eq!(control.run("DBSIZE"), Value::Int(2));
    assert_eq!(control.run("DEBUG SLOTS UNFENCE 5061 5061"), Value::ok());
    assert_eq!(control.call(&["EVAL", script, "1", "hello"]), Value::ok());
    assert_eq!(control.run("DBSIZE"), Value::Int(0));
}

#[test]
fn a_process_that_was_stopped_answers_nothing_that_it_does_not_know() {
    let server = half();
    let mut control = server.client();
    assert_eq!(control.run("SET bar old"), Value::ok());
    for _ in 0..10 {
        assert_eq!(control.run("DEBUG SLOTS LEASE 300"), Value::ok());
        let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send(&b"GET bar\r\n".repeat(200));
        }
        server.stop();
        for client in &mut clients {
            client.send(b"GET bar\r\n");
        }
        std::thread::sleep(Duration::from_millis(400));
        server.signal("CONT");
        for client in &mut clients {
            let replies: Vec<_> = (0..201).map_while(|_| client.try_recv().ok()).collect();
            // It may be closed in the middle, but the last one came while the process was stopped.
            let answered = replies.len() == 201 && !replies[200].is_error();
            assert!(!answered, "what came after the end of the lease was answered");
        }
        // Reconnects, since it may have been closed.
        control = server.client();
    }
}

#[test]
fn many_keys_are_flushed_beside_the_connections() {
    let server = node(&[]);
    let mut client = server.client();
    assert_eq!(client.run("DEBUG POPULATE 50000"), Value::ok());
    assert_eq!(client.run("DEBUG SLOTS GIVE 8192 16383 127.0.0.1 1"), Value::ok());
    let Value::Int(own) = client.run("DBSIZE") else { panic!("not a number") };
    assert!((21_000..29_000).contains(&own), "about half of them: {own}");
    let mut other = server.client3();
    assert_eq!(other.run("CLIENT TRACKING ON BCAST"), Value::ok());
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Int(0));
    let told = Value::Push(vec![Value::bulk("invalidate"), Value::Null]);
    assert_eq!(other.recv(), told);
    assert_eq!(client.run("DEBUG SLOTS TAKE 0 16383"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Int(50_000 - own));
    // Nothing is hidden any more: whole tables go.
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Int(0));
}

#[test]
fn copies_of_other_nodes_keys_are_not_shown() {
    let server = node(&[]);
    let mut client = server.client();
    for key in ["foo", "bar", "hello"] {
        assert_eq!(client.call(&["SET", key, "v", "PX", "100000"]), Value::ok());
    }
    assert_eq!(client.run("DEBUG SLOTS GIVE 12182 12182 127.0.0.1 1"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Int(2));
    let Value::Array(mut keys) = client.run("KEYS *") else { panic!("not an array") };
    keys.sort();
    assert_eq!(keys, [Value::bulk("bar"), Value::bulk("hello")]);
    let Value::Array(scan) = client.run("SCAN 0 COUNT 1000") else { panic!("not an array") };
    assert!(matches!(&scan[1], Value::Array(keys) if keys.len() == 2), "{scan:?}");
    for _ in 0..20 {
        assert_ne!(client.run("RANDOMKEY"), Value::bulk("foo"));
    }
    let info = client.run("INFO keyspace").text();
    assert!(info.contains("db0:keys=2,expires=2,"), "{info}");
    // A snapshot has what is the node's own.
    assert_eq!(client.run("SAVE"), Value::ok());
    let restored = Server::dunlin(&["--dir", &server.dir().display().to_string()]);
    let restored_has = |line: &str| restored.client().run(line);
    assert!(eventually(Duration::from_secs(20), || restored_has("DBSIZE") == Value::Int(2)));
    assert_eq!(restored_has("GET foo"), Value::NullBulk);
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Int(0));
    assert_eq!(client.run("RANDOMKEY"), Value::NullBulk);
    assert_eq!(client.run("DEBUG SLOTS TAKE 12182 12182"), Value::ok());
    assert_eq!(client.run("GET foo"), Value::bulk("v"), "the copy is still there");
    assert_eq!(client.run("DBSIZE"), Value::Int(1));
}
