//! Bad HTTP, and people who hold connections.

use crate::http::{self, Response, connect, exchange, get, read_to_end, request};
use crate::{Server, server};
use std::io::{Read, Write};

/// The listener answers, the server serves, and nothing has panicked.
#[track_caller]
fn all_is_well(server: &Server, admin: u16) {
    assert_eq!(get(admin, "/livez").status, 200);
    assert!(!server.client().run("PING").is_error());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn what_is_no_request_is_answered_or_closed() {
    let (server, admin) = server(&[]);
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let long_header = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(100_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    let requests: &[&[u8]] = &[
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\r\n\r\n",
        b"GET / HTTP/1.1\r\n\0: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        long_path.as_bytes(),
        long_header.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in requests {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let mut stream = connect(admin);
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_to_end(&mut stream).unwrap_or_else(|why| panic!("{shown}: {why}"));
        if let Some(response) = Response::parse(&answer) {
            assert!((400..500).contains(&response.status), "{shown}: {response:?}");
        }
    }
    all_is_well(&server, admin);
}

#[test]
fn too_long_a_head_is_refused() {
    let (_server, admin) = server(&[]);
    let header = format!("A: {}\r\n", "x".repeat(64 * 1024));
    assert_eq!(request(admin, "GET", "/livez", &header).status, 431);
    assert_eq!(request(admin, "GET", "/livez", &"A: b\r\n".repeat(200)).status, 431);
}

#[test]
fn only_reading_is_allowed() {
    let (server, admin) = server(&[]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "GROW"] {
        let path = if method == "CONNECT" { "127.0.0.1:1" } else { "/livez" };
        let response = request(admin, method, path, "");
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("allow"), Some("GET, HEAD"), "{method}");
    }
    all_is_well(&server, admin);
}

#[test]
fn a_body_means_nothing_and_is_not_waited_for() {
    let (server, admin) = server(&[]);
    let body = "Content-Length: 1000000000\r\n";
    assert_eq!(request(admin, "GET", "/livez", body).status, 200);
    assert_eq!(request(admin, "POST", "/livez", body).status, 405);
    all_is_well(&server, admin);
}

#[test]
fn a_name_that_is_not_this_machine_is_no_host_of_it() {
    let (_server, admin) = server(&[]);
    let ask = |host: &str| {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Response::parse(&exchange(admin, head.as_bytes())).expect("a response").status
    };
    assert_eq!(ask("rebound.example"), 421);
    assert_eq!(ask(&format!("rebound.example:{admin}")), 421);
    assert_eq!(ask("localhost"), 200);
    assert_eq!(ask(&format!("[::1]:{admin}")), 200);
}

#[test]
fn half_a_head_is_not_waited_for_for_ever() {
    let (server, admin) = server(&[]);
    let mut half = connect(admin);
    half.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").expect("it is open");
    let mut silent = connect(admin);
    let mut idle = connect(admin);
    idle.write_all(b"GET /livez HTTP/1.1\r\n\r\n").expect("it is open");
    // The reads time out, and fail, if the server does not close.
    read_to_end(&mut half).expect("closed");
    assert_eq!(read_to_end(&mut silent).expect("closed"), b"");
    let answer = read_to_end(&mut idle).expect("closed");
    assert_eq!(Response::parse(&answer).expect("a response").status, 200);
    all_is_well(&server, admin);
}

#[test]
fn people_who_hold_connections_do_not_keep_probes_out() {
    let (server, admin) = server(&[]);
    let before = server.fds();
    let mut held: Vec<_> = (0..200).map(|_| connect(admin)).collect();
    assert_eq!(get(admin, "/livez").status, 200);
    // Sixty-four stay; of those that are closed, some may not be gone yet.
    assert!(server.fds() <= before + 128, "{} after {before}", server.fds());
    // The oldest ones were closed, the newest are served.
    let newest = held.last_mut().expect("there are some");
    newest.write_all(b"GET /livez HTTP/1.0\r\n\r\n").expect("it is open");
    let answer = read_to_end(newest).expect("closed after HTTP 1.0");
    assert_eq!(Response::parse(&answer).expect("a response").status, 200);
    assert_eq!(read_to_end(&mut held[0]).expect("closed"), b"");
    all_is_well(&server, admin);
}

#[test]
fn who_does_not_read_holds_no_more_than_a_connection() {
    let (server, admin) = server(&[]);
    let mut stream = connect(admin);
    // Pipelined requests whose answers nobody reads: the server stops at its buffer.
    let requests = b"GET /metrics HTTP/1.1\r\n\r\n".repeat(2_000);
    let _ = stream.set_nonblocking(true);
    let _ = stream.write(&requests);
    assert_eq!(get(admin, "/livez").status, 200);
    assert!(server.rss() < 200 << 20);
    drop(stream);
    all_is_well(&server, admin);
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let (_server, admin) = server(&[]);
    let mut stream = http::connect(admin);
    let pipeline = b"GET /livez HTTP/1.1\r\n\r\nGET /no HTTP/1.1\r\n\r\n\
        GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n";
    stream.write_all(pipeline).expect("it is open");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("closed after the last one");
    let codes: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|response| &response[..3]).collect();
    assert_eq!(codes, ["200", "404", "200"]);
}
