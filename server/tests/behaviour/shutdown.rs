//! SIGTERM and SHUTDOWN.

use crate::support::client::Broken;
use crate::support::process::against_reference;
use crate::support::{Server, Value, command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Writes pipelines until the server closes: replies that came, and whether they were in order.
fn pound(server: &Server, number: usize, go: &Arc<AtomicBool>) -> thread::JoinHandle<(i64, bool)> {
    let mut client = server.client();
    let go = go.clone();
    let key = format!("counter:{number}");
    thread::spawn(move || {
        let pipeline = command(&["INCR", &key]).repeat(64);
        let (mut last, mut ordered) = (0, true);
        while go.load(Ordering::Relaxed) {
            if client.try_send(&pipeline).is_err() {
                break;
            }
            for _ in 0..64 {
                match client.try_recv() {
                    Ok(Value::Int(n)) => {
                        ordered &= n == last + 1;
                        last = n;
                    }
                    Ok(_) => ordered = false,
                    Err(Broken::Closed) => return (last, ordered),
                    Err(_) => return (last, false),
                }
            }
        }
        (last, ordered)
    })
}

#[test]
fn sigterm_under_load_answers_what_it_has_read_and_exits_with_zero() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::dunlin(&[]);
        let go = Arc::new(AtomicBool::new(true));
        let threads: Vec<_> = (0..8).map(|n| pound(&server, n, &go)).collect();
        thread::sleep(Duration::from_millis(200));
        server.signal(signal);
        let status = server.wait(Duration::from_secs(15));
        go.store(false, Ordering::Relaxed);
        let status = status.unwrap_or_else(|| panic!("still running after SIG{signal}"));
        assert!(status.success(), "SIG{signal}: {status}");
        for thread in threads {
            let (last, ordered) = thread.join().expect("no panic");
            assert!(ordered, "a reply was lost or out of order");
            assert!(last > 0, "the load never ran");
        }
    }
}

/// `SCHED_IDLE` of `linux/sched.h`.
#[cfg(target_os = "linux")]
const SCHED_IDLE: i32 = 5;

/// Threads that run only when nobody else wants their processor. The one that ends last takes the memory
/// of the process apart, for which such a thread would need minutes on a busy machine.
#[cfg(target_os = "linux")]
#[test]
fn no_thread_of_the_lowest_priority_is_there_to_end_last() {
    if against_reference() {
        return;
    }
    let server = Server::dunlin(&["--huge-pages", "yes"]);
    let mut client = server.client();
    assert_eq!(client.run("SET k v"), Value::ok());
    // Long enough for every thread to have begun.
    thread::sleep(Duration::from_millis(500));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    for task in tasks {
        // One that has ended meanwhile is none that stays.
        let Ok(stat) = std::fs::read_to_string(task.expect("a thread").path().join("stat")) else {
            continue;
        };
        let (name, fields) = stat.rsplit_once(')').expect("a name in brackets");
        // Field 41 of all, 39 of those behind the name.
        let policy: i32 = fields.split_ascii_whitespace().nth(38).unwrap().parse().unwrap();
        assert_ne!(policy, SCHED_IDLE, "{name}");
    }
}

#[test]
fn a_whole_pipeline_that_arrived_before_sigterm_is_answered() {
    let mut server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("PING");
    // The system takes it for the server, which stands still: it is less than a receive window.
    server.signal("STOP");
    client.send(&command(&["INCR", "n"]).repeat(2_000));
    thread::sleep(Duration::from_millis(100));
    server.signal("TERM");
    server.signal("CONT");
    for n in 1..=2_000 {
        assert_eq!(client.try_recv(), Ok(Value::Int(n)));
    }
    assert!(client.is_closed());
    assert!(server.wait(Duration::from_secs(15)).is_some_and(|s| s.success()));
}

#[test]
fn idle_clients_are_closed_and_nobody_new_is_let_in() {
    let mut server = Server::dunlin(&[]);
    let mut idle: Vec<_> = (0..50).map(|_| server.client()).collect();
    idle.iter_mut().for_each(|c| drop(c.run("PING")));
    server.signal("TERM");
    for client in &mut idle {
        assert_eq!(client.read_to_close(), Ok(Vec::new()));
    }
    assert!(server.wait(Duration::from_secs(15)).is_some_and(|s| s.success()));
    assert!(crate::support::Client::tcp(server.address()).is_err());
}

#[test]
fn the_command_shutdown() {
    for line in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN NOW FORCE"] {
        let mut server = Server::dunlin(&[]);
        let mut client = server.client();
        client.send_command(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(client.read_to_close(), Ok(Vec::new()), "{line}");
        let status = server.wait(Duration::from_secs(15));
        assert!(status.is_some_and(|s| s.success()), "{line}: {status:?}");
    }
    let mut server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("SHUTDOWN ABORT x"), Value::error("ERR syntax error"));
    assert_eq!(client.run("SHUTDOWN MAYBE"), Value::error("ERR syntax error"));
    if !against_reference() {
        assert!(client.run("SHUTDOWN ABORT").is_error());
    }
    assert!(server.is_running());
}
