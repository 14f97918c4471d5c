//! Under a supervisor: sockets that it has opened, and what it is told.

use crate::support::process::{Server, free_port, scratch_dir};
use crate::support::{Client, Value, eventually};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Starts dunlin with two sockets at descriptors 3 and 4, as systemd does. The shell gets them as its
/// input and output, because these are what can be handed to a child without further ado.
fn start(tcp: &TcpListener, unix: &UnixListener, dir: &Path, args: &[&str]) -> Child {
    let script = "exec 3<&0 4<&1 </dev/null >log 2>&1; \
                  LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=one:two exec \"$0\" \"$@\"";
    Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_dunlin")])
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::from(OwnedFd::from(tcp.try_clone().expect("a descriptor"))))
        .stdout(Stdio::from(OwnedFd::from(unix.try_clone().expect("a descriptor"))))
        .spawn()
        .expect("there is a shell")
}

fn end(mut child: Child) {
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
    let mut status = None;
    eventually(SOON, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    let _ = child.kill();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn sockets_of_the_supervisor_are_served_and_outlive_the_process() {
    let dir = scratch_dir("activation");
    let path = dir.join("socket");
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let unix = UnixListener::bind(&path).expect("a socket");
    let address = tcp.local_addr().expect("an address");
    // Somebody who comes before the process does.
    let mut early = Client::tcp(address).expect("the kernel accepts");
    early.send_command(&["SET", "a", "1"]);
    let unused = free_port();
    let child = start(&tcp, &unix, &dir, &["--port", &unused.to_string()]);
    assert_eq!(early.recv(), Value::ok());
    let mut local = Client::unix(&path).expect("it is there");
    assert_eq!(local.run("GET a"), Value::bulk("1"));
    assert!(local.run("CLIENT INFO").text().contains(path.to_str().expect("a plain path")));
    let configured = SocketAddr::from((Ipv4Addr::LOCALHOST, unused));
    assert!(Client::tcp(configured).is_err(), "the sockets are there instead of the port");
    // Other ports may be opened later and closed again: what the supervisor has opened stays.
    let other = free_port();
    assert_eq!(early.run(&format!("CONFIG SET port {other}")), Value::ok());
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, other));
    assert!(eventually(SOON, || Client::tcp(there).is_ok()));
    assert!(Client::tcp(address).is_ok());
    end(child);
    assert_eq!(early.read_to_close(), Ok(Vec::new()));
    // Who comes now is served by the next process.
    let mut between = Client::tcp(address).expect("the kernel accepts");
    let mut also = Client::unix(&path).expect("the socket is not removed");
    between.send_command(&["PING"]);
    also.send_command(&["PING"]);
    let child = start(&tcp, &unix, &dir, &[]);
    assert_eq!(between.recv(), Value::Simple(b"PONG".to_vec()));
    assert_eq!(also.recv(), Value::Simple(b"PONG".to_vec()));
    end(child);
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_socket_for_strangers_needs_a_password_too() {
    let dir = scratch_dir("activation");
    let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let unix = UnixListener::bind(dir.join("socket")).expect("a socket");
    let mut child = start(&tcp, &unix, &dir, &[]);
    let mut status = None;
    let ended = eventually(SOON, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    let _ = child.kill();
    assert!(ended && !status.expect("ended").success());
    let log = fs::read_to_string(dir.join("log")).expect("a log");
    assert!(log.contains("0.0.0.0") && log.contains("requirepass"), "{log}");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn the_supervisor_hears_of_the_start_of_every_day_and_of_the_end() {
    let dir = scratch_dir("notify");
    let socket = UnixDatagram::bind(dir.join("notify")).expect("a socket");
    socket.set_read_timeout(Some(SOON)).expect("an option");
    let heard = || {
        let mut room = [0; 256];
        let came = socket.recv(&mut room).expect("a message");
        String::from_utf8_lossy(&room[..came]).into_owned()
    };
    let port = free_port();
    let args = ["--supervised", "auto"];
    let mut child = Server::dunlin_command(Path::new(env!("CARGO_BIN_EXE_dunlin")), port, &args)
        .envs([("NOTIFY_SOCKET", dir.join("notify").to_str().expect("a plain path"))])
        .env("WATCHDOG_USEC", "100000")
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    assert!(heard().starts_with("READY=1\n"));
    let mut client = Client::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).expect("ready");
    assert!(client.run("INFO server").text().contains("process_supervised:systemd\r\n"));
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
    let mut last = heard();
    while last == "WATCHDOG=1" {
        last = heard();
    }
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
    assert!(child.wait().is_ok_and(|status| status.success()));
    // Who insists on a supervisor gets one or does not start.
    let mut alone = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    let output = alone.args(["--supervised", "systemd", "--port", &port.to_string()]).output();
    let output = output.expect("it starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOTIFY_SOCKET"));
    let _ = fs::remove_dir_all(dir);
}
