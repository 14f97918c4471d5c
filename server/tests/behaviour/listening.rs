//! CONFIG SET of what the server listens on.

use crate::support::process::free_port;
use crate::support::{Client, Server, Value, eventually};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// Whether a new connection is served there.
fn serves(address: SocketAddr) -> bool {
    let Ok(mut client) = Client::tcp(address) else { return false };
    client.set_patience(Duration::from_secs(20));
    client.try_send(b"PING\r\n").is_ok() && client.try_recv().is_ok()
}

fn closed(address: SocketAddr) -> bool {
    eventually(Duration::from_secs(20), || !serves(address))
}

fn refused(reply: Value, name: &str, why: &str) {
    let text = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    assert_eq!(reply.error_text().as_deref(), Some(text.as_str()));
}

#[test]
fn the_port_changes_and_connections_stay() {
    let server = Server::dunlin(&["--bind", "127.0.0.1"]);
    let mut client = server.client();
    let (old, new) = (server.port(), free_port());
    assert_eq!(client.run(&format!("CONFIG SET port {new}")), Value::ok());
    assert!(serves(at("127.0.0.1", new)) && closed(at("127.0.0.1", old)));
    assert_eq!(client.run("PING"), Value::Simple("PONG".into()));
    assert!(client.run("INFO server").text().contains(&format!("\r\ntcp_port:{new}\r\n")));
    // And back; the port was given up as a whole.
    assert_eq!(client.run(&format!("CONFIG SET port {old}")), Value::ok());
    assert!(serves(at("127.0.0.1", old)) && closed(at("127.0.0.1", new)));
    refused(client.run("CONFIG SET port 0"), "port", "The server would listen nowhere.");
    assert!(serves(at("127.0.0.1", old)));
}

#[test]
fn a_port_that_is_taken_changes_nothing() {
    let server = Server::dunlin(&["--bind", "127.0.0.1", "--maxmemory", "100mb"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it listens").port();
    let mut client = server.client();
    let reply = client.run(&format!("CONFIG SET maxmemory 50mb port {port}"));
    refused(reply, "port", "Unable to listen on this port. Check server logs.");
    assert!(serves(server.address()));
    let kept = client.run("CONFIG GET port").items()[1].text();
    assert_eq!(kept, server.port().to_string());
    assert_eq!(client.run("CONFIG GET maxmemory").items()[1], Value::bulk("104857600"));
}

#[test]
fn addresses_come_and_go() {
    let server = Server::dunlin(&["--bind", "127.0.0.1"]);
    let mut client = server.client();
    let port = server.port();
    let (one, two) = (at("127.0.0.1", port), at("127.0.0.2", port));
    assert!(!serves(two));
    assert_eq!(client.call(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]), Value::ok());
    assert!(serves(one) && serves(two));
    assert_eq!(client.call(&["CONFIG", "SET", "bind", "127.0.0.2"]), Value::ok());
    assert!(serves(two) && closed(one));
    assert_eq!(client.run("CONFIG GET bind").items()[1], Value::bulk("127.0.0.2"));

    // Strangers need a password.
    let text = client.run("CONFIG SET bind *").error_text().expect("refused");
    assert!(text.contains("'bind') - refusing to serve '*' without a password"), "{text}");
    assert_eq!(client.run("CONFIG SET protected-mode no"), Value::ok());
    // What is open stands in the way of everything.
    assert_eq!(client.run("CONFIG SET bind *"), Value::ok());
    assert!(serves(one) && serves(two));
    // TEST-NET-1: no machine has it.
    let reply = client.call(&["CONFIG", "SET", "bind", "127.0.0.1 192.0.2.1"]);
    refused(reply, "bind", "Failed to bind to specified addresses.");
    assert!(serves(one) && serves(two), "as before");
    assert_eq!(client.call(&["CONFIG", "SET", "bind", "127.0.0.1 -192.0.2.1"]), Value::ok());
    assert!(serves(one) && closed(two));
}

/// The password counts that comes with the address, not the one from before.
#[test]
fn no_directive_opens_it_to_strangers() {
    let server = Server::dunlin(&["--bind", "127.0.0.1"]);
    let mut client = server.client();
    let open = |reply: Value| {
        let text = reply.error_text().expect("refused");
        assert!(text.contains("refusing to serve '*' without a password"), "{text}");
    };
    assert_eq!(client.call(&["CONFIG", "SET", "bind", "*", "requirepass", "secret"]), Value::ok());
    open(client.call(&["CONFIG", "SET", "requirepass", ""]));
    open(client.call(&["CONFIG", "SET", "bind", "*", "requirepass", ""]));
    assert!(server.client().run("PING").is_error(), "the password is still asked for");
    assert_eq!(client.run("CONFIG SET protected-mode no"), Value::ok());
    assert_eq!(client.call(&["CONFIG", "SET", "requirepass", ""]), Value::ok());
    open(client.run("CONFIG SET protected-mode yes"));
    assert_eq!(client.call(&["CONFIG", "SET", "bind", "127.0.0.1"]), Value::ok());
    assert_eq!(client.run("CONFIG SET protected-mode yes"), Value::ok());
}
