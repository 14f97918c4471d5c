//! A node's own lease: it asks the leader for more of it, four times a second.

use super::super::lease::{LENGTH, RENEWAL};
use super::super::link::Kind;
use super::agreement::Agreement;
use super::grants::nanoseconds;
use super::life::Order;
use super::wire::Granted;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How long a reply is waited for.
const TIMEOUT: Duration = Duration::from_millis(700);
/// Between two attempts while it is not known who leads.
const RETRY: Duration = Duration::from_millis(50);

impl Agreement {
    pub(super) async fn keep_lease(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let node = self.node();
            if node.out.is_some() || self.raft().is_none() {
                continue;
            }
            if self.needs_no_lease() {
                self.lease.extend(u64::MAX);
                continue;
            }
            let asked = self.host.now();
            self.lease.limit(asked.saturating_add(nanoseconds(LENGTH)));
            let granted = self.ask_for_lease().await;
            tracing::trace!(?granted, leader = ?self.leader(), "a lease was asked for");
            match granted {
                Granted::For(length, index) => {
                    let (this, until) = (Arc::clone(&self), asked.saturating_add(length));
                    tokio::spawn(async move {
                        if this.acts_on(index).await && this.node() == node {
                            this.lease.extend(until);
                        }
                    });
                }
                Granted::Out => {
                    let known = self.is_member(&self.outlet.map.borrow());
                    if known && self.node() == node {
                        tracing::warn!("the cluster has removed this node");
                        self.lease.end();
                        let _ = self.orders.try_send(Order::Out(node.incarnation));
                    }
                }
                Granted::NotLeader(leader) => {
                    self.look_elsewhere(leader);
                    ticks.reset_after(RETRY);
                }
                Granted::NotNow => {}
            }
        }
    }

    /// Waits until this node acts on a map that shows the log up to there, in which the leader has looked
    /// for what it has granted: by an older one it might serve what it has lost since. Whether it is a
    /// member in that map, and all that within the time that a lease lasts.
    async fn acts_on(&self, index: u64) -> bool {
        let acts = async {
            self.applied(index).await;
            let (epoch, is_member) = {
                let map = self.outlet.map.borrow();
                (map.epoch, self.is_member(&map))
            };
            self.host.follows(epoch).await;
            is_member
        };
        tokio::time::timeout(LENGTH, acts).await.unwrap_or(false)
    }

    /// Whether nobody can follow this node unless it wants that itself.
    fn needs_no_lease(&self) -> bool {
        let Some((_, term)) = self.leads() else { return false };
        let applied = *self.outlet.applied.borrow();
        let is_member = self.is_member(&self.outlet.map.borrow());
        let grants = self.grants(term);
        let is_free = grants.knows_all(applied) && !grants.is_barred(self.life());
        drop(grants);
        is_member && is_free && self.votes_alone()
    }

    /// Asks whoever leads, or is thought to.
    async fn ask_for_lease(&self) -> Granted {
        let life = self.life();
        if self.leads().is_some() {
            return self.answer_renewal(life).await;
        }
        let Some(target) = self.leader() else { return Granted::NotLeader(None) };
        let Ok(body) = serde_json::to_vec(&life) else { return Granted::NotNow };
        let reply = self.links.request(target, Kind::Renew, body, TIMEOUT).await;
        let reply = reply.map(|reply| serde_json::from_slice(&reply).unwrap_or(Granted::NotNow));
        // It may be that it does not lead any more, or is not there: another may know.
        reply.unwrap_or(Granted::NotLeader(None))
    }
}
