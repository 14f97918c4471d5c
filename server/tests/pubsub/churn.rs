//! Many publishers, and subscribers that come and go: nothing is lost for those who stay, nothing
//! comes after the end of a subscription, and the numbers are right.

use crate::subscribed;
use crate::support::{Client, Rng, Server, Value};
use std::sync::atomic::{AtomicBool, Ordering};

const PUBLISHERS: usize = 4;
const STAYERS: usize = 4;
/// They read nothing and stand before the visitors in the list of receivers, so that much can
/// happen between a PUBLISH's look into the list and its delivery.
const BALLAST: usize = 60;
const VISITORS: usize = 6;
/// Names before the one that counts, so that much can happen while UNSUBSCRIBE is under way.
const DECOYS: usize = 300;
const ROUNDS: usize = 150;
const PER_ROUND: usize = 50;

/// Publishes numbered messages in pipelines; returns how many receivers the replies speak of.
fn publish(mut client: Client, who: usize) -> i64 {
    let mut receivers = 0;
    for round in 0..ROUNDS {
        let first = round * PER_ROUND;
        let lines: String =
            (first..first + PER_ROUND).map(|i| format!("PUBLISH c {who}:{i}\r\n")).collect();
        client.send(lines.as_bytes());
        for _ in 0..PER_ROUND {
            let count = client.recv().int();
            let visitors = count - (BALLAST + STAYERS * 2) as i64;
            assert!(visitors >= 0, "a subscriber that stays was left out");
            receivers += count - BALLAST as i64;
        }
    }
    receivers
}

/// Publisher and number of a message to `c`.
fn parse(message: &Value) -> (usize, usize) {
    let items = message.items();
    let text = items.last().expect("the message").text();
    let (who, number) = text.split_once(':').expect("publisher and number");
    (who.parse().expect("a publisher"), number.parse().expect("a number"))
}

/// Reads until every message has come twice, by channel and by pattern, each in order.
fn stay(mut client: Client) -> i64 {
    let mut next = [[0; 2]; PUBLISHERS];
    let total = PUBLISHERS * ROUNDS * PER_ROUND * 2;
    for _ in 0..total {
        let message = client.recv();
        let kind = usize::from(message.items()[0] == Value::bulk("pmessage"));
        let (who, number) = parse(&message);
        assert_eq!(number, next[who][kind], "publisher {who}");
        next[who][kind] += 1;
    }
    total as i64
}

/// Counts messages until `end` has come.
fn messages_until(client: &mut Client, end: impl Fn(&Value) -> bool) -> i64 {
    let mut count = 0;
    loop {
        let value = client.recv();
        if end(&value) {
            return count;
        }
        parse(&value);
        count += 1;
    }
}

/// Subscribes and unsubscribes until told to stop; returns how many messages came.
fn visit(mut client: Client, resp3: bool, pattern: bool, seed: u64, stop: &AtomicBool) -> i64 {
    let mut rng = Rng::new(seed);
    let (enter, leave) = match pattern {
        true => (["PSUBSCRIBE", "[c]"], "PUNSUBSCRIBE"),
        false => (["SUBSCRIBE", "c"], "UNSUBSCRIBE"),
    };
    let name = enter[1];
    let decoys = || std::iter::repeat_n("decoy", DECOYS);
    let with_decoys: Vec<&str> = [leave].into_iter().chain(decoys()).chain([name]).collect();
    let mut received = 0;
    while !stop.load(Ordering::Relaxed) {
        client.send_command(&enter);
        assert_eq!(client.recv().items()[2], Value::Int(1), "messages before the confirmation");
        for _ in 0..rng.below(20) {
            client.send(b"PING\r\n");
            received += messages_until(&mut client, |value| match value {
                Value::Simple(text) => text == b"PONG",
                other => other.items()[0] == Value::bulk("pong"),
            });
        }
        let form = rng.below(4);
        match form {
            0 => client.send_command(&[leave, name]),
            1 => client.send_command(&[leave]),
            2 => client.send_command(&["RESET"]),
            _ => client.send_command(&with_decoys),
        }
        let confirms = |value: &Value, name: &str| match value {
            Value::Simple(text) => text == b"RESET",
            other => {
                let items = other.items();
                items[0] == Value::bulk(leave.to_lowercase()) && items[1] == Value::bulk(name)
            }
        };
        for _ in 0..if form == 3 { DECOYS } else { 0 } {
            received += messages_until(&mut client, |value| confirms(value, "decoy"));
        }
        received += messages_until(&mut client, |value| confirms(value, name));
        for _ in 0..rng.below(5) {
            assert_eq!(client.run("ECHO still"), Value::bulk("still"), "after the end");
        }
        if resp3 {
            client.run("HELLO 3");
        }
    }
    received
}

#[test]
fn nothing_is_lost_and_nothing_comes_late() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut stayers: Vec<Client> =
        (0..STAYERS).map(|_| subscribed(&server, "SUBSCRIBE c")).collect();
    for client in &mut stayers {
        client.run("PSUBSCRIBE ?");
    }
    let ballast: Vec<Client> = (0..BALLAST).map(|_| subscribed(&server, "SUBSCRIBE c")).collect();
    let stop = AtomicBool::new(false);
    let (sent, received) = std::thread::scope(|scope| {
        let stayers: Vec<_> =
            stayers.into_iter().map(|client| scope.spawn(move || stay(client))).collect();
        let visitors: Vec<_> = (0..VISITORS)
            .map(|i| {
                let (resp3, pattern, stop) = (i % 2 == 0, i % 3 == 0, &stop);
                let client = if resp3 { server.client3() } else { server.client() };
                scope.spawn(move || visit(client, resp3, pattern, i as u64, stop))
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|who| {
                let client = server.client();
                scope.spawn(move || publish(client, who))
            })
            .collect();
        let join = |threads: Vec<std::thread::ScopedJoinHandle<'_, i64>>| -> i64 {
            threads.into_iter().map(|thread| thread.join().expect("the thread succeeds")).sum()
        };
        let sent = join(publishers);
        stop.store(true, Ordering::Relaxed);
        (sent, join(stayers) + join(visitors))
    });
    assert_eq!(sent, received, "what PUBLISH counted and what came");
    drop(ballast);
    let mut client = server.client();
    let gone = crate::support::eventually(std::time::Duration::from_secs(10), || {
        client.run("PUBSUB CHANNELS") == Value::Array(Vec::new())
            && client.run("PUBSUB NUMPAT") == Value::Int(0)
    });
    assert!(gone);
}
