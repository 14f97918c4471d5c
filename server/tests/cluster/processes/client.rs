//! A client of the cluster: it knows who has which slot, follows MOVED, and tries again what has
//! certainly not been done.

use super::super::support::client::Broken;
use super::super::support::{Client, Value, command};
use super::nodes::LIMIT;
use dunlin::cluster::slot;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a reply may take before the node is taken for gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// What took longer is told, with what was heard meanwhile.
const LONG: Duration = Duration::from_secs(8);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// It cannot be known whether the command was run.
#[derive(Debug)]
pub(super) struct Unknown;

pub(super) struct Router {
    nodes: Vec<SocketAddr>,
    owners: Vec<SocketAddr>,
    connections: HashMap<SocketAddr, Client>,
    /// Who was asked last.
    pub(super) asked: SocketAddr,
    /// The longest that a call took.
    pub(super) longest: Duration,
}

impl Router {
    /// Of a cluster that has these nodes.
    pub(super) fn new(nodes: &[SocketAddr]) -> Self {
        let owners = vec![nodes[0]; usize::from(slot::SLOTS)];
        let nodes = nodes.to_vec();
        let asked = nodes[0];
        let (connections, longest) = (HashMap::new(), Duration::ZERO);
        Router { nodes, owners, connections, asked, longest }
    }

    /// Runs a command that may be run twice and late, such as a read.
    pub(super) fn repeat(&mut self, words: &[&str]) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            if let Ok(value) = self.once(words) {
                return value;
            }
            assert!(Instant::now() < end, "{words:?}: never answered");
        }
    }

    /// Runs a command once; it is tried again only if it was certainly not run.
    pub(super) fn once(&mut self, words: &[&str]) -> Result<Value, Unknown> {
        let (slot, began) = (usize::from(slot::of(words[1].as_bytes())), Instant::now());
        let mut heard = Vec::new();
        let outcome = loop {
            let owner = self.owners[slot];
            self.asked = owner;
            let sent = self.send(owner, words);
            note(&mut heard, owner, &sent, began);
            match sent {
                None => self.refresh(),
                Some(Err(_)) => {
                    self.connections.remove(&owner);
                    self.refresh();
                    break Err(Unknown);
                }
                Some(Ok(Value::Error(text))) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    match text.split(' ').next() {
                        Some("MOVED") => self.owners[slot] = moved(&text),
                        Some("CLUSTERDOWN" | "LOADING" | "OOM") => self.refresh(),
                        _ => panic!("{words:?}: {text}"),
                    }
                }
                Some(Ok(value)) => break Ok(value),
            }
            assert!(began.elapsed() < LIMIT, "{words:?}: not served");
        };
        self.longest = self.longest.max(began.elapsed());
        if began.elapsed() > LONG {
            println!("{words:?} in slot {slot} took {:?}:\n{}", began.elapsed(), heard.join("\n"));
        }
        outcome
    }

    /// None: nothing was sent.
    fn send(&mut self, node: SocketAddr, words: &[&str]) -> Option<Result<Value, Broken>> {
        let client = match self.connections.entry(node) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(room) => {
                let client = room.insert(Client::tcp_within(node, PATIENCE).ok()?);
                client.set_patience(PATIENCE);
                client
            }
        };
        Some(client.try_recv_after(&command(words)))
    }

    /// Asks whoever answers for the map, after a while.
    fn refresh(&mut self) {
        std::thread::sleep(PAUSE);
        for node in self.nodes.clone() {
            match self.send(node, &["CLUSTER", "SLOTS"]) {
                Some(Ok(Value::Array(rows))) => {
                    rows.iter().filter_map(row).for_each(|(first, last, owner)| {
                        self.owners[first..=last].fill(owner);
                    });
                    // The next one is asked first the next time.
                    self.nodes.rotate_left(1);
                    return;
                }
                Some(Ok(_)) | None => {}
                Some(Err(_)) => drop(self.connections.remove(&node)),
            }
        }
    }
}

/// Remembers what was heard and since when, once for as long as it stays the same.
fn note(
    heard: &mut Vec<String>,
    node: SocketAddr,
    sent: &Option<Result<Value, Broken>>,
    began: Instant,
) {
    let text = match sent {
        Some(Ok(Value::Error(text))) => String::from_utf8_lossy(text).into_owned(),
        Some(Ok(_)) => return,
        Some(Err(_)) => "no reply".to_owned(),
        None => "no connection".to_owned(),
    };
    let text = format!("{node}: {text}");
    if heard.last().is_none_or(|last| !last.ends_with(&text)) {
        heard.push(format!("  after {} ms: {text}", began.elapsed().as_millis()));
    }
}

/// `MOVED 5 host:port`.
fn moved(text: &str) -> SocketAddr {
    let address = text.rsplit(' ').next().and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("no address: {text}"))
}

/// First slot, last slot, where the owner is.
fn row(row: &Value) -> Option<(usize, usize, SocketAddr)> {
    let Value::Array(row) = row else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(owner), ..] = row.as_slice() else {
        return None;
    };
    let [Value::Bulk(host), Value::Int(port), ..] = owner.as_slice() else { return None };
    let host = std::str::from_utf8(host).ok()?.parse().ok()?;
    let owner = SocketAddr::new(host, u16::try_from(*port).ok()?);
    Some((usize::try_from(*first).ok()?, usize::try_from(*last).ok()?, owner))
}
