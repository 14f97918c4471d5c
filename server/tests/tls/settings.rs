//! What a server with TLS needs to start, and what it agrees to.

use crate::authority::Authority;
use crate::support::process::{Server, free_port, scratch_dir};
use crate::{Secure, text};
use rustls::version::{TLS12, TLS13};
use std::path::Path;
use std::process::Stdio;

/// What a server says that does not start.
fn refusal(args: &[&str]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut command = Server::dunlin_command(program, free_port(), args);
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(!output.status.success(), "{args:?}: it starts");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn wrong_settings_are_refused_with_a_clear_line() {
    let dir = scratch_dir("tls-settings");
    let authority = Authority::new("CA");
    authority.write(&dir.join("ca.pem"));
    authority.issue("one").write(&dir, "one");
    authority.issue("two").write(&dir, "two");
    let label = "ENCRYPTED PRIVATE KEY-----";
    let pem = format!(
        "-----BEGIN {label}
MAAA
-----END {label}
"
    );
    std::fs::write(dir.join("encrypted"), pem).expect("a file");
    let file = |name: &str| text(&dir.join(name)).to_owned();
    let (cert, key, ca) = (file("one.pem"), file("one.key"), file("ca.pem"));
    let port = free_port().to_string();
    let good: &[&str] = &["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let (other, encrypted) = (file("two.key"), file("encrypted"));
    for (args, word) in [
        (&["--tls-port", &port][..], "no tls-cert-file"),
        (&["--tls-port", &port, "--tls-cert-file", &cert], "no tls-key-file"),
        (good, "tls-ca-cert-file"),
        (&[good, &["--tls-ca-cert-file", &ca, "--tls-key-file", &other]].concat(), "two.key"),
        (&[good, &["--tls-ca-cert-file", &ca, "--tls-key-file", &encrypted]].concat(), "encrypted"),
        (
            &[good, &["--tls-ca-cert-file", &ca, "--tls-key-file-pass", "x"]].concat(),
            "key-file-pass",
        ),
        (&[good, &["--tls-ca-cert-file", &ca, "--tls-protocols", "TLSv1.1"]].concat(), "TLSv1.1"),
        (&[good, &["--tls-ca-cert-file", &ca, "--tls-ciphers", "RC4-MD5"]].concat(), "RC4-MD5"),
        (&[good, &["--tls-ca-cert-file", &ca, "--tls-ciphersuites", "X"]].concat(), "ciphersuites"),
        (&[good, &["--tls-ca-cert-file", &file("no")]].concat(), "No such file"),
    ] {
        let said = refusal(args);
        assert!(said.contains(word) && !said.contains("panicked"), "{args:?}: {said}");
    }
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn versions_and_suites_are_the_operator_s_choice() {
    let secure = Secure::start(&[
        "--tls-protocols",
        "TLSv1.2",
        "--tls-ciphers",
        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
        "--tls-prefer-server-ciphers",
        "yes",
    ]);
    let identity = || Some(secure.authority.issue("somebody"));
    let client = secure.client();
    assert_eq!(client.session().protocol_version(), Some(TLS12.version));
    let suite = client.session().negotiated_cipher_suite().expect("agreed").suite();
    assert_eq!(suite.as_str(), Some("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"));
    let newer = secure.authority.trusting_in(identity(), &[&TLS13]);
    assert!(secure.connect(newer).is_err(), "TLS 1.3 is off");
    let mut admin = secure.server.client();
    assert_eq!(admin.run("CONFIG SET tls-protocols TLSv1.3"), crate::support::Value::ok());
    let older = secure.authority.trusting_in(identity(), &[&TLS12]);
    assert!(secure.connect(older).is_err(), "TLS 1.2 is off");
    assert_eq!(secure.client().session().protocol_version(), Some(TLS13.version));
}
