//! Whoever says on the bus what may not be said: row 57 of the hostile table. The connection ends, it is
//! counted, and nothing has changed.
//!
//! Hellos, proofs and frames are made by hand here, as `link/handshake.rs`, `link/frame.rs` and
//! `stream/frame.rs` draw them.

use super::support::process::free_port;
use super::support::{Server, Value, eventually};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

const SECRET: &str = "open sesame";
/// Bytes of a hello, and of a proof.
const HELLO: usize = 75;
const PROOF: usize = 32;
/// What is spoken on connections for data.
const VERSION: u16 = 2;
const LIMIT: Duration = Duration::from_secs(20);

const RAFT: u8 = 1;
const STREAM: u8 = 5;
const MEET: u8 = 6;

/// A node, and what a stranger knows of it.
struct Node {
    server: Server,
    bus: u16,
    cluster: Vec<u8>,
    id: Vec<u8>,
}

impl Node {
    fn start() -> Node {
        let bus = free_port();
        let server = super::node(&["--cluster-secret", SECRET, "--cluster-port", &bus.to_string()]);
        for (key, _) in super::SLOTS {
            assert_eq!(server.client().run(&format!("SET {key} {key}")), Value::ok());
        }
        let mut node = Node { server, bus, cluster: vec![7; 16], id: vec![9; 20] };
        // Who knows the secret may ask who is there.
        let who = frame(1, 0, br#"{"Who":"127.0.0.1"}"#);
        let mut wire = node.known(MEET);
        wire.write_all(&who).expect("it is sent");
        let mut header = [0; 12];
        wire.read_exact(&mut header).expect("a reply");
        let mut body = vec![0; u32::from_be_bytes([8, 9, 10, 11].map(|i| header[i])) as usize];
        wire.read_exact(&mut body).expect("its body");
        let reply: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let cluster = reply["Me"]["cluster"].clone();
        node.cluster = serde_json::from_value(cluster).expect("bytes");
        let Value::Bulk(id) = node.server.client().run("CLUSTER MYID") else { panic!("no id") };
        let digit = |at: usize| std::str::from_utf8(&id[at..at + 2]).ok();
        let digits = (0..40).step_by(2).filter_map(digit);
        node.id = digits.filter_map(|text| u8::from_str_radix(text, 16).ok()).collect();
        assert_eq!((node.cluster.len(), node.id.len()), (16, 20), "{reply}");
        node
    }

    fn connect(&self) -> TcpStream {
        let wire = TcpStream::connect((Ipv4Addr::LOCALHOST, self.bus)).expect("the bus listens");
        wire.set_read_timeout(Some(LIMIT)).expect("a socket takes a limit");
        wire
    }

    /// What a node of the cluster says first.
    fn hello(&self, version: u16, kind: u8) -> Vec<u8> {
        let mut bytes = b"DNLN".to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.push(kind);
        bytes.extend(&self.cluster);
        bytes.extend(&self.id);
        bytes.extend([3; 32]);
        assert_eq!(bytes.len(), HELLO);
        bytes
    }

    /// A connection of somebody who knows the secret, and what he has said.
    fn handshake(&self, kind: u8) -> (TcpStream, Vec<u8>) {
        let (mut wire, hello) = (self.connect(), self.hello(1, kind));
        wire.write_all(&hello).expect("it is sent");
        let mut theirs = vec![0; HELLO + PROOF];
        wire.read_exact(&mut theirs).expect("a hello and a proof");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
        mac.update(b"client");
        mac.update(&hello);
        mac.update(&theirs[..HELLO]);
        let proof = mac.finalize().into_bytes();
        wire.write_all(&proof).expect("it is sent");
        (wire, [&hello[..], &proof[..]].concat())
    }

    fn known(&self, kind: u8) -> TcpStream {
        let (mut wire, _) = self.handshake(kind);
        let mut welcome = [1];
        wire.read_exact(&mut welcome).expect("an answer");
        assert_eq!(welcome, [0], "not let in");
        wire
    }

    fn figure(&self, field: &str) -> u64 {
        let Value::Bulk(text) = self.server.client().run("CLUSTER INFO") else { panic!("no text") };
        let text = String::from_utf8(text).expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field}\n{text}"))
    }

