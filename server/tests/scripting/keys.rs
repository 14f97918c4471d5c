//! Scripts on a server whose other shards go on: they happen at one instant whatever keys they use,
//! named or not, and nothing is lost.

use crate::support::{Client, Rng, Server, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const ACCOUNTS: usize = 24;
const EACH: i64 = 1000;
const TOTAL: i64 = ACCOUNTS as i64 * EACH;
const RUNS: usize = 300;

/// Moves money between accounts that are named.
const NAMED: &str = "redis.call('decrby', KEYS[1], ARGV[1]) redis.call('incrby', KEYS[2], ARGV[1])";
/// The same between accounts that are not.
const PASSED: &str =
    "redis.call('decrby', ARGV[2], ARGV[1]) redis.call('incrby', ARGV[3], ARGV[1])";
/// Keeps to its key unless there is an argument.
const SOMETIMES: &str = "local to = ARGV[2] or KEYS[1]
    local had = redis.call('get', to)
    redis.call('set', to, had + ARGV[1]) redis.call('decrby', KEYS[1], ARGV[1])";
const SUM: &str = "local sum = 0
    for i = 0, ARGV[1] - 1 do sum = sum + redis.call('get', 'account:' .. i) end return sum";
const SUM_NAMED: &str = "local sum = 0
    for _, value in ipairs(redis.call('mget', unpack(KEYS))) do sum = sum + value end return sum";

fn account(i: usize) -> String {
    format!("account:{i}")
}

fn accounts() -> Vec<String> {
    (0..ACCOUNTS).map(account).collect()
}

fn eval<K: AsRef<str>, A: AsRef<str>>(
    client: &mut Client,
    script: &str,
    keys: &[K],
    args: &[A],
) -> Value {
    let count = keys.len().to_string();
    let mut line = vec!["EVAL", script, &count];
    line.extend(keys.iter().map(AsRef::as_ref));
    line.extend(args.iter().map(AsRef::as_ref));
    client.call(&line)
}

const NONE: &[&str] = &[];

fn transfer(client: &mut Client, rng: &mut Rng) {
    let (from, to) = (account(rng.below(ACCOUNTS)), account(rng.below(ACCOUNTS)));
    let amount = rng.between(1, 50).to_string();
    // So that what is known of the script is forgotten now and then.
    let sometimes = format!("{SOMETIMES} -- {}", rng.below(40));
    let reply = match rng.below(4) {
        0 => eval(client, NAMED, &[from, to], &[amount]),
        1 => eval(client, PASSED, NONE, &[amount, from, to]),
        2 => eval(client, &sometimes, &[from], &[amount, to]),
        _ => eval(client, &sometimes, &[from], &[amount]),
    };
    assert!(reply.is_null(), "{reply:?}");
}

fn sum_by_mget(client: &mut Client) -> i64 {
    let line = [vec!["MGET".to_owned()], accounts()].concat();
    let values = client.call(&line).items();
    values.iter().map(|value| value.text().parse::<i64>().expect("a number")).sum()
}

/// Looks until it is told that it is enough; how often.
fn look(client: &mut Client, done: &AtomicBool) -> usize {
    let mut looks = 0;
    while !done.load(Ordering::Relaxed) {
        let sum = match looks % 3 {
            0 => eval(client, SUM, NONE, &[ACCOUNTS.to_string()]).int(),
            1 => eval(client, SUM_NAMED, &accounts(), NONE).int(),
            _ => sum_by_mget(client),
        };
        assert_eq!(sum, TOTAL, "look {looks}");
        looks += 1;
    }
    looks
}

#[test]
fn every_script_is_one_instant() {
    let server = Server::dunlin(&["--workers", "4"]);
    let mut client = server.client();
    for name in accounts() {
        assert_eq!(client.call(&["SET", &name, &EACH.to_string()]), Value::ok());
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| look(&mut server.client(), &done)));
        let writers = [1, 2, 3, 4].map(|seed| {
            let (mut client, mut rng) = (server.client(), Rng::new(seed));
            scope.spawn(move || (0..RUNS).for_each(|_| transfer(&mut client, &mut rng)))
        });
        let ended = writers.map(thread::ScopedJoinHandle::join);
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
        assert!(readers.map(|reader| reader.join().expect("it ends")).iter().all(|n| *n > 0));
    });
    assert_eq!(sum_by_mget(&mut client), TOTAL);
}

/// Has four clients at once do something often.
fn from_four_clients(server: &Server, run: impl Fn(u64, &mut Client, &mut Rng) + Sync) {
    thread::scope(|scope| {
        for number in [1, 2, 3, 4] {
            let (mut client, mut rng, run) = (server.client(), Rng::new(number), &run);
            scope.spawn(move || (0..RUNS).for_each(|_| run(number, &mut client, &mut rng)));
        }
    });
}

