//! Timeouts: what they answer, and when.

use crate::scenario::everywhere;
use crate::support::{Server, Value};
use std::time::{Duration, Instant};

#[test]
fn the_reply_is_null_in_the_form_of_the_protocol() {
    everywhere(&["a: BLPOP k 0.01 => nil-array
         a: BRPOP k l 0.01 => nil-array
         a: BLMPOP 0.01 2 k l LEFT => nil-array
         a: BLMOVE k l LEFT LEFT 0.01 => nil-array
         a: BRPOPLPUSH k l 0.01 => nil-array
         a: BZPOPMIN k 0.01 => nil-array
         a: BZPOPMAX k 0.01 => nil-array
         a: BZMPOP 0.01 1 k MIN => nil-array
         a: XREAD BLOCK 10 STREAMS k $ => nil-array
         a: XGROUP CREATE s g $ MKSTREAM => OK
         a: XREADGROUP GROUP g c BLOCK 10 STREAMS s > => nil-array
         a: WAIT 1 10 => 0
         a3: BLPOP k 0.01 => null
         a3: BLMOVE k l LEFT LEFT 0.01 => null
         a3: BZMPOP 0.01 1 k MIN => null
         a3: XREAD BLOCK 10 STREAMS k $ => null
         a: BLPOP k 0.0001 => nil-array
         a: BLPOP k 1e-30 => nil-array"]);
}

#[test]
fn no_wait_ends_before_its_time() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for millis in [1, 2, 7, 20, 33] {
        for line in [format!("BLPOP k 0.{millis:03}"), format!("XREAD BLOCK {millis} STREAMS s $")]
        {
            let began = Instant::now();
            assert_eq!(client.run(&line), Value::NullArray);
            assert!(began.elapsed() >= Duration::from_millis(millis), "{line}");
        }
    }
}

#[test]
fn what_follows_in_the_pipeline_runs_after_the_wait() {
    for workers in ["1", "3"] {
        let server = Server::dunlin(&["--workers", workers]);
        let (mut client, mut other) = (server.client(), server.client());
        client.send(
            b"SET a 1\r\nBLPOP k 0.02\r\nINCR a\r\nBLPOP k 0\r\nINCR a\r\nBLPOP k 0\r\nGET a\r\n",
        );
        assert_eq!((client.recv(), client.recv()), (Value::ok(), Value::NullArray));
        assert_eq!(client.recv(), Value::Int(2));
        crate::wait_blocked(&mut other, 1);
        assert_eq!(other.run("GET a"), Value::bulk("2"));
        other.run("RPUSH k x y");
        assert_eq!(client.recv().items()[1], Value::bulk("x"));
        assert_eq!(client.recv(), Value::Int(3));
        assert_eq!(client.recv().items()[1], Value::bulk("y"));
        assert_eq!(client.recv(), Value::bulk("3"));
    }
}

#[test]
fn a_timeout_counts_as_a_call() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("BLPOP k 0.001");
    client.run("RPUSH k x");
    client.run("BLPOP k 0");
    let stats = client.run("INFO commandstats").text();
    assert!(stats.contains("cmdstat_blpop:calls=2,"), "{stats}");
}

#[test]
fn replies_can_be_turned_off() {
    let server = Server::dunlin(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    client.send(b"CLIENT REPLY SKIP\r\nBLPOP k 0.01\r\nPING\r\n");
    assert_eq!(client.recv(), Value::Simple(b"PONG".to_vec()));
    client.send(b"CLIENT REPLY SKIP\r\nBLPOP k 0\r\nPING\r\n");
    crate::wait_blocked(&mut other, 1);
    other.run("RPUSH k x");
    assert_eq!(client.recv(), Value::Simple(b"PONG".to_vec()));
    assert_eq!(other.run("LLEN k"), Value::Int(0));
    client.send(b"CLIENT REPLY OFF\r\nBLPOP k 0\r\nBLPOP k 0.01\r\nCLIENT REPLY ON\r\n");
    crate::wait_blocked(&mut other, 1);
    other.run("RPUSH k x");
    assert_eq!(client.recv(), Value::ok());
}

#[test]
fn a_transaction_serves_with_what_is_alive_when_it_ends() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut other = server.client();
    let mut client = crate::blocked(&server, &mut other, "BLPOP k 0");
    for line in ["MULTI", "RPUSH k old", "PEXPIRE k 20", "DEBUG SLEEP 0.1"] {
        assert!(!other.run(line).is_error(), "{line}");
    }
    assert_eq!(other.run("EXEC").items().len(), 3);
    assert_eq!(other.run("RPUSH k new"), Value::Int(1));
    assert_eq!(client.recv().items()[1], Value::bulk("new"));
}
