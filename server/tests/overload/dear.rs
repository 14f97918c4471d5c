//! Dear commands: they run beside the connections, and more of them than can be done are turned away.

use crate::overload;
use crate::support::{Client, Server, Value, command, eventually};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for whatever happens at all.
const SOON: Duration = Duration::from_secs(60);
const BUSY: &str = "BUSY overloaded: command not executed, retry later";
/// Dear on every machine: 20,000 elements are sorted.
const SORT: &[&str] = &["SORT", "list", "LIMIT", "0", "3"];

/// A server with a long list.
fn server(args: &[&str]) -> Server {
    let server = Server::dunlin(&[&["--workers", "1"], args].concat());
    let mut client = server.client();
    for chunk in 0..20 {
        let elements: Vec<String> = (0..1000).map(|i| (chunk * 1000 + i).to_string()).collect();
        let mut push = vec!["RPUSH".to_owned(), "list".to_owned()];
        push.extend(elements.into_iter().rev());
        client.call(&push);
    }
    server
}

/// A figure of the gate.
fn gate(client: &mut Client, name: &str) -> u64 {
    let info = overload(client);
    let mut fields = info["overload_dear_commands"].split(',');
    let field = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    field.expect("there is such a figure").parse().expect("a number")
}

fn sorted() -> Value {
    Value::Array(vec![Value::bulk("0"), Value::bulk("1"), Value::bulk("2")])
}

/// Sends SORT until it is known to be dear.
fn learn(client: &mut Client) {
    let known = || {
        assert_eq!(client.call(SORT), sorted());
        gate(client, "admitted") > 0
    };
    assert!(eventually(SOON, known), "it is never dear");
}

/// Clients that send a dear command again and again for a while; how many were answered and turned
/// away.
fn press(server: &Server, clients: usize, time: Duration) -> (u64, u64) {
    let end = Instant::now() + time;
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = server.client();
            thread::spawn(move || {
                let mut counts = (0, 0);
                while Instant::now() < end {
                    match client.call(SORT) {
                        Value::Error(text) if text == BUSY.as_bytes() => counts.1 += 1,
                        reply if reply == sorted() => counts.0 += 1,
                        reply => panic!("{reply:?}"),
                    }
                }
                counts
            })
        })
        .collect();
    let counts = threads.into_iter().map(|thread| thread.join().expect("no other reply"));
    counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
}

#[test]
fn what_was_dear_runs_beside_the_connections_and_in_the_order_of_its_pipeline() {
    let server = server(&[]);
    let mut client = server.client();
    learn(&mut client);
    let one = [command(&["INCR", "n"]), command(SORT)].concat();
    client.send(&one.repeat(20));
    for i in 1..=20 {
        assert_eq!(client.recv(), Value::Int(i));
        assert_eq!(client.recv(), sorted());
    }
    client.call(&["SORT", "list", "LIMIT", "0", "3", "STORE", "to"]);
    assert_eq!(client.run("LRANGE to 0 -1"), sorted());
    assert_eq!((gate(&mut client, "running"), gate(&mut client, "waiting")), (0, 0));
    assert_eq!(gate(&mut client, "shed"), 0);
}

#[test]
fn more_than_can_be_done_is_turned_away_and_gets_go_on() {
    let server = server(&["--dear-commands-max-waiting", "2"]);
    let mut client = server.client();
    learn(&mut client);
    client.run("SET k v");
    let counts = thread::scope(|scope| {
        let pressing = scope.spawn(|| press(&server, 24, Duration::from_secs(3)));
        let mut gets = 0;
        while !pressing.is_finished() {
            assert_eq!(client.run("GET k"), Value::bulk("v"));
            gets += 1;
        }
        assert!(gets > 100, "{gets}");
        pressing.join().expect("no other reply")
    });
    assert!(counts.0 > 10 && counts.1 > 10, "{counts:?}");
    assert_eq!(gate(&mut client, "shed"), counts.1);
    let info = client.run("INFO commandstats").text();
    let line = info.lines().find(|line| line.starts_with("cmdstat_sort:")).expect("it ran");
    assert!(line.contains(&format!("rejected_calls={}", counts.1)), "{line}");
    // When it is over, nobody is turned away any more.
    let over = || client.call(SORT) == sorted();
    assert!(eventually(SOON, over));
    assert!(eventually(SOON, || {
        client.call(SORT);
        gate(&mut client, "standing") == 0
    }));
}

#[test]
fn what_a_transaction_has_queued_is_never_turned_away() {
    let server = server(&["--dear-commands-max-waiting", "0"]);
    let mut client = server.client();
    learn(&mut client);
    thread::scope(|scope| {
        let pressing = scope.spawn(|| press(&server, 16, Duration::from_secs(2)));
        while !pressing.is_finished() {
            client.run("MULTI");
            client.run("INCR n");
            let queued = client.call(SORT);
            assert_eq!(queued, Value::Simple(b"QUEUED".to_vec()));
            let done = client.run("EXEC").items();
            assert_eq!(done[1], sorted());
        }
        let (_, shed) = pressing.join().expect("no other reply");
        assert!(shed > 0, "the gate was open");
    });
}

#[test]
fn without_control_or_threshold_everything_runs_where_it_came() {
    for setting in ["overload-control no", "dear-command-threshold 0"] {
        let server = server(&["--dear-commands-max-waiting", "0"]);
        let mut client = server.client();
        assert_eq!(client.run(&format!("CONFIG SET {setting}")), Value::ok());
        let (done, shed) = press(&server, 8, Duration::from_millis(500));
        assert!(done > 0 && shed == 0, "{setting}: {done} {shed}");
        assert_eq!(gate(&mut client, "admitted"), 0, "{setting}");
    }
}

#[test]
fn a_walk_over_many_keys_is_dear_at_once() {
    let server = server(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.run("DEBUG POPULATE 5000 key 4");
    assert_eq!(client.run("KEYS key:1").items(), [Value::bulk("key:1")]);
    assert_eq!(gate(&mut client, "admitted"), 1);
    client.run("SELECT 1");
    assert_eq!(client.run("KEYS *").items(), []);
    assert_eq!(gate(&mut client, "admitted"), 1, "that one is small");
}

#[test]
fn a_client_that_goes_while_its_command_waits_leaves_nothing_behind() {
    let server = server(&["--dear-commands-max-wait", "1000", "--overload-interval", "1000"]);
    let mut client = server.client();
    learn(&mut client);
    let sort = command(SORT);
    for _ in 0..20 {
        let mut gone: Vec<Client> = (0..20).map(|_| server.client()).collect();
        gone.iter_mut().for_each(|client| client.send(&sort));
    }
    assert!(eventually(SOON, || {
        let (running, waiting) = (gate(&mut client, "running"), gate(&mut client, "waiting"));
        running == 0 && waiting == 0
    }));
    assert_eq!(client.call(SORT), sorted());
}

#[test]
fn commands_with_long_values_are_remembered_too() {
    let server = Server::dunlin(&["--dear-command-threshold", "1"]);
    let mut client = server.client();
    let value = vec![b'v'; 100_000];
    for _ in 0..20 {
        let set = [b"MSET".as_slice(), b"a", &value, b"b", b"1"];
        assert_eq!(client.call(&set), Value::ok());
    }
    assert_eq!(client.run("STRLEN a"), Value::Int(100_000));
}