fn sum_of_eight(server: &Server, name: &str) -> i64 {
    let mut client = server.client();
    (0..8).map(|i| client.run(&format!("GET {name}:{i}")).text().parse::<i64>().unwrap()).sum()
}

/// Writes first and wants another key then, which others are at: it gets it, or says so.
#[test]
fn a_script_that_goes_too_far_too_late_does_so_or_says_so() {
    const LATE: &str = "redis.call('incr', KEYS[1])
        for i = 1, #ARGV do redis.call('incr', ARGV[i]) end return 'far'";
    let server = Server::dunlin(&["--workers", "4"]);
    from_four_clients(&server, |_, client, rng| {
        let script = format!("{LATE} -- {}", rng.below(100));
        let near = format!("near:{}", rng.below(8));
        // Now it is known, or believed, to keep to its key.
        assert_eq!(eval(client, &script, &[&near], NONE), Value::bulk("far"));
        let reply = eval(client, &script, &[&near], &["far:1", "far:2", "far:3"]);
        let late = reply.error_text().is_some_and(|text| text.contains("declare the keys"));
        assert!(late || reply == Value::bulk("far"), "{reply:?}");
    });
    assert_eq!(sum_of_eight(&server, "near"), 4 * 2 * RUNS as i64, "what was written stays");
}

/// A queue: as long as it is empty, its script keeps to its keys. With a job it writes, and makes the
/// name of a key that others are at.
#[test]
fn a_script_that_makes_names_is_never_too_late() {
    const TAKE: &str = "local job = redis.call('rpop', KEYS[1])
        if job then redis.call('incr', 'done:' .. job) end return job";
    let server = Server::dunlin(&["--workers", "4"]);
    from_four_clients(&server, |number, client, rng| {
        let script = format!("{TAKE} -- {}", rng.below(100));
        let queue = format!("queue:{number}");
        assert_eq!(eval(client, &script, &[&queue], NONE), Value::NullBulk);
        let job = rng.below(8).to_string();
        client.run(&format!("LPUSH {queue} {job}"));
        assert_eq!(eval(client, &script, &[&queue], NONE), Value::bulk(&job));
    });
    assert_eq!(sum_of_eight(&server, "done"), 4 * RUNS as i64);
}

/// The names of keys that one script uses and another one does not.
#[test]
fn a_script_finds_whatever_it_looks_for() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut client = server.client();
    let large: Vec<String> = (0..2000).map(|i| format!("member{i:05}")).collect();
    for (command, key) in [("RPUSH", "list"), ("SADD", "set"), ("PFADD", "hll")] {
        let line = [vec![command.to_owned(), key.to_owned()], large.clone()].concat();
        assert!(!client.call(&line).is_error());
    }
    let script = "return redis.call(unpack(ARGV))";
    for round in 0..3 {
        let same = format!("{script} -- {round}");
        for (line, says) in [
            (&["ECHO", "x"] as &[&str], Value::bulk("x")),
            (&["LINDEX", "list", "-1"], Value::bulk("member01999")),
            (&["SISMEMBER", "set", "member01000"], Value::Int(1)),
            (&["EXISTS", "list", "set", "hll", "nokey"], Value::Int(3)),
            (&["RENAME", "list", "list2"], Value::ok()),
            (&["LLEN", "list2"], Value::Int(2000)),
            (&["RENAME", "list2", "list"], Value::ok()),
            (&["DBSIZE"], Value::Int(3)),
        ] {
            let (reply, other) =
                (eval(&mut client, &same, NONE, line), format!("{same} {}", line[0]));
            assert_eq!(reply, says, "{line:?}");
            assert_eq!(eval(&mut client, &other, NONE, &["ECHO", "y"]), Value::bulk("y"));
            let again = match line[0] {
                "RENAME" => continue,
                _ => eval(&mut client, &other, NONE, line),
            };
            assert_eq!(again, says, "{line:?} of a script that has kept to its keys");
        }
        assert!(eval(&mut client, &same, NONE, &["PFCOUNT", "hll"]).int() > 1900);
        let keys = eval(&mut client, &same, NONE, &["KEYS", "*"]).items();
        assert_eq!(keys.len(), 3);
        let sorted = eval(&mut client, &same, NONE, &["SORT", "set", "ALPHA", "LIMIT", "0", "2"]);
        assert_eq!(sorted.items(), [Value::bulk("member00000"), Value::bulk("member00001")]);
    }
    assert_eq!(eval(&mut client, script, NONE, &["FLUSHALL"]), Value::ok());
    assert_eq!(client.run("DBSIZE"), Value::Int(0));
}

