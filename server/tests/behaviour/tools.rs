//! What the program does beside serving: `--check-config`, `ping`, completions and the manual.

use crate::support::process::{Server, free_port, scratch_dir};
use std::fs;
use std::process::{Command, Output, Stdio};

fn dunlin(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    // Those of the tests are no directives.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DUNLIN_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).output().expect("it starts")
}

/// Exit code, and what was printed.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = dunlin(args);
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn a_configuration_is_checked_without_a_trace() {
    let dir = scratch_dir("check");
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).expect("the directory takes files");
        path.to_str().expect("a plain path").to_owned()
    };
    let at = |name: &str| dir.join(name).to_str().expect("a plain path").to_owned();
    let (log, pid, socket) = (at("log"), at("pid"), at("socket"));
    let whole = format!("requirepass x\nlogfile {log}\npidfile {pid}\nunixsocket {socket}\n");
    let good = file("good", &whole);
    // The port is taken: that is for the start to find out.
    let server = Server::dunlin(&[]);
    let port = server.port().to_string();
    assert_eq!(run(&[&good, "--check-config", "--port", &port]), (Some(0), "ok\n".into()));
    for path in [log, pid, socket] {
        assert!(!fs::exists(&path).expect("it can be seen"), "{path} was made");
    }
    let users = file("users", "user alice on nopass +@all\nuser bob +nosuch\n");
    let bad =
        format!("port 0\ntls-port 1\ntls-cert-file {}\ndaemonise yes\naclfile {users}\n", at("no"));
    let bad = file("bad", &(bad + "logfile /no/such/log\n"));
    let (code, text) = run(&[&bad, "--check-config"]);
    assert_eq!(code, Some(1), "{text}");
    for part in [
        &format!("{bad}:4: daemonise: "),
        &format!("{users}:2: Error in applying operation '+nosuch'"),
        "TLS: ",
        "logfile: no directory for /no/such/log",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    let (code, text) = run(&["--check-config", "--bind", "0.0.0.0", "--port", "1"]);
    assert!(code == Some(1) && text.contains("requirepass"), "{text}");
    let (code, text) = run(&["--check-config", "--port", "0"]);
    assert!(code == Some(1) && text.contains("nowhere"), "{text}");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_probe_finds_the_server_by_its_configuration() {
    let dir = scratch_dir("ping");
    let socket = dir.join("socket");
    let file = dir.join("conf");
    let text = format!("requirepass geheim\nunixsocket {}\n", socket.display());
    fs::write(&file, text).expect("the directory takes files");
    let file = file.to_str().expect("a plain path");
    let mut server = Server::dunlin_with_file(file);
    let port = server.port().to_string();
    let pong = || (Some(0), "PONG\n".to_owned());
    assert_eq!(run(&["ping", file]), pong());
    assert_eq!(run(&["ping", file, "-p", &port]), pong());
    // Without the password it is known to be there all the same.
    let (code, text) = run(&["ping", "-p", &port]);
    assert!(code == Some(0) && text.starts_with("NOAUTH"), "{text}");
    let (code, text) = run(&["ping", "-s", socket.to_str().expect("a plain path")]);
    assert!(code == Some(0) && text.starts_with("NOAUTH"), "{text}");
    let with_env = Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("ping")
        .envs([("DUNLIN_REQUIREPASS", "geheim"), ("DUNLIN_PORT", &port)])
        .output()
        .expect("it starts");
    assert_eq!((with_env.status.code(), &*with_env.stdout), (Some(0), &b"PONG\n"[..]));
    server.signal("KILL");
    server.wait(std::time::Duration::from_secs(10));
    assert_eq!(run(&["ping", file]).0, Some(1));
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_probe_fails_where_nobody_answers() {
    assert_eq!(run(&["ping", "-p", &free_port().to_string()]).0, Some(1));
    // A peer that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port().to_string();
    assert_eq!(run(&["ping", "-p", &port]), (Some(1), "no answer\n".into()));
    assert_eq!(run(&["ping", "--port", "0"]).0, Some(1));
}

#[test]
fn completions_load_into_the_shell() {
    let Output { status, stdout, .. } = dunlin(&["--completions", "bash"]);
    assert!(status.success());
    let dir = scratch_dir("completions");
    let script = dir.join("dunlin.bash");
    fs::write(&script, &stdout).expect("the directory takes files");
    let ask = "source \"$0\" && COMP_WORDS=(dunlin --maxmemory-po) && COMP_CWORD=1 \
               && _dunlin dunlin --maxmemory-po dunlin && echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").args(["--norc", "-c", ask]).arg(&script).output();
    if let Ok(found) = bash {
        assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "--maxmemory-policy");
    }
    let Output { status, stdout, .. } = dunlin(&["--man"]);
    assert!(status.success() && stdout.starts_with(b".ie"), "no manual page");
    let _ = fs::remove_dir_all(dir);
}
