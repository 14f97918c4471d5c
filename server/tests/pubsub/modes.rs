//! What a connection that has subscribed may do, and how it is shown to others.

use crate::support::{Client, Server, Value, eventually};
use crate::{array, field, info, pong, push, subscribed, words};
use std::time::Duration;

fn refused(name: &str) -> Value {
    Value::error(&format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    ))
}

/// Confirmations of a command with several names.
fn confirmed(client: &mut Client, line: &str, wanted: &[Value]) {
    client.send_command(&line.split(' ').collect::<Vec<_>>());
    for value in wanted {
        assert_eq!(client.recv(), *value, "{line}");
    }
}

#[test]
fn resp2_allows_nothing_but_subscriptions() {
    let server = Server::dunlin(&[]);
    for (enter, leave) in [
        ("SUBSCRIBE", "UNSUBSCRIBE"),
        ("PSUBSCRIBE", "PUNSUBSCRIBE"),
        ("SSUBSCRIBE", "SUNSUBSCRIBE"),
    ] {
        let mut client = server.client();
        let (on, off) = (enter.to_lowercase(), leave.to_lowercase());
        assert_eq!(client.run(&format!("{enter} a")), array(&format!("{on} a 1")));
        for (line, name) in [
            ("GET a", "get"),
            ("CLIENT LIST", "client|list"),
            ("PUBLISH a b", "publish"),
            ("PUBSUB CHANNELS", "pubsub|channels"),
            ("MONITOR", "monitor"),
            ("HELLO 3", "hello"),
            ("AUTH x", "auth"),
            ("COMMAND", "command"),
        ] {
            assert_eq!(client.run(line), refused(name), "{line}");
        }
        // Errors that come before are as ever.
        assert!(client.run("NOSUCH").error_text().is_some_and(|e| e.contains("unknown command")));
        let arity = Value::error("ERR wrong number of arguments for 'get' command");
        assert_eq!(client.run("GET"), arity);
        assert_eq!(client.run("PING"), Value::Array(vec![Value::bulk("pong"), Value::bulk("")]));
        assert_eq!(client.run("PING hey"), array("pong hey"));
        assert!(client.run("PING a b").is_error());
        assert_eq!(client.run(&format!("{leave} a")), array(&format!("{off} a 0")));
        assert_eq!(client.run("PING"), pong());
        assert_eq!(client.run("GET a"), Value::NullBulk);
    }
}

#[test]
fn resp3_allows_everything() {
    let server = Server::dunlin(&[]);
    let mut client = server.client3();
    assert_eq!(client.run("SUBSCRIBE a"), push("subscribe a 1"));
    assert_eq!(client.run("SET k v"), Value::ok());
    assert_eq!(client.run("GET k"), Value::bulk("v"));
    assert_eq!(client.run("PING"), pong());
    assert_eq!(client.run("PING hey"), Value::bulk("hey"));
    // Back in RESP2, with the subscription.
    assert!(!client.run("HELLO 2").is_error());
    assert_eq!(client.run("GET k"), refused("get"));
    assert_eq!(server.client().run("PUBLISH a x"), Value::Int(1));
    assert_eq!(client.recv(), array("message a x"));
}

