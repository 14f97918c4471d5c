//! Rights to channels.

use crate::support::{Client, Server, Value};
use crate::{array, push};

fn refused() -> Value {
    Value::error("NOPERM No permissions to access a channel")
}

fn login(server: &Server, user: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.call(&["AUTH", user, "pw"]), Value::ok());
    client
}

#[test]
fn channels_need_a_right() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER bird on >pw resetchannels &news:* +@all"), Value::ok());
    let mut bird = login(&server, "bird");
    assert_eq!(bird.run("PUBLISH news:1 x"), Value::Int(0));
    assert_eq!(bird.run("PUBLISH other x"), refused());
    assert_eq!(bird.run("SPUBLISH other x"), refused());
    assert_eq!(bird.run("SUBSCRIBE news:1 other"), refused());
    assert_eq!(bird.run("SSUBSCRIBE other"), refused());
    // A pattern has to be one of the user's own to the letter.
    assert_eq!(bird.run("PSUBSCRIBE news:1*"), refused());
    assert_eq!(bird.run("PSUBSCRIBE news:*"), array("psubscribe news:* 1"));
    assert_eq!(bird.run("SUBSCRIBE news:1"), array("subscribe news:1 2"));
    // What is given up needs no right.
    assert_eq!(bird.run("UNSUBSCRIBE other"), array("unsubscribe other 2"));
    let log = admin.run("ACL LOG 1").items()[0].items();
    let field = |name: &str| {
        let at = log.iter().position(|item| *item == Value::bulk(name)).expect(name);
        log[at + 1].text()
    };
    assert_eq!(field("reason"), "channel");
    assert_eq!(field("object"), "news:1*");
    assert_eq!(field("username"), "bird");
}

#[test]
fn subscribers_who_lose_a_channel_are_closed() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER bird on >pw resetchannels &a &b &p* +@all"), Value::ok());
    assert_eq!(admin.run("ACL SETUSER fish on >pw allchannels +@all"), Value::ok());
    let mut channel = login(&server, "bird");
    assert_eq!(channel.run("SUBSCRIBE a"), array("subscribe a 1"));
    let mut sharded = login(&server, "bird");
    assert_eq!(sharded.run("SSUBSCRIBE a"), array("ssubscribe a 1"));
    let mut pattern = login(&server, "bird");
    assert_eq!(pattern.run("PSUBSCRIBE p*"), array("psubscribe p* 1"));
    let mut kept = login(&server, "bird");
    assert_eq!(kept.run("SUBSCRIBE b"), array("subscribe b 1"));
    let mut other = login(&server, "fish");
    assert_eq!(other.run("SUBSCRIBE a"), array("subscribe a 1"));

    assert_eq!(admin.run("ACL SETUSER bird resetchannels &b"), Value::ok());
    for closed in [&mut channel, &mut sharded, &mut pattern] {
        assert!(closed.is_closed());
    }
    assert_eq!(admin.run("PUBLISH b x"), Value::Int(1));
    assert_eq!(kept.recv(), array("message b x"));
    assert_eq!(admin.run("PUBLISH a x"), Value::Int(1));
    assert_eq!(other.recv(), array("message a x"));
}

#[test]
fn who_takes_a_channel_from_itself_gets_the_reply() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER bird on >pw allchannels +@all"), Value::ok());
    let mut bird = login(&server, "bird");
    assert!(!bird.run("HELLO 3").is_error());
    assert_eq!(bird.run("SUBSCRIBE a"), push("subscribe a 1"));
    assert_eq!(bird.run("ACL SETUSER bird resetchannels &b"), Value::ok());
    assert!(bird.is_closed());
}
