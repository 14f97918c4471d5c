//! What the commands of a transaction do and what they leave behind.

use crate::support::{Client, Server, Value};
use crate::{pong, queue, queued, transaction};
use std::time::Duration;

#[test]
fn nothing_runs_before_exec() {
    let server = Server::dunlin(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    queue(&mut client, &["SET a 1", "INCR a", "GET a"]);
    assert!(other.run("GET a").is_null());
    let replies = [Value::ok(), Value::Int(2), Value::bulk("2")];
    assert_eq!(client.run("EXEC"), Value::Array(replies.to_vec()));
    assert_eq!(other.run("GET a"), Value::bulk("2"));
}

#[test]
fn a_command_that_fails_stops_nothing() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let reply = transaction(&mut client, &["SET a x", "INCR a", "LPUSH a y", "SET b 1"]).items();
    assert_eq!(reply[0], Value::ok());
    assert!(reply[1].is_error() && reply[2].is_error());
    assert_eq!(reply[3], Value::ok());
    assert_eq!(client.run("GET b"), Value::bulk("1"));
}

#[test]
fn big_arguments_are_kept_whole() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let values: Vec<Vec<u8>> = (0..4u8).map(|i| vec![b'a' + i; 70_000 * usize::from(i)]).collect();
    assert_eq!(client.run("MULTI"), Value::ok());
    for (i, value) in values.iter().enumerate() {
        let key = format!("k{i}");
        assert_eq!(client.call(&[b"SET", key.as_bytes(), value]), queued());
        assert_eq!(client.call(&[b"APPEND", key.as_bytes(), value]), queued());
        // A name that is not taken in chunks.
        assert_eq!(client.call(&[b"GET", value.as_slice()]), queued());
    }
    let replies = client.run("EXEC").items();
    assert_eq!(replies.len(), 12);
    for (i, value) in values.iter().enumerate() {
        assert_eq!(replies[3 * i + 1], Value::Int(2 * value.len() as i64));
        assert!(replies[3 * i + 2].is_null());
        let twice = [value.as_slice(), value].concat();
        assert_eq!(client.run(&format!("GET k{i}")), Value::bulk(twice));
    }
}

#[test]
fn a_pipeline_may_hold_several_transactions() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let mut wire = Vec::new();
    for i in 0..500 {
        let line = format!("MULTI\r\nINCR a\r\nSET b {i}\r\nGET b\r\nEXEC\r\nGET a\r\n");
        wire.extend_from_slice(line.as_bytes());
    }
    client.send(&wire);
    for i in 0..500 {
        assert_eq!(client.recv(), Value::ok());
        (0..3).for_each(|_| assert_eq!(client.recv(), queued()));
        let replies = [Value::Int(i + 1), Value::ok(), Value::bulk(i.to_string())];
        assert_eq!(client.recv(), Value::Array(replies.to_vec()));
        assert_eq!(client.recv(), Value::bulk((i + 1).to_string()));
    }
}

#[test]
fn commands_that_wait_answer_at_once() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let reply = transaction(&mut client, &["WAIT 1 0", "XREAD BLOCK 0 STREAMS s $", "PING"]);
    assert_eq!(reply, Value::Array(vec![Value::Int(0), Value::NullArray, pong()]));
}

#[test]
fn memory_that_is_short_fails_the_transaction() {
    let server = Server::dunlin(&["--maxmemory-policy", "noeviction"]);
    let (mut client, mut admin) = (server.client(), server.client());
    let big = "x".repeat(8 << 20);
    assert_eq!(admin.call(&["SET", "big", &big]), Value::ok());
    assert_eq!(admin.run("CONFIG SET maxmemory 1mb"), Value::ok());
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    // While queueing.
    assert_eq!(client.run("MULTI"), Value::ok());
    assert_eq!(client.run("SET a 1"), Value::error(oom));
    assert_eq!(client.run("GET a"), queued());
    let aborted = "EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(client.run("EXEC"), Value::error(aborted));
    // What only reads or gives memory back runs.
    assert_eq!(transaction(&mut client, &["GET a", "DEL a"]).items().len(), 2);
    assert_eq!(client.run("MULTI"), Value::ok());
    assert_eq!(client.run("DISCARD"), Value::ok());
    // At EXEC.
    assert_eq!(admin.run("CONFIG SET maxmemory 0"), Value::ok());
    queue(&mut client, &["GET a", "SET a 1"]);
    assert_eq!(admin.run("CONFIG SET maxmemory 1mb"), Value::ok());
    let text = format!("EXECABORT Transaction discarded because of: {oom}");
    assert_eq!(client.run("EXEC"), Value::error(&text));
    assert_eq!(client.run("EXEC"), Value::error("ERR EXEC without MULTI"));
}