#[test]
fn confirmations_count_channels_with_patterns_and_sharded_channels_apart() {
    let server = Server::dunlin(&[]);
    for resp3 in [false, true] {
        let mut client = if resp3 { server.client3() } else { server.client() };
        let say = if resp3 { push } else { array };
        let nobody = |word: &str, count: i64| {
            let null = if resp3 { Value::Null } else { Value::NullBulk };
            let parts = vec![Value::bulk(word), null, Value::Int(count)];
            if resp3 { Value::Push(parts) } else { Value::Array(parts) }
        };
        let check = |client: &mut Client, line: &str, wanted: &[&str]| {
            let wanted: Vec<Value> = wanted.iter().map(|line| say(line)).collect();
            confirmed(client, line, &wanted);
        };
        check(&mut client, "SUBSCRIBE a a b", &["subscribe a 1", "subscribe a 1", "subscribe b 2"]);
        check(&mut client, "PSUBSCRIBE p* a", &["psubscribe p* 3", "psubscribe a 4"]);
        check(&mut client, "SSUBSCRIBE s a", &["ssubscribe s 1", "ssubscribe a 2"]);
        check(&mut client, "UNSUBSCRIBE b zz", &["unsubscribe b 3", "unsubscribe zz 3"]);
        check(&mut client, "SUNSUBSCRIBE", &["sunsubscribe a 1", "sunsubscribe s 0"]);
        assert_eq!(client.run("SUNSUBSCRIBE"), nobody("sunsubscribe", 0));
        check(&mut client, "PUNSUBSCRIBE", &["punsubscribe a 2", "punsubscribe p* 1"]);
        assert_eq!(client.run("PUNSUBSCRIBE"), nobody("punsubscribe", 1));
        check(&mut client, "UNSUBSCRIBE", &["unsubscribe a 0"]);
        assert_eq!(client.run("UNSUBSCRIBE"), nobody("unsubscribe", 0));
        assert_eq!(client.run("PING"), pong());
    }
}

#[test]
fn reset_and_the_end_of_a_connection_end_its_subscriptions() {
    let server = Server::dunlin(&[]);
    let mut other = server.client();
    for resp in ["HELLO 2", "HELLO 3"] {
        let mut client = server.client();
        client.run(resp);
        client.run("SUBSCRIBE a");
        client.run("PSUBSCRIBE a*");
        client.run("SSUBSCRIBE a");
        assert_eq!(other.run("PUBLISH a 1"), Value::Int(2));
        client.recv();
        client.recv();
        assert_eq!(client.run("RESET"), Value::Simple(b"RESET".to_vec()));
        assert_eq!(other.run("PUBLISH a 2"), Value::Int(0));
        assert_eq!(other.run("SPUBLISH a 2"), Value::Int(0));
        assert_eq!(client.run("GET a"), Value::NullBulk);
        client.run("SUBSCRIBE a");
        assert_eq!(client.run("QUIT"), Value::ok());
        assert!(client.is_closed());
        // The server notices the end of a connection by itself.
        drop(subscribed(&server, "SUBSCRIBE a b"));
        let gone = eventually(Duration::from_secs(10), || info(&mut other, "pubsub_channels") == 0);
        assert!(gone);
    }
    assert_eq!(other.run("PUBSUB CHANNELS"), Value::Array(Vec::new()));
    assert_eq!(other.run("PUBSUB NUMPAT"), Value::Int(0));
}

#[test]
fn others_see_who_has_subscribed() {
    let server = Server::dunlin(&[]);
    let mut other = server.client();
    let mut client = subscribed(&server, "SUBSCRIBE a b c");
    client.run("PSUBSCRIBE p*");
    client.run("SSUBSCRIBE s");
    let list = other.run("CLIENT LIST TYPE pubsub").text();
    assert_eq!(list.lines().count(), 1, "{list}");
    let line = list.lines().next().unwrap_or_default();
    let fields = ["sub", "psub", "ssub", "flags"].map(|name| field(line, name));
    assert_eq!(fields, ["3", "1", "1", "P"]);
    let figures = ["pubsub_clients", "pubsub_channels", "pubsub_patterns", "pubsubshard_channels"];
    assert_eq!(figures.map(|name| info(&mut other, name)), [1, 3, 1, 1]);
    let normal = other.run("CLIENT LIST TYPE normal").text();
    assert_eq!(normal.lines().map(|line| field(line, "sub")).collect::<Vec<_>>(), ["0"]);
    assert_eq!(field(normal.trim_end(), "flags"), "N");
    assert_eq!(other.run("CLIENT KILL TYPE pubsub"), Value::Int(1));
    assert!(client.is_closed());
    let gone = || figures.map(|name| info(&mut other, name)) == [0; 4];
    assert!(eventually(Duration::from_secs(10), gone));
}

