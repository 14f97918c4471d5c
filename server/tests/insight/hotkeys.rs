//! HOTKEYS: the life of a session, its errors, and what it measures.

use crate::support::{Client, Server, Value};
use std::collections::BTreeMap;
use std::time::Duration;

type Map = BTreeMap<String, Value>;

#[track_caller]
fn get(client: &mut Client) -> Map {
    let reply = client.run("HOTKEYS GET").items();
    assert_eq!(reply.len(), 1, "one map per node");
    let items = reply[0].items();
    items.chunks(2).map(|pair| (pair[0].text(), pair[1].clone())).collect()
}

/// Keys and figures of a ranking.
fn ranking(map: &Map, name: &str) -> Vec<(String, i64)> {
    let items = map[name].items();
    items.chunks(2).map(|pair| (pair[0].text(), pair[1].int())).collect()
}

#[test]
fn a_session_from_start_to_reset() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert!(client.run("HOTKEYS GET").is_null(), "nothing was started");
    assert!(client.run("HOTKEYS STOP").is_null());
    assert_eq!(client.run("HOTKEYS RESET"), Value::ok());
    client.run("SET before 1");
    assert_eq!(client.run("HOTKEYS START METRICS 2 CPU NET"), Value::ok());
    let again = "ERR hotkey tracking session already in progress";
    assert_eq!(client.run("HOTKEYS START"), Value::error(again));
    let busy = "ERR hotkey tracking session in progress, stop tracking first";
    assert_eq!(client.run("HOTKEYS RESET"), Value::error(busy));
    (0..20).for_each(|_| drop(client.run("SET hot 12345")));
    client.run("GET cold");
    let map = get(&mut client);
    let fields: Vec<&str> = map.keys().map(String::as_str).collect();
    let expected = [
        "all-commands-all-slots-us",
        "by-cpu-time-us",
        "by-net-bytes",
        "collection-duration-ms",
        "collection-start-time-unix-ms",
        "net-bytes-all-commands-all-slots",
        "sample-ratio",
        "selected-slots",
        "total-cpu-time-sys-ms",
        "total-cpu-time-user-ms",
        "total-net-bytes",
        "tracking-active",
    ];
    assert_eq!(fields, expected);
    assert_eq!((map["tracking-active"].int(), map["sample-ratio"].int()), (1, 1));
    assert_eq!(map["selected-slots"].items()[0].items(), [Value::Int(0), Value::Int(16383)]);
    // *3 $3 SET $3 hot $5 12345 +OK, and *2 $3 GET $4 cold $-1
    let (set, got) = (33 + 5, 23 + 5);
    let bytes = [("hot".to_owned(), 20 * set), ("cold".to_owned(), got)];
    assert_eq!(ranking(&map, "by-net-bytes"), bytes);
    assert_eq!(map["total-net-bytes"].int(), 20 * set + got);
    assert_eq!(map["net-bytes-all-commands-all-slots"].int(), 20 * set + got);
    // Which of them took longer is not known: a command may be interrupted.
    let mut cpu = ranking(&map, "by-cpu-time-us");
    assert!(
        cpu.is_sorted_by(|a, b| a.1 >= b.1) && cpu.iter().all(|(_, micros)| *micros > 0),
        "{cpu:?}"
    );
    cpu.sort();
    assert!(cpu.iter().map(|(key, _)| key.as_str()).eq(["cold", "hot"]), "{cpu:?}");
    assert_eq!(client.run("HOTKEYS STOP"), Value::ok());
    assert!(client.run("HOTKEYS STOP").is_null(), "it is stopped");
    client.run("SET hot 1");
    let after = get(&mut client);
    assert_eq!(after["tracking-active"], Value::Int(0));
    assert_eq!(after["by-net-bytes"], map["by-net-bytes"], "nothing is added");
    assert_eq!(client.run("HOTKEYS START METRICS 1 NET"), Value::ok(), "begins anew");
    let map = get(&mut client);
    assert!(map["by-net-bytes"].items().is_empty() && !map.contains_key("by-cpu-time-us"));
    client.run("HOTKEYS STOP");
    assert_eq!(client.run("HOTKEYS RESET"), Value::ok());
    assert!(client.run("HOTKEYS GET").is_null());
}

