//! Workers that are parked and called.

use crate::support::{Client, Value, command, eventually};
use crate::{connections, field, number, start};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
/// Everything a hundred times as fast.
const QUICK: [&str; 4] = ["--placement-window", "10", "--hz", "100"];

#[track_caller]
fn wait_for_workers(admin: &mut Client, active: i64) {
    let reached = eventually(LIMIT, || number(admin, "workers_active") == active);
    assert!(reached, "{} workers are active", number(admin, "workers_active"));
}

#[test]
fn idle_workers_are_parked_with_their_connections_elsewhere_and_called_by_a_crowd() {
    let server = start(&QUICK);
    let mut admin = server.client();
    let mut clients: Vec<Client> = (0..9).map(|_| server.client()).collect();
    wait_for_workers(&mut admin, 1);
    let parked = |admin: &mut Client| {
        (1..4).all(|worker| field(admin, &format!("worker_{worker}")).starts_with("state=parked"))
    };
    assert!(eventually(LIMIT, || parked(&mut admin)));
    assert_eq!(connections(&mut admin, 0), 10, "all of them are on the first");
    for client in &mut clients {
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
    }
    // Everything that workers do in the background goes on without them.
    for n in 0..200 {
        admin.run(&format!("SET key:{n} v PX 20"));
    }
    assert!(eventually(LIMIT, || admin.run("DBSIZE") == Value::Int(0)));
    // Many at once: in one window, however slow this machine is.
    admin.run("CONFIG SET placement-window 60000");
    std::thread::sleep(Duration::from_millis(100));
    let crowd: Vec<Client> = (0..60).map(|_| server.client()).collect();
    let spread = eventually(LIMIT, || {
        (1..4).map(|worker| connections(&mut admin, worker)).sum::<i64>() >= 10
    });
    assert!(spread, "{}", admin.run("INFO workers").text());
    assert!(number(&mut admin, "workers_active") > 1);
    drop(crowd);
}

#[test]
fn a_worker_with_a_client_that_waits_is_not_parked() {
    let server = start(&QUICK);
    let mut admin = server.client();
    // On every worker somebody listens.
    let mut listeners: Vec<Client> = Vec::new();
    let everywhere = eventually(LIMIT, || {
        let mut listener = server.client();
        listener.run("SUBSCRIBE news");
        listeners.push(listener);
        (0..4).all(|worker| connections(&mut admin, worker) > 1)
    });
    assert!(everywhere);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(number(&mut admin, "workers_active"), 4);
    for listener in &mut listeners {
        listener.run("UNSUBSCRIBE");
    }
    wait_for_workers(&mut admin, 1);
}

#[test]
fn the_least_can_be_set_while_it_runs() {
    let server = start(&QUICK);
    let mut admin = server.client();
    wait_for_workers(&mut admin, 1);
    admin.run("CONFIG SET workers-min 3");
    wait_for_workers(&mut admin, 3);
    admin.run("CONFIG SET workers-min 0");
    wait_for_workers(&mut admin, 4);
}

#[test]
fn a_deep_queue_calls_workers_and_gives_them_connections() {
    let server = start(&QUICK);
    let mut admin = server.client();
    wait_for_workers(&mut admin, 1);
    // Slowly, so that they are no crowd.
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..40 {
        clients.push(server.client());
        std::thread::sleep(Duration::from_millis(5));
    }
    let (pipeline, stop) = (command(&["INCR", "n"]).repeat(500), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    client.send(&pipeline);
                    (0..500).for_each(|_| drop(client.recv()));
                }
            });
        }
        let called = eventually(LIMIT, || {
            (1..4).map(|worker| connections(&mut admin, worker)).sum::<i64>() > 5
        });
        stop.store(true, Ordering::Relaxed);
        assert!(called, "{}", admin.run("INFO workers").text());
    });
}
