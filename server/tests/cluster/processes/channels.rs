//! Channels of a whole cluster: a message reaches whoever has subscribed, on whichever node; a sharded
//! channel is where its slot is, and goes with it.

use super::super::support::{Client, Value, alone};
use super::nodes::Nodes;
use std::time::{Duration, Instant};

/// A message may take so long to come from another node.
const LATE: Duration = Duration::from_secs(20);

fn subscribe(nodes: &Nodes, lines: &[&str]) -> Vec<Client> {
    let subscriber = |at: usize| {
        let mut client = nodes.nodes[at].client();
        client.set_patience(LATE);
        for line in lines {
            let answer = client.run(line).items();
            assert!(answer[0].text().ends_with("subscribe"), "{line}: {answer:?}");
        }
        client
    };
    (0..nodes.nodes.len()).map(subscriber).collect()
}

fn message(kind: &str, channel: &str, text: &str) -> Vec<Value> {
    [kind, channel, text].map(Value::bulk).into()
}

#[test]
fn messages_reach_subscribers_of_all_nodes() {
    let _alone = alone();
    let nodes = Nodes::cluster(3, &[]);
    let mut subscribers = subscribe(&nodes, &["SUBSCRIBE news", "PSUBSCRIBE n*s"]);
    for (at, node) in nodes.nodes.iter().enumerate() {
        // Each counts those of its own, as in Redis.
        let text = format!("from {at}");
        let mut client = node.client();
        assert_eq!(client.call(&["PUBLISH", "news", &text]), Value::Int(2));
        assert_eq!(client.call(&["PUBLISH", "other", &text]), Value::Int(0));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.recv().items(), message("message", "news", &text));
            let last = subscriber.recv().items();
            assert_eq!(last[..2], ["pmessage", "n*s"].map(Value::bulk));
            assert_eq!(last[2..], ["news", text.as_str()].map(Value::bulk));
        }
    }
    // In transactions and scripts, too.
    let mut client = nodes.nodes[1].client();
    client.run("MULTI");
    client.run("PUBLISH news transaction");
    client.run("EXEC");
    let script = "return redis.call('PUBLISH', 'news', 'script')";
    assert_eq!(client.call(&["EVAL", script, "0"]), Value::Int(2));
    for subscriber in &mut subscribers {
        for text in ["transaction", "script"] {
            assert_eq!(subscriber.recv().items(), message("message", "news", text));
            subscriber.recv();
        }
    }
}

/// The node that has the slot of a sharded channel, as another one says.
fn owner(nodes: &Nodes, channel: &str) -> usize {
    let answer = nodes.nodes[0].client().run(&format!("SPUBLISH {channel} who"));
    let Some(text) = answer.error_text() else { return 0 };
    let address = text.rsplit(' ').next().expect("an address");
    let found = nodes.nodes.iter().position(|node| node.address().to_string() == address);
    found.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn sharded_channels_go_where_their_slots_go() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &["--cluster-linger", "5"]);
    let channels: Vec<String> = (0..60).map(|n| format!("channel:{n}")).collect();
    let owners: Vec<usize> = channels.iter().map(|channel| owner(&nodes, channel)).collect();
    assert!((0..3).all(|at| owners.contains(&at)));
    let listens = |nodes: &Nodes, channel: &str, at: usize| {
        let mut client = nodes.nodes[at].client();
        client.set_patience(LATE);
        assert_eq!(client.run(&format!("SSUBSCRIBE {channel}")).items()[0].text(), "ssubscribe");
        client
    };
    let mut clients: Vec<Client> =
        channels.iter().zip(&owners).map(|(channel, at)| listens(&nodes, channel, *at)).collect();
    let fourth = nodes.start();
    nodes.tool(&["add-node", &nodes.address(fourth), &nodes.address(0)]);
    nodes.settle();
    let began = Instant::now();
    let mut gone = 0;
    for ((channel, before), client) in channels.iter().zip(&owners).zip(&mut clients) {
        let now = owner(&nodes, channel);
        if now != *before {
            gone += 1;
            let told = client.recv().items();
            assert_eq!(told[..2], ["sunsubscribe", channel].map(Value::bulk), "{channel}");
            *client = listens(&nodes, channel, now);
        }
        let mut publisher = nodes.nodes[now].client();
        assert_eq!(publisher.run(&format!("SPUBLISH {channel} here")), Value::Int(1));
        let text = loop {
            let text = client.recv().items().last().map(Value::text);
            // Those who asked for the owner have published there.
            if text.as_deref() != Some("who") {
                break text;
            }
            assert!(began.elapsed() < 3 * LATE, "{channel}");
        };
        assert_eq!(text.as_deref(), Some("here"), "{channel}");
    }
    assert!(gone > 0, "nothing has moved");
}