    /// What must be as it was: the map, the log, the keys.
    fn state(&self) -> Vec<Value> {
        let mut client = self.server.client();
        let mut all: Vec<Value> = ["CLUSTER NODES", "CLUSTER EPOCH", "DBSIZE", "DEBUG DIGEST"]
            .map(|line| client.run(line))
            .into();
        all.extend(super::SLOTS.map(|(key, _)| client.run(&format!("GET {key}"))));
        let figures = ["cluster_raft_term", "cluster_raft_commit_index", "cluster_known_nodes"];
        all.extend(figures.map(|field| Value::Int(self.figure(field) as i64)));
        all
    }

    /// Somebody does this, his connection ends, it counts as `fault`, and all is as it was.
    #[track_caller]
    fn suffers(&self, what: &str, fault: &str, attack: impl FnOnce() -> TcpStream) {
        let field = format!("cluster_links_{fault}");
        let (before, state) = (self.figure(&field), self.state());
        let mut wire = attack();
        // It may be a reset: what was sent is not read any more.
        let mut rest = Vec::new();
        let ended = wire.read_to_end(&mut rest).map_err(|error| error.kind());
        let waited = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
        assert!(!ended.is_err_and(|kind| waited.contains(&kind)), "{what}: it is still open");
        let counted = eventually(LIMIT, || self.figure(&field) > before);
        assert!(counted, "{what}: {fault} was not counted");
        assert_eq!(self.state(), state, "{what}");
    }
}

/// A frame as requests and replies go in.
fn frame(version: u8, what: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'D', b'n', version, what, 0, 0, 0, 1];
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A frame of a connection for data.
fn data(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 1).to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend(body);
    bytes
}

fn send(mut wire: TcpStream, bytes: &[u8]) -> TcpStream {
    // It may be closed before it has taken everything.
    let _ = wire.write_all(bytes);
    wire
}

/// Sends this and nothing more.
fn send_only(wire: TcpStream, bytes: &[u8]) -> TcpStream {
    let wire = send(wire, bytes);
    let _ = wire.shutdown(Shutdown::Write);
    wire
}

