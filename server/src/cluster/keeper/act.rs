//! Doing what the duty wants.

use super::duty::{Effect, Event};
use super::peer::Peer;
use super::{Keeper, Note, TICK};
use crate::cluster::node::NodeId;
use crate::cluster::stream::source::Command;
use std::sync::Arc;

impl Keeper {
    pub(super) fn act(&mut self, effect: Effect) {
        let streams = Arc::clone(&self.streams);
        match effect {
            Effect::Open(life) => {
                let peer = Peer::open(&streams, Arc::clone(&self.dial), life);
                if let Some(before) = self.peers.insert(life.node, peer) {
                    before.close();
                }
            }
            Effect::Hold(life) => {
                if let Some(peer) = self.peers.get(&life.node) {
                    let numbers = streams.hold.require(life, Arc::clone(&peer.bell));
                    self.catching_up.insert(life.node, numbers);
                }
            }
            Effect::Release(node) => {
                self.catching_up.remove(&node);
                streams.hold.release(node);
            }
            Effect::Close(node) => {
                self.catching_up.remove(&node);
                streams.hold.release(node);
                if let Some(peer) = self.peers.remove(&node) {
                    streams.taps.close(peer.life);
                    peer.close();
                }
            }
            Effect::Begin(node, group, slots) => {
                if let Some(peer) = self.peers.get(&node) {
                    let keyspace = &streams.server.keyspace;
                    let shard_of = |slot| keyspace.shard_of_slot(slot);
                    streams.taps.add(peer.life, &peer.bell, &slots, shard_of);
                }
                self.command(node, Command::Begin(group, slots));
            }
            Effect::Resume(node, group, slots) => self.command(node, Command::Resume(group, slots)),
            Effect::Fin(node, group, slots) => self.command(node, Command::Fin(group, slots)),
            Effect::Forget(node, slots) => {
                if let Some(peer) = self.peers.get(&node) {
                    streams.taps.remove(peer.life, &slots);
                }
                self.command(node, Command::Forget(slots));
            }
            Effect::Fence(node, group, slots) => {
                tokio::spawn(async move {
                    let set = slots.slots().collect();
                    // What is still being cleared is fenced, too, and would be served after that.
                    while !streams.clearing().both(&slots).is_empty() {
                        tokio::time::sleep(TICK).await;
                    }
                    streams.cluster.routes.fence(&streams.server.keyspace, &set).await;
                    streams.note(Note::Event(Event::Fenced(node, group, slots)));
                });
            }
            Effect::Unfence(slots) => {
                // What is being cleared is served after that.
                let slots = slots.without(&streams.clearing());
                streams.cluster.routes.unfence(&slots.slots().collect());
            }
            Effect::Propose(proposal) => {
                let meta = Arc::clone(&self.meta);
                tokio::spawn(async move {
                    let outcome = meta.propose(proposal.change().clone()).await;
                    streams.note(Note::Event(Event::Settled(proposal, outcome)));
                });
            }
        }
    }

    fn command(&self, node: NodeId, command: Command) {
        if let Some(peer) = self.peers.get(&node) {
            peer.command(command);
        }
    }
}
