//! One client with more work than others can bear, beside others.

use crate::support::{Client, Server, Value, command};
use std::thread;

/// Commands that the hog sends before it reads.
const DEPTH: usize = 100_000;

/// Reads so many replies.
fn read(client: &mut Client, count: usize, expected: &Value) {
    for i in 0..count {
        assert_eq!(&client.recv(), expected, "reply {i}");
    }
}

#[test]
fn light_clients_are_served_in_the_middle_of_a_deep_pipeline() {
    let server = Server::dunlin(&["--workers", "1"]);
    let (mut hog, mut light) = (server.client(), server.client());
    light.run("SET k v");
    let whole = command(&["INCR", "count"]).repeat(DEPTH);
    // It writes all of it before it reads anything.
    let writer = thread::spawn(move || {
        hog.send(&whole);
        hog
    });
    let mut between = 0;
    loop {
        assert_eq!(light.run("GET k"), Value::bulk("v"));
        let count = light.run("GET count");
        if count == Value::bulk(DEPTH.to_string()) {
            break;
        }
        between += usize::from(count != Value::NullBulk);
    }
    let mut hog = writer.join().expect("it has sent everything");
    for i in 1..=DEPTH {
        assert_eq!(hog.recv(), Value::Int(i64::try_from(i).expect("small")));
    }
    assert!(between > 0, "nobody was served in between");
}

#[test]
fn a_transfer_of_a_huge_value_is_one_turn_among_others() {
    let server = Server::dunlin(&["--workers", "1"]);
    let (mut hog, mut light) = (server.client(), server.client());
    light.run("SET k v");
    let value = vec![b'x'; 64 << 20];
    let (set, get) = (command(&[&b"SET"[..], b"big", &value]), command(&["GET", "big"]));
    let mover = thread::spawn(move || {
        hog.send(&set);
        assert_eq!(hog.recv(), Value::ok());
        hog.send(&get.repeat(3));
        read(&mut hog, 3, &Value::Bulk(value));
    });
    let mut served = 0;
    while !mover.is_finished() {
        assert_eq!(light.run("GET k"), Value::bulk("v"));
        served += 1;
    }
    mover.join().expect("every byte has arrived");
    assert!(served > 100, "{served}");
}
