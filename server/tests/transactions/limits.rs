//! Transactions that are too big.

use crate::support::client::Broken;
use crate::support::{Server, Value, alone, command};
use crate::{queue, queued};

#[test]
fn a_million_commands_run_as_one() {
    let _alone = alone();
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    const COMMANDS: usize = 1_000_000;
    let mut wire = b"MULTI\r\n".to_vec();
    for i in 0..COMMANDS {
        wire.extend_from_slice(&command(&[b"INCR".as_slice(), &[b'a' + (i % 26) as u8]]));
    }
    wire.extend_from_slice(b"EXEC\r\n");
    for part in wire.chunks(1 << 20) {
        client.send(part);
    }
    assert_eq!(client.recv(), Value::ok());
    for _ in 0..COMMANDS {
        assert_eq!(client.recv(), queued());
    }
    let replies = client.recv().items();
    assert_eq!(replies.len(), COMMANDS);
    assert!(replies.iter().enumerate().all(|(i, reply)| *reply == Value::Int(i as i64 / 26 + 1)));
}

#[test]
fn what_waits_for_exec_counts_as_input() {
    let server = Server::dunlin(&["--client-query-buffer-limit", "4mb"]);
    let mut client = server.client();
    let value = vec![b'x'; 100_000];
    assert_eq!(client.run("MULTI"), Value::ok());
    let mut kept = 0;
    let end = loop {
        match client.try_recv_after(&command(&[b"SET".as_slice(), b"k", &value])) {
            Ok(reply) => assert_eq!(reply, queued()),
            Err(end) => break end,
        }
        kept += 1;
        assert!(kept < 100, "it is never too much");
    };
    assert_eq!(end, Broken::Closed);
    assert!(kept > 10, "{kept}");
    let mut other = server.client();
    assert!(other.run("GET k").is_null());
    let info = other.run("INFO stats").text();
    assert!(info.contains("client_query_buffer_limit_disconnections:1"), "{info}");
}

#[test]
fn a_failed_transaction_keeps_nothing() {
    let server = Server::dunlin(&["--client-query-buffer-limit", "4mb"]);
    let mut client = server.client();
    let value = vec![b'x'; 100_000];
    queue(&mut client, &["PING"]);
    assert!(client.run("NOSUCH").is_error());
    for _ in 0..100 {
        assert_eq!(client.call(&[b"SET".as_slice(), b"k", &value]), queued());
    }
    assert!(client.run("EXEC").is_error());
    assert!(client.run("GET k").is_null());
}

#[test]
fn replies_that_are_too_big_close_the_connection_but_all_commands_run() {
    let server = Server::dunlin(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let (mut client, mut other) = (server.client(), server.client());
    let value = vec![b'x'; 10_000];
    assert_eq!(other.call(&[b"SET".as_slice(), b"k", &value]), Value::ok());
    let mut lines = vec!["GET k"; 1000];
    lines.push("SET done 1");
    queue(&mut client, &lines);
    client.send_command(&["EXEC"]);
    assert!(client.is_closed());
    assert_eq!(other.run("GET done"), Value::bulk("1"));
}