#[test]
fn a_subscriber_may_be_idle_for_longer_than_the_timeout() {
    let server = Server::dunlin(&["--timeout", "1"]);
    let mut client = subscribed(&server, "SUBSCRIBE a");
    let mut idle = server.client();
    assert!(idle.is_closed(), "who has not subscribed is closed");
    assert_eq!(server.client().run("PUBLISH a x"), Value::Int(1));
    assert_eq!(client.recv(), array("message a x"));
}

#[test]
fn client_reply_off_does_not_concern_messages() {
    let server = Server::dunlin(&[]);
    let mut other = server.client();
    // Two channels: the end of the first connection may be noticed late.
    for (mode, channel) in [("CLIENT REPLY OFF", "off"), ("CLIENT REPLY SKIP", "skip")] {
        let mut client = server.client3();
        client.send_command(&mode.split(' ').collect::<Vec<_>>());
        let confirmed = client.run(&format!("SUBSCRIBE {channel}"));
        assert_eq!(confirmed, push(&format!("subscribe {channel} 1")), "{mode}");
        assert_eq!(other.run(&format!("PUBLISH {channel} x")), Value::Int(1));
        assert_eq!(client.recv(), push(&format!("message {channel} x")), "{mode}");
        assert_eq!(client.run("SSUBSCRIBE s"), push("ssubscribe s 1"), "{mode}");
    }
    let mut client = server.client();
    client.send(b"CLIENT REPLY OFF\r\nPSUBSCRIBE a*\r\nPING\r\nGET x\r\nPUNSUBSCRIBE\r\nGET x\r\n");
    client.send(b"CLIENT REPLY ON\r\n");
    assert_eq!(client.recv(), array("psubscribe a* 1"));
    assert_eq!(client.recv(), array("punsubscribe a* 0"));
    assert_eq!(client.recv(), Value::ok());
}

#[test]
fn a_monitor_may_subscribe_too() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("MONITOR"), Value::ok());
    assert_eq!(client.run("SUBSCRIBE a"), array("subscribe a 1"));
    assert!(client.recv().text().ends_with("\"SUBSCRIBE\" \"a\""));
    assert_eq!(server.client().run("PUBLISH a x"), Value::Int(1));
    let (mut message, mut line) = (None, None);
    for _ in 0..2 {
        match client.recv() {
            value @ Value::Array(_) => message = Some(value),
            value => line = Some(value.text()),
        }
    }
    assert_eq!(message, Some(array("message a x")));
    assert!(line.is_some_and(|line| line.ends_with("\"PUBLISH\" \"a\" \"x\"")));
    assert_eq!(client.run("RESET"), Value::Simple(b"RESET".to_vec()));
    server.client().run("PUBLISH a x");
    assert_eq!(client.run("PING"), pong());
}

#[test]
fn introspection() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let _one = subscribed(&server, "SUBSCRIBE news.uk news.de other");
    let _two = subscribed(&server, "SUBSCRIBE news.uk");
    let _three = subscribed(&server, "PSUBSCRIBE news.* x*");
    let _four = subscribed(&server, "SSUBSCRIBE news.uk shard");
    let sorted = |client: &mut Client, line: &str| {
        let mut names: Vec<String> = client.run(line).items().iter().map(Value::text).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(sorted(&mut client, "PUBSUB CHANNELS"), "news.de news.uk other");
    assert_eq!(sorted(&mut client, "PUBSUB CHANNELS news.*"), "news.de news.uk");
    assert_eq!(sorted(&mut client, "PUBSUB SHARDCHANNELS"), "news.uk shard");
    assert_eq!(sorted(&mut client, "PUBSUB SHARDCHANNELS s*"), "shard");
    assert_eq!(client.run("PUBSUB NUMPAT"), Value::Int(2));
    let numbers = client.run("PUBSUB NUMSUB news.uk none other").items();
    assert_eq!(numbers, words("news.uk 2 none 0 other 1"));
    let numbers = client.run("PUBSUB SHARDNUMSUB news.uk other").items();
    assert_eq!(numbers, words("news.uk 1 other 0"));
    assert_eq!(client.run("PUBSUB NUMSUB"), Value::Array(Vec::new()));
    let help = client.run("PUBSUB HELP").items();
    assert!(help.iter().any(|line| line.text().starts_with("SHARDNUMSUB")));
}
