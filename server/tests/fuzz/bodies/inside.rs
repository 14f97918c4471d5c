//! The whole server in this process and thread, without sockets: sessions that are given bytes, and the
//! replies that they write. Who would wait, or go to the pool as scripts do, ends.

use super::resp::{self, Decoded, Value};
use super::unsent;
use dunlin::Context;
use dunlin::acl::Acl;
use dunlin::client::{Client, ClientShared};
use dunlin::config::{Config, Origin, Task};
use dunlin::overload::sentinel::Allowance;
use dunlin::rdb;
use dunlin::runtime::clock::Reading;
use dunlin::runtime::container::Limits as Machine;
use dunlin::runtime::logging::Log;
use dunlin::server::Server;
use dunlin::session::{Session, Turn};
use dunlin_storage::{Handle, Options};
use std::ffi::OsString;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

/// A turn that nobody else waits for.
const ALL: Allowance = Allowance { commands: usize::MAX, nanos: u64::MAX };
const MAX_MEMORY: u64 = 16 << 20;
/// Turns that what is sent at once may take.
const ROUNDS: usize = 10_000;

/// The process has one.
static LOG: LazyLock<Log> =
    LazyLock::new(|| Log::start(&config(false).settings()).expect("nobody else logs"));
static MACHINE: LazyLock<Machine> = LazyLock::new(|| Machine::detect(1, 100));

/// A server with nothing in it.
pub struct Inside {
    // Before the keyspace: what this thread has unlinked goes first.
    epoch: Handle,
    server: Server,
}

/// A connection.
pub struct Connection {
    /// `None`: it has ended.
    session: Option<Session>,
}

/// Set by hand: to read the arguments of a program takes longer than to start and run everything. DEBUG cannot
/// be allowed later.
fn config(may_debug: bool) -> Config {
    let args = ["dunlin", "--enable-debug-command", "yes"].map(OsString::from);
    let config = match may_debug.then(|| Task::read_for(args, std::iter::empty(), 1 << 30)) {
        None => Config::defaults(1 << 30),
        Some(Ok(Task::Serve(config))) => config,
        Some(other) => panic!("{other:?}"),
    };
    let settings = [
        ("maxmemory", "16mb"),
        ("proto-max-bulk-len", "1mb"),
        ("loglevel", "nothing"),
        ("overload-control", "no"),
    ];
    config.set(&settings, Origin::Local).expect("directives as they are documented");
    config
}

impl Default for Inside {
    fn default() -> Self {
        Self::new()
    }
}

impl Inside {
    /// Starts it. Payloads for RESTORE need no checksum.
    pub fn new() -> Self {
        Self::start(config(false))
    }

    /// The same, where DEBUG is allowed.
    pub fn with_debug() -> Self {
        Self::start(config(true))
    }

    fn start(config: Config) -> Self {
        rdb::skip_checksums(true);
        let acl = Acl::start(&config).expect("no users are declared");
        let store = Options { shards: 4, max_memory: MAX_MEMORY, ..Options::default() };
        let server = Server::new(config, acl, LOG.clone(), store, None, &MACHINE);
        Inside { epoch: server.keyspace.handle(), server }
    }

    /// Somebody connects.
    pub fn connect(&self) -> Connection {
        let server = &self.server;
        let (addr, laddr) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        let now = server.clock.now();
        let shared = ClientShared::new(server.clients.next_id(), addr, laddr, 0, 0, now);
        let shared = Arc::new(shared);
        server.clients.add(Arc::clone(&shared));
        let subscriptions = server.pubsub.open(Arc::clone(&shared));
        let client = Client::new(shared, subscriptions, &server.acl);
        let session = Session::new(client, server.settings().protocol_limits());
        Connection { session: Some(session) }
    }

    /// Whether the connection goes on after it has run what it was sent.
    fn run(&self, session: &mut Session) -> bool {
        let mut turn = self.turn(session);
        for _ in 0..ROUNDS {
            turn = match turn {
                Turn::Idle => return !session.client.shared.kill.load(Ordering::Relaxed),
                Turn::Yield => self.turn(session),
                Turn::Handover(_) | Turn::Pool(_) | Turn::Block => return false,
                Turn::Paused(_) | Turn::Close => return false,
            };
        }
        panic!("it does not come to an end");
    }

    fn turn(&self, session: &mut Session) -> Turn {
        let (server, guard) = (&self.server, self.epoch.pin());
        let stats = server.stats.worker(0);
        let Reading { now, monotonic_ns: began } = server.clock.read();
        let ctx = Context { server, stats, guard: &guard, now, began, pooled: false };
        let mut held = None;
        session.turn(&ctx, ALL, &mut held)
    }

    /// Sends bytes; the replies, which are well-formed, and after which nothing is left over.
    pub fn send(&self, connection: &mut Connection, bytes: &[u8]) -> Vec<Value> {
        let Some(session) = &mut connection.session else { return Vec::new() };
        session.decoder.read_buf().extend_from_slice(bytes);
        let goes_on = self.run(session);
        let written = unsent(&session.reply);
        session.reply.advance(written.len());
        if !goes_on {
            self.server.clients.remove(session.client.id());
            connection.session = None;
        }
        replies(&written)
    }

    /// One command; its reply, the last if there are several.
    pub fn command(&self, connection: &mut Connection, words: &[&[u8]]) -> Option<Value> {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.send(connection, &bytes).pop()
    }
}

fn replies(mut bytes: &[u8]) -> Vec<Value> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        match resp::decode(bytes) {
            Ok(Decoded::Value(reply, length)) => {
                replies.push(reply);
                bytes = &bytes[length..];
            }
            Ok(Decoded::Partial) => panic!("half a reply: {}", resp::show(bytes)),
            Err(why) => panic!("{why}"),
        }
    }
    replies
}

impl Connection {
    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.session.is_some()
    }
}

/// A command as clients send it.
pub fn encode<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) {
    out.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        let word = word.as_ref();
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}
