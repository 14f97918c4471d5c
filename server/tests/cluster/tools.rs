//! The programs that come with Redis, against a node that is alone.

use crate::support::process::scratch_dir;
use crate::support::{Server, Value};
use std::process::{Command, Stdio};

/// What a program prints, if this machine has it. It has to end well.
fn output(program: &str, args: &[&str], input: &str) -> Option<String> {
    let file = scratch_dir("input").join("commands");
    std::fs::write(&file, input).expect("the input can be written");
    let stdin = std::fs::File::open(&file).expect("the input can be read");
    let mut command = Command::new(program);
    let run = command.args(args).stdin(stdin).stderr(Stdio::piped()).output();
    let Ok(run) = run else {
        let required = std::env::var_os("DUNLIN_REQUIRE_PEERS").is_some();
        assert!(!required, "{program} is not on the PATH");
        println!("skipped: {program} not found");
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&run.stdout), text(&run.stderr));
    assert!(run.status.success(), "{program} {args:?}: {}\n{out}\n{errors}", run.status);
    Some(out + &errors)
}

fn redis_cli(args: &[&str], input: &str) -> Option<String> {
    output("redis-cli", args, input)
}

fn at(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port())
}

#[test]
fn redis_cli_checks_and_calls() {
    let server = crate::node(&[]);
    let mut client = server.client();
    for n in 0..100 {
        assert_eq!(client.run(&format!("SET key:{n} {n}")), Value::ok());
    }
    let Some(check) = redis_cli(&["--cluster", "check", &at(&server)], "") else { return };
    for line in [
        "100 keys | 16384 slots | 0 slaves.",
        "[OK] 100 keys in 1 masters.",
        "[OK] All nodes agree about slots configuration.",
        "[OK] All 16384 slots covered.",
    ] {
        assert!(check.contains(line), "{line}\n{check}");
    }
    let info = redis_cli(&["--cluster", "info", &at(&server)], "").unwrap_or_default();
    assert!(info.contains("[OK] 100 keys in 1 masters."), "{info}");
    let call = redis_cli(&["--cluster", "call", &at(&server), "DBSIZE"], "").unwrap_or_default();
    assert!(call.contains(&format!("{}: 100", at(&server))), "{call}");
}

/// Two nodes that know each other, with half of the slots each.
fn pair() -> (Server, Server) {
    let (one, two) = (crate::node(&[]), crate::node(&[]));
    let give = |from: &Server, first: u16, last: u16, to: &Server| {
        let line = format!("DEBUG SLOTS GIVE {first} {last} 127.0.0.1 {}", to.port());
        assert_eq!(from.client().run(&line), Value::ok());
    };
    give(&one, 8192, 16_383, &two);
    give(&two, 0, 8191, &one);
    (one, two)
}

#[test]
fn redis_cli_follows_redirections() {
    let (one, two) = pair();
    let lines = "SET foo 1\nSET bar 2\nGET foo\nGET bar\nCLUSTER KEYSLOT foo\n";
    let port = one.port().to_string();
    let Some(out) = redis_cli(&["-c", "-p", &port], lines) else { return };
    let replies = out.lines().filter(|line| !line.is_empty() && !line.starts_with("->"));
    assert_eq!(replies.collect::<Vec<_>>(), ["OK", "OK", "1", "2", "12182"], "{out}");
    assert_eq!(two.client().run("GET foo"), Value::bulk("1"));
    assert_eq!(one.client().run("GET bar"), Value::bulk("2"));
}

/// It insists on more than one.
#[test]
fn redis_benchmark_finds_the_nodes() {
    let (one, two) = pair();
    let port = one.port().to_string();
    let args =
        ["--cluster", "-p", &port, "-t", "set,get", "-r", "1000", "-n", "2000", "-c", "4", "-q"];
    let Some(out) = output("redis-benchmark", &args, "") else { return };
    assert!(out.contains("Cluster has 2 master nodes"), "{out}");
    assert!(out.contains("SET:") && out.contains("GET:"), "{out}");
    assert!(!out.to_lowercase().contains("error"), "{out}");
    for server in [one, two] {
        assert!(matches!(server.client().run("DBSIZE"), Value::Int(keys) if keys > 0));
    }
}