#[test]
fn strangers() {
    let node = Node::start();
    node.suffers("another protocol", "refused", || {
        send(node.connect(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    });
    node.suffers("a command", "refused", || send(node.connect(), b"*1\r\n$8\r\nFLUSHALL\r\n"));
    for length in [0, 1, 4, 6, 7, 40, HELLO - 1] {
        let hello = node.hello(1, RAFT);
        node.suffers(&format!("{length} bytes of a hello"), "truncated", || {
            send_only(node.connect(), &hello[..length])
        });
    }
    node.suffers("silence", "truncated", || node.connect());
    for version in [0, 2, u16::MAX] {
        let hello = node.hello(version, RAFT);
        let what = format!("version {version}");
        node.suffers(&what, "refused", || send(node.connect(), &hello));
    }
    for length in [0, 31] {
        let said = [node.hello(1, RAFT), vec![0; length]].concat();
        let what = format!("{length} bytes of a proof");
        node.suffers(&what, "truncated", || send_only(node.connect(), &said));
    }
    let said = [node.hello(1, RAFT), vec![0; PROOF]].concat();
    node.suffers("no secret", "refused", || send(node.connect(), &said));
    // A proof of nothing, and everything after it as if it had been believed.
    let said = [said, frame(1, 0, br#"{"Come":"127.0.0.1:1"}"#)].concat();
    node.suffers("no secret, and a request", "refused", || send(node.connect(), &said));
}

#[test]
fn those_who_say_nothing_make_room() {
    let node = Node::start();
    // More of them than are asked at the same time who they are.
    let silent: Vec<TcpStream> = (0..100).map(|_| node.connect()).collect();
    for kind in [RAFT, STREAM, MEET] {
        node.known(kind);
    }
    drop(silent);
}

#[test]
fn what_was_recorded() {
    let node = Node::start();
    for kind in [RAFT, STREAM, MEET] {
        let (wire, said) = node.handshake(kind);
        drop(wire);
        // It has let in the first one, who has gone without a word.
        let said = [said, frame(1, 0, br#"{"Come":"127.0.0.1:1"}"#)].concat();
        let what = format!("a recorded connection of kind {kind}");
        node.suffers(&what, "refused", || send(node.connect(), &said));
    }
}

#[test]
fn those_who_know_the_secret() {
    let node = Node::start();
    node.suffers("no such kind", "refused", || node.handshake(99).0);
    let other = Node { cluster: vec![1; 16], ..Node::start() };
    other.suffers("another cluster", "refused", || other.handshake(RAFT).0);
    let too_long = [&b"Dn"[..], &[1, 0], &[0, 0, 0, 1], &u32::MAX.to_be_bytes()].concat();
    let above = (16_u32 << 20) + 1;
    let one_too_long = [&b"Dn"[..], &[1, 0], &[0, 0, 0, 1], &above.to_be_bytes()].concat();
    let whole = frame(1, 0, &[0; 100]);
    for kind in [RAFT, MEET] {
        for (what, bytes) in [
            ("no frame", b"*1\r\n$4\r\nPING\r\n".to_vec()),
            ("an old version", frame(0, 0, b"{}")),
            ("a later version", frame(2, 0, b"{}")),
            ("no such frame", frame(1, 7, b"{}")),
            ("a reply that nobody waits for", frame(1, 1, b"{}")),
            ("a frame of 4 GiB", too_long.clone()),
            ("a frame that is a byte too long", one_too_long.clone()),
        ] {
            let what = format!("kind {kind}: {what}");
            node.suffers(&what, "malformed", || send(node.known(kind), &bytes));
        }
        for length in [1, 11, 12, 50, whole.len() - 1] {
            let what = format!("kind {kind}: {length} bytes of a frame");
            node.suffers(&what, "truncated", || send_only(node.known(kind), &whole[..length]));
        }
    }
}

#[test]
fn connections_for_data() {
    let node = Node::start();
    let life = |incarnation: u64| [&node.id[..], &incarnation.to_le_bytes()].concat();
    let hello = |version: u16| {
        let epoch = 1_u64.to_le_bytes();
        data(1, &[&version.to_le_bytes()[..], &life(1), &life(1), &epoch].concat())
    };
    let long = (u32::MAX).to_le_bytes();
    let stranger = [&VERSION.to_le_bytes()[..], &[1; 28], &life(1), &1_u64.to_le_bytes()].concat();
    for (what, fault, bytes) in [
        ("4 GiB", "malformed", long.to_vec()),
        ("an empty frame", "malformed", vec![0; 4]),
        ("no such frame", "malformed", data(200, &[0; 10])),
        ("an earlier version", "malformed", hello(VERSION - 1)),
        ("a later version", "malformed", hello(VERSION + 1)),
        ("something after the hello's end", "malformed", data(1, &[0; 100])),
        ("somebody else", "refused", data(1, &stranger)),
    ] {
        node.suffers(what, fault, || send(node.known(STREAM), &bytes));
    }
    for length in [1, 4, 5, 30, hello(VERSION).len() - 1] {
        let what = format!("{length} bytes of a hello");
        let bytes = &hello(VERSION)[..length];
        node.suffers(&what, "truncated", || send_only(node.known(STREAM), bytes));
    }
    // Who says that he is a member gets further, and no further than this.
    for (what, fault, bytes) in [
        ("4 GiB after the hello", "malformed", long.to_vec()),
        ("no such frame after it", "malformed", data(200, &[0; 10])),
        ("what only the other side says", "malformed", data(32, &[])),
        ("a second hello", "malformed", hello(VERSION)),
        ("entries that are none", "malformed", data(4, &[255; 50])),
        ("a base that has not begun", "malformed", data(7, &9_u32.to_le_bytes())),
    ] {
        let bytes = [hello(VERSION), bytes].concat();
        node.suffers(what, fault, || send(node.known(STREAM), &bytes));
    }
    let half = data(4, &[0; 100]);
    let bytes = [hello(VERSION), half[..50].to_vec()].concat();
    node.suffers("half a frame", "truncated", || send_only(node.known(STREAM), &bytes));
}
