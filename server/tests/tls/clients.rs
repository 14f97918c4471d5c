//! redis-cli, where it can speak TLS.

use crate::{Secure, text};
use std::process::Command;

#[test]
fn redis_cli_talks_tls() {
    let probe = Command::new("redis-cli").args(["--tls", "--version"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("DUNLIN_REQUIRE_PEERS").is_some();
        assert!(!required, "no redis-cli with TLS on the PATH");
        println!("skipped: no redis-cli with TLS");
        return;
    }
    let secure = Secure::start(&[]);
    secure.authority.issue("cli").write(&secure.files, "cli");
    let run = |more: &[&str]| {
        let port = secure.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-h", "localhost", "-p", &port, "--tls"])
            .args(["--cacert", text(&secure.file("ca.pem"))])
            .args(more)
            .output()
            .expect("it runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let (cert, key) = (secure.file("cli.pem"), secure.file("cli.key"));
    let with = ["--cert", text(&cert), "--key", text(&key)];
    assert_eq!(run(&[&with[..], &["SET", "a", "1"]].concat()), "OK\n");
    assert_eq!(run(&[&with[..], &["-3", "GET", "a"]].concat()), "1\n");
    let refused = run(&["GET", "a"]);
    assert_ne!(refused, "1\n", "without a certificate");
}
