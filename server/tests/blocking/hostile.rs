//! Row 49 of hostile inputs: clients that end in the turn in which they are woken; and waits that are
//! meant to cost more than they should.

use crate::support::{Client, Rng, Server, Value, alone, eventually};
use crate::{SOON, blocked, id, info, wait_blocked};

#[test]
fn killed_and_served_in_one_pipeline() {
    let server = Server::dunlin(&["--workers", "3"]);
    let mut watcher = server.client();
    for round in 0..100 {
        let mut client = server.client();
        let number = id(&mut client);
        client.send(b"BLPOP k 0\r\n");
        wait_blocked(&mut watcher, 1);
        // Served first, so the element is his, whether or not he lives to read it.
        let line = format!("RPUSH k {round}\r\nCLIENT KILL ID {number}\r\nLLEN k\r\n");
        watcher.send(line.as_bytes());
        assert_eq!((watcher.recv(), watcher.recv()), (Value::Int(1), Value::Int(1)));
        assert_eq!(watcher.recv(), Value::Int(0));
        if let Ok(reply) = client.try_recv() {
            assert_eq!(reply.items()[1], Value::bulk(round.to_string()));
        }
        assert!(client.is_closed());
    }
    assert!(eventually(SOON, || info(&mut watcher, "connected_clients") == 1));
}

#[test]
fn a_wait_with_very_many_keys() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut watcher = server.client();
    let keys: Vec<String> = (0..50_000).map(|n| format!("key:{n}")).collect();
    let mut line = vec!["BLPOP"];
    line.extend(keys.iter().map(String::as_str));
    line.push("0");
    let mut client = server.client();
    for key in ["key:49999", "key:0"] {
        client.send_command(&line);
        wait_blocked(&mut watcher, 1);
        assert_eq!(info(&mut watcher, "total_blocking_keys"), 50_000);
        watcher.run(&format!("RPUSH {key} x"));
        assert_eq!(client.recv(), Value::Array([key, "x"].map(Value::bulk).to_vec()));
        assert!(eventually(SOON, || info(&mut watcher, "total_blocking_keys") == 0));
    }
}

#[test]
fn waits_on_ever_new_keys_leave_nothing() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "2"]);
    let mut client = server.client();
    let run = |client: &mut Client, from: usize| {
        for n in (from..from + 2_000).step_by(100) {
            let lines: String = (n..n + 100)
                .map(|n| {
                    format!("BLPOP {}:{n} {}:{n} 0.001\r\n", "k".repeat(1000), "l".repeat(1000))
                })
                .collect();
            client.send(lines.as_bytes());
            (0..100).for_each(|_| assert_eq!(client.recv(), Value::NullArray));
        }
    };
    run(&mut client, 0);
    let before = server.rss();
    run(&mut client, 10_000);
    assert_eq!(info(&mut client, "total_blocking_keys"), 0);
    assert!(server.rss() < before + (4 << 20), "{} KiB", (server.rss() - before) >> 10);
}

#[test]
fn a_thousand_waiters_are_served_by_one_push_in_order() {
    let _alone = alone();
    let server = Server::dunlin(&["--workers", "2"]);
    let mut watcher = server.client();
    let mut waiting: Vec<Client> =
        (0..300).map(|_| blocked(&server, &mut watcher, "BLPOP k 0")).collect();
    let mut line = vec!["RPUSH".to_owned(), "k".to_owned()];
    line.extend((0..305).map(|n| n.to_string()));
    assert_eq!(watcher.call(&line), Value::Int(305));
    assert_eq!(watcher.run("LLEN k"), Value::Int(5));
    for (n, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.recv().items()[1], Value::bulk(n.to_string()));
    }
}

#[test]
fn commands_behind_a_wait_stay_with_the_sender() {
    let server = Server::dunlin(&[]);
    let mut watcher = server.client();
    let mut rng = Rng::new(7);
    let mut client = blocked(&server, &mut watcher, "BLPOP k 0");
    let value = rng.bytes(100_000);
    client.send_command(&[b"SET".as_slice(), b"v", &value]);
    client.send_command(&["GET", "v"]);
    watcher.run("RPUSH k x");
    assert_eq!(client.recv().items()[1], Value::bulk("x"));
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), Value::bulk(value));
}