#[test]
fn what_is_wrong_is_said_in_redis_words() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for (line, error) in [
        ("", "METRICS parameter is required"),
        (" METRICS", "METRICS parameter is required"),
        (" COUNT 3", "METRICS parameter is required"),
        (" METRICS 0 CPU", "METRICS count must be > 0 and <= 2"),
        (" METRICS 3 CPU NET", "METRICS count must be > 0 and <= 2"),
        (" METRICS x CPU", "METRICS count must be > 0 and <= 2"),
        (" METRICS 2 CPU", "METRICS count does not match number of metric types provided"),
        (" METRICS 2 CPU CPU", "METRICS CPU defined more than once!"),
        (" METRICS 2 NET net", "METRICS NET defined more than once!"),
        (" METRICS 1 MEM", "METRICS no valid metrics passed. Supported: CPU|NET"),
        (" METRICS 1 CPU COUNT 0", "COUNT must be between 1 and 64"),
        (" METRICS 1 CPU COUNT 65", "COUNT must be between 1 and 64"),
        (" METRICS 1 CPU DURATION 0", "DURATION must be between 1 and 1000000"),
        (" METRICS 1 CPU DURATION 1000001", "DURATION must be between 1 and 1000000"),
        (" METRICS 1 CPU SAMPLE 0", "SAMPLE ratio must be positive"),
        (" METRICS 1 CPU SLOTS 1 5", "SLOTS parameter cannot be used in non-cluster mode"),
        (" METRICS 1 CPU NET", "syntax error"),
        (" METRICS 1 CPU COUNT", "syntax error"),
    ] {
        let reply = client.run(&format!("HOTKEYS START{line}"));
        assert_eq!(reply, Value::error(&format!("ERR {error}")), "{line}");
    }
    assert!(client.run("HOTKEYS GET").is_null(), "nothing has begun");
    let arguments = "ERR wrong number of arguments for 'hotkeys|get' command";
    assert_eq!(client.run("HOTKEYS GET 1"), Value::error(arguments));
    assert!(client.run("HOTKEYS HELP").items().len() > 8);
}

#[test]
fn a_command_is_divided_among_its_keys() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("HOTKEYS START METRICS 1 NET COUNT 3");
    client.run("MSET a 1 b 2");
    let even = ranking(&get(&mut client), "by-net-bytes");
    assert_eq!(even[0].1, even[1].1);
    client.run("HOTKEYS STOP");
    client.run("HOTKEYS START METRICS 1 NET COUNT 3");
    client.run("MULTI");
    (0..3).for_each(|_| drop(client.run("SET queued 1")));
    client.run("EXEC");
    client.run("EVAL redis.call('set','inner',KEYS[1]) 1 outer");
    (0..5).for_each(|i| drop(client.run(&format!("GET other:{i}"))));
    let keys: Vec<String> =
        ranking(&get(&mut client), "by-net-bytes").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.contains(&"queued".to_owned()) && keys.contains(&"outer".to_owned()), "{keys:?}");
    assert!(!keys.contains(&"inner".to_owned()), "a script's commands are the script's");
}

#[test]
fn a_session_ends_by_itself_and_samples() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("HOTKEYS START METRICS 2 NET CPU DURATION 1 SAMPLE 10");
    (0..2000).for_each(|_| client.send_command(&["GET", "key"]));
    (0..2000).for_each(|_| drop(client.recv()));
    let map = get(&mut client);
    let (all, some) = (map["net-bytes-all-commands-all-slots"].int(), map["total-net-bytes"].int());
    assert_eq!(map["sample-ratio"], Value::Int(10));
    assert!(some > 0 && some < all / 3, "{some} of {all}");
    std::thread::sleep(Duration::from_millis(1100));
    client.run("GET key");
    let map = get(&mut client);
    let state = (map["tracking-active"].int(), map["collection-duration-ms"].int());
    assert_eq!(state, (0, 1000));
    assert!(client.run("HOTKEYS STOP").is_null());
    assert_eq!(client.run("HOTKEYS RESET"), Value::ok());
}
