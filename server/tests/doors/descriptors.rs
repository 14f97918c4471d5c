//! File descriptors run out.

use crate::support::{Client, Server, Value, alone, eventually};
use std::process::Command;
use std::time::{Duration, Instant};

const REFUSED: &str = "ERR max number of clients reached";
const SOON: Duration = Duration::from_secs(10);

/// Connects so many clients that say nothing; those who are served, and those who are told that there is
/// no place. Everybody else fails the test.
fn crowd(server: &Server, count: usize) -> (Vec<Client>, usize) {
    let all: Vec<Client> = (0..count).map(|_| server.client()).collect();
    let (mut served, mut refused) = (Vec::new(), 0);
    for mut client in all {
        // A refusal comes unasked; who is served answers.
        if is_answered(&mut client) {
            served.push(client);
        } else {
            assert!(client.is_closed());
            refused += 1;
        }
    }
    (served, refused)
}

/// Whether the client is served; otherwise it has been told that there is no place.
fn is_answered(client: &mut Client) -> bool {
    // Who is told so may be disconnected before it has said anything, and can still read why.
    let _ = client.try_send(b"PING\r\n");
    match client.try_recv() {
        Ok(Value::Simple(pong)) if pong == b"PONG" => true,
        Ok(other) => {
            assert_eq!(other, Value::error(REFUSED));
            false
        }
        Err(other) => panic!("closed without a word: {other:?}"),
    }
}

/// Processor time of the server in so much time.
fn cpu_during(server: &Server, time: Duration) -> f64 {
    let (before, start) = (server.cpu(), Instant::now());
    std::thread::sleep(time);
    (server.cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64()
}

fn is_served(server: &Server) -> bool {
    Client::tcp(server.address()).is_ok_and(|mut client| {
        client.try_recv_after(b"PING\r\n") == Ok(Value::Simple(b"PONG".to_vec()))
    })
}

/// The numbers of the descriptors that the server has open without any client.
fn idle_descriptors(server: &Server) -> Vec<u32> {
    // A connection that has just ended may still be open for a moment.
    let samples = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        server.descriptors()
    });
    samples.min_by_key(Vec::len).expect("there are some")
}

/// Lowers the limit of a running server, which has these open, so that `more` are left: the limit is one
/// of numbers, and some that are in use may be above it.
fn leave_only(server: &Server, open: &[u32], more: usize) {
    let free = (0..).filter(|number| !open.contains(number));
    let limit = free.take(more).last().map_or(0, |number| number + 1);
    let (limit, pid) = (format!("--nofile={limit}:{limit}"), server.pid().to_string());
    let done = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit {limit}");
}

#[test]
fn with_64_descriptors_500_clients_are_served_or_told() {
    let _alone = alone();
    let server = Server::dunlin_with_descriptors(64, &["--workers", "2"]);
    let (served, refused) = crowd(&server, 500);
    assert_eq!(served.len() + refused, 500);
    assert!((28..=32).contains(&served.len()), "{} of 32 places are used", served.len());
    let busy = cpu_during(&server, Duration::from_secs(2));
    assert!(busy < 0.2, "{busy} of a processor at rest");
    drop(served);
    assert!(eventually(SOON, || is_served(&server)), "places that are free again are given");
}

#[test]
fn without_descriptors_clients_are_told_and_nothing_spins() {
    let _alone = alone();
    let server = Server::dunlin_with_descriptors(256, &["--workers", "2"]);
    let idle = idle_descriptors(&server);
    leave_only(&server, &idle, 5);
    let (served, refused) = crowd(&server, 200);
    assert!((4..=5).contains(&served.len()), "{} of 5 places are used", served.len());
    assert_eq!(served.len() + refused, 200);
    let busy = cpu_during(&server, Duration::from_secs(2));
    assert!(busy < 0.2, "{busy} of a processor at rest");
    // Again and again, and those who are connected are served meanwhile.
    let mut served = served;
    for _ in 0..5 {
        let (more, refused) = crowd(&server, 30);
        assert_eq!((more.len(), refused), (0, 30));
        for client in &mut served {
            assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
        }
    }
    drop(served);
    assert!(eventually(SOON, || is_served(&server)), "it recovers");
    assert!(eventually(SOON, || server.fds() <= idle.len()), "nothing leaks");
}

#[test]
fn one_listener_does_not_hold_up_another() {
    let _alone = alone();
    let path = std::env::temp_dir().join(format!("dunlin-doors-{}", std::process::id()));
    let path = path.to_str().expect("a plain path");
    let server = Server::dunlin_with_descriptors(256, &["--unixsocket", path, "--workers", "1"]);
    let idle = idle_descriptors(&server);
    leave_only(&server, &idle, 2);
    // TCP clients who come again and again keep their listener in trouble.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = crowd(&server, 40);
            }
        });
        for _ in 0..2000 {
            let mut client = Client::unix(std::path::Path::new(path)).expect("it connects");
            is_answered(&mut client);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(eventually(SOON, || server.fds() <= idle.len()), "nothing leaks");
}
