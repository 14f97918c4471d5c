//! What operators want of this node and its links, and messages of channels for all nodes.

use super::begin::bus_address_of;
use super::change::{Change, Gone, Life, Verdict};
use super::link::{Fault, Kind, Links, Target};
use super::meta::{Agreement, Later, Meta, Unsettled};
use super::node::NodeId;
use super::operations::{Admin, LinkState, Spread, Traffic};
use crate::server::Server;
use bytes::Bytes;
use dunlin_storage::Millis;
use std::sync::Arc;
use std::time::Duration;

/// The parts that they need.
pub(super) struct Operators {
    pub(super) server: &'static Server,
    pub(super) agreement: Arc<Agreement>,
    pub(super) links: Arc<Links>,
}

impl Admin for Operators {
    fn meet(
        &self,
        host: String,
        port: u16,
        bus_port: Option<u16>,
    ) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let address = bus_address_of(&host, port, bus_port)?;
            self.agreement.meet(address).await
        })
    }

    fn forget(&self, node: NodeId) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let map = Arc::clone(&self.agreement.map().borrow());
            let member = map.members.get(&node).ok_or_else(|| format!("Unknown node {node}"))?;
            let life = Life { node, incarnation: member.incarnation };
            let remove = Change::Remove { life, why: Gone::Forgotten };
            match self.agreement.propose(remove).await {
                Ok(Verdict::Done) => Ok(()),
                Ok(Verdict::Void(why)) => Err(why),
                Err(Unsettled::NotProposed(why) | Unsettled::Unknown(why)) => Err(why),
            }
        })
    }

    fn reset(&self, hard: bool) -> Later<'_, Result<(), String>> {
        self.agreement.reset(hard)
    }

    fn stay(&self, stays: bool) {
        self.agreement.stay(stays);
    }

    fn hand_over(&self, limit: Duration) -> Later<'_, ()> {
        Box::pin(self.agreement.hand_over(limit))
    }

    fn links(&self) -> Vec<LinkState> {
        let now = self.server.clock.now();
        let state = |open: super::link::Open| LinkState {
            outgoing: open.outgoing,
            node: open.node,
            created: now - Millis::try_from(open.age.as_millis()).unwrap_or(0),
            writes: false,
            allocated: 0,
            used: 0,
        };
        self.links.open_connections().into_iter().map(state).collect()
    }

    fn traffic(&self) -> Vec<Traffic> {
        let traffic = |(kind, sent, received): (Kind, u64, u64)| Traffic {
            kind: kind.name(),
            sent,
            received,
        };
        self.links.traffic().into_iter().map(traffic).collect()
    }

    fn faults(&self, fault: Fault) -> u64 {
        self.links.faults().get(fault)
    }
}

impl Spread for Operators {
    fn publish(&self, channel: &[u8], message: &[u8]) {
        let map = Arc::clone(&self.agreement.map().borrow());
        let me = self.agreement.me();
        let Some(body) = spread::body(channel, message).map(Bytes::from) else { return };
        for (node, member) in map.members.iter().filter(|(node, _)| **node != me) {
            let target = Target { node: Some(*node), address: member.endpoint.bus() };
            self.links.send(target, Kind::Publish, body.clone());
        }
    }
}

/// A message on the wire: the length of the channel's name in four bytes, the name, the message.
pub(super) mod spread {
    /// None if it is too long for a frame.
    pub(in crate::cluster) fn body(channel: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let length = u32::try_from(channel.len()).ok()?;
        let mut body = Vec::with_capacity(4 + channel.len() + message.len());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(channel);
        body.extend_from_slice(message);
        (body.len() <= super::super::link::frame::MAX_BODY).then_some(body)
    }

    /// The channel and the message.
    pub(in crate::cluster) fn parse(body: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = body.split_first_chunk::<4>()?;
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn there_and_back() {
            let sent = body(b"news", b"\x00hello").unwrap();
            assert_eq!(parse(&sent), Some((&b"news"[..], &b"\x00hello"[..])));
            assert_eq!(parse(&sent[..7]), None);
            assert_eq!(parse(b"abc"), None);
            assert_eq!(parse(&[255; 4]), None);
        }
    }
}