#[test]
fn scripts_run_in_transactions() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut client = server.client();
    let queued = Value::Simple(b"QUEUED".to_vec());
    for _ in 0..3 {
        client.run("FLUSHALL");
        assert_eq!(client.run("MULTI"), Value::ok());
        for (script, keys, args) in [
            ("return redis.call('set', KEYS[1], ARGV[1])", &["a"] as &[&str], &["1"] as &[&str]),
            ("return redis.call('incr', ARGV[1])", &[], &["a"]),
            ("return redis.call('incr', ARGV[1])", &[], &["b"]),
            ("return redis.call('get', ARGV[1])", &[], &["b"]),
            ("return redis.call('nosuch')", &[], &[]),
            ("return redis.call('multi')", &[], &[]),
        ] {
            assert_eq!(eval(&mut client, script, keys, args), queued);
        }
        let replies = client.run("EXEC").items();
        assert_eq!(replies[..4], [Value::ok(), Value::Int(2), Value::Int(1), Value::bulk("1")]);
        assert!(replies[4..].iter().all(Value::is_error));
    }
    // A script that is believed to keep to its keys when it is queued, and does not.
    for n in 0..20 {
        let script = format!("return redis.call('incr', ARGV[1] or KEYS[1]) -- {n}");
        eval(&mut client, &script, &["k"], NONE);
        client.run("MULTI");
        assert_eq!(eval(&mut client, &script, &["k"], &[format!("far{n}")]), queued);
        assert_eq!(client.run("EXEC").items(), [Value::Int(1)]);
    }
    // One that is not known yet when it is queued.
    client.run("MULTI");
    client.run("SCRIPT FLUSH");
    client.call(&["SCRIPT", "LOAD", "return redis.call('incr', 'nobody said so')"]);
    client.call(&["EVALSHA", "c49c5a0a3fd7ba0bb1d9d8bb5d6e5b0a1e5e6d3f", "0"]);
    let replies = client.run("EXEC").items();
    let name = replies[1].text();
    assert!(replies[2].error_text().is_some_and(|text| text.starts_with("NOSCRIPT")));
    client.run("MULTI");
    client.run("SCRIPT FLUSH");
    client.call(&["SCRIPT", "LOAD", "return redis.call('incr', 'nobody said so')"]);
    client.call(&["EVALSHA", &name, "0"]);
    assert_eq!(client.run("EXEC").items()[2], Value::Int(1));
}

/// Arguments of all sizes, so that one ends wherever the buffer of the inner command does.
#[test]
fn arguments_of_inner_commands_may_be_of_any_size() {
    let server = Server::dunlin(&[]);
    let (mut client, mut rng) = (server.client(), Rng::new(1));
    for round in 0..300 {
        let sizes = [rng.below(12), rng.below(5_000), rng.below(70_000), rng.below(500)];
        let mut args = Vec::new();
        for (i, size) in sizes.into_iter().enumerate() {
            args.extend([format!("key{i}"), "x".repeat(size)]);
        }
        let reply = eval(&mut client, "return redis.call('mset', unpack(ARGV))", NONE, &args);
        assert_eq!(reply, Value::ok(), "round {round}: {sizes:?}");
        for (i, size) in sizes.into_iter().enumerate() {
            assert_eq!(client.run(&format!("STRLEN key{i}")), Value::Int(size as i64));
        }
    }
}

#[test]
fn time_stands_still_in_a_script_and_in_a_transaction() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let micros = |reply: &Value| {
        let number = |at: usize| reply.items()[at].text().parse::<i64>().expect("a number");
        number(0) * 1_000_000 + number(1)
    };
    let script = "local first = redis.call('time') for i = 1, 100000 do end
        return {first, redis.call('time')}";
    let mut last = micros(&client.run("TIME"));
    for _ in 0..3 {
        let script = client.call(&["EVAL", script, "0"]).items();
        assert_eq!(script[0], script[1]);
        client.run("MULTI");
        client.run("TIME");
        client.call(&["EVAL", "for i = 1, 100000 do end return redis.call('time')", "0"]);
        client.run("TIME");
        let transaction = client.run("EXEC").items();
        assert_eq!([&transaction[0], &transaction[2]], [&transaction[1]; 2]);
        for reply in [&script[0], &transaction[0], &client.run("TIME")] {
            let now = micros(reply);
            assert!(last < now, "{last} {now}");
            last = now;
        }
    }
}
