//! Certificates change while the server runs.

use crate::support::{Client, Value, eventually};
use crate::{Secure, text};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;

fn shown(client: &Client) -> Vec<CertificateDer<'static>> {
    client.session().peer_certificates().expect("the server shows one").to_vec()
}

#[test]
fn config_set_reads_the_files_again() {
    let secure = Secure::start(&["--tls-auto-reload-interval", "0"]);
    let mut old = secure.client();
    let second = secure.authority.issue("server");
    second.write(&secure.files, "server");
    assert_ne!(shown(&secure.client()), [second.der().clone()], "not before it is told");
    let mut admin = secure.server.client();
    let (cert, key) = (secure.file("server.pem"), secure.file("server.key"));
    // The paths are what they were.
    let set = ["CONFIG", "SET", "tls-cert-file", text(&cert), "tls-key-file", text(&key)];
    assert_eq!(admin.call(&set), Value::ok());
    assert_eq!(shown(&secure.client()), [second.der().clone()]);
    assert_eq!(old.run("PING"), Value::Simple(b"PONG".to_vec()), "the connected stay");
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let secure = Secure::start(&["--tls-auto-reload-interval", "0"]);
    let first = shown(&secure.client());
    let mut admin = secure.server.client();
    let other = secure.authority.issue("server");
    other.write(&secure.files, "other");
    std::fs::write(secure.file("junk"), "junk").expect("a file");
    for (name, file) in [
        ("tls-cert-file", "missing"),
        ("tls-cert-file", "junk"),
        ("tls-cert-file", "other.pem"), // its key is another
        ("tls-key-file", "server.pem"),
        ("tls-ca-cert-file", "junk"),
        ("tls-cert-file", "."),
    ] {
        let path = secure.file(file);
        let why = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - Unable to update TLS \
             configuration. Check server logs."
        );
        assert_eq!(admin.call(&["CONFIG", "SET", name, text(&path)]), Value::error(&why));
        assert_ne!(admin.call(&["CONFIG", "GET", name]).items()[1].text(), text(&path));
    }
    let log = secure.server.log();
    assert!(log.contains("missing: No such file"), "{log}");
    for wrong in ["tls-protocols TLSv1.1", "tls-ciphers AES256-SHA", "tls-key-file-pass x"] {
        assert!(admin.run(&format!("CONFIG SET {wrong}")).is_error(), "{wrong}");
    }
    assert_eq!(shown(&secure.client()), first);
}

#[test]
fn a_hangup_reads_the_files_again() {
    let mut secure = Secure::start(&["--tls-auto-reload-interval", "0"]);
    let second = secure.authority.issue("server");
    second.write(&secure.files, "server");
    secure.server.signal("HUP");
    let new = [second.der().clone()];
    assert!(eventually(Duration::from_secs(10), || shown(&secure.client()) == new));
    // Half of a replacement changes nothing.
    std::fs::write(secure.file("server.key"), "").expect("the file can be written");
    secure.server.signal("HUP");
    assert!(eventually(Duration::from_secs(10), || secure.server.log().contains("not reloaded")));
    assert_eq!(shown(&secure.client()), new);
    assert!(secure.server.is_running());
}

#[test]
fn changed_files_are_noticed() {
    let secure = Secure::start(&["--tls-auto-reload-interval", "1"]);
    let second = secure.authority.issue("server");
    second.write(&secure.files, "server");
    let new = [second.der().clone()];
    assert!(eventually(Duration::from_secs(20), || shown(&secure.client()) == new));
}

#[test]
fn a_hangup_without_tls_is_ignored() {
    let mut server = crate::support::Server::dunlin(&[]);
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(100)); // the signal has to arrive
    assert!(server.is_running());
    assert!(server.answers());
}

#[test]
fn sessions_are_resumed_but_not_past_a_reload() {
    let secure = Secure::start(&["--tls-auto-reload-interval", "0"]);
    let identity = secure.authority.issue("somebody");
    let config = Arc::new(secure.authority.trusting(Some(identity)));
    let connect = || {
        let mut client = Client::tls(secure.address(), config.clone()).expect("it gets in");
        // The tickets come with the first reply.
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
        client.session().handshake_kind().expect("it is done")
    };
    assert_eq!(connect(), HandshakeKind::Full);
    assert_eq!(connect(), HandshakeKind::Resumed);
    let mut admin = secure.server.client();
    let ca = secure.file("ca.pem");
    assert_eq!(admin.call(&["CONFIG", "SET", "tls-ca-cert-file", text(&ca)]), Value::ok());
    assert_eq!(connect(), HandshakeKind::Full);
    assert_eq!(admin.run("CONFIG SET tls-session-caching no"), Value::ok());
    connect();
    assert_eq!(connect(), HandshakeKind::Full);
}
