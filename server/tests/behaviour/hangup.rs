//! Clients that hang up while they wait: noticed at once, behind what they have sent meanwhile.

use crate::support::client::Broken;
use crate::support::process::{against_reference, scratch_dir};
use crate::support::{Client, Server, Value, eventually};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// Sent behind a command that waits, and never read: nothing, one command, what fills the buffers
/// of the server and of a unix socket about half.
const BEHIND: [usize; 3] = [0, 1, 15_000];

/// How a client hangs up.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    /// With a reply unread, which over TCP turns the close into a reset.
    Reset,
    FinishSending,
}

/// A server with a unix socket and a client that stays.
struct Place {
    server: Server,
    watcher: Client,
    dir: PathBuf,
    fds: usize,
}

impl Place {
    fn new() -> Self {
        let dir = scratch_dir("hangup");
        let path = dir.join("socket");
        let mut args = vec!["--unixsocket", path.to_str().expect("a plain path")];
        if !against_reference() {
            // A second one may open its descriptors only after the first has answered.
            args.extend(["--workers", "1"]);
        }
        let server = Server::dunlin(&args);
        let mut place = Place { watcher: server.client(), server, dir, fds: 0 };
        assert!(eventually(SOON, || place.clients() == 1), "the first clients stay");
        place.fds = place.server.fds();
        place
    }

    fn client(&self, unix: bool) -> Client {
        let path: &Path = &self.dir.join("socket");
        if unix { Client::unix(path).expect("it listens") } else { self.server.client() }
    }

    fn clients(&mut self) -> usize {
        self.watcher.run("CLIENT LIST").text().lines().count()
    }

    fn blocked(&mut self) -> bool {
        self.watcher.run("INFO clients").text().contains("blocked_clients:1")
    }

    fn assert_empty(&mut self, what: &str) {
        assert!(eventually(SOON, || self.clients() == 1), "{what}: the connection has leaked");
        let (server, fds) = (&self.server, self.fds);
        assert!(eventually(SOON, || server.fds() <= fds), "{what}: a descriptor has leaked");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_blocked_client_may_hang_up() {
    let mut place = Place::new();
    for unix in [false, true] {
        for end in [End::Close, End::Reset, End::FinishSending] {
            for behind in BEHIND {
                let what = format!("unix {unix}, {end:?}, {behind} commands behind");
                let mut client = place.client(unix);
                if matches!(end, End::Reset) {
                    client.send(b"PING\r\n");
                }
                client.send(b"WAIT 1 0\r\n");
                assert!(eventually(SOON, || place.blocked()), "{what}: it does not wait");
                client.send(&b"PING\r\n".repeat(behind));
                if matches!(end, End::FinishSending) {
                    client.finish_sending();
                    assert_eq!(client.try_recv(), Err(Broken::Closed), "{what}");
                }
                drop(client);
                place.assert_empty(&what);
            }
        }
    }
}

#[test]
fn a_paused_client_may_hang_up() {
    let mut place = Place::new();
    assert_eq!(place.watcher.run("CLIENT PAUSE 600000 WRITE"), Value::ok());
    for unix in [false, true] {
        for behind in BEHIND {
            let mut client = place.client(unix);
            client.send(b"PING\r\nSET a 1\r\n");
            assert_eq!(client.recv(), Value::Simple(b"PONG".to_vec()));
            client.send(&b"PING\r\n".repeat(behind));
            drop(client);
            place.assert_empty(&format!("unix {unix}, {behind} commands behind"));
        }
    }
    assert_eq!(place.watcher.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(place.watcher.run("EXISTS a"), Value::Int(0));
}

#[test]
fn what_is_sent_behind_a_command_that_waits_runs_after_it() {
    let place = Place::new();
    for unix in [false, true] {
        let mut client = place.client(unix);
        client.send(b"WAIT 1 50\r\n");
        for n in 0..5_000 {
            client.send(format!("ECHO {n}\r\n").as_bytes());
        }
        assert_eq!(client.recv(), Value::Int(0));
        for n in 0..5_000 {
            assert_eq!(client.recv(), Value::bulk(n.to_string()));
        }
    }
}
