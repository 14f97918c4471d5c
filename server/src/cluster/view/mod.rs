//! The map as clients see it.
//!
//! Clients learn where slots are from `CLUSTER SLOTS`, `SHARDS` and `NODES`, and from MOVED. All four
//! are made from one [`View`], so a node that says MOVED shows the map that says so: some clients ask
//! the node that has sent them away.
//!
//! ```text
//!  Map (epoch 7)  --->  View  --- owner of each slot, where it is -----> MOVED 866 10.0.0.2:6379
//!                        |
//!                        `------- replies: bytes, made when first asked for
//!                                 {SLOTS, SHARDS, NODES} x {RESP2, RESP3} x {plain, TLS}
//! ```
//!
//! A new map makes a new view, which takes the place of the old one as a whole; nothing in a view ever
//! changes. Rendering happens once per epoch and not once per question, because after a change all
//! clients ask at the same time, and a map in many pieces has half a megabyte.
//!
//! # What it looks like
//!
//! - Every node is a `master` without replicas. In truth each of them owns slots and backs up slots of
//!   all others, but NODES and SHARDS can only say that a node is one or the other, and some clients
//!   group slots by their list of replicas: they would cut pipelines to pieces.
//! - Nodes are in the order of their identities, and slots in theirs. All nodes answer the same bytes
//!   for the same epoch, apart from the word `myself`: some clients compare what they get from several
//!   nodes. That is why there are no times and no counters in NODES.
//! - A client that speaks TLS is shown the ports for TLS.

mod newest;
mod render;
#[cfg(test)]
mod tests;

use super::map::Map;
use super::node::{Endpoint, Member, NodeId};
use super::runs::Run;
use super::slot::SLOTS;
use ahash::RandomState;
use bytes::Bytes;
use dunlin_protocol::Proto;
pub use newest::Newest;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// What clients are told of where a node is (`cluster-preferred-endpoint-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preferred {
    /// Its address.
    #[default]
    Ip,
    /// Its name.
    Hostname,
    /// Nothing but the port: the address is that of the node which they have asked.
    UnknownEndpoint,
}

/// What a node is called by whoever asks for the name of one that has none, as in Redis.
const NO_HOSTNAME: &str = "?";

impl Preferred {
    pub(crate) const ALL: [Preferred; 3] =
        [Preferred::Ip, Preferred::Hostname, Preferred::UnknownEndpoint];
    pub(crate) const NAMES: [&'static str; 3] = ["ip", "hostname", "unknown-endpoint"];

    /// What stands for a node where there is a text in any case.
    fn of(self, endpoint: &Endpoint) -> String {
        match self {
            Preferred::Ip => shown(endpoint.ip),
            Preferred::Hostname if endpoint.hostname.is_empty() => NO_HOSTNAME.to_owned(),
            Preferred::Hostname => endpoint.hostname.clone(),
            Preferred::UnknownEndpoint => String::new(),
        }
    }
}

/// An address as clients connect to it.
fn shown(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// The port of a node for clients of one kind.
fn port(endpoint: &Endpoint, tls: bool) -> u16 {
    if tls { endpoint.tls_port } else { endpoint.port }
}

/// A reply that shows the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `CLUSTER SLOTS`
    Slots,
    /// `CLUSTER SHARDS`
    Shards,
    /// `CLUSTER NODES`
    Nodes,
}

/// How many replies there are: kinds, versions of the protocol, plain and TLS.
const REPLIES: usize = 3 * 2 * 2;

/// In place of a member: nobody owns the slot.
const NOBODY: u16 = u16::MAX;

/// A map, and what clients are told of it.
#[derive(Debug)]
pub struct View {
    map: Arc<Map>,
    me: NodeId,
    preferred: Preferred,
    /// Where each member is, in the order of their identities: `host:port`, plain and TLS.
    addresses: Vec<[String; 2]>,
    /// For each slot, its owner's place in `addresses`.
    owners: Box<[u16]>,
    replies: [OnceLock<Bytes>; REPLIES],
}

impl View {
    /// The view of `map` that the node `me` has.
    #[must_use]
    pub fn new(map: Arc<Map>, me: NodeId, preferred: Preferred) -> Self {
        let ids = map.members.keys().copied();
        let places: HashMap<NodeId, u16, RandomState> = ids.zip(0..NOBODY).collect();
        let address = |member: &Member| {
            let host = preferred.of(&member.endpoint);
            [false, true].map(|tls| format!("{host}:{}", port(&member.endpoint, tls)))
        };
        let addresses = map.members.values().map(address).collect();
        let mut owners = vec![NOBODY; usize::from(SLOTS)].into_boxed_slice();
        for run in map.slots.runs() {
            let place = run.value.owner.and_then(|owner| places.get(&owner).copied());
            let place = place.unwrap_or(NOBODY);
            owners[usize::from(run.first)..=usize::from(run.last)].fill(place);
        }
        let replies = std::array::from_fn(|_| OnceLock::new());
        View { map, me, preferred, addresses, owners, replies }
    }

    /// The map.
    #[must_use]
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// The node that has this view.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Whether this node is a member.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.map.members.contains_key(&self.me)
    }

    /// The error that sends a client to the owner of a slot. `None`: nobody owns it.
    #[must_use]
    pub fn moved(&self, slot: u16, tls: bool) -> Option<Vec<u8>> {
        let place = self.owners.get(usize::from(slot)).copied()?;
        let address = &self.addresses.get(usize::from(place))?[usize::from(tls)];
        let mut number = itoa::Buffer::new();
        let slot = number.format(slot);
        Some([b"MOVED ", slot.as_bytes(), b" ", address.as_bytes()].concat())
    }

    /// A reply that shows the map, as bytes to send.
    #[must_use]
    pub fn reply(&self, kind: Kind, proto: Proto, tls: bool) -> Bytes {
        let resp3 = proto == Proto::Resp3;
        let index = (kind as usize * 2 + usize::from(resp3)) * 2 + usize::from(tls);
        let render = || render::reply(self, kind, proto, tls);
        self.replies[index].get_or_init(render).clone()
    }

    /// Consecutive slots with the same owner, by the owner's place among the members.
    fn owned(&self) -> Vec<Run<u16>> {
        let mut runs: Vec<Run<u16>> = Vec::new();
        for (slot, place) in (0..SLOTS).zip(self.owners.iter().copied()) {
            match runs.last_mut() {
                Some(run) if run.value == place => run.last = slot,
                _ => runs.push(Run { first: slot, last: slot, value: place }),
            }
        }
        runs.retain(|run| run.value != NOBODY);
        runs
    }

    /// How many members own slots.
    #[must_use]
    pub fn owning(&self) -> usize {
        let mut owns = vec![false; self.addresses.len()];
        for place in &self.owners {
            owns.get_mut(usize::from(*place)).into_iter().for_each(|owns| *owns = true);
        }
        owns.into_iter().filter(|owns| *owns).count()
    }

    /// How many slots are owned.
    #[must_use]
    pub fn assigned(&self) -> usize {
        self.owners.iter().filter(|place| **place != NOBODY).count()
    }
}
