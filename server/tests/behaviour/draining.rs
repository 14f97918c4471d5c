//! The end of the process under load: clients that keep pools of connections, as the usual libraries
//! do, lose nothing that was acknowledged, and no connection is reset.
//!
//! `DUNLIN_DRAIN_REQUESTS`: so many acknowledged requests in all (50,000 unless set), of which no more
//! than [`PER_ROUND`] count for one process.

use crate::support::client::command;
use crate::support::process::{Server, scratch_dir};
use crate::support::{Client, Rng, Value, eventually};
use socket2::SockRef;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const POOLS: usize = 4;
const CONNECTIONS: usize = 5;
/// Acknowledged requests after which a process is told to end. More may follow until it has.
const PER_ROUND: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection of a pool. It counts with INCR, so every reply says which request it answers.
struct Counting {
    stream: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
    sent: u64,
    acknowledged: u64,
}

impl Counting {
    fn new(address: SocketAddr, pool: usize, number: usize) -> Counting {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        let request = command(&["INCR", &format!("n:{pool}:{number}")]);
        Counting { stream, request, received: Vec::new(), sent: 0, acknowledged: 0 }
    }

    /// Sends a pipeline in pieces, the last of which may end inside of a command: then the rest
    /// follows. False: the server takes no more.
    fn send(&mut self, rng: &mut Rng) -> bool {
        let count = 1 + rng.below(64);
        let pipeline = self.request.repeat(count);
        let cut = rng.below(pipeline.len());
        for piece in [&pipeline[..cut], &pipeline[cut..]] {
            if self.stream.write_all(piece).is_err() {
                return false;
            }
        }
        self.sent += count as u64;
        true
    }

    /// Reads once and looks at every whole reply; false: the end of the stream.
    fn receive(&mut self) -> bool {
        let mut room = [0; 4096];
        let came = match self.stream.read(&mut room) {
            Ok(came) => came,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => panic!("{error} after {} of {}", self.acknowledged, self.sent),
        };
        self.received.extend(&room[..came]);
        let mut replies = 0;
        for reply in self.received.split_inclusive(|c| *c == b'\n').filter(|r| r.ends_with(b"\n")) {
            self.acknowledged += 1;
            let expected = format!(":{}\r\n", self.acknowledged);
            assert_eq!(String::from_utf8_lossy(reply), expected, "lost or out of order");
            replies += reply.len();
        }
        self.received.drain(..replies);
        came > 0
    }

    /// Reads until the server ends the connection.
    fn read_to_end(&mut self) {
        while self.receive() {}
        assert!(self.received.is_empty(), "an end in the middle of a reply: {:?}", self.received);
        assert!(self.acknowledged <= self.sent + 64);
    }
}

/// Works with a pool until the server goes away, then reads all its connections to the end.
fn work(address: SocketAddr, pool: usize, seed: u64, acknowledged: &AtomicU64) {
    let mut rng = Rng::part(seed, pool as u64);
    // One is never used, as in any pool that has seen more traffic.
    let mut all: Vec<_> = (0..CONNECTIONS).map(|n| Counting::new(address, pool, n)).collect();
    'load: loop {
        let one = &mut all[1 + rng.below(CONNECTIONS - 1)];
        if !one.send(&mut rng) {
            break;
        }
        let before = one.acknowledged;
        while one.acknowledged < one.sent {
            if !one.receive() {
                break 'load;
            }
        }
        acknowledged.fetch_add(one.acknowledged - before, Ordering::Relaxed);
    }
    all.iter_mut().for_each(Counting::read_to_end);
}

/// How a process is told to end in a round.
fn end(server: &Server, round: u64) {
    match round % 4 {
        0 | 1 => server.signal("TERM"),
        2 => server.signal("INT"),
        _ => server.client().send_command(&["SHUTDOWN", "NOSAVE"]),
    }
}

