//! What happens without any command, and what is left of clients that are gone.

use crate::support::{Client, Server, Value};
use crate::until;
use std::time::Duration;

/// Milliseconds that a key lives: longer than any machine takes for the commands before its end.
const LIFE: u64 = 1_500;

fn info(client: &mut Client, name: &str) -> i64 {
    let text = client.run("INFO").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}")).trim().parse().expect("a number")
}

/// The names in an invalidation.
fn names(message: Value) -> Vec<String> {
    let Value::Push(items) = message else { panic!("{message:?}") };
    assert_eq!(items[0].text(), "invalidate");
    items[1].items().iter().map(Value::text).collect()
}

fn tracking(server: &Server, line: &str) -> Client {
    let mut client = server.client3();
    assert_eq!(client.run(line), Value::ok());
    client
}

#[test]
fn expired_keys_are_told() {
    let server = Server::dunlin(&[]);
    let mut other = server.client();
    let mut one = tracking(&server, "CLIENT TRACKING ON");
    let mut all = tracking(&server, "CLIENT TRACKING ON BCAST NOLOOP");
    let mut own = tracking(&server, "CLIENT TRACKING ON NOLOOP");
    other.run(&format!("SET k v PX {LIFE}"));
    assert_eq!(names(all.recv()), ["k"]);
    // Whether or not it is there any more: what the reply says is what has to be told.
    own.run("GET k");
    let _ = one.run("GET k");
    assert_eq!(names(all.recv()), ["k"]);
    assert_eq!(names(one.recv()), ["k"]);
    assert_eq!(names(own.recv()), ["k"], "it has not done that itself");
    other.run("HSET h f v g w");
    assert_eq!(names(all.recv()), ["h"]);
    one.run("HGETALL h");
    other.run(&format!("HPEXPIRE h {LIFE} FIELDS 1 f"));
    assert_eq!(names(one.recv()), ["h"]);
    one.run("HGETALL h");
    assert_eq!(names(one.recv()), ["h"], "a field");
}

#[test]
fn a_read_that_comes_upon_an_expired_key_tells_of_it() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut other = server.client();
    let mut one = tracking(&server, "CLIENT TRACKING ON");
    // Nobody else takes the key away.
    other.run("DEBUG SET-ACTIVE-EXPIRE 0");
    other.run("SET gone v PX 60000");
    one.run("GET gone");
    other.run(&format!("PEXPIRE gone {LIFE}"));
    assert_eq!(names(one.recv()), ["gone"]);
    one.run("GET gone");
    other.run("SET kept v");
    std::thread::sleep(Duration::from_millis(LIFE + 30));
    assert_eq!(other.run("DBSIZE"), Value::Int(2), "nobody has looked at it");
    assert_eq!(one.run("MGET kept gone").items(), [Value::bulk("v"), Value::Null]);
    assert_eq!(names(one.recv()), ["gone"], "after the reply");
    assert_eq!(other.run("DBSIZE"), Value::Int(1));
}

#[test]
fn evicted_keys_are_told() {
    let args = ["--maxmemory", "8mb", "--maxmemory-policy", "allkeys-random"];
    let server = Server::dunlin(&args);
    let mut one = tracking(&server, "CLIENT TRACKING ON");
    let mut other = server.client();
    for i in 0..100 {
        other.run(&format!("SET k{i} v"));
        one.run(&format!("GET k{i}"));
    }
    let filler = "x".repeat(1000);
    for i in 0..20_000 {
        other.run(&format!("SET filler{i} {filler}"));
    }
    let (mut told, mut gone) = (Vec::new(), Vec::new());
    one.send(b"PING end\r\n");
    loop {
        match one.recv() {
            end if end == Value::bulk("end") => break,
            message => told.extend(names(message)),
        }
    }
    gone.extend(
        (0..100)
            .map(|i| format!("k{i}"))
            .filter(|key| other.run(&format!("EXISTS {key}")).int() == 0),
    );
    told.sort();
    gone.sort();
    assert!(!gone.is_empty(), "nothing was evicted");
    assert_eq!(told, gone);
}

#[test]
fn a_lower_limit_is_kept_at_once() {
    let server = Server::dunlin(&[]);
    let (mut one, mut other) = (tracking(&server, "CLIENT TRACKING ON"), server.client());
    one.run("MGET a b");
    assert_eq!(other.run("CONFIG SET tracking-table-max-keys 1"), Value::ok());
    one.send(b"PING\r\n");
    assert_eq!(names(one.recv()).len(), 1, "before anything else is answered");
    assert_eq!(one.recv(), Value::Simple("PONG".into()));
    assert_eq!(info(&mut other, "tracking_total_keys"), 1);
}

