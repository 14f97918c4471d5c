//! The nodes of the experiment: started, made a cluster, asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dunlin::cluster::node::NodeId;
use dunlin::cluster::plan;
use dunlin::cluster::runs::Runs;
use dunlin::cluster::slot::SLOTS;
use redis_protocol::resp2::types::OwnedFrame;

use crate::Outcome;
use crate::control::Control;
use crate::peer::{Peer, Server, Stage};

/// How long the nodes may take for anything.
pub(super) const LIMIT: Duration = Duration::from_secs(120);
/// Between two questions.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A node, and a connection to ask it.
pub(super) struct Node {
    pub(super) server: Server,
    pub(super) control: Control,
    id: NodeId,
    directory: PathBuf,
}

impl Node {
    fn start(stage: &Stage, peer: &Peer, number: usize) -> Outcome<Self> {
        let name = format!("dunlin-bench-migration-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory)?;
        let path = directory.to_string_lossy().into_owned();
        let args = ["--cluster-enabled", "yes", "--cluster-secret", "bench", "--dir", &path];
        let server = stage.start_with(peer, &args)?;
        let mut control = server.control()?;
        let OwnedFrame::BulkString(id) = control.command("CLUSTER MYID")? else {
            return Err("CLUSTER MYID: no id".into());
        };
        let id = identity(&id).ok_or("CLUSTER MYID: no id")?;
        Ok(Self { server, control, id, directory })
    }

    /// A figure of CLUSTER INFO.
    pub(super) fn figure(&mut self, field: &str) -> Outcome<u64> {
        let text = match self.control.command("CLUSTER INFO")? {
            OwnedFrame::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
            other => return Err(format!("CLUSTER INFO: {other:?}").into()),
        };
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = value.and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| format!("CLUSTER INFO has no {field}").into())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// 40 hexadecimal digits.
fn identity(text: &[u8]) -> Option<NodeId> {
    let mut id = NodeId::default();
    let pairs = text.chunks_exact(2);
    if pairs.len() != id.0.len() {
        return None;
    }
    for (byte, pair) in id.0.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}

/// Some members of a cluster, and behind them one that is still alone.
pub(super) struct Nodes(pub(super) Vec<Node>);

impl Nodes {
    /// Starts all, and makes a cluster of all but the last.
    pub(super) fn start(stage: &Stage, peer: &Peer, members: usize) -> Outcome<Self> {
        let nodes = (0..=members).map(|number| Node::start(stage, peer, number));
        let mut nodes = Self(nodes.collect::<Outcome<_>>()?);
        nodes.wait(|nodes| Ok(nodes.0.iter_mut().all(serves)))?;
        for number in 1..members {
            nodes.join(number)?;
            nodes.wait(|nodes| nodes.are_at_rest(number + 1))?;
        }
        Ok(nodes)
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|node| node.server.addr).collect()
    }

    /// The node joins the cluster of the first one.
    pub(super) fn join(&mut self, number: usize) -> Outcome<()> {
        let first = self.0[0].server.addr;
        let words = format!("CLUSTER MEET {} {}", first.ip(), first.port());
        self.0[number].control.command(&words).map(drop)
    }

    /// Whether everything of the first `count` nodes is where it shall be, copies too.
    pub(super) fn are_at_rest(&mut self, count: usize) -> Outcome<bool> {
        for node in &mut self.0[..count] {
            let is_at_rest = node.figure("cluster_known_nodes")? == count as u64
                && node.figure("cluster_slots_to_move")? == 0
                && (count == 1 || node.figure("cluster_slots_without_backup")? == 0);
            if !is_at_rest {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn wait(&mut self, mut ready: impl FnMut(&mut Self) -> Outcome<bool>) -> Outcome<()> {
        let end = Instant::now() + LIMIT;
        while !ready(self)? {
            if Instant::now() > end {
                return Err("the cluster does not come to rest".into());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Who owns each slot, by place.
    pub(super) fn owners(&mut self) -> Outcome<Vec<usize>> {
        let mut owners = vec![0; usize::from(SLOTS)];
        let OwnedFrame::Array(rows) = self.0[0].control.command("CLUSTER SLOTS")? else {
            return Err("CLUSTER SLOTS: no array".into());
        };
        for row in &rows {
            let (first, last, port) = parse(row).ok_or("CLUSTER SLOTS: a strange row")?;
            let place = self.0.iter().position(|node| node.server.addr.port() == port);
            owners[first..=last].fill(place.ok_or("CLUSTER SLOTS: a strange node")?);
        }
        Ok(owners)
    }

    /// Whether each slot will move when the last node joins: every node plans the same, and so does this.
    pub(super) fn moving(&self, owners: &[usize]) -> Vec<bool> {
        let mut runs = Runs::default();
        for (slot, owner) in (0..SLOTS).zip(owners) {
            runs.set(slot, slot, Some(self.0[*owner].id));
        }
        let weights: BTreeMap<NodeId, u32> = self.0.iter().map(|node| (node.id, 100)).collect();
        let next = plan::owners(&runs, &runs, &weights).unwrap_or_default();
        (0..SLOTS).map(|slot| next.get(slot) != runs.get(slot)).collect()
    }
}

fn serves(node: &mut Node) -> bool {
    node.control.command("EXISTS key").is_ok()
}

/// First slot, last slot, port of the owner.
fn parse(row: &OwnedFrame) -> Option<(usize, usize, u16)> {
    let OwnedFrame::Array(row) = row else { return None };
    let [OwnedFrame::Integer(first), OwnedFrame::Integer(last), OwnedFrame::Array(owner), ..] =
        row.as_slice()
    else {
        return None;
    };
    let OwnedFrame::Integer(port) = owner.get(1)? else { return None };
    Some((usize::try_from(*first).ok()?, usize::try_from(*last).ok()?, u16::try_from(*port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        let id = identity(b"0123456789abcdef0123456789abcdef01234567").unwrap_or_default();
        assert_eq!(id.to_string(), "0123456789abcdef0123456789abcdef01234567");
        assert!(identity(b"0123").is_none());
    }
}