#[test]
fn pooled_clients_lose_nothing_and_are_not_reset() {
    let wanted = std::env::var("DUNLIN_DRAIN_REQUESTS").ok().and_then(|v| v.parse().ok());
    let wanted: u64 = wanted.unwrap_or(50_000);
    let seed = Rng::random_seed();
    println!("seed {seed}");
    let mut total = 0;
    let rounds = wanted.div_ceil(PER_ROUND);
    for round in 0..rounds {
        let workers = (1 + round % 2).to_string();
        let drain = if round % 4 == 1 { "1" } else { "0" };
        let mut server = Server::dunlin(&["--workers", &workers, "--drain-seconds", drain]);
        let (address, acknowledged) = (server.address(), AtomicU64::new(0));
        thread::scope(|scope| {
            for pool in 0..POOLS {
                let (acknowledged, seed) = (&acknowledged, seed + round);
                scope.spawn(move || work(address, pool, seed, acknowledged));
            }
            let reached =
                eventually(PATIENCE, || acknowledged.load(Ordering::Relaxed) >= PER_ROUND);
            assert!(reached, "round {round}: the load does not run");
            end(&server, round);
        });
        let status = server.wait(PATIENCE);
        assert!(status.is_some_and(|status| status.success()), "round {round}: {status:?}");
        total += acknowledged.into_inner();
    }
    println!("{total} requests acknowledged by {rounds} processes");
}

#[test]
fn a_client_that_writes_before_it_reads_gets_whole_replies_and_the_end() {
    let mut server = Server::dunlin(&[]);
    let mut control = server.client();
    let address = server.address();
    let writer = thread::spawn(move || {
        let mut one = Counting::new(address, 0, 0);
        one.stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        let pipeline = one.request.repeat(400_000);
        // What the server does not take any more is not answered, but it takes it from the wire.
        let whole = one.stream.write_all(&pipeline);
        one.sent = 400_000;
        one.read_to_end();
        (whole.is_ok(), one.acknowledged)
    });
    assert!(eventually(PATIENCE, || control.run("GET n:0:0") != Value::NullBulk));
    server.signal("TERM");
    let (_, acknowledged) = writer.join().expect("no reset, nothing out of order");
    assert!(acknowledged > 0);
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
}

#[test]
fn while_it_drains_it_serves_those_who_are_there_until_they_go() {
    let mut server = Server::dunlin(&["--drain-seconds", "60", "--shutdown-timeout", "120"]);
    let mut client = server.client();
    client.run("PING");
    // A client whose connection nobody has accepted yet when the signal comes.
    server.signal("TERM");
    let closed = eventually(PATIENCE, || Client::tcp(server.address()).is_err());
    assert!(closed, "somebody new is let in");
    assert_eq!(client.run("SET a 1"), Value::ok());
    let late = client.run("SHUTDOWN ABORT");
    assert!(late.is_error(), "{late:?}");
    assert!(server.is_running());
    drop(client);
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()), "waits for nobody");
}

#[test]
fn the_drain_ends_with_the_next_signal_or_shutdown() {
    for how in ["TERM", "INT", "SHUTDOWN"] {
        let mut server = Server::dunlin(&["--drain-seconds", "60", "--shutdown-timeout", "120"]);
        let mut client = server.client();
        client.run("PING");
        server.signal("TERM");
        assert!(eventually(PATIENCE, || server.log().contains("serving on")));
        match how {
            "SHUTDOWN" => client.send_command(&["SHUTDOWN"]),
            signal => server.signal(signal),
        }
        assert_eq!(client.read_to_close(), Ok(Vec::new()), "{how}");
        assert!(server.wait(PATIENCE).is_some_and(|status| status.success()), "{how}");
    }
    // At a terminal nobody wants to wait.
    let mut server = Server::dunlin(&["--drain-seconds", "60", "--shutdown-timeout", "120"]);
    let mut client = server.client();
    client.run("PING");
    server.signal("INT");
    assert_eq!(client.read_to_close(), Ok(Vec::new()));
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
}

#[test]
fn who_waits_or_is_paused_gets_earlier_replies_and_the_end() {
    let mut server = Server::dunlin(&[]);
    let (mut control, mut blocked, mut paused) =
        (server.client(), server.client(), server.client());
    let pipeline = [command(&["SET", "a", "1"]), command(&["BLPOP", "k", "0"])].concat();
    blocked.send(&[pipeline, command(&["PING"]).repeat(1000)].concat());
    assert!(eventually(PATIENCE, || {
        control.run("INFO clients").text().contains("blocked_clients:1\r\n")
    }));
    control.run("CLIENT PAUSE 100000 ALL");
    paused.send(&command(&["PING"]).repeat(1000));
    thread::sleep(Duration::from_millis(50));
    server.signal("TERM");
    assert_eq!(blocked.read_to_close(), Ok(b"+OK\r\n".to_vec()));
    assert_eq!(paused.read_to_close(), Ok(Vec::new()));
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
}

