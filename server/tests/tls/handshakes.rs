//! Those who do not finish their handshake, and those who come meanwhile.

use crate::Secure;
use crate::support::{Value, alone, eventually};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// The first message of a handshake.
fn hello(secure: &Secure) -> Vec<u8> {
    let config = Arc::new(secure.authority.trusting(None));
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(config, name).expect("a session");
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).expect("it fits");
    bytes
}

#[test]
fn who_does_not_go_on_is_dropped_and_holds_up_nobody() {
    let _alone = alone();
    let secure = Secure::start(&["--workers", "1", "--tls-handshake-timeout", "5"]);
    let mut connected = secure.client();
    let descriptors = secure.server.fds();
    let hello = hello(&secure);
    let mut stuck = Vec::new();
    for n in 0..60 {
        let mut socket = TcpStream::connect(secure.address()).expect("it accepts");
        let sent = match n % 3 {
            0 => &hello[..0],
            1 => &hello[..20],
            _ => &hello[..],
        };
        socket.write_all(sent).expect("it is sent");
        stuck.push(socket);
    }
    for _ in 0..20 {
        assert_eq!(connected.run("PING"), Value::Simple(b"PONG".to_vec()));
        assert_eq!(secure.client().run("PING"), Value::Simple(b"PONG".to_vec()));
    }
    for mut socket in stuck {
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut rest = Vec::new();
        // A reset is an end too; only a timeout is none.
        if let Err(error) = socket.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it is still open");
        }
    }
    assert!(eventually(Duration::from_secs(10), || secure.server.fds() <= descriptors));
    assert_eq!(connected.run("PING"), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn with_too_many_half_open_the_oldest_are_dropped() {
    let _alone = alone();
    let open = ["--tls-handshakes-open", "50", "--tls-handshake-timeout", "600"];
    let secure = Secure::start(&[open.as_slice(), &["--workers", "1"]].concat());
    let idle = secure.server.fds();
    let hello = hello(&secure);
    let mut stuck = Vec::new();
    for n in 0..200 {
        let mut socket = TcpStream::connect(secure.address()).expect("it accepts");
        socket.write_all(&hello[..if n % 2 == 0 { 0 } else { 20 }]).expect("it is sent");
        stuck.push(socket);
        if n % 50 == 49 {
            assert_eq!(secure.client().run("PING"), Value::Simple(b"PONG".to_vec()));
        }
    }
    let few = || secure.server.fds() <= idle + 50;
    assert!(eventually(Duration::from_secs(20), few), "more than 50 are kept");
    let info = secure.client().run("INFO overload").text();
    assert!(info.contains("tls_handshakes_completed:5\r\n"), "{info}");
    let dropped = info.lines().find_map(|line| line.strip_prefix("tls_handshakes_dropped:"));
    let dropped: u32 = dropped.and_then(|count| count.parse().ok()).expect("a figure");
    assert!((150..=155).contains(&dropped), "{info}");
}

#[test]
fn those_who_give_up_leave_nothing_behind() {
    let _alone = alone();
    let secure = Secure::start(&["--workers", "1", "--tls-handshakes", "1"]);
    let mut connected = secure.client();
    let idle = secure.server.fds();
    let hello = hello(&secure);
    for n in 0..500 {
        let mut socket = TcpStream::connect(secure.address()).expect("it accepts");
        socket.write_all(&hello).expect("it is sent");
        if n % 100 == 0 {
            assert_eq!(connected.run("PING"), Value::Simple(b"PONG".to_vec()));
            assert_eq!(secure.client().run("PING"), Value::Simple(b"PONG".to_vec()));
        }
    }
    let mut info = String::new();
    let over = eventually(Duration::from_secs(20), || {
        info = connected.run("INFO overload").text();
        info.contains("tls_handshakes_open:0\r\n")
    });
    assert!(over && info.contains("tls_handshakes_in_progress:0\r\n"), "{info}");
    assert!(eventually(Duration::from_secs(20), || secure.server.fds() <= idle));
}

#[test]
fn other_protocols_on_the_port_are_closed() {
    let secure = Secure::start(&[]);
    for junk in [
        b"PING\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 70_000],
        // A record that says it is longer than records are.
        vec![0x16, 3, 1, 0xff, 0xff, 1],
        // A handshake message of 16 MB.
        [vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff], vec![0; 16_380]].concat().repeat(8),
    ] {
        let mut socket = TcpStream::connect(secure.address()).expect("it accepts");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let _ = socket.write_all(&junk);
        let mut rest = Vec::new();
        if let Err(error) = socket.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert!(!rest.starts_with(b"+PONG"));
    }
    assert_eq!(secure.client().run("PING"), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn a_storm_of_connections_is_served() {
    let _alone = alone();
    let secure = Secure::start(&[]);
    let config = Arc::new(secure.authority.trusting(Some(secure.authority.issue("somebody"))));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..40 {
                    let client = crate::support::Client::tls(secure.address(), config.clone());
                    let pong = client.expect("it gets in").run("PING");
                    assert_eq!(pong, Value::Simple(b"PONG".to_vec()));
                }
            });
        }
    });
}

#[test]
fn handshakes_count_as_clients_and_end_with_the_server() {
    let mut secure = Secure::start(&["--maxclients", "20"]);
    let stuck: Vec<_> = (0..30).map(|_| TcpStream::connect(secure.address())).collect();
    // No more than there is room for: the rest was closed without a word. Who is let in before them
    // stays, because the place would be free again when it is their turn no more.
    let mut served = Vec::new();
    assert!(eventually(Duration::from_secs(5), || {
        let mut client = secure.server.client();
        let answer = client.try_recv_after(b"PING\r\n");
        served.push(client);
        answer == Ok(Value::error("ERR max number of clients reached"))
    }));
    assert!(served.len() < 20, "handshakes take no places");
    secure.server.signal("TERM");
    let end = secure.server.wait(Duration::from_secs(4));
    assert!(end.is_some_and(|status| status.success()), "it waits for handshakes");
    drop(stuck);
}
