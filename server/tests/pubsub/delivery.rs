//! Who receives what, in which order and in which form.

use crate::support::{Server, Value};
use crate::{array, pong, push, subscribed};

#[test]
fn channels_patterns_and_sharded_channels() {
    let server = Server::dunlin(&[]);
    let mut publisher = server.client();
    let mut channel = subscribed(&server, "SUBSCRIBE news.uk");
    let mut pattern = subscribed(&server, "PSUBSCRIBE news.* n?ws.uk [a-m]*");
    let mut shard = subscribed(&server, "SSUBSCRIBE news.uk");
    assert_eq!(publisher.run("PUBLISH news.uk hello"), Value::Int(3));
    assert_eq!(channel.recv(), array("message news.uk hello"));
    let mut both = [pattern.recv(), pattern.recv()];
    both.sort();
    let mut wanted =
        [array("pmessage news.* news.uk hello"), array("pmessage n?ws.uk news.uk hello")];
    wanted.sort();
    assert_eq!(both, wanted);
    assert_eq!(publisher.run("SPUBLISH news.uk hi"), Value::Int(1));
    assert_eq!(shard.recv(), array("smessage news.uk hi"));
    assert_eq!(publisher.run("PUBLISH weather x"), Value::Int(0));
    assert_eq!(publisher.run("SPUBLISH weather x"), Value::Int(0));
    // Nothing else has come.
    for client in [&mut channel, &mut pattern, &mut shard] {
        assert_eq!(client.run("PING x"), array("pong x"));
    }
}

#[test]
fn each_receiver_gets_the_form_of_its_protocol() {
    let server = Server::dunlin(&[]);
    let mut two = subscribed(&server, "SUBSCRIBE a");
    let mut three = server.client3();
    three.run("SUBSCRIBE a");
    three.run("PSUBSCRIBE *");
    assert_eq!(server.client().run("PUBLISH a x"), Value::Int(3));
    assert_eq!(two.recv(), array("message a x"));
    assert_eq!(three.recv(), push("message a x"));
    assert_eq!(three.recv(), push("pmessage * a x"));
}

#[test]
fn names_and_messages_are_any_bytes_of_any_length() {
    let server = Server::dunlin(&[]);
    let mut publisher = server.client();
    let mut subscriber = server.client();
    let long: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
    let names: [&[u8]; 4] = [b"", b"\0\r\n", b"\xff\xfe", &long[..100_000]];
    for name in names {
        subscriber.call(&[b"SUBSCRIBE".as_slice(), name]);
    }
    for name in names {
        for message in [&b""[..], b"\r\n+OK\r\n\0", &long[..2047], &long[..2049], &long] {
            assert_eq!(publisher.call(&[b"PUBLISH".as_slice(), name, message]), Value::Int(1));
            let wanted = [Value::bulk("message"), Value::bulk(name), Value::bulk(message)];
            assert_eq!(subscriber.recv().items(), wanted);
        }
    }
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut subscribers: Vec<_> = (0..4).map(|_| subscribed(&server, "SUBSCRIBE a b")).collect();
    subscribers.push(subscribed(&server, "PSUBSCRIBE ?"));
    let mut publisher = server.client();
    let total = 5000;
    let lines: String = (0..total)
        .map(|i| format!("PUBLISH {} {i}\r\n", if i % 3 == 0 { "a" } else { "b" }))
        .collect();
    publisher.send(lines.as_bytes());
    for _ in 0..total {
        assert_eq!(publisher.recv(), Value::Int(5));
    }
    for subscriber in &mut subscribers {
        for i in 0..total {
            let message = subscriber.recv().items();
            assert_eq!(message.last(), Some(&Value::bulk(i.to_string())));
        }
    }
}

/// Redis 7.2 promises that a message to oneself does not come in the middle of replies: it follows
/// the reply of PUBLISH.
#[test]
fn a_message_to_oneself_follows_the_reply() {
    let server = Server::dunlin(&[]);
    let mut client = server.client3();
    client.run("SUBSCRIBE a");
    client.run("SSUBSCRIBE a");
    client.send(b"PUBLISH a x\r\nPING\r\nPUBLISH a y\r\nSPUBLISH a z\r\nGET k\r\n");
    let wanted = [
        Value::Int(1),
        push("message a x"),
        pong(),
        Value::Int(1),
        push("message a y"),
        Value::Int(1),
        push("smessage a z"),
        Value::Null,
    ];
    assert_eq!(wanted.each_ref().map(|_| client.recv()), wanted);
}

/// A message that was published before a command was sent comes before the command's reply, though
/// publisher and subscriber may be on different workers.
#[test]
fn replies_do_not_overtake_messages() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = server.client3();
            client.run("SUBSCRIBE a");
            client
        })
        .collect();
    let mut publisher = server.client();
    for _ in 0..200 {
        assert_eq!(publisher.run("PUBLISH a x"), Value::Int(4));
        for client in &mut clients {
            client.send(b"PING\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.recv(), push("message a x"));
            assert_eq!(client.recv(), pong());
        }
    }
}

#[test]
fn a_blocked_client_receives_messages() {
    let server = Server::dunlin(&[]);
    let mut client = server.client3();
    client.run("SUBSCRIBE a");
    client.send(b"WAIT 1 0\r\n");
    let mut other = server.client();
    let blocked = || other.run("INFO clients").text().contains("blocked_clients:1");
    assert!(crate::support::eventually(std::time::Duration::from_secs(10), blocked));
    for i in ["x", "y"] {
        assert_eq!(other.run(&format!("PUBLISH a {i}")), Value::Int(1));
        assert_eq!(client.recv(), push(&format!("message a {i}")));
    }
    let id = other.run("CLIENT LIST TYPE pubsub").text();
    let id = crate::field(id.trim_end(), "id").to_owned();
    assert_eq!(other.run(&format!("CLIENT UNBLOCK {id}")), Value::Int(1));
    assert_eq!(client.recv(), Value::Int(0));
}

#[test]
fn a_pause_does_not_hold_messages_back() {
    let server = Server::dunlin(&[]);
    let mut client = server.client3();
    client.run("SUBSCRIBE __keyevent@0__:keymiss");
    let mut other = server.client();
    assert_eq!(other.run("CONFIG SET notify-keyspace-events Em"), Value::ok());
    assert_eq!(other.run("CLIENT PAUSE 100000 WRITE"), Value::ok());
    client.send(b"SET k v\r\n");
    for _ in 0..3 {
        assert_eq!(other.run("GET nokey"), Value::NullBulk);
        assert_eq!(client.recv(), push("message __keyevent@0__:keymiss nokey"));
    }
    assert_eq!(other.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(client.recv(), Value::ok());
}

#[test]
fn publish_waits_for_the_end_of_a_pause_of_writes() {
    let server = Server::dunlin(&[]);
    let mut subscriber = subscribed(&server, "SUBSCRIBE a");
    let (mut admin, mut publisher) = (server.client(), server.client());
    assert_eq!(admin.run("CLIENT PAUSE 100000 WRITE"), Value::ok());
    publisher.send(b"PUBLISH a x\r\n");
    assert_eq!(subscriber.run("PING x"), array("pong x"), "subscribers are served");
    assert_eq!(admin.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(publisher.recv(), Value::Int(1));
    assert_eq!(subscriber.recv(), array("message a x"));
}
