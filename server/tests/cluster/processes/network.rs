//! Network namespaces, one for each node of a cluster, connected through a [`Switch`] with each other
//! and with this process, whose clients are host 0.
//!
//! That needs root, `ip` and `/dev/net/tun`. Tests that get no network say so and end.

use super::switch::{MTU, Path, Switch};
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::time::Duration;

/// How names of namespaces begin; the process that made them follows.
const NAME: &str = "dunlin-";

pub(super) struct Network {
    switch: Option<Switch>,
    nodes: usize,
    process: u32,
}

impl Network {
    /// One for so many nodes; none on a machine on which there can be none.
    pub(super) fn new(nodes: usize) -> Option<Self> {
        match Self::try_new(nodes) {
            Ok(network) => Some(network),
            Err(why) => {
                let is_required = std::env::var_os("DUNLIN_REQUIRE_NETWORK").is_some();
                assert!(!is_required, "no network namespaces: {why}");
                println!("skipped: no network namespaces: {why}");
                None
            }
        }
    }

    fn try_new(nodes: usize) -> Result<Self, String> {
        sweep()?;
        let mut network = Network { switch: None, nodes, process: std::process::id() };
        let devices: Vec<String> = (0..=nodes).map(|host| network.device(host)).collect();
        let switch = Switch::new(&devices).map_err(|error| format!("/dev/net/tun: {error}"))?;
        network.switch = Some(switch);
        for (host, device) in devices.iter().enumerate() {
            let address = format!("{}/24", network.address(host));
            let mtu = MTU.to_string();
            let mut inside: Vec<&str> = Vec::new();
            let name = network.namespace(host);
            if host > 0 {
                ip(&["netns", "add", &name])?;
                ip(&["link", "set", device, "netns", &name])?;
                inside.extend(["-n", &name]);
                ip(&[&inside[..], &["link", "set", "lo", "up"]].concat())?;
            }
            ip(&[&inside[..], &["addr", "add", &address, "dev", device]].concat())?;
            ip(&[&inside[..], &["link", "set", device, "mtu", &mtu, "up"]].concat())?;
        }
        Ok(network)
    }

    fn device(&self, host: usize) -> String {
        format!("dl{}n{host}", self.process)
    }

    fn namespace(&self, host: usize) -> String {
        format!("{NAME}{}-{host}", self.process)
    }

    /// Of a host. The network is one of those for tests of networks (RFC 2544).
    fn address(&self, host: usize) -> Ipv4Addr {
        let [_, _, high, low] = self.process.to_be_bytes();
        let host = u8::try_from(host + 1).expect("few hosts");
        Ipv4Addr::new(198, 18 + (high & 1), low, host)
    }

    /// Where a node is.
    pub(super) fn node(&self, at: usize) -> Ipv4Addr {
        self.address(at + 1)
    }

    /// Runs a program where a node is; it has the process id of what is started.
    pub(super) fn command(&self, at: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(at + 1), program]);
        command
    }

    fn change(&self, change: impl Fn(usize, usize, &mut Path)) {
        self.switch.as_ref().expect("the network is there").change(change);
    }

    /// Changes the paths between these nodes and the other ones, in both directions. Clients still reach
    /// all of them.
    pub(super) fn cut(&self, nodes: &[usize]) {
        self.cut_from(nodes);
        self.cut_to(nodes);
    }

    /// What these nodes send to other ones is lost.
    pub(super) fn cut_from(&self, nodes: &[usize]) {
        let is_in = |host: usize| host > 0 && nodes.contains(&(host - 1));
        self.change(|from, to, path| path.is_blocked |= is_in(from) && to > 0 && !is_in(to));
    }

    /// What other nodes send to these ones is lost.
    pub(super) fn cut_to(&self, nodes: &[usize]) {
        let is_in = |host: usize| host > 0 && nodes.contains(&(host - 1));
        self.change(|from, to, path| path.is_blocked |= is_in(to) && from > 0 && !is_in(from));
    }

    /// Two nodes do not hear each other; all others hear both.
    pub(super) fn part(&self, one: usize, other: usize) {
        let both = [(one + 1, other + 1), (other + 1, one + 1)];
        self.change(|from, to, path| path.is_blocked |= both.contains(&(from, to)));
    }

    /// So many packets of a hundred are lost, between nodes and of clients.
    pub(super) fn lose(&self, loss: usize) {
        self.change(|_, _, path| path.loss = loss);
    }

    /// What nodes send to each other takes so long.
    pub(super) fn delay(&self, delay: Duration) {
        self.change(|from, to, path| {
            if from > 0 && to > 0 {
                path.delay = delay;
            }
        });
    }

    /// Everything arrives, at once.
    pub(super) fn heal(&self) {
        self.change(|_, _, path| *path = Path::default());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.switch = None;
        for host in 1..=self.nodes {
            let _ = ip(&["netns", "del", &self.namespace(host)]);
        }
    }
}

fn ip(words: &[&str]) -> Result<Output, String> {
    let output = Command::new("ip").args(words).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("ip {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Removes what processes have left that were killed.
fn sweep() -> Result<(), String> {
    let output = ip(&["netns", "list"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in text.lines().filter_map(|line| line.split(' ').next()) {
        let process = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
        let is_left = process.is_some_and(|id| !std::path::Path::new("/proc").join(id).exists());
        if is_left {
            ip(&["netns", "del", name])?;
        }
    }
    Ok(())
}
