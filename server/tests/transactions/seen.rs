//! What others see of a transaction: CLIENT LIST, MONITOR, the slow log, statistics, events.

use crate::support::{Client, Server, Value, eventually};
use crate::{pong, queue, transaction};
use std::time::Duration;

fn field(line: &str, name: &str) -> String {
    let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
}

fn fields(client: &mut Client, id: i64, names: &[&str]) -> Vec<String> {
    let line = client.run(&format!("CLIENT LIST ID {id}")).text();
    names.iter().map(|name| field(line.trim_end(), name)).collect()
}

#[test]
fn client_list_shows_transactions_and_watches() {
    let server = Server::dunlin(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    let id = client.run("CLIENT ID").int();
    let names = ["flags", "multi", "watch", "cmd"];
    assert_eq!(fields(&mut other, id, &names), ["N", "-1", "0", "client|id"]);
    assert_eq!(client.run("WATCH a b a"), Value::ok());
    assert_eq!(fields(&mut other, id, &names), ["N", "-1", "2", "watch"]);
    queue(&mut client, &["PING", "SET a 1"]);
    assert_eq!(fields(&mut other, id, &names), ["x", "2", "2", "set"]);
    let kept = |other: &mut Client| fields(other, id, &["multi-mem", "tot-mem"]);
    let small: Vec<u64> = kept(&mut other).iter().map(|n| n.parse().expect("a number")).collect();
    assert!(small[0] > 0 && small[1] > small[0], "{small:?}");
    let value = "x".repeat(10_000);
    assert!(!client.call(&["SET", "b", &value]).is_error());
    let big: Vec<u64> = kept(&mut other).iter().map(|n| n.parse().expect("a number")).collect();
    assert!(big[0] > small[0] + 9_000 && big[1] > small[1] + 9_000, "{small:?} {big:?}");
    assert_eq!(other.run("SET a 2"), Value::ok());
    assert_eq!(fields(&mut other, id, &["flags"]), ["xd"]);
    assert!(client.run("EXEC").is_null());
    let names = ["flags", "multi", "watch", "multi-mem"];
    assert_eq!(fields(&mut other, id, &names), ["N", "-1", "0", "0"]);
    // From inside.
    let replies = transaction(&mut client, &["PING", "CLIENT INFO"]).items();
    let line = replies[1].text();
    assert_eq!([field(&line, "flags"), field(&line, "multi")], ["x", "2"]);
    assert_eq!(field(&line, "cmd"), "exec");
}

#[test]
fn info_counts_watches() {
    let server = Server::dunlin(&[]);
    let (mut one, mut two) = (server.client(), server.client());
    let count = |client: &mut Client| {
        let text = client.run("INFO clients").text();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let wanted = ["watching_clients", "total_watched_keys"];
        lines.filter(|(name, _)| wanted.contains(name)).map(|(_, n)| n.to_owned()).collect()
    };
    let none: Vec<String> = count(&mut one);
    assert_eq!(none, ["0", "0"]);
    assert_eq!(one.run("WATCH a b c"), Value::ok());
    assert_eq!(two.run("WATCH a"), Value::ok());
    let some: Vec<String> = count(&mut one);
    assert_eq!(some, ["2", "4"]);
    assert_eq!(one.run("UNWATCH"), Value::ok());
    drop(two);
    assert!(eventually(Duration::from_secs(5), || {
        let now: Vec<String> = count(&mut one);
        now == ["0", "0"]
    }));
}

#[test]
fn monitors_see_the_commands_before_exec() {
    let server = Server::dunlin(&[]);
    let (mut monitor, mut client) = (server.client(), server.client());
    assert_eq!(monitor.run("MONITOR"), Value::ok());
    transaction(&mut client, &["SET a 1", "SELECT 2", "GET a"]);
    client.run("MULTI");
    client.run("EXEC a");
    client.run("MULTI");
    client.run("NOSUCH");
    client.run("EXEC");
    let lines = [
        "[0 \"MULTI\"",
        "[0 \"SET\" \"a\" \"1\"",
        "[2 \"SELECT\" \"2\"",
        "[2 \"GET\" \"a\"",
        "[2 \"EXEC\"",
        "[2 \"MULTI\"",
        "[2 \"EXEC\" \"a\"",
        "[2 \"MULTI\"",
        "[2 \"EXEC\"",
    ];
    for expected in lines {
        let line = monitor.recv().text();
        let (_time, line) = line.split_once(' ').expect("a time");
        let (db, line) = line.split_once(' ').expect("a database");
        let (_address, line) = line.split_once(' ').expect("an address");
        assert_eq!(format!("{db} {line}"), expected);
    }
}

#[test]
fn the_slow_log_has_the_commands_and_not_exec() {
    let server = Server::dunlin(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.client();
    assert_eq!(client.run("SLOWLOG RESET"), Value::ok());
    transaction(&mut client, &["SET a 1", "GET a"]);
    let log = client.run("SLOWLOG GET 10").items();
    let names: Vec<String> = log.iter().map(|e| e.items()[3].items()[0].text()).collect();
    assert_eq!(names, ["GET", "SET", "MULTI", "SLOWLOG"]);
}

#[test]
fn statistics_count_each_command_once() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("CONFIG RESETSTAT"), Value::ok());
    transaction(&mut client, &["SET a 1", "INCR a", "LPUSH a x", "PING"]);
    client.run("MULTI");
    client.run("SET a");
    client.run("EXEC");
    client.run("EXEC x");
    let text = client.run("INFO commandstats").text() + &client.run("INFO errorstats").text();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        let value = |field: &str| {
            let at = line.find(field).expect("a field") + field.len() + 1;
            line[at..].split(',').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
        };
        ["calls", "rejected_calls", "failed_calls"].map(value)
    };
    assert_eq!(of("set"), [1, 1, 0]);
    assert_eq!(of("incr"), [1, 0, 0]);
    assert_eq!(of("lpush"), [1, 0, 1]);
    assert_eq!(of("ping"), [1, 0, 0]);
    assert_eq!(of("multi"), [2, 0, 0]);
    assert_eq!(of("exec"), [2, 1, 1]);
    assert!(text.contains("errorstat_EXECABORT:count=2"), "{text}");
    assert!(text.contains("errorstat_WRONGTYPE:count=1"), "{text}");
}

#[test]
fn events_of_a_transaction_come_in_order() {
    let server = Server::dunlin(&["--notify-keyspace-events", "EA"]);
    let (mut reader, mut client) = (server.client(), server.client());
    assert_eq!(reader.run("PSUBSCRIBE __keyevent@*").items().len(), 3);
    let lines = ["SET a 1", "INCR a", "RPUSH l x", "LPOP l", "SELECT 1", "SET b 1"];
    transaction(&mut client, &lines);
    let events = ["0:set a", "0:incrby a", "0:rpush l", "0:lpop l", "0:del l", "1:set b"];
    for expected in events {
        let message = reader.recv().items();
        let channel = message[2].text().replace("__keyevent@", "").replace("__", "");
        assert_eq!(format!("{channel} {}", message[3].text()), expected);
    }
    assert_eq!(client.run("PING"), pong());
}
