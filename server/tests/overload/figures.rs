//! INFO overload and the directives.

use crate::overload;
use crate::support::{Client, Server, eventually};
use std::thread;
use std::time::Duration;

/// Long enough for whatever happens at all.
const SOON: Duration = Duration::from_secs(30);

/// A figure of the first worker.
fn worker(client: &mut Client, name: &str) -> u64 {
    let info = overload(client);
    let line = &info["overload_worker0"];
    let field = line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    field.expect("it has the figure").parse().expect("a number")
}

#[test]
fn the_run_queue_is_measured_while_there_is_one() {
    let server = Server::dunlin(&["--workers", "1"]);
    let mut client = server.client();
    let ping = b"PING\r\n".repeat(100);
    assert!(
        eventually(SOON, || {
            client.send(&ping);
            (0..100).for_each(|_| drop(client.recv()));
            worker(&mut client, "sojourn_usec_p99") > 0 && worker(&mut client, "runnable") > 0
        }),
        "no figures"
    );
    assert_eq!(worker(&mut client, "overloaded"), 0);
    assert!((8..=512).contains(&worker(&mut client, "turn_commands")));
}

#[test]
fn a_queue_that_stands_is_an_overload_and_ends() {
    // One microsecond: any company at all is a standing queue.
    let args = ["--workers", "1", "--overload-target-delay", "1", "--overload-interval", "10"];
    let server = Server::dunlin(&args);
    let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
    let mut watcher = server.client();
    let pings = b"PING\r\n".repeat(2_000);
    let seen = eventually(SOON, || {
        clients.iter_mut().for_each(|client| client.send(&pings));
        let seen = worker(&mut watcher, "overloaded") == 1;
        clients.iter_mut().for_each(|client| (0..2_000).for_each(|_| drop(client.recv())));
        seen
    });
    assert!(seen, "it is not seen");
    // Against such a target whoever looks is a load.
    let is_over = || {
        thread::sleep(Duration::from_millis(100));
        overload(&mut watcher)["overload_state"] == "0"
    };
    assert!(eventually(SOON, is_over), "it does not end");
    assert!(eventually(SOON, || worker(&mut watcher, "overloaded_msec") > 0));
}

#[test]
fn without_control_nothing_is_called_overloaded() {
    let server = Server::dunlin(&["--workers", "1", "--overload-control", "no"]);
    let mut client = server.client();
    assert_eq!(overload(&mut client)["overload_control"], "0");
    client.run("CONFIG SET overload-control yes overload-interval 20 overload-target-delay 5000");
    let info = overload(&mut client);
    assert_eq!((&*info["overload_control"], &*info["overload_state"]), ("1", "0"));
    let reply = client.run("CONFIG SET overload-interval 1");
    assert!(reply.error_text().is_some_and(|text| text.contains("overload-interval")), "{reply:?}");
}
