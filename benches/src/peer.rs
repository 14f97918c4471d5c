//! The servers of a comparison: which there are, how each is started, what it speaks.

mod transport;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

pub use self::transport::{Target, Way};
use crate::Outcome;
use crate::control::Control;
use crate::process::{Process, on_path, wait_until};
use crate::scan::Wire;

/// A kind of server and its command line.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Name in the tables.
    pub name: String,
    /// What it speaks.
    pub wire: Wire,
    command: Vec<String>,
    /// What has to be added to listen on a unix socket, and for TLS, where it can be.
    unix: Option<&'static str>,
    tls: Option<&'static str>,
}

/// Which servers take part and where they run.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Servers in the order of the tables.
    pub peers: Vec<Peer>,
    /// The core servers are pinned to.
    pub server_core: Option<usize>,
    /// The core of the generator.
    pub load_core: Option<usize>,
    first_port: u16,
    way: Way,
}

/// How Redis and those who took over its directives listen on a unix socket, and for TLS.
const UNIX: &str = "--unixsocket {socket}";
const TLS: &str = "--tls-port {tls-port} --tls-cert-file {cert} --tls-key-file {key} \
                   --tls-auth-clients no";

/// It asks for certificates of clients, but goes on without.
const POGOCACHE_TLS: &str =
    "--tlsport {tls-port} --tlscert {cert} --tlskey {key} --tlscacert {cert}";

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
const PORTS: u16 = 100;

impl Peer {
    /// A server by command line; `{port}` stands for the port it must listen on. One that names
    /// `{socket}`, or `{tls-port}`, `{cert}` and `{key}`, can be reached that [`Way`] only.
    #[must_use]
    pub fn new(name: &str, wire: Wire, command: &str) -> Self {
        let command = command.split_whitespace().map(str::to_owned).collect();
        Self { name: name.to_owned(), wire, command, unix: None, tls: None }
    }

    /// The same server, which can listen on a unix socket and for TLS with these arguments.
    #[must_use]
    fn with_ways(self, unix: &'static str, tls: &'static str) -> Self {
        Self { unix: Some(unix), tls: Some(tls), ..self }
    }

    /// Adds arguments to the command line.
    #[must_use]
    pub fn with_args(mut self, args: &str) -> Self {
        self.command.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// The same server under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Whether its program is there.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.command.first().is_some_and(|program| on_path(program))
    }

    /// Dunlin from the given path with so many workers.
    #[must_use]
    pub fn dunlin(path: &str, workers: usize) -> Self {
        let args = format!("{path} --port {{port}} --bind 127.0.0.1 --workers {workers}");
        Self::new("dunlin", Wire::Resp, &args).with_ways(UNIX, TLS)
    }

    /// The peers that are looked for on the PATH.
    #[must_use]
    pub fn known() -> Vec<Self> {
        let redis = "--port {port} --bind 127.0.0.1 --appendonly no --daemonize no";
        // An empty argument cannot be written in a line split at blanks.
        let no_save = |peer: Self| {
            let mut peer = peer;
            peer.command.extend(["--save".to_owned(), String::new()]);
            peer
        };
        vec![
            no_save(Self::new("redis", Wire::Resp, &format!("redis-server {redis}")))
                .with_ways(UNIX, TLS),
            no_save(Self::new("valkey", Wire::Resp, &format!("valkey-server {redis}")))
                .with_ways(UNIX, TLS),
            Self::new(
                "memcached",
                Wire::Memcached,
                "memcached -l 127.0.0.1 -p {port} -U 0 -t 1 -m 16384 -c 4096 -u nobody",
            ),
            Self::new(
                "pogocache",
                Wire::Resp,
                "pogocache -h 127.0.0.1 -p {port} --threads 1 --persist no",
            )
            .with_ways("-s {socket}", POGOCACHE_TLS),
        ]
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Name in the tables.
    pub name: String,
    /// Where it listens for TCP.
    pub addr: SocketAddr,
    /// Where closed loops connect to.
    pub target: Target,
    /// What it speaks.
    pub wire: Wire,
    /// Its process.
    pub process: Process,
}

impl Stage {
    /// A stage on the given cores with ports from `first_port` on.
    #[must_use]
    pub fn new(
        peers: Vec<Peer>,
        server_core: Option<usize>,
        load_core: Option<usize>,
        first_port: u16,
    ) -> Self {
        Self { peers, server_core, load_core, first_port, way: Way::Tcp }
    }

    /// The same stage with loads that go another way; servers that do not know it are left out.
    #[must_use]
    pub fn over(mut self, way: Way) -> Self {
        self.peers.retain(|peer| {
            let able = way.command(peer).is_some();
            if !able {
                eprintln!("note: {} is not reached over {way}, left out", peer.name);
            }
            able
        });
        Self { way, ..self }
    }

    /// Which way loads go.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Starts a fresh server and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not answer.
    pub fn start(&self, peer: &Peer) -> Outcome<Server> {
        self.start_with(peer, &[])
    }

    /// As [`Stage::start`], with more arguments.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not answer.
    pub fn start_with(&self, peer: &Peer, more: &[&str]) -> Outcome<Server> {
        let port = self.free_port()?;
        let target = self.way.target(port, || self.free_port())?;
        let words = self.way.command(peer);
        let words = words.ok_or_else(|| format!("{} is not reached so", peer.name))?;
        let mut args: Vec<String> =
            words.iter().map(|word| self.way.fill(word, port, &target)).collect();
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        let program = args.remove(0);
        let label = format!("{}-{port}", peer.name);
        let process = Process::start(&program, &args, self.server_core, &label)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let answers = || {
            let control = Control::connect(addr, peer.wire).and_then(|mut c| c.ping());
            control.is_ok() && target.is_there()
        };
        wait_until(&process, answers).map_err(|e| format!("{}: {e}", peer.name))?;
        if let (Some(load), Some(server)) = (self.load_core, self.server_core)
            && load != server
            && process.threads_on(load) > 0
        {
            eprintln!("note: {} has threads that may run on the generator's core", peer.name);
        }
        Ok(Server { name: peer.name.clone(), addr, target, wire: peer.wire, process })
    }

    pub(crate) fn free_port(&self) -> Outcome<u16> {
        for _ in 0..PORTS {
            let port = self.first_port + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % PORTS;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        Err(format!("no free port from {} on", self.first_port).into())
    }
}

impl Server {
    /// A connection for settings and figures.
    ///
    /// # Errors
    ///
    /// When the server is gone.
    pub fn control(&self) -> Outcome<Control> {
        Control::connect(self.addr, self.wire)
            .map_err(|e| format!("{}: {e} ({:?})", self.name, self.process.ended()).into())
    }
}
