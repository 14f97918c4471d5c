//! Clients that track keys and wait: what they are told of, and what they are answered, in order.

use crate::support::{Server, Value};
use crate::until;

fn invalidation(name: &str) -> Value {
    Value::Push(vec![Value::bulk("invalidate"), Value::Array(vec![Value::bulk(name)])])
}

/// What a command that has waited changes it tells its own client of after the reply, what others have
/// changed before it was woken before the reply, whichever thread has run it.
#[test]
fn a_command_that_waited_is_answered_before_what_it_has_caused() {
    const ROUNDS: usize = 200;
    let server = Server::dunlin(&["--workers", "4"]);
    let (mut client, mut other) = (server.client3(), server.client());
    assert_eq!(client.run("CLIENT TRACKING ON"), Value::ok());
    let id = client.run("CLIENT ID").int();
    for round in 0..ROUNDS {
        let (to, seen) = (format!("to{round}"), format!("seen{round}"));
        other.run(&format!("RPUSH {to} old"));
        client.run(&format!("LRANGE {to} 0 -1"));
        client.run(&format!("GET {seen}"));
        client.send(format!("BLMOVE from{round} {to} LEFT LEFT 0\r\n").as_bytes());
        until("it waits", || {
            other.run(&format!("CLIENT LIST ID {id}")).text().contains(" flags=bt ")
        });
        // At once: the connection has no time to send the first message before it is woken.
        other.send(format!("SET {seen} x\r\nRPUSH from{round} foo\r\n").as_bytes());
        assert_eq!((other.recv(), other.recv()), (Value::ok(), Value::Int(1)));
        assert_eq!(client.recv(), invalidation(&seen), "round {round}");
        assert_eq!(client.recv(), Value::bulk("foo"), "round {round}");
        assert_eq!(client.recv(), invalidation(&to), "round {round}");
    }
}

/// Messages do not wait for the end of a wait, also if somebody has looked in vain meanwhile.
#[test]
fn a_client_that_waits_is_told_at_once() {
    let server = Server::dunlin(&["--workers", "4"]);
    let (mut client, mut other) = (server.client3(), server.client());
    other.run("XADD s 5-0 f v");
    client.send(b"XREAD BLOCK 0 STREAMS s 9-0\r\n");
    for round in 0..200 {
        let seen = format!("seen{round}");
        let mut reader = server.client3();
        assert_eq!(reader.run("CLIENT TRACKING ON OPTIN"), Value::ok());
        assert_eq!(reader.run("CLIENT CACHING YES"), Value::ok());
        reader.run(&format!("GET {seen}"));
        reader.send(b"XREAD BLOCK 0 STREAMS s 9-0\r\n");
        until("it waits", || other.run("INFO clients").text().contains("blocked_clients:2"));
        other.send(format!("XADD s 5-{} f v\r\nSET {seen} x\r\n", round + 1).as_bytes());
        assert_eq!((other.recv().text(), other.recv()), (format!("5-{}", round + 1), Value::ok()));
        assert_eq!(reader.recv(), invalidation(&seen));
        drop(reader);
        until("it is gone", || other.run("INFO clients").text().contains("blocked_clients:1"));
    }
    other.run("XADD s 10-0 f v");
    assert!(matches!(client.recv(), Value::Map(_)), "the stream");
}
