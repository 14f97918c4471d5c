//! The processes of a cluster, each with a directory of its own that outlives it, on the loopback
//! interface or each in a network namespace.

use super::super::support::process::{free_port, scratch_dir};
use super::super::support::{Client, Server, Value, eventually};
use super::network::Network;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// How long the cluster may take for anything, on a machine that does much else.
pub(super) const LIMIT: Duration = Duration::from_secs(120);
/// How long one answer may take, and a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// What nodes need that are not on the loopback interface.
const APART: [&str; 4] = ["--protected-mode", "no", "--cluster-secret", "of the tests"];
const DUNLIN: &str = env!("CARGO_BIN_EXE_dunlin");

pub(super) struct Node {
    host: Ipv4Addr,
    port: u16,
    bus: u16,
    dir: PathBuf,
    /// None: it does not run.
    server: Option<Server>,
}

impl Node {
    pub(super) fn is_running(&self) -> bool {
        self.server.is_some()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the node runs")
    }

    /// A field of CLUSTER INFO, if it answers.
    pub(super) fn figure(&self, field: &str) -> Option<String> {
        let address = self.server.as_ref()?.address();
        let mut client = Client::tcp_within(address, PATIENCE).ok()?;
        client.set_patience(PATIENCE);
        let reply = client.try_recv_after(b"CLUSTER INFO\r\n").ok()?;
        let Value::Bulk(text) = reply else { return None };
        let text = String::from_utf8(text).ok()?;
        let line = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
        text.lines().find_map(line)
    }

    pub(super) fn signal(&self, name: &str) {
        self.server().signal(name);
    }

    /// Makes it stand still.
    pub(super) fn stop(&self) {
        self.server().stop();
    }

    pub(super) fn client(&self) -> Client {
        self.server().client()
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.port))
    }

    /// Where it keeps what the cluster has agreed on.
    pub(super) fn cluster_dir(&self) -> PathBuf {
        self.dir.join("cluster")
    }
}

pub(super) struct Nodes {
    pub(super) nodes: Vec<Node>,
    args: Vec<String>,
    home: PathBuf,
    /// None: they are on the loopback interface.
    network: Option<Network>,
}

impl Nodes {
    /// So many nodes that are alone.
    pub(super) fn alone(count: usize, args: &[&str]) -> Self {
        Self::anywhere(count, args, None)
    }

