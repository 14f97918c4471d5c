//! The lives of a node: how it comes into a cluster, comes back, and goes.
//!
//! ```text
//!   empty directory ---> alone: a cluster of one that owns all slots
//!         |                |  ^
//!         | cluster-join   |  | RESET
//!         |           MEET |  |
//!         v                v  |
//!       joining -------> member ---- LEAVE: gives all away, lingers ----> out
//!                          |  ^
//!          nothing was     |  | empty, in its next life
//!          heard of it     v  |
//!                        removed ---- FORGET ----> out
//! ```
//!
//! A life is an incarnation of the node's id. It ends with the process, and also when the cluster has
//! removed the node although it lives: then it forgets everything and comes back as the next one. Who is
//! out stays out, across restarts, until an operator says otherwise.

mod join;
mod leave;

use super::super::link::ClusterId;
use super::super::map::Map;
use super::agreement::Agreement;
use openraft::BasicNode;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, sleep};

/// How often a node looks whether something is to be done.
const LOOK: Duration = Duration::from_millis(100);
/// After Raft has failed (a full disk) it is started again so much later.
const RESTART: Duration = Duration::from_secs(1);

/// How something ended, for who has asked.
type Answer = oneshot::Sender<Result<(), String>>;

/// What a node is told to do with its life.
#[derive(Debug)]
pub(super) enum Order {
    /// The cluster has removed it in this incarnation.
    Out(u64),
    /// Join the cluster that is there.
    Join(SocketAddr, Answer),
    /// Begin anew, alone.
    Reset { hard: bool, answer: Answer },
}

impl Agreement {
    /// Lives.
    pub(super) async fn live(self: Arc<Self>, mut orders: mpsc::Receiver<Order>) {
        self.begin().await;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drained = None;
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                _ = looks.tick() => self.look(&mut drained).await,
            }
        }
    }

    async fn begin(&self) {
        let node = self.node();
        let is_free = node.out.is_some() || node.cluster == ClusterId::NONE;
        if !self.options.join.is_empty() && is_free {
            self.join_one_of(&self.options.join).await;
            return;
        }
        if node.out.is_some() {
            tracing::warn!("this node has left its cluster: CLUSTER RESET or MEET brings it back");
            return;
        }
        while let Err(error) = self.go_on().await {
            tracing::error!(%error, "the cluster's directory cannot be used");
            sleep(RESTART).await;
        }
    }

    /// Starts Raft, and the cluster with it if this node is to begin one.
    async fn go_on(&self) -> io::Result<()> {
        if self.node().cluster == ClusterId::NONE {
            self.change_node(|node| node.found(self.options.simulated))?;
        }
        self.start_raft().await?;
        let node = self.node();
        if let (true, Some(raft)) = (node.founder, self.raft()) {
            let is_initialized = raft.is_initialized().await.map_err(io::Error::other)?;
            if !is_initialized {
                let me = BasicNode::new(self.endpoint().bus());
                let members = BTreeMap::from([(node.id, me)]);
                raft.initialize(members).await.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    async fn obey(&self, order: Order) {
        match order {
            Order::Out(incarnation) if incarnation == self.node().incarnation => {
                self.begin_anew().await;
            }
            Order::Out(_) => {}
            Order::Join(address, answer) => {
                let _ = answer.send(self.join(address).await);
            }
            Order::Reset { hard, answer } => {
                let _ = answer.send(self.start_over(hard).await);
            }
        }
    }

    /// Does what is to be done now.
    async fn look(&self, drained: &mut Option<Instant>) {
        let node = self.node();
        if node.out.is_some() {
            return;
        }
        if !self.raft_runs() {
            self.stop_raft().await;
            sleep(RESTART).await;
            if let Err(error) = self.go_on().await {
                tracing::error!(%error, "the cluster's directory cannot be used");
            }
            return;
        }
        let map = self.current_map();
        if !self.is_member(&map) {
            if self.has_been_removed(&map) {
                self.begin_anew().await;
            } else {
                self.ask_to_be_admitted().await;
            }
            return;
        }
        self.go_if_drained(&map, drained).await;
    }

    /// Whether Raft runs. It ends when the disk fails it.
    fn raft_runs(&self) -> bool {
        let Some(raft) = self.raft() else { return false };
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        if let Err(error) = &metrics.running_state {
            tracing::error!(%error, "the cluster's log has failed");
        }
        metrics.running_state.is_ok()
    }

    /// Whether the map says that this life of the node is over.
    fn has_been_removed(&self, map: &Map) -> bool {
        let life = self.life();
        let former = map.former.get(&life.node).map(|former| former.incarnation);
        let newer = map.members.get(&life.node).map(|member| member.incarnation);
        former.max(newer).is_some_and(|incarnation| incarnation >= life.incarnation)
    }

    fn next_life(&self) -> io::Result<()> {
        let seen = self.current_map().epoch;
        self.change_node(|node| {
            node.incarnation += 1;
            node.seen = node.seen.max(seen);
            Ok(())
        })
    }

    async fn stop_raft(&self) {
        if let Some(raft) = self.raft() {
            self.set_raft(None);
            let _ = raft.shutdown().await;
        }
    }

    /// Whether this node is in no cluster, or the only member of one.
    fn is_alone(&self) -> bool {
        let node = self.node();
        let map = self.current_map();
        node.out.is_some()
            || node.cluster == ClusterId::NONE
            || node.founder && map.members.is_empty()
            || map.members.len() == 1 && self.is_member(&map)
    }

    async fn order(
        &self,
        order: Order,
        heard: oneshot::Receiver<Result<(), String>>,
    ) -> Result<(), String> {
        let busy = || "the node is busy with joining or leaving".to_owned();
        self.orders.try_send(order).map_err(|_| busy())?;
        heard.await.map_err(|_| busy())?
    }
}
