//! How it starts, and when it refuses to.

use crate::support::process::{Server, free_port, scratch_dir};
use crate::support::{Client, Value, eventually};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn dunlin(args: &[&str]) -> Command {
    Server::dunlin_command(Path::new(env!("CARGO_BIN_EXE_dunlin")), free_port(), args)
}

#[test]
fn without_a_password_it_listens_to_this_machine_only() {
    for bind in ["0.0.0.0", "*", "127.0.0.1 0.0.0.0"] {
        let mut command = dunlin(&["--bind", bind]);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let mut status = None;
        let ended = eventually(Duration::from_secs(10), || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        let _ = child.kill();
        assert!(ended, "--bind {bind} without a password: it runs");
        assert!(!status.expect("ended").success(), "--bind {bind}: exit status 0");
    }
    // With a password, or told so, it starts.
    for args in [["--requirepass", "secret"], ["--protected-mode", "no"]] {
        let args = [&["--bind", "0.0.0.0"], &args[..]].concat();
        assert!(Server::dunlin(&args).answers(), "{args:?}");
    }
}

#[test]
fn wrong_settings_are_refused_with_a_clear_line() {
    for args in [
        &["--nosuchsetting", "1"][..],
        &["--maxmemory", "much"],
        &["--maxmemory-policy", "best"],
        &["--port", "123456"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        let output = command.args(args).stdin(Stdio::null()).output().expect("it starts");
        assert!(!output.status.success(), "{args:?}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains(args[0].trim_start_matches('-')), "{args:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn a_taken_port_is_an_error() {
    let first = Server::dunlin(&[]);
    let program = Path::new(env!("CARGO_BIN_EXE_dunlin"));
    let mut second = Server::dunlin_command(program, first.port(), &[]);
    let output = second.stdin(Stdio::null()).output().expect("it starts");
    assert!(!output.status.success());
    assert!(first.answers());
}

#[test]
fn the_unix_socket_is_for_its_owner() {
    let dir = scratch_dir("socket");
    let path = dir.join("dunlin.sock");
    let text = path.to_str().expect("a plain path").to_string();
    let mut server = Server::dunlin(&["--unixsocket", &text]);
    let mode = std::fs::metadata(&path).expect("the socket exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let mut client = Client::unix(&path).expect("it listens");
    assert_eq!(client.run("SET a 1"), Value::ok());
    assert_eq!(server.client().run("GET a"), Value::bulk("1"));
    let info = client.run("CLIENT INFO").text();
    assert!(info.contains(&text), "{info}");
    server.signal("TERM");
    assert!(server.wait(Duration::from_secs(15)).is_some_and(|s| s.success()));
    assert!(!path.exists(), "the socket is left behind");
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn the_unix_socket_takes_the_mode_it_is_told_and_replaces_a_stale_one() {
    let dir = scratch_dir("socket");
    let path = dir.join("dunlin.sock");
    let text = path.to_str().expect("a plain path").to_string();
    let server = Server::dunlin(&["--unixsocket", &text]);
    server.signal("KILL");
    assert!(eventually(Duration::from_secs(5), || !server.answers()));
    assert!(path.exists(), "a killed server leaves its socket");
    let _server = Server::dunlin(&["--unixsocket", &text, "--unixsocketperm", "660"]);
    let mode = std::fs::metadata(&path).expect("the socket exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
    assert!(Client::unix(&path).is_ok());
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn the_start_line_tells_the_limits() {
    let server = Server::dunlin(&["--maxclients", "77"]);
    let log = server.log();
    for word in ["maxmemory", "workers", "fds", "maxclients=77", "bind", "auth"] {
        assert!(log.contains(word), "{word} is missing in: {log}");
    }
}
