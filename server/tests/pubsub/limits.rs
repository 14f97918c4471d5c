//! Subscribers that do not read.

use crate::support::{Server, Value, alone, eventually};
use crate::{array, field, info, subscribed};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn who_does_not_read_is_closed_at_the_hard_limit() {
    let _alone = alone();
    let server = Server::dunlin(&["--client-output-buffer-limit", "pubsub 4mb 0 0"]);
    let mut publisher = server.client();
    let mut reads = subscribed(&server, "SUBSCRIBE a");
    let mut deaf: Vec<_> = (0..20).map(|_| subscribed(&server, "SUBSCRIBE a")).collect();
    let message = vec![b'm'; 100_000];
    let mut sent = 0;
    let closed = eventually(PATIENCE, || {
        let receivers = publisher.call(&[b"PUBLISH".as_slice(), b"a", &message]).int();
        sent += 1;
        assert_eq!(reads.recv().items()[2], Value::bulk(&message), "who reads is served");
        receivers == 1
    });
    assert!(closed, "after {sent} messages");
    let counted = info(&mut publisher, "client_output_buffer_limit_disconnections");
    assert_eq!(counted, 20);
    // One line a second says how many it stands for.
    assert!((1..20).contains(&server.log().matches("client-output-buffer-limit").count()));
    for client in &mut deaf {
        client.read_to_close().expect("the connection has ended");
    }
    assert_eq!(publisher.run("PUBLISH a x"), Value::Int(1));
    assert_eq!(reads.recv(), array("message a x"));
}

#[test]
fn many_small_messages_count_with_what_they_take() {
    let _alone = alone();
    let server = Server::dunlin(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let mut publisher = server.client();
    let _deaf = subscribed(&server, "SUBSCRIBE a");
    let before = server.rss();
    let packet = b"PUBLISH a x\r\n".repeat(1000);
    let closed = eventually(PATIENCE, || {
        publisher.send(&packet);
        (0..1000).map(|_| publisher.recv().int()).sum::<i64>() == 0
    });
    assert!(closed);
    assert!(server.rss() < before + (16 << 20), "{} MiB", (server.rss() - before) >> 20);
}

#[test]
fn the_soft_limit_closes_after_its_time_although_nothing_more_is_published() {
    let server = Server::dunlin(&["--client-output-buffer-limit", "pubsub 0 1mb 1"]);
    let mut publisher = server.client();
    let mut deaf = subscribed(&server, "SUBSCRIBE a");
    let message = vec![b'm'; 100_000];
    let waits = |publisher: &mut crate::support::Client| {
        let list = publisher.run("CLIENT LIST TYPE pubsub").text();
        list.lines().next().map_or(0, |line| field(line, "omem").parse::<u64>().unwrap_or(0))
    };
    // On a busy machine the time may be over before so much waits.
    let over = eventually(PATIENCE, || {
        let sent = publisher.call(&[b"PUBLISH".as_slice(), b"a", &message]);
        sent == Value::Int(0) || waits(&mut publisher) > 2 << 20
    });
    assert!(over);
    let gone =
        eventually(PATIENCE, || publisher.run("PUBSUB NUMSUB a").items()[1] == Value::Int(0));
    assert!(gone);
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 1);
    deaf.read_to_close().expect("the connection has ended");
}

#[test]
fn the_soft_limit_forgives_who_reads_in_time() {
    let server = Server::dunlin(&["--client-output-buffer-limit", "pubsub 0 1mb 3"]);
    let mut publisher = server.client();
    let mut slow = subscribed(&server, "SUBSCRIBE a");
    let message = vec![b'm'; 100_000];
    let mut unread = 0;
    // Over the limit again and again, for longer than its time altogether, but never at a stretch.
    for _ in 0..8 {
        for _ in 0..80 {
            assert_eq!(publisher.call(&[b"PUBLISH".as_slice(), b"a", &message]), Value::Int(1));
            unread += 1;
        }
        std::thread::sleep(Duration::from_millis(500));
        while unread > 0 {
            assert_eq!(slow.recv().items()[2], Value::bulk(&message));
            unread -= 1;
        }
    }
    assert_eq!(publisher.run("PUBLISH a x"), Value::Int(1));
    assert_eq!(slow.recv(), array("message a x"));
}

/// What waits is shared by all who wait for it.
#[test]
fn a_message_that_waits_for_many_is_kept_once() {
    let _alone = alone();
    let server = Server::dunlin(&["--client-output-buffer-limit", "pubsub 64mb 0 0"]);
    let mut publisher = server.client();
    let deaf: Vec<_> = (0..50).map(|_| subscribed(&server, "SUBSCRIBE a")).collect();
    let before = server.rss();
    let message = vec![b'm'; 1 << 20];
    for _ in 0..32 {
        assert_eq!(publisher.call(&[b"PUBLISH".as_slice(), b"a", &message]), Value::Int(50));
    }
    let more = server.rss().saturating_sub(before);
    assert!(more < 160 << 20, "{} MiB for 32 MiB of messages", more >> 20);
    drop(deaf);
}

#[test]
fn limits_of_normal_clients_do_not_concern_subscribers() {
    let limits = "normal 1mb 0 0 pubsub 0 0 0";
    let server = Server::dunlin(&["--client-output-buffer-limit", limits]);
    let mut publisher = server.client();
    let mut slow = subscribed(&server, "SUBSCRIBE a");
    let message = vec![b'm'; 1 << 20];
    for _ in 0..20 {
        assert_eq!(publisher.call(&[b"PUBLISH".as_slice(), b"a", &message]), Value::Int(1));
    }
    for _ in 0..20 {
        assert_eq!(slow.recv().items()[2], Value::bulk(&message));
    }
}
