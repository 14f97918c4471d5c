//! Keyspace events of collections.

use crate::subscribed;
use crate::support::Server;

/// Runs the commands and returns the events they cause, as `event key`.
fn events(lines: &[&str]) -> Vec<String> {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert!(!client.run("CONFIG SET notify-keyspace-events EA").is_error());
    let mut listener = subscribed(&server, "PSUBSCRIBE __key*__:*");
    for line in lines {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    client.run("PUBLISH __keyevent@0__:end x");
    let mut seen = Vec::new();
    loop {
        let message = listener.recv().items();
        let event = message[2].text();
        let event = event.rsplit(':').next().unwrap_or_default().to_owned();
        match event.as_str() {
            "end" => return seen,
            "new" => {}
            _ => seen.push(format!("{event} {}", message[3].text())),
        }
    }
}

#[test]
fn the_key_goes_after_its_last_element() {
    for (lines, wanted) in [
        (&["SADD s a", "SREM s a"][..], &["sadd s", "srem s", "del s"][..]),
        (&["SADD s a b", "SREM s a"], &["sadd s", "srem s"]),
        (&["SADD s a", "SPOP s"], &["sadd s", "spop s", "del s"]),
        (&["HSET h f v", "HDEL h f"], &["hset h", "hdel h", "del h"]),
        (&["RPUSH l a", "LPOP l"], &["rpush l", "lpop l", "del l"]),
        (&["RPUSH l a b", "RPOP l"], &["rpush l", "rpop l"]),
        (&["RPUSH l a", "LMOVE l m LEFT RIGHT"], &["rpush l", "rpush m", "lpop l", "del l"]),
        (&["RPUSH l a b", "RPOPLPUSH l m"], &["rpush l", "lpush m", "rpop l"]),
        (&["RPUSH l a", "LREM l 0 a"], &["rpush l", "lrem l", "del l"]),
        (&["ZADD z 1 a", "ZREM z a"], &["zadd z", "zrem z", "del z"]),
        (&["ZADD z 1 a", "ZPOPMIN z"], &["zadd z", "zpopmin z", "del z"]),
        (&["ZADD z 1 a 2 b", "ZPOPMAX z"], &["zadd z", "zpopmax z"]),
    ] {
        assert_eq!(events(lines), wanted, "{lines:?}");
    }
}

#[test]
fn streams_tell_of_their_changes() {
    let lines = [
        "XADD x 1-1 f v",
        "XADD x MAXLEN 1 2-1 f v",
        "XGROUP CREATE x g 0",
        "XGROUP CREATECONSUMER x g c",
        "XGROUP SETID x g 1",
        "XGROUP DELCONSUMER x g c",
        "XGROUP DESTROY x g",
        "XSETID x 9-9",
        "XTRIM x MAXLEN 5",
        "XDEL x 7-7",
        "XDEL x 2-1",
    ];
    let wanted = [
        "xadd x",
        "xadd x",
        "xtrim x",
        "xgroup-create x",
        "xgroup-createconsumer x",
        "xgroup-setid x",
        "xgroup-delconsumer x",
        "xgroup-destroy x",
        "xsetid x",
        "xdel x",
    ];
    assert_eq!(events(&lines), wanted);
}

#[test]
fn a_consumer_that_is_added_by_the_way_is_told_of() {
    let lines = [
        "XGROUP CREATE x g $ MKSTREAM",
        "XADD x 1-1 f v",
        "XREADGROUP GROUP g alice STREAMS x >",
        "XREADGROUP GROUP g alice STREAMS x >",
        "XREADGROUP GROUP g bob STREAMS x 0",
        "XCLAIM x g carol 0 1-1",
        "XAUTOCLAIM x g dave 0 0",
        "XAUTOCLAIM x g alice 0 0",
    ];
    let added = ["xgroup-createconsumer x"; 4];
    assert_eq!(events(&lines), [&["xgroup-create x", "xadd x"], &added[..]].concat());
}
