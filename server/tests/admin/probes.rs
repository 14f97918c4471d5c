//! `/livez` and `/readyz`, and when there is a listener at all.

use crate::http::{self, get};
use crate::support::process::free_port;
use crate::{Server, eventually, server};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_server_that_serves_is_alive_and_ready() {
    let (_server, admin) = server(&[]);
    let live = get(admin, "/livez");
    assert_eq!((live.status, live.text()), (200, "alive\n"));
    let ready = get(admin, "/readyz");
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));
    assert_eq!(ready.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(ready.header("cache-control"), Some("no-store"));
    let head = http::request(admin, "HEAD", "/readyz", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(get(admin, "/livez?verbose=1").status, 200);
    assert_eq!(get(admin, "/nothing").status, 404);
}

#[test]
fn without_a_port_nobody_listens() {
    let server = Server::dunlin(&[]);
    let port = server.client().run("CONFIG GET admin-port").items();
    assert_eq!(port.last().map(|value| value.text()), Some("0".to_owned()));
    assert!(server.client().run("CONFIG SET admin-port 1").is_error());
}

#[test]
fn a_port_that_is_taken_ends_the_start() {
    let port = free_port();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it was free");
    let program = Path::new(env!("CARGO_BIN_EXE_dunlin"));
    let arg = port.to_string();
    let mut command = Server::dunlin_command(program, free_port(), &["--admin-port", &arg]);
    let output = command.output().expect("it starts");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("admin") && text.contains(&arg), "{text}");
}

#[test]
fn it_listens_on_loopback_unless_told_otherwise() {
    let (_server, admin) = server(&["--admin-bind", "127.0.0.2"]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, admin)).is_err());
    assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), admin)).is_ok());
}

#[test]
fn a_worker_that_hangs_is_not_alive() {
    let (server, admin) = server(&["--workers", "1", "--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.send(b"DEBUG SLEEP 7\r\n");
    let patience = Duration::from_secs(30);
    assert!(eventually(patience, || get(admin, "/livez").status == 503), "it sleeps");
    // Readiness is another question.
    assert_eq!(get(admin, "/readyz").status, 200);
    assert!(eventually(patience, || get(admin, "/livez").status == 200), "it is awake again");
}

#[test]
fn the_listener_ends_with_the_process() {
    let (mut server, admin) = server(&[]);
    let _idle = http::connect(admin);
    server.signal("TERM");
    let status = server.wait(Duration::from_secs(30)).expect("it ends");
    assert!(status.success(), "{}", server.log());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, admin)).is_err());
}
