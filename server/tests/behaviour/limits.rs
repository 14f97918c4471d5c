//! maxclients, timeout, output limits, memory.

use crate::support::client::Broken;
use crate::support::process::against_reference;
use crate::support::{Server, Value, alone, command, eventually};
use socket2::SockRef;
use std::time::{Duration, Instant};

#[test]
fn one_client_too_many_is_told_so() {
    let server = Server::dunlin(&["--maxclients", "10"]);
    // The connection that asked whether the server is ready may still count.
    let mut clients = Vec::new();
    let full = eventually(Duration::from_secs(5), || {
        let mut client = server.client();
        match client.try_recv_after(b"PING\r\n") {
            Ok(Value::Simple(_)) => clients.push(client),
            Ok(other) => {
                assert_eq!(other, Value::error("ERR max number of clients reached"));
                assert!(client.is_closed());
                return true;
            }
            // The refusal may race with our PING, which turns the close into a reset.
            Err(Broken::Closed) => return true,
            Err(other) => panic!("{other:?}"),
        }
        assert!(clients.len() <= 10, "more than maxclients");
        false
    });
    assert!(full);
    assert!(clients.len() >= 9, "{}", clients.len());
    // Without sending anything the refusal is always readable.
    let mut refused = server.client();
    assert_eq!(refused.try_recv(), Ok(Value::error("ERR max number of clients reached")));
    assert!(refused.is_closed());
    // A place that becomes free is given again.
    clients.truncate(5);
    assert!(eventually(Duration::from_secs(5), || {
        server.client().try_recv_after(b"PING\r\n") == Ok(Value::Simple(b"PONG".to_vec()))
    }));
}

#[test]
fn maxclients_can_be_changed_while_running() {
    let server = Server::dunlin(&["--maxclients", "5"]);
    let mut admin = server.client();
    assert_eq!(admin.run("CONFIG SET maxclients 50"), Value::ok());
    let mut clients: Vec<_> = (0..30).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
    }
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Server::dunlin(&["--timeout", "1"]);
    let mut idle = server.client();
    let mut busy = server.client();
    assert_eq!(idle.run("PING"), Value::Simple(b"PONG".to_vec()));
    for _ in 0..40 {
        assert_eq!(busy.run("PING"), Value::Simple(b"PONG".to_vec()));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(idle.read_to_close(), Ok(Vec::new()));
}

#[test]
fn a_client_that_is_made_to_wait_is_not_idle() {
    let server = Server::dunlin(&["--timeout", "1"]);
    let (mut blocked, mut paused) = (server.client(), server.client());
    blocked.send(b"WAIT 1 3000\r\nPING\r\n");
    assert_eq!(server.client().run("CLIENT PAUSE 3000 WRITE"), Value::ok());
    paused.send(b"SET a 1\r\nGET a\r\n");
    assert_eq!(blocked.recv(), Value::Int(0));
    assert_eq!(blocked.recv(), Value::Simple(b"PONG".to_vec()));
    assert_eq!(paused.recv(), Value::ok());
    assert_eq!(paused.recv(), Value::bulk("1"));
}

#[test]
fn a_client_that_still_receives_is_not_idle() {
    let server = Server::dunlin(&["--timeout", "2"]);
    let value = vec![b'v'; 1 << 20];
    assert_eq!(server.client().call(&[b"SET".as_slice(), b"big", &value]), Value::ok());
    let mut slow = server.client();
    SockRef::from(slow.socket()).set_recv_buffer_size(512 * 1024).expect("an option");
    // All of it is ready at once, most of it does not fit into the kernel, and it is read for longer
    // than a client may do nothing.
    slow.send(&command(&["GET", "big"]).repeat(32));
    for number in 0..32 {
        assert!(slow.recv() == Value::Bulk(value.clone()), "reply {number}");
        std::thread::sleep(Duration::from_millis(150));
    }
}

