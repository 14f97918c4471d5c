//! Other ends of a wait: CLIENT UNBLOCK, CLIENT KILL, hang-ups, pauses, rights.

use crate::scenario::{everywhere, newer};
use crate::support::{Server, Value, eventually};
use crate::{SOON, blocked, id, info, wait_blocked};

#[test]
fn client_unblock() {
    everywhere(&[
        "a> BLPOP k 0
         x: CLIENT UNBLOCK $a => 1
         a< nil-array
         x: CLIENT UNBLOCK $a => 0
         a> BLPOP k 0
         x: CLIENT UNBLOCK $a TIMEOUT => 1
         a< nil-array
         a> BLMOVE k l LEFT LEFT 0
         x: CLIENT UNBLOCK $a ERROR => 1
         a< -UNBLOCKED client unblocked via CLIENT UNBLOCK
         a> XREAD BLOCK 0 STREAMS s $
         x: CLIENT UNBLOCK $a error => 1
         a< -UNBLOCKED client unblocked via CLIENT UNBLOCK
         a> WAIT 1 0
         x: CLIENT UNBLOCK $a => 1
         a< 0
         x: CLIENT UNBLOCK $a ANYWAY => -ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR
         x: CLIENT UNBLOCK a => -ERR value is not an integer or out of range
         x: CLIENT UNBLOCK 1000000 => 0",
        // Who was unblocked is in no queue any more.
        "a> BLPOP k 0
         b> BLPOP k 0
         x: CLIENT UNBLOCK $a => 1
         a< nil-array
         x: RPUSH k 1 => 1
         b< [k 1]
         a> BLPOP k 0
         x: RPUSH k 2 => 1
         a< [k 2]",
    ]);
}

#[test]
fn an_unblocked_command_counts_as_failed() {
    let server = Server::dunlin(&[]);
    let mut watcher = server.client();
    let mut client = server.client();
    let number = id(&mut client);
    client.send(b"BLPOP k 0\r\n");
    wait_blocked(&mut watcher, 1);
    assert_eq!(watcher.run(&format!("CLIENT UNBLOCK {number} ERROR")), Value::Int(1));
    assert!(client.recv().is_error());
    let stats = watcher.run("INFO everything").text();
    let line = stats.lines().find(|line| line.starts_with("cmdstat_blpop")).expect("it has run");
    assert!(line.contains("calls=1,") && line.contains("failed_calls=1"), "{line}");
    assert!(stats.contains("errorstat_UNBLOCKED:count=1"), "{stats}");
}

#[test]
fn a_killed_client_takes_nothing() {
    for workers in ["1", "3"] {
        let server = Server::dunlin(&["--workers", workers]);
        let mut watcher = server.client();
        for round in 0..50 {
            let mut victim = server.client();
            let number = id(&mut victim);
            victim.send(b"BLPOP k 0\r\n");
            wait_blocked(&mut watcher, 1);
            // In one go: nobody is given anything after he was killed.
            watcher.send(
                format!("CLIENT KILL ID {number}\r\nRPUSH k {round}\r\nLPOP k\r\n").as_bytes(),
            );
            assert_eq!((watcher.recv(), watcher.recv()), (Value::Int(1), Value::Int(1)));
            assert_eq!(watcher.recv(), Value::bulk(round.to_string()));
            assert!(victim.is_closed());
            wait_blocked(&mut watcher, 0);
        }
        assert!(eventually(SOON, || info(&mut watcher, "total_blocking_keys") == 0));
        assert!(eventually(SOON, || info(&mut watcher, "connected_clients") == 1));
    }
}

#[test]
fn a_client_that_hangs_up_takes_nothing() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut watcher = server.client();
    for _ in 0..20 {
        let first = blocked(&server, &mut watcher, "BLPOP k l 0");
        let mut second = blocked(&server, &mut watcher, "BLPOP l k 0");
        drop(first);
        wait_blocked(&mut watcher, 1);
        watcher.run("RPUSH k x");
        assert_eq!(second.recv().items()[1], Value::bulk("x"));
    }
    assert!(eventually(SOON, || info(&mut watcher, "total_blocking_keys") == 0));
}

#[test]
fn what_was_delivered_is_sent_before_the_kill_closes() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut watcher = server.client();
    let mut lucky = server.client();
    let number = id(&mut lucky);
    // A client that kills itself behind its wait still gets the replies.
    lucky.send(format!("BLPOP k 0\r\nCLIENT KILL ID {number} SKIPME no\r\nPING\r\n").as_bytes());
    wait_blocked(&mut watcher, 1);
    watcher.run("RPUSH k x");
    assert_eq!(lucky.recv().items()[1], Value::bulk("x"));
    assert_eq!(lucky.recv(), Value::Int(1));
    assert!(lucky.is_closed());
}