    fn anywhere(count: usize, args: &[&str], network: Option<Network>) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut nodes = Nodes { nodes: Vec::new(), args, home: scratch_dir("cluster"), network };
        for _ in 0..count {
            nodes.start();
        }
        nodes
    }

    /// A cluster in which everything is where it shall be.
    pub(super) fn cluster(count: usize, args: &[&str]) -> Self {
        Self::alone(count, args).united()
    }

    /// The same, each node in a namespace of this network, in which there may be room for others.
    pub(super) fn cluster_in(network: Network, count: usize, args: &[&str]) -> Self {
        Self::anywhere(count, &[&APART, args].concat(), Some(network)).united()
    }

    /// Makes one cluster of nodes that are alone.
    pub(super) fn united(self) -> Self {
        let nodes = self;
        let count = nodes.nodes.len();
        let addresses: Vec<String> = (0..count).map(|i| nodes.address(i)).collect();
        let mut words = vec!["create"];
        words.extend(addresses.iter().map(String::as_str));
        nodes.tool(&words);
        nodes.settle();
        nodes
    }

    /// Where the network is in which the nodes are.
    pub(super) fn network(&self) -> &Network {
        self.network.as_ref().expect("the nodes are in a network")
    }

    /// Starts one more, which is alone; says which.
    pub(super) fn start(&mut self) -> usize {
        let at = self.prepare();
        self.restart(at);
        at
    }

    /// One more, with a directory of its own; it does not run yet.
    pub(super) fn prepare(&mut self) -> usize {
        let at = self.nodes.len();
        let dir = self.home.join(at.to_string());
        std::fs::create_dir_all(dir.join("cluster")).expect("the directory takes directories");
        let host = self.network.as_ref().map_or(Ipv4Addr::LOCALHOST, |network| network.node(at));
        let (port, bus) = ports();
        self.nodes.push(Node { host, port, bus, dir, server: None });
        at
    }

    /// Starts one that does not run, in its old directory.
    pub(super) fn restart(&mut self, at: usize) {
        self.restart_with(at, &[]);
    }

    /// The same, with arguments of its own.
    pub(super) fn restart_with(&mut self, at: usize, more: &[&str]) {
        let node = &mut self.nodes[at];
        let mut command = match &self.network {
            Some(network) => network.command(at, DUNLIN),
            None => Command::new(DUNLIN),
        };
        command.args(["--bind", &node.host.to_string(), "--port", &node.port.to_string()]);
        command.args(["--cluster-enabled", "yes", "--cluster-port", &node.bus.to_string()]);
        command.arg("--dir").arg(&node.dir).args(&self.args).args(more);
        if std::env::var_os("DUNLIN_KEEP_LOGS").is_some() {
            command.args(["--loglevel", "debug"]);
        }
        node.server = Some(Server::dunlin_at(node.host, node.port, command));
    }

    /// Kills one without a warning.
    pub(super) fn kill(&mut self, at: usize) {
        self.nodes[at].server = None;
    }

    /// Asks one to end, as a supervisor does, and waits for that.
    pub(super) fn end(&mut self, at: usize) {
        if let Some(mut server) = self.nodes[at].server.take() {
            server.signal("TERM");
            let status = server.wait(LIMIT);
            assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", server.log());
        }
    }

    pub(super) fn address(&self, at: usize) -> String {
        self.nodes[at].address().to_string()
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Runs `dunlin cluster`, which has to succeed.
    #[track_caller]
    pub(super) fn tool(&self, words: &[&str]) -> String {
        let output = self.try_tool(words);
        let (out, errors) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8_lossy(out).into_owned()
    }

    pub(super) fn try_tool(&self, words: &[&str]) -> Output {
        Command::new(DUNLIN).arg("cluster").args(words).output().expect("the tool starts")
    }

    /// Waits until those that run serve, and every slot is where it shall be and has its copies.
    #[track_caller]
    pub(super) fn settle(&self) {
        self.settle_with(self.nodes.iter().filter(|node| node.is_running()).count());
    }

    /// As [`Nodes::settle`], for so many members, which the first that is one names.
    #[track_caller]
    pub(super) fn settle_with(&self, members: usize) {
        let members = members.to_string();
        let has_copies = !self.args.windows(2).any(|two| two == ["--cluster-replicas", "0"]);
        let wanted = [
            ("cluster_state", "ok"),
            ("cluster_known_nodes", &members),
            ("cluster_slots_assigned", "16384"),
            ("cluster_slots_to_move", "0"),
            ("cluster_slots_without_backup", "0"),
        ];
        let wanted = &wanted[..if has_copies { 5 } else { 4 }];
        let is_so = |node: &Node| {
            wanted.iter().all(|(field, value)| node.figure(field).as_deref() == Some(value))
        };
        let count = || self.nodes.iter().filter(|node| is_so(node)).count().to_string();
        let settled = eventually(LIMIT, || count() == members);
        assert!(settled, "{}", self.figures());
    }

    /// Who leads, of those that answer.
    pub(super) fn leader(&self) -> usize {
        let leads = |node: &Node| node.figure("cluster_raft_role").as_deref() == Some("leader");
        let mut found = None;
        let is_found = eventually(LIMIT, || {
            found = self.nodes.iter().position(leads);
            found.is_some()
        });
        assert!(is_found, "{}", self.figures());
        found.expect("somebody leads")
    }

    /// How many say that of themselves.
    pub(super) fn count(&self, field: &str, value: &str) -> usize {
        self.nodes.iter().filter(|node| node.figure(field).as_deref() == Some(value)).count()
    }

    /// What all say, for messages.
    pub(super) fn figures(&self) -> String {
        let fields = [
            "cluster_state",
            "cluster_known_nodes",
            "cluster_slots_to_move",
            "cluster_slots_without_backup",
            "cluster_raft_role",
            "cluster_current_epoch",
        ];
        let row = |node: &Node| {
            let value =
                |field: &&str| format!("{field}:{}", node.figure(field).unwrap_or_default());
            let values: Vec<String> = fields.iter().map(value).collect();
            format!("{} {}", node.address(), values.join(" "))
        };
        self.nodes.iter().map(row).collect::<Vec<_>>().join("\n")
    }
}

/// A port for clients and one for the bus, which is where `cluster-join` looks for it.
fn ports() -> (u16, u16) {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        // Both are below those that the kernel gives to outgoing connections, as the one that is asked for.
        let port = free_port();
        let port = if port < 22_000 { port } else { port - 10_000 };
        let bus = port + 10_000;
        if is_free(port) && is_free(bus) {
            return (port, bus);
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.nodes.clear();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