#[test]
fn a_pause_of_writes_holds_exec_back_if_it_writes() {
    let server = Server::dunlin(&[]);
    let (mut reader, mut writer, mut admin) = (server.client(), server.client(), server.client());
    queue(&mut reader, &["GET a", "PING"]);
    queue(&mut writer, &["GET a", "SET a 1"]);
    assert_eq!(admin.run("CLIENT PAUSE 100000 WRITE"), Value::ok());
    assert_eq!(reader.run("EXEC").items().len(), 2);
    writer.send_command(&["EXEC"]);
    writer.set_patience(Duration::from_millis(50));
    assert!(writer.try_recv().is_err(), "it waits");
    writer.set_patience(crate::support::client::PATIENCE);
    assert!(admin.run("GET a").is_null());
    assert_eq!(admin.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(writer.recv(), Value::Array(vec![Value::NullBulk, Value::ok()]));
}

#[test]
fn a_pause_within_a_transaction_begins_after_it() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let reply = transaction(&mut client, &["CLIENT PAUSE 100000 ALL", "SET a 1", "GET a"]);
    assert_eq!(reply, Value::Array(vec![Value::ok(), Value::ok(), Value::bulk("1")]));
    assert_eq!(client.run("CLIENT UNPAUSE"), Value::ok());
}

#[test]
fn a_client_that_kills_itself_gets_the_replies() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let id = client.run("CLIENT ID").int();
    let kill = format!("CLIENT KILL ID {id} SKIPME no");
    let reply = transaction(&mut client, &["SET a 1", &kill, "INCR a"]);
    assert_eq!(reply, Value::Array(vec![Value::ok(), Value::Int(1), Value::Int(2)]));
    assert!(client.is_closed());
    assert_eq!(server.client().run("GET a"), Value::bulk("2"));
}

#[test]
fn messages_of_others_come_before_or_after_the_replies() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("HELLO 3").items().len() % 2, 0);
    let reply = transaction(
        &mut client,
        &["SUBSCRIBE c", "PUBLISH c 1", "SET a 1", "PUBLISH c 2", "UNSUBSCRIBE c", "PING"],
    );
    let items = reply.items();
    assert_eq!(items.len(), 6);
    assert_eq!((&items[1], &items[2], &items[5]), (&Value::Int(1), &Value::ok(), &pong()));
    for text in ["1", "2"] {
        let message = ["message", "c", text].map(Value::bulk);
        assert_eq!(client.recv(), Value::Push(message.to_vec()));
    }
    assert_eq!(client.run("PING"), pong());
}

#[test]
fn discarded_commands_leave_nothing() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    queue(&mut client, &["SET a 1", "SELECT 3"]);
    assert_eq!(client.run("DISCARD"), Value::ok());
    assert!(client.run("GET a").is_null());
    queue(&mut client, &["SET a 1"]);
    assert_eq!(client.run("RESET"), Value::Simple(b"RESET".to_vec()));
    assert_eq!(client.run("EXEC"), Value::error("ERR EXEC without MULTI"));
    assert!(client.run("GET a").is_null());
    queue(&mut client, &["SET a 1"]);
    drop(client);
    assert!(server.client().run("GET a").is_null());
}

#[test]
fn a_transaction_chooses_databases() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let lines = ["SET a 0", "SELECT 2", "SET a 2", "SELECT 1", "GET a"];
    assert_eq!(transaction(&mut client, &lines).items()[4], Value::NullBulk);
    for (db, value) in [(0, Value::bulk("0")), (1, Value::NullBulk), (2, Value::bulk("2"))] {
        let mut other: Client = server.client();
        assert_eq!(other.run(&format!("SELECT {db}")), Value::ok());
        assert_eq!(other.run("GET a"), value);
    }
    assert!(client.run("GET a").is_null(), "the database stays chosen");
}