#[test]
fn blocked_clients_are_shown() {
    let server = Server::dunlin(&[]);
    let mut watcher = server.client();
    let _waits = blocked(&server, &mut watcher, "BZPOPMIN z 0");
    let list = watcher.run("CLIENT LIST").text();
    let line = list.lines().find(|line| line.contains("cmd=bzpopmin")).expect("it is listed");
    assert!(line.contains(" flags=b "), "{line}");
    assert_eq!(watcher.run("ZADD z 1 m"), Value::Int(1));
    let list = watcher.run("CLIENT LIST").text();
    assert!(!list.contains(" flags=b "), "served before ZADD is answered: {list}");
}

#[test]
fn a_pause_holds_the_service_and_not_the_timeouts() {
    newer(&["a: BLPOP k 0.01 => nil-array
             x: CLIENT PAUSE 100000 WRITE => OK
             a> XREAD BLOCK 0 STREAMS s $
             b> XREAD BLOCK 50 STREAMS s $
             b< nil-array
             x: CLIENT UNBLOCK $a => 1
             a< nil-array
             x: CLIENT UNPAUSE => OK
             a> BLPOP k 0
             x: CLIENT PAUSE 50 WRITE => OK
             x: RPUSH k 1 => 1
             a< [k 1]"]);
}

#[test]
fn rights_are_looked_at_again() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut admin = server.client();
    admin.run("ACL SETUSER u on nopass +@all ~*");
    for (change, expected) in [
        ("-blpop", "NOPERM User u has no permissions to run the 'blpop' command"),
        ("resetkeys", "NOPERM No permissions to access a key"),
    ] {
        admin.run("ACL SETUSER u +@all ~*");
        let mut client = server.client();
        client.run("AUTH u x");
        client.send(b"BLPOP k 0\r\n");
        wait_blocked(&mut admin, 1);
        admin.call(&["ACL", "SETUSER", "u", change]);
        admin.run("RPUSH k x");
        assert_eq!(client.recv().error_text().as_deref(), Some(expected));
        assert_eq!(admin.run("LPOP k"), Value::bulk("x"));
    }
    let mut client = server.client();
    admin.run("ACL SETUSER u +@all ~*");
    client.run("AUTH u x");
    client.send(b"BLPOP k 0\r\n");
    wait_blocked(&mut admin, 1);
    admin.run("ACL DELUSER u");
    admin.run("RPUSH k x");
    assert!(client.is_closed());
    assert_eq!(admin.run("LPOP k"), Value::bulk("x"));
}

#[test]
fn monitors_see_the_command_once_and_slow_service_is_not_its_own() {
    let server = Server::dunlin(&[]);
    let mut monitor = server.client();
    monitor.run("MONITOR");
    let mut watcher = server.client();
    let mut waits = server.client();
    waits.send(b"BLPOP k 0\r\n");
    assert!(monitor.recv().text().contains("\"BLPOP\" \"k\" \"0\""));
    watcher.run("RPUSH k x");
    assert_eq!(waits.recv().items()[1], Value::bulk("x"));
    watcher.run("PING");
    assert!(monitor.recv().text().contains("\"RPUSH\""));
    assert!(monitor.recv().text().contains("\"PING\""));
}

#[test]
fn messages_reach_a_blocked_client() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut watcher = server.client();
    let mut client = server.client3();
    client.run("SUBSCRIBE c");
    client.send(b"BLPOP k 0\r\n");
    wait_blocked(&mut watcher, 1);
    for n in 0..3 {
        watcher.run(&format!("PUBLISH c {n}"));
        assert_eq!(
            client.recv(),
            Value::Push(["message", "c", &n.to_string()].map(Value::bulk).to_vec())
        );
    }
    watcher.run("RPUSH k x");
    assert_eq!(client.recv().items()[1], Value::bulk("x"));
}

#[test]
fn a_shutdown_does_not_wait_for_those_who_wait() {
    let mut server = Server::dunlin(&[]);
    let mut watcher = server.client();
    let mut waits = blocked(&server, &mut watcher, "BLPOP k 0");
    server.signal("TERM");
    assert!(server.wait(SOON).is_some_and(|status| status.success()));
    assert!(waits.is_closed());
}