#[test]
fn nothing_expires_during_a_pause_of_writes() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("SET a 1 PX 50"), Value::ok());
    assert_eq!(client.run("CLIENT PAUSE 100000 WRITE"), Value::ok());
    // Several rounds of the expiry walk.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.run("DBSIZE"), Value::Int(1), "it is not removed");
    assert_eq!(client.run("EXISTS a"), Value::Int(0), "and not there");
    assert_eq!(client.run("CLIENT UNPAUSE"), Value::ok());
    assert!(eventually(Duration::from_secs(5), || client.run("DBSIZE") == Value::Int(0)));
}

#[test]
fn a_paused_client_shows_as_blocked() {
    let server = Server::dunlin(&[]);
    let (mut paused, mut watcher) = (server.client(), server.client());
    assert_eq!(watcher.run("CLIENT PAUSE 100000 WRITE"), Value::ok());
    paused.send(b"SET a 1\r\n");
    let soon = Duration::from_secs(5);
    assert!(eventually(soon, || {
        watcher.run("INFO clients").text().contains("blocked_clients:1")
    }));
    assert!(watcher.run("CLIENT LIST").text().contains(" flags=b "));
    assert_eq!(watcher.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(paused.recv(), Value::ok());
    assert!(watcher.run("INFO clients").text().contains("blocked_clients:0"));
}

#[test]
fn a_pause_of_all_holds_everything_but_its_end() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    let lines = ["GET a", "CONFIG GET port", "CLIENT PAUSE 1 WRITE", "HELLO 3", "PING"];
    let mut waiting: Vec<_> = lines.iter().map(|_| server.client()).collect();
    assert_eq!(admin.run("CLIENT PAUSE 100000 ALL"), Value::ok());
    for (client, line) in waiting.iter_mut().zip(lines) {
        client.set_patience(Duration::from_millis(50));
        let early = client.try_recv_after(format!("{line}\r\n").as_bytes());
        assert!(early.is_err(), "{line}: {early:?}");
    }
    assert_eq!(admin.run("CLIENT UNPAUSE"), Value::ok());
    for (client, line) in waiting.iter_mut().zip(lines) {
        client.set_patience(Duration::from_secs(5));
        assert!(!client.recv().is_error(), "{line}");
    }
}

#[test]
fn a_client_above_its_output_limit_is_closed() {
    let _alone = alone();
    let server = Server::dunlin(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut client = server.client();
    let value = vec![b'v'; 1 << 20];
    assert_eq!(client.call(&[b"SET".as_slice(), b"big", &value]), Value::ok());
    let mut deaf = server.client();
    deaf.send(&command(&["GET", "big"]).repeat(200));
    let stats = |client: &mut crate::support::Client| client.run("INFO stats").text();
    let closed = eventually(Duration::from_secs(10), || {
        stats(&mut client).contains("client_output_buffer_limit_disconnections:1")
    });
    assert!(closed, "{}", stats(&mut client));
    assert!(deaf.read_to_close().is_ok());
}

#[test]
fn a_reply_above_the_output_limit_is_not_begun() {
    let server = Server::dunlin(&["--client-output-buffer-limit", "normal 80kb 0 0"]);
    let mut client = server.client();
    let value = vec![b'v'; 10_000];
    assert_eq!(client.call(&[b"SET".as_slice(), b"k", &value]), Value::ok());
    for _ in 0..20 {
        client.call(&[b"RPUSH".as_slice(), b"list", &value]);
    }
    client.run("HSET hash f v");
    // The client reads, and still gets nothing.
    for hostile in ["LRANGE list 0 -1", "HRANDFIELD hash -999999999", "HRANDFIELD hash -1000000"] {
        let mut greedy = server.client();
        greedy.send(format!("{hostile}\r\n").as_bytes());
        assert_eq!(greedy.read_to_close(), Ok(Vec::new()), "{hostile}");
    }
    let mut modest = server.client();
    modest.send(&command(&["GET", "k"]).repeat(5));
    for _ in 0..5 {
        assert_eq!(modest.recv(), Value::Bulk(value.clone()));
    }
}

#[test]
fn clients_that_are_closed_do_not_fill_the_log() {
    if against_reference() {
        return;
    }
    let server = Server::dunlin(&["--client-output-buffer-limit", "normal 80kb 0 0"]);
    let mut client = server.client();
    let value = vec![b'v'; 10_000];
    for _ in 0..20 {
        client.call(&[b"RPUSH".as_slice(), b"list", &value]);
    }
    let begun = Instant::now();
    for _ in 0..50 {
        let mut greedy = server.client();
        greedy.send(b"LRANGE list 0 -1\r\n");
        assert_eq!(greedy.read_to_close(), Ok(Vec::new()));
    }
    // One a second.
    let most = begun.elapsed().as_secs() as usize + 2;
    let log = server.log();
    let lines = log.matches("closing a client: client-output-buffer-limit").count();
    assert!((1..=most).contains(&lines), "{lines} lines:\n{log}");
}

#[test]
fn a_pipeline_written_before_anything_is_read_does_not_deadlock() {
    let _alone = alone();
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let value = vec![b'v'; 10_000];
    assert_eq!(client.call(&[b"SET".as_slice(), b"k", &value]), Value::ok());
    // 48 MB of requests with 40 MB of replies, nothing read in between.
    let mut count = 0;
    for _ in 0..4000 {
        let mut packet = command(&[b"SET".as_slice(), b"other", &value]);
        packet.extend(command(&["GET", "k"]));
        client.send(&packet);
        count += 1;
    }
    for _ in 0..count {
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.recv(), Value::Bulk(value.clone()));
    }
}