#[test]
fn a_table_that_is_full_forgets_and_tells() {
    let server = Server::dunlin(&["--tracking-table-max-keys", "100"]);
    let mut one = tracking(&server, "CLIENT TRACKING ON");
    let mut other = server.client();
    let mut told = 0;
    for i in 0..1000 {
        one.send(format!("GET k{i}\r\n").as_bytes());
        while let Value::Push(_) = one.recv() {
            told += 1;
        }
    }
    one.send(b"PING end\r\n");
    while one.recv() != Value::bulk("end") {
        told += 1;
    }
    assert_eq!(told, 900);
    assert_eq!(info(&mut other, "tracking_total_keys"), 100);
    assert_eq!(info(&mut other, "tracking_total_items"), 100);
    // A limit that is lowered holds without any command.
    other.run("CONFIG SET tracking-table-max-keys 1");
    for _ in 0..99 {
        assert_eq!(names(one.recv()).len(), 1);
    }
    assert_eq!(info(&mut other, "tracking_total_keys"), 1);
    assert_eq!(one.run("PING"), Value::Simple(b"PONG".to_vec()), "and no more");
}

#[test]
fn what_clients_leave_behind_goes() {
    let server = Server::dunlin(&[]);
    let mut other = server.client();
    let before = info(&mut other, "used_memory");
    {
        let mut clients: Vec<Client> =
            (0..20).map(|_| tracking(&server, "CLIENT TRACKING ON")).collect();
        for client in &mut clients {
            for i in 0..500 {
                client.run(&format!("GET key:{i}"));
            }
        }
        let _all = tracking(&server, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
        assert_eq!(info(&mut other, "tracking_clients"), 21);
        assert_eq!(info(&mut other, "tracking_total_keys"), 500);
        assert_eq!(info(&mut other, "tracking_total_items"), 10_000);
        assert_eq!(info(&mut other, "tracking_total_prefixes"), 2);
        assert!(info(&mut other, "used_memory") - before > 10_000 * 8 + 500 * 16);
        let list = other.run("CLIENT LIST").text();
        assert_eq!(list.matches(" flags=t ").count(), 20);
        assert_eq!(list.matches(" flags=tB ").count(), 1);
        assert_eq!(list.matches(" redir=0 ").count(), 21);
        other.run("SET key:0 x");
        assert_eq!(info(&mut other, "tracking_total_keys"), 499);
        assert_eq!(info(&mut other, "tracking_total_items"), 9_980);
    }
    for figure in [
        "tracking_clients",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
    ] {
        until(figure, || info(&mut server.client(), figure) == 0);
    }
    // One stays: what the others have read is removed, and what it has read is not.
    let mut one = tracking(&server, "CLIENT TRACKING ON");
    one.run("MGET a b c");
    let mut two = tracking(&server, "CLIENT TRACKING ON");
    two.run("MGET b c d");
    drop(two);
    until("tracking_total_items", || info(&mut server.client(), "tracking_total_items") == 3);
    other.run("MSET d 1 c 1");
    assert_eq!(names(one.recv()), ["c"]);
}

#[test]
fn messages_come_although_replies_do_not() {
    let server = Server::dunlin(&[]);
    let mut other = server.client();
    let mut one = tracking(&server, "CLIENT TRACKING ON");
    one.send(b"CLIENT REPLY OFF\r\nGET k\r\nSET k 1\r\n");
    assert_eq!(names(one.recv()), ["k"]);
    one.send(b"GET k\r\n");
    until("the read has happened", || info(&mut server.client(), "tracking_total_keys") == 1);
    other.run("SET k 2");
    assert_eq!(names(one.recv()), ["k"]);
}

#[test]
fn who_does_not_read_is_closed_at_the_limit() {
    let server = Server::dunlin(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut other = server.client();
    let _one = tracking(&server, "CLIENT TRACKING ON BCAST");
    let name = "n".repeat(100_000);
    until("the client is closed", || {
        other.run(&format!("SET {name} v"));
        info(&mut server.client(), "tracking_clients") == 0
    });
    assert_eq!(info(&mut other, "tracking_total_prefixes"), 0);
}

#[test]
fn prefixes_that_are_no_text_are_shown_as_they_are() {
    let server = Server::dunlin(&[]);
    let mut one = server.client3();
    let prefixes: [&[u8]; 7] = [b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", b"", b"PREFIX"];
    let error = one.call(&[&prefixes[..], &[b"j\xe7"]].concat());
    let text = b"ERR Prefix '' overlaps with another provided prefix 'j\xe7'. \
                 Prefixes for a single client must not overlap.";
    assert_eq!(error, Value::Error(text.to_vec()));
}

#[test]
fn many_prefixes_are_compared_quickly() {
    let server = Server::dunlin(&[]);
    let mut one = server.client3();
    let mut line = vec!["CLIENT".to_owned(), "TRACKING".into(), "ON".into(), "BCAST".into()];
    for i in 0..50_000 {
        line.extend(["PREFIX".to_owned(), format!("{i:05}")]);
    }
    assert_eq!(one.call(&line), Value::ok());
    let error = one.call(&line).error_text().expect("an error");
    assert!(error.starts_with("ERR Prefix '00000' overlaps with an existing prefix '00000'"));
    let mut other = server.client();
    other.run("SET 49999:x 1");
    assert_eq!(names(one.recv()), ["49999:x"]);
    assert_eq!(one.run("CLIENT TRACKING OFF"), Value::ok());
    assert_eq!(info(&mut other, "tracking_total_prefixes"), 0);
}
