//! Sharded channels belong to slots: they go where their slot goes.

use crate::support::{Server, Value};

fn gone(name: &str, left: i64) -> Vec<Value> {
    vec![Value::bulk("sunsubscribe"), Value::bulk(name), Value::Int(left)]
}

fn give(server: &Server, slot: u16) {
    let line = format!("DEBUG SLOTS GIVE {slot} {slot} 127.0.0.1 1");
    assert_eq!(server.client().run(&line), Value::ok());
}

#[test]
fn subscribers_are_told_when_a_slot_goes() {
    for hello in ["HELLO 2", "HELLO 3"] {
        let server = crate::node(&[]);
        let mut subscriber = server.client();
        subscriber.run(hello);
        for name in ["foo", "bar"] {
            subscriber.run(&format!("SSUBSCRIBE {name}"));
        }
        assert_eq!(server.client().run("SPUBLISH foo x"), Value::Int(1));
        give(&server, 12_182);
        let message = subscriber.recv();
        assert_eq!(message.items().last(), Some(&Value::bulk("x")), "what came before comes first");
        assert_eq!(subscriber.recv().items(), gone("foo", 1));
        let moved = "MOVED 12182 127.0.0.1:1";
        crate::refused(&mut subscriber, "SSUBSCRIBE foo", moved);
        crate::refused(&mut server.client(), "SPUBLISH foo x", moved);
        assert_eq!(server.client().run("SPUBLISH bar x"), Value::Int(1));
        subscriber.recv();
        give(&server, 5_061);
        assert_eq!(subscriber.recv().items(), gone("bar", 0));
        // Nothing is left: in RESP2, too, it is an ordinary connection again.
        assert!(subscriber.run("GET hello").is_null());
        let numbers = server.client().run("PUBSUB SHARDCHANNELS");
        assert!(numbers.items().is_empty(), "{numbers:?}");
    }
}

#[test]
fn ordinary_channels_belong_to_no_slot() {
    let server = crate::node(&[]);
    give(&server, 12_182);
    let mut subscriber = server.client();
    subscriber.run("SUBSCRIBE foo bar");
    subscriber.recv();
    assert_eq!(server.client().run("PUBLISH foo x"), Value::Int(1));
    assert_eq!(subscriber.recv().items().last(), Some(&Value::bulk("x")));
}
