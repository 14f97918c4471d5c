//! Connections that begin something and do not go on, and connections that are reset.
//!
//! `DUNLIN_CROWD` sets their number: 10000 takes some minutes in a debug build.

use crate::support::{Server, Value, alone, eventually};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn crowd() -> u32 {
    std::env::var("DUNLIN_CROWD").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000)
}

/// Connects from one of several addresses of this machine: each has its own ports.
fn connect(server: &Server, number: u32) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 2)) + number % 16);
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(&server.address().into()).expect("the server accepts");
    socket.into()
}

fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

#[test]
fn half_commands_hold_up_nobody_and_end() {
    let _alone = alone();
    let server = Server::dunlin(&["--partial-command-timeout", "3", "--maxclients", "15000"]);
    let mut witness = server.client();
    assert_eq!(witness.run("PING"), pong());
    let idle = server.fds();
    let mut stuck = Vec::new();
    for number in 0..crowd() {
        let mut socket = connect(&server, number);
        socket.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nhal").expect("it is sent");
        stuck.push(socket);
        if number % 100 == 0 {
            assert_eq!(witness.run("PING"), pong());
            assert_eq!(server.client().run("PING"), pong(), "new ones are served as well");
        }
    }
    assert!(eventually(SOON, || server.fds() <= idle), "they are closed at their deadline");
    let counted = format!("client_timeout_disconnections:{}\r\n", crowd());
    let stats = witness.run("INFO stats").text();
    assert!(stats.contains(&counted), "{stats}");
    drop(stuck);
}

#[test]
fn strangers_who_do_not_log_in_hold_up_nobody_and_end() {
    let _alone = alone();
    let server = Server::dunlin(&["--requirepass", "x", "--auth-timeout", "3"]);
    let mut witness = server.client();
    assert_eq!(witness.run("AUTH x"), Value::ok());
    let idle = server.fds();
    let stuck: Vec<_> = (0..crowd() / 2).map(|number| connect(&server, number)).collect();
    let mut other = server.client();
    assert_eq!(other.run("AUTH x"), Value::ok());
    drop(other);
    assert!(eventually(SOON, || server.fds() <= idle), "they are closed at their deadline");
    assert_eq!(witness.run("PING"), pong());
    drop(stuck);
}

#[test]
fn resets_leave_nothing_behind() {
    let _alone = alone();
    let server = Server::dunlin(&[]);
    let mut witness = server.client();
    assert_eq!(witness.run("SET k v"), Value::ok());
    let idle = server.fds();
    let storm = |count: u32| {
        for number in 0..count {
            let mut socket = connect(&server, number);
            let linger = Some(Duration::ZERO);
            SockRef::from(&socket).set_linger(linger).expect("it is an option of every socket");
            // Before it is accepted, before it is read, and while a reply is on its way.
            match number % 3 {
                0 => {}
                1 => socket.write_all(b"*2\r\n$3\r\nGET\r\n").expect("it is sent"),
                _ => socket.write_all(&b"GET k\r\n".repeat(100)).expect("it is sent"),
            }
        }
    };
    storm(crowd());
    assert!(eventually(SOON, || server.fds() <= idle), "descriptors leak");
    let before = server.rss();
    for _ in 0..4 {
        storm(crowd());
        assert_eq!(witness.run("GET k"), Value::bulk("v"));
    }
    assert!(eventually(SOON, || server.fds() <= idle), "descriptors leak");
    let one = "connected_clients:1\r\n";
    assert!(eventually(SOON, || witness.run("INFO clients").text().contains(one)));
    let grown = server.rss().saturating_sub(before);
    // Less than the buffers of a thousandth part of them.
    assert!(grown < 16 << 20, "{grown} bytes more after the resets");
}
