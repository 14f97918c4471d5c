//! New connections while the server is overloaded.

use crate::overload;
use crate::support::{Client, Server, Value, eventually};
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Long enough for whatever happens at all.
const SOON: Duration = Duration::from_secs(60);
const CROWD: usize = 200;

/// Keeps the server overloaded, against a target that any company is above, until it is told to stop.
fn press(mut clients: Vec<Client>, stop: &AtomicBool) {
    let pings = b"PING\r\n".repeat(1_000);
    while !stop.load(Ordering::Relaxed) {
        clients.iter_mut().for_each(|client| client.send(&pings));
        clients.iter_mut().for_each(|client| (0..1_000).for_each(|_| drop(client.recv())));
    }
}

/// Many who ask for something and say that it was all, and as many who are gone at once. Those who
/// read their replies.
fn come_and_go(server: &Server) -> Vec<TcpStream> {
    let mut readers = Vec::new();
    for number in 0..CROWD {
        let mut socket = TcpStream::connect(server.address()).expect("there is room in the queue");
        socket.write_all(b"PING\r\n").expect("it is sent");
        if number % 2 == 0 {
            socket.shutdown(Shutdown::Write).expect("it is connected");
            readers.push(socket);
        } else {
            let linger = Some(Duration::ZERO);
            SockRef::from(&socket).set_linger(linger).expect("an option of every socket");
        }
    }
    readers
}

#[test]
fn who_has_gone_does_not_take_the_place_of_others() {
    let args = ["--workers", "1", "--overload-target-delay", "1", "--overload-interval", "10"];
    let server = Server::dunlin(&args);
    let (clients, stop) = ((0..20).map(|_| server.client()).collect(), AtomicBool::new(false));
    let mut watcher = server.client();
    thread::scope(|scope| {
        scope.spawn(|| press(clients, &stop));
        let seen = eventually(SOON, || {
            let limited = overload(&mut watcher)["accept_rate_limit"] != "0";
            if !limited {
                return false;
            }
            for mut reader in come_and_go(&server) {
                reader.set_read_timeout(Some(SOON)).expect("it is not zero");
                let mut reply = Vec::new();
                reader.read_to_end(&mut reply).expect("it is answered, and then closed");
                assert_eq!(reply, b"+PONG\r\n");
            }
            // The limit may have been lifted while they came.
            let gone: usize = overload(&mut watcher)["accepts_gone"].parse().expect("a number");
            gone >= CROWD / 2
        });
        stop.store(true, Ordering::Relaxed);
        assert!(seen, "all of them have waited");
    });
    assert_eq!(watcher.run("PING"), Value::Simple(b"PONG".to_vec()));
}
