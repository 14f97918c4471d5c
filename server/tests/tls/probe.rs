//! `dunlin ping` at a server that serves TLS only.

use crate::{Secure, text};
use std::process::Command;

fn ping(secure: &Secure, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.args(["ping", "--tls-port", &secure.port.to_string()]).args(args);
    // A probe waits for a second, which may be too short on a machine that is busy with tests.
    let mut tries = 0;
    loop {
        let output = command.output().expect("it starts");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        tries += 1;
        if printed != "no answer\n" || tries == 10 {
            return (output.status.code(), printed);
        }
    }
}

#[test]
fn a_probe_shows_the_servers_own_certificate() {
    let secure = Secure::start_tls_only(&["--requirepass", "geheim"]);
    let (cert, key) = (secure.file("server.pem"), secure.file("server.key"));
    let own = ["--tls-cert-file", text(&cert), "--tls-key-file", text(&key)];
    let password = ["--requirepass", "geheim"];
    let (code, printed) = ping(&secure, &[&own[..], &password].concat());
    assert_eq!((code, &*printed), (Some(0), "PONG\n"));
    // The password is for nobody but the server of this configuration.
    secure.authority.issue("another").write(&secure.files, "another");
    let (cert, key) = (secure.file("another.pem"), secure.file("another.key"));
    let other = ["--tls-cert-file", text(&cert), "--tls-key-file", text(&key)];
    let (code, printed) = ping(&secure, &[&other[..], &password].concat());
    assert!(code == Some(0) && printed.starts_with("NOAUTH"), "{printed}");
    // A server that wants a certificate is there, too.
    let (code, printed) = ping(&secure, &[]);
    assert!(code == Some(0) && printed.starts_with("TLS alert"), "{printed}");
}
