//! Row 48: subscribers that do not read, and those that subscribe to everything.

use crate::Victim;
use crate::support::process::against_reference;
use crate::support::{Client, Value, alone, command, eventually};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const MESSAGE: usize = 100_000;

fn subscribe(victim: &Victim) -> Client {
    let mut client = victim.client();
    assert_eq!(client.run("SUBSCRIBE c").items()[0], Value::bulk("subscribe"));
    client
}

fn publish(client: &mut Client) -> i64 {
    client.call(&[b"PUBLISH".as_slice(), b"c", &[b'm'; MESSAGE]]).int()
}

fn closed_by_limit(client: &mut Client) -> i64 {
    let info = client.run("INFO stats").text();
    let field = "client_output_buffer_limit_disconnections:";
    let value = info.lines().find_map(|line| line.strip_prefix(field));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[test]
fn row_48_who_never_reads_is_closed_at_32_mib() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let mut deaf = subscribe(&victim);
    let mut bytes = 0;
    let mut highest = 0;
    let closed = eventually(PATIENCE, || {
        let receivers = publish(&mut client);
        bytes += MESSAGE;
        highest = highest.max(victim.server.rss());
        receivers == 0
    });
    assert!(closed);
    assert!(bytes > 32 << 20, "closed after {} MiB", bytes >> 20);
    // What the limit allows, and what the kernel's buffers have taken.
    assert!(bytes < 64 << 20, "closed after {} MiB", bytes >> 20);
    assert!(highest < victim.rss + (96 << 20), "{} MiB", highest >> 20);
    deaf.read_to_close().expect("the connection has ended");
    if !against_reference() {
        assert_eq!(closed_by_limit(&mut client), 1);
        assert!(victim.server.log().contains("client-output-buffer-limit"));
    }
    drop((client, deaf));
    victim.assert_unharmed();
}

#[test]
fn row_48_who_has_8_mib_waiting_for_too_long_is_closed() {
    let _alone = alone();
    // The default's 60 seconds would be a long test.
    let limit = "pubsub 33554432 8388608 2";
    let victim = Victim::start(&["--client-output-buffer-limit", limit]);
    let mut client = victim.client();
    let mut deaf = subscribe(&victim);
    // More than the kernel takes and less than the hard limit.
    for _ in 0..200 {
        assert_eq!(publish(&mut client), 1);
    }
    let closed = eventually(PATIENCE, || client.run("PUBSUB NUMSUB c").items()[1] == Value::Int(0));
    assert!(closed);
    deaf.read_to_close().expect("the connection has ended");
    if !against_reference() {
        assert_eq!(closed_by_limit(&mut client), 1);
    }
    drop((client, deaf));
    victim.assert_unharmed();
}

/// One client with as many subscriptions as it likes: they are ended in slices when it goes.
#[test]
fn row_48_one_client_that_subscribes_to_everything() {
    const NAMES: usize = 100_000;
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut greedy = victim.client();
    for (word, count) in [("SUBSCRIBE", NAMES), ("SSUBSCRIBE", NAMES), ("PSUBSCRIBE", NAMES / 10)] {
        for first in (0..count).step_by(1000) {
            let names: Vec<String> = (first..first + 1000).map(|n| format!("name{n}?")).collect();
            let mut args = vec![word];
            args.extend(names.iter().map(String::as_str));
            greedy.send(&command(&args));
            (0..1000).for_each(|_| drop(greedy.recv()));
        }
    }
    let mut client = victim.client();
    assert_eq!(client.run("PUBSUB NUMPAT"), Value::Int(NAMES as i64 / 10));
    assert_eq!(client.run("PUBLISH name1? x"), Value::Int(2));
    assert_eq!(client.run("PUBLISH name11 x"), Value::Int(1));
    drop(greedy);
    let gone = eventually(PATIENCE, || {
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
        client.run("PUBSUB NUMPAT") == Value::Int(0)
            && client.run("PUBSUB CHANNELS") == Value::Array(Vec::new())
    });
    assert!(gone);
    drop(client);
    victim.assert_unharmed();
}
