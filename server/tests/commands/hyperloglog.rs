//! HyperLogLogs over a socket: what the differential test does not look at.

use crate::support::{Client, Server, Value};

fn add(client: &mut Client, key: &str, from: u32, to: u32) {
    for start in (from..to).step_by(1000) {
        let elements = (start..to.min(start + 1000)).map(|i| format!("element:{i}"));
        let args: Vec<String> =
            ["PFADD".to_owned(), key.to_owned()].into_iter().chain(elements).collect();
        client.call(&args);
    }
}

#[test]
fn estimates_are_near_and_unions_count_once() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    add(&mut client, "a", 0, 20_000);
    add(&mut client, "b", 10_000, 30_000);
    let near = |client: &mut Client, line: &str, wanted: f64| {
        let count = client.run(line).int() as f64;
        assert!((count - wanted).abs() < 0.05 * wanted, "{line}: {count}, not {wanted}");
    };
    near(&mut client, "PFCOUNT a", 20_000.0);
    near(&mut client, "PFCOUNT a b", 30_000.0);
    assert_eq!(client.run("PFMERGE c a b nokey"), Value::ok());
    near(&mut client, "PFCOUNT c", 30_000.0);
    assert_eq!(client.run("PFDEBUG ENCODING c"), Value::Simple(b"dense".to_vec()));
}

#[test]
fn the_count_is_kept_until_something_changes() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let stale = |client: &mut Client| client.run("GET k").bytes().map(|bytes| bytes[15] >> 7);
    client.run("PFADD k a b c");
    client.run("PEXPIRE k 1000000");
    assert_eq!(stale(&mut client), Some(1));
    assert_eq!(client.run("PFCOUNT k"), Value::Int(3));
    assert_eq!(stale(&mut client), Some(0));
    assert_eq!(client.run("PFADD k a"), Value::Int(0));
    assert_eq!(stale(&mut client), Some(0));
    assert_eq!(client.run("PFADD k d"), Value::Int(1));
    assert_eq!(stale(&mut client), Some(1));
    assert_eq!(client.run("PFCOUNT k"), Value::Int(4));
    assert!(client.run("PTTL k").int() > 0, "the deadline stays");
}

#[test]
fn the_sparse_form_ends_where_the_directive_says() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let sparse = Value::Simple(b"sparse".to_vec());
    add(&mut client, "k", 0, 20);
    assert_eq!(client.run("PFDEBUG ENCODING k"), sparse);
    assert_eq!(client.run("CONFIG SET hll-sparse-max-bytes 30"), Value::ok());
    add(&mut client, "k", 20, 21);
    assert_eq!(client.run("PFDEBUG ENCODING k"), Value::Simple(b"dense".to_vec()));
    assert_eq!(client.run("STRLEN k"), Value::Int(12_304));
    assert_eq!(client.run("PFDEBUG GETREG k").items().len(), 16_384);
}

#[test]
fn what_is_no_hyperloglog_is_refused() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let wrong = Value::error("WRONGTYPE Key is not a valid HyperLogLog string value.");
    client.run("SET k HYLLno");
    for line in ["PFADD k a", "PFCOUNT k", "PFCOUNT k k", "PFMERGE k", "PFMERGE new k"] {
        assert_eq!(client.run(line), wrong, "{line}");
    }
    // Sparse runs that do not make up all registers.
    let corrupt = [&b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80"[..], b"\x80\x80"].concat();
    assert_eq!(client.call(&[b"SET".as_slice(), b"k", &corrupt]), Value::ok());
    let corrupted = Value::error("INVALIDOBJ Corrupted HLL object detected");
    for line in ["PFADD k a b c d e", "PFCOUNT k", "PFCOUNT k k", "PFMERGE k", "PFDEBUG TODENSE k"]
    {
        assert_eq!(client.run(line), corrupted, "{line}");
    }
    assert_eq!(client.run("PFSELFTEST"), Value::ok());
    let keys = Value::Array(vec![Value::bulk("k")]);
    assert_eq!(client.run("COMMAND GETKEYS PFMERGE k"), keys);
}