#[test]
fn who_has_to_read_before_it_is_served_is_when_it_reads() {
    let mut server = Server::dunlin(&["--client-output-pause", "64kb"]);
    let (mut control, mut client) = (server.client(), server.client());
    let value = vec![b'v'; 256 * 1024];
    assert_eq!(control.call(&[b"SET".as_slice(), b"big", &value]), Value::ok());
    // More than the kernel holds.
    SockRef::from(client.socket()).set_recv_buffer_size(512 * 1024).expect("an option");
    client.send(&command(&["GET", "big"]).repeat(40));
    let held_back = || control.run("INFO overload").text().contains("clients_held_back:1\r\n");
    assert!(eventually(PATIENCE, held_back));
    server.signal("TERM");
    assert!(eventually(PATIENCE, || server.log().contains("SIGTERM received")));
    // It was busy with something else.
    thread::sleep(Duration::from_millis(100));
    for number in 0..40 {
        assert!(client.recv() == Value::Bulk(value.clone()), "reply {number}");
    }
    assert_eq!(client.read_to_close(), Ok(Vec::new()));
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
}

#[test]
fn what_was_published_before_the_end_is_received() {
    let mut server = Server::dunlin(&[]);
    let (mut control, mut subscriber) = (server.client(), server.client());
    subscriber.run("SUBSCRIBE news");
    // More than the kernel and the replies hold: the rest waits as messages.
    let text = "m".repeat(64 * 1024);
    for _ in 0..300 {
        assert_eq!(control.call(&["PUBLISH", "news", &text]), Value::Int(1));
    }
    server.signal("TERM");
    assert!(eventually(PATIENCE, || server.log().contains("SIGTERM received")));
    for number in 0..300 {
        let message = subscriber.recv().items();
        assert_eq!(message[2].text().len(), text.len(), "message {number}");
    }
    assert_eq!(subscriber.read_to_close(), Ok(Vec::new()));
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
}

#[test]
fn a_command_that_arrives_by_half_is_waited_for() {
    let mut server = Server::dunlin(&[]);
    let mut client = server.client();
    let set = command(&["SET", "a", "whole"]);
    client.send(&set[..20]);
    thread::sleep(Duration::from_millis(50));
    server.signal("TERM");
    assert!(eventually(PATIENCE, || server.log().contains("SIGTERM received")));
    client.send(&set[20..]);
    // On a busy machine the rest may come too late: then there is no reply, but an end.
    let rest = client.read_to_close().expect("an end");
    assert!(rest == b"+OK\r\n" || rest.is_empty(), "{rest:?}");
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
}

#[test]
fn a_worker_that_hangs_does_not_keep_the_process() {
    let args = ["--enable-debug-command", "yes", "--shutdown-timeout", "5", "--workers", "1"];
    let mut server = Server::dunlin(&args);
    let mut client = server.client();
    client.send_command(&["DEBUG", "SLEEP", "100"]);
    thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    let status = server.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(1));
    let log = server.log();
    assert!(log.contains("shutdown-timeout is over") && log.contains("still connected"), "{log}");
}

#[test]
fn those_in_the_queue_of_the_unix_socket_are_let_in_before_it_closes() {
    let dir = scratch_dir("drain");
    let path = dir.join("socket");
    let text = path.to_str().expect("a plain path").to_owned();
    let args = ["--unixsocket", &text, "--workers", "1", "--enable-debug-command", "yes"];
    let mut server = Server::dunlin(&args);
    let mut sleeper = server.client();
    // While the only worker sleeps nobody is accepted.
    sleeper.send_command(&["DEBUG", "SLEEP", "0.4"]);
    thread::sleep(Duration::from_millis(100));
    let mut waiting = Client::unix(&path).expect("the kernel accepts");
    waiting.send_command(&["SET", "a", "1"]);
    let mut also = server.client();
    also.send_command(&["SET", "b", "1"]);
    server.signal("TERM");
    assert_eq!(waiting.read_to_close(), Ok(b"+OK\r\n".to_vec()));
    assert_eq!(also.read_to_close(), Ok(b"+OK\r\n".to_vec()));
    assert!(server.wait(PATIENCE).is_some_and(|status| status.success()));
    let _ = fs::remove_dir_all(dir);
}
