//! Out of a cluster: removed by it, drained, reset, or handing over at the end of the process.

use super::{Agreement, Order, RESTART};
use crate::cluster::change::{Change, Gone, Verdict};
use crate::cluster::map::Map;
use crate::cluster::meta::{Later, Meta};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

impl Agreement {
    /// The cluster has removed this node: it comes back with nothing, unless somebody wanted it to go.
    pub(super) async fn begin_anew(&self) {
        tracing::info!("the cluster has removed this node: it begins anew");
        self.lease.end();
        let node = self.node();
        let former = self.current_map().former.get(&node.id).copied();
        if let Some(gone) = former.map(|former| former.why).filter(|why| *why != Gone::Silent) {
            self.be_out(gone).await;
            return;
        }
        self.host.forget_everything().await;
        while let Err(error) = self.next_life() {
            tracing::error!(%error, "the cluster's directory cannot be used");
            sleep(RESTART).await;
        }
        // A lease that was granted just before is not of the new life.
        self.lease.end();
    }

    /// This node is out, and stays out.
    pub(super) async fn be_out(&self, gone: Gone) {
        tracing::warn!(?gone, "this node is no member of the cluster any more");
        self.lease.end();
        let _ = self.change_node(|node| {
            node.out = Some(gone);
            Ok(())
        });
        self.stop_raft().await;
        self.lease.end();
        self.host.forget_everything().await;
    }

    /// A node that leaves and owns nothing any more lingers, so that clients learn from it where
    /// everything is now, and goes.
    pub(super) async fn go_if_drained(&self, map: &Map, drained: &mut Option<Instant>) {
        let life = self.life();
        let leaves = map.members.get(&life.node).is_some_and(|me| me.leaving);
        let stays = self.options.linger == Duration::MAX || self.stays.load(Ordering::Relaxed);
        if !leaves || map.is_owner(life.node) || stays {
            *drained = None;
            return;
        }
        let since = *drained.get_or_insert_with(Instant::now);
        if since.elapsed() < self.options.linger {
            return;
        }
        let remove = Change::Remove { life, why: Gone::Left };
        if matches!(self.propose(remove).await, Ok(Verdict::Done)) {
            self.be_out(Gone::Left).await;
        }
        *drained = None;
    }

    /// CLUSTER RESET: leaves, and begins a cluster of its own; `hard`: as another node.
    pub fn reset(&self, hard: bool) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let (answer, heard) = oneshot::channel();
            self.order(Order::Reset { hard, answer }, heard).await
        })
    }

    pub(super) async fn start_over(&self, hard: bool) -> Result<(), String> {
        if self.host.has_keys() {
            return Err(
                "CLUSTER RESET can't be called with master nodes containing keys".to_owned()
            );
        }
        let life = self.life();
        if !self.is_alone() && self.is_member(&self.current_map()) {
            self.lease.end();
            let remove = Change::Remove { life, why: Gone::Left };
            let left = self.propose(remove).await;
            if left.is_err() {
                return Err("the cluster cannot be told that this node goes".to_owned());
            }
        }
        self.lease.end();
        self.stop_raft().await;
        self.host.forget_everything().await;
        self.next_life().map_err(|error| error.to_string())?;
        let clear = || {
            self.store.disk().clear()?;
            let seen = self.outlet.restart();
            self.change_node(|node| {
                node.seen = node.seen.max(seen);
                if hard {
                    node.rename(self.options.simulated)?;
                }
                node.found(self.options.simulated)
            })
        };
        clear().map_err(|error: io::Error| error.to_string())?;
        self.host.rename(self.node().id);
        self.lease.end();
        self.go_on().await.map_err(|error| error.to_string())
    }

    /// Whether this node stays a member when it has given everything away.
    pub fn stay(&self, stays: bool) {
        self.stays.store(stays, Ordering::Relaxed);
    }

    /// Gives everything away before the process ends: the others need not wait until they miss it.
    /// Comes back when that is done, or cannot be, or `limit` is over.
    pub async fn hand_over(&self, limit: Duration) {
        self.stay(true);
        let life = self.life();
        let done = async {
            let leave = Change::Leave { node: life.node, leaving: true };
            if !matches!(self.propose(leave).await, Ok(Verdict::Done)) {
                return;
            }
            let mut map = self.outlet.map.subscribe();
            let _ = map.wait_for(|map| !map.is_owner(life.node)).await;
        };
        if !self.is_alone() && self.is_member(&self.current_map()) {
            let _ = tokio::time::timeout(limit, done).await;
        }
    }
}
