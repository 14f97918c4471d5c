//! Who this node is, across restarts: the file `node` in `cluster-dir`.

use super::super::change::{Gone, Life};
use super::super::link::ClusterId;
use super::super::node::NodeId;
use super::disk::Disk;
use super::types::Random;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use std::io;

const FILE: &str = "node";

/// Who this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Node {
    /// Its id.
    pub id: NodeId,
    /// Which of its lives this is: it rises with each start, and whenever it has to begin empty.
    pub incarnation: u64,
    /// The cluster that it is in, or has been in.
    pub cluster: ClusterId,
    /// It has begun this cluster, alone.
    pub founder: bool,
    /// It is out of its cluster and does not go back by itself: it has left, or was forgotten.
    pub out: Option<Gone>,
    /// The highest epoch that it has seen in clusters of before.
    pub seen: u64,
}

fn random<const N: usize>(simulated: bool) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    if simulated {
        Random.fill_bytes(&mut bytes);
    } else {
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(bytes)
}

impl Node {
    /// Who this directory is: somebody new if it is empty. Each call begins another life.
    pub(super) fn wake(disk: &mut Disk, simulated: bool) -> io::Result<Node> {
        let mut node: Node = match disk.read(FILE)? {
            Some(node) => node,
            None => Node {
                id: NodeId(random(simulated)?),
                incarnation: 0,
                cluster: ClusterId::NONE,
                founder: false,
                out: None,
                seen: 0,
            },
        };
        node.incarnation += 1;
        node.save(disk)?;
        Ok(node)
    }

    pub(super) fn save(&self, disk: &mut Disk) -> io::Result<()> {
        disk.replace(FILE, self)
    }

    pub(super) fn life(&self) -> Life {
        Life { node: self.id, incarnation: self.incarnation }
    }

    /// Is somebody else from here on.
    pub(super) fn rename(&mut self, simulated: bool) -> io::Result<()> {
        self.id = NodeId(random(simulated)?);
        Ok(())
    }

    /// Begins a cluster of its own.
    pub(super) fn found(&mut self, simulated: bool) -> io::Result<()> {
        self.cluster = ClusterId(random(simulated)?);
        (self.founder, self.out) = (true, None);
        Ok(())
    }
}