#[test]
fn noeviction_answers_oom_and_still_lets_delete() {
    let server = Server::dunlin(&["--maxmemory", "10mb", "--maxmemory-policy", "noeviction"]);
    let mut client = server.client();
    let value = vec![b'v'; 10_000];
    let oom = Value::error("OOM command not allowed when used memory > 'maxmemory'.");
    let full = (0..5000).find_map(|n| {
        let key = format!("k{n}");
        let reply = client.call(&[b"SET".as_slice(), key.as_bytes(), &value]);
        (reply != Value::ok()).then_some((n, reply))
    });
    let Some((count, reply)) = full else { panic!("50 MB fit into 10") };
    assert_eq!(reply, oom);
    assert!(count > 300, "only {count} values of 10 kB fit");
    assert_eq!(client.run("INCR n"), oom);
    assert_eq!(client.run("GET k0"), Value::Bulk(value));
    assert_eq!(client.run("DEL k0 k1 k2 k3 k4 k5 k6 k7 k8 k9"), Value::Int(10));
    assert!(eventually(Duration::from_secs(5), || client.run("SET n 1") == Value::ok()));
}

#[test]
fn every_evicting_policy_keeps_taking_writes() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let server = Server::dunlin(&["--maxmemory", "10mb", "--maxmemory-policy", policy]);
        let mut client = server.client();
        let value = vec![b'v'; 10_000];
        for n in 0..5000 {
            let key = format!("k{n}");
            let reply = client.call(&[b"SET".as_slice(), key.as_bytes(), &value]);
            assert_eq!(reply, Value::ok(), "{policy}, {key}");
        }
        let left = client.run("DBSIZE").int();
        assert!((100..1100).contains(&left), "{policy}: {left} keys of 10 kB in 10 MB");
        assert!(client.run("INFO stats").text().contains("evicted_keys:"));
    }
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let server = Server::dunlin(&["--maxmemory", "10mb", "--maxmemory-policy", policy]);
        let mut client = server.client();
        let value = vec![b'v'; 10_000];
        assert_eq!(client.call(&[b"SET".as_slice(), b"kept", &value]), Value::ok());
        for n in 0..5000 {
            let key = format!("k{n}");
            let set = [b"SET".as_slice(), key.as_bytes(), &value, b"EX", b"1000"];
            assert_eq!(client.call(&set), Value::ok(), "{policy}, {key}");
        }
        assert_eq!(client.run("EXISTS kept"), Value::Int(1), "{policy} evicted a key without TTL");
    }
}
