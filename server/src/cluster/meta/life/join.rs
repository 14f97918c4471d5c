//! Into a cluster: by configuration, by MEET, and back into one that knows the node.

use super::{Agreement, Order};
use crate::cluster::change::Change;
use crate::cluster::link::{ClusterId, Kind, Peer, Target};
use crate::cluster::meta::propose::Heard;
use crate::cluster::meta::wire::{Admit, Ask, Meet, Met, Reply};
use crate::cluster::meta::{Later, Meta};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// Between two attempts to be let in.
const PAUSE: Duration = Duration::from_millis(250);
/// How long an operator waits for a node to become a member.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a stranger may take to answer.
const MEET_TIMEOUT: Duration = Duration::from_secs(8);

impl Agreement {
    /// Tries the nodes of `cluster-join` until one of them lets this one in.
    pub(super) async fn join_one_of(&self, hosts: &[String]) {
        loop {
            for host in hosts {
                let joined = match resolve(host).await {
                    Ok(address) => self.join(address).await,
                    Err(why) => Err(why),
                };
                match joined {
                    Ok(()) => return,
                    Err(why) => tracing::warn!(host, why, "cluster-join: not yet"),
                }
                let node = self.node();
                if node.out.is_none() && node.cluster != ClusterId::NONE {
                    // It was let in; what has to come yet comes by and by.
                    return;
                }
            }
            sleep(PAUSE * 4).await;
        }
    }

    /// Asks once to be let in (again).
    pub(super) async fn ask_to_be_admitted(&self) {
        let node = self.node();
        if node.founder && self.current_map().members.is_empty() && self.leads().is_some() {
            let replicas = Change::Replicas(self.options.replicas);
            if self.propose(replicas).await.is_err() {
                return;
            }
        }
        match self.ask_leader(&Ask::Admit(self.admission(false))).await {
            Heard::Reply(Reply::Admitted(_)) => {
                let mut map = self.outlet.map.subscribe();
                let is_in = map.wait_for(|map| self.is_member(map));
                let _ = tokio::time::timeout(PAUSE * 4, is_in).await;
            }
            Heard::Reply(Reply::Refused(_, Some(gone))) => self.be_out(gone).await,
            Heard::Reply(Reply::Refused(why, None)) => {
                tracing::warn!(why, "the cluster does not let this node in");
                // It may have been removed in this life, which is over then.
                self.begin_anew().await;
                sleep(PAUSE).await;
            }
            Heard::Reply(reply) => {
                tracing::trace!(?reply, leader = ?self.leader(), "not let in yet");
                sleep(PAUSE).await;
            }
            Heard::Nobody(why) | Heard::Maybe(why) => {
                tracing::trace!(why, leader = ?self.leader(), "not let in yet");
                sleep(PAUSE).await;
            }
        }
    }

    fn admission(&self, fresh: bool) -> Admit {
        let node = self.node();
        Admit {
            life: node.life(),
            endpoint: self.endpoint(),
            weight: self.options.weight,
            zone: self.options.zone.clone(),
            // One more for the empty map with which it waits to be let in.
            seen: node.seen + u64::from(fresh),
            fresh,
        }
    }

    /// Joins the cluster that the node at `address` is in.
    pub(super) async fn join(&self, address: SocketAddr) -> Result<(), String> {
        let reply = self.ask_stranger(address, &Meet::Who(address.ip())).await?;
        let Met::Me { node, you, cluster, .. } = reply else {
            return Err("the node does not say who it is".to_owned());
        };
        if node == self.node().id {
            return Err("that is this node itself".to_owned());
        }
        if cluster == ClusterId::NONE {
            return Err("that node is in no cluster yet".to_owned());
        }
        if !self.is_alone() {
            return Err("this node is in a cluster with others".to_owned());
        }
        if self.host.has_keys() {
            return Err("this node has keys, which it would lose".to_owned());
        }
        self.learn_address(you);
        self.next_life().map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        let cluster = loop {
            let meet = Meet::Admit(self.admission(true));
            match self.ask_stranger(address, &meet).await {
                Ok(Met::Leader(Reply::Admitted(cluster))) => break cluster,
                Ok(Met::Leader(Reply::Refused(why, _))) => return Err(why),
                other if Instant::now() > deadline => return Err(format!("{other:?}")),
                _ => sleep(PAUSE).await,
            }
        };
        self.lease.end();
        self.stop_raft().await;
        self.host.forget_everything().await;
        self.lease.end();
        let clear = || {
            // In this order: an empty log of the old cluster is harmless, an old log in the new is not.
            self.store.disk().clear()?;
            let seen = self.outlet.restart();
            self.change_node(|node| {
                node.seen = node.seen.max(seen);
                (node.cluster, node.founder, node.out) = (cluster, false, None);
                Ok(())
            })
        };
        clear().map_err(|error: io::Error| error.to_string())?;
        self.start_raft().await.map_err(|error| error.to_string())?;
        // The cluster hears of this node before it has sent its log, which takes some round trips.
        self.look_elsewhere(Some((node, address)));
        let mut map = self.outlet.map.subscribe();
        let is_in = map.wait_for(|map| self.is_member(map));
        match tokio::time::timeout(PATIENCE, is_in).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                Err("the cluster has let this node in, but nothing was heard of it since"
                    .to_owned())
            }
        }
    }

    async fn ask_stranger(&self, address: SocketAddr, meet: &Meet) -> Result<Met, String> {
        let body = serde_json::to_vec(meet).map_err(|error| error.to_string())?;
        let target = Target { node: None, address };
        let limit = if matches!(meet, Meet::Come(_)) { PATIENCE * 2 } else { MEET_TIMEOUT };
        let reply = self.links.request(target, Kind::Meet, body, limit).await;
        let reply = reply.map_err(|why| why.to_string())?;
        serde_json::from_slice(&reply).map_err(|error| error.to_string())
    }

    /// Somebody who is maybe in another cluster says something.
    pub(in crate::cluster::meta) async fn answer_meet(
        &self,
        peer: Peer,
        meet: Meet,
    ) -> Option<Met> {
        Some(match meet {
            Meet::Who(me) => {
                self.move_to(me).await;
                let node = self.node();
                let (alone, you) = (self.is_alone(), peer.address.ip());
                Met::Me { node: node.id, cluster: node.cluster, alone, you }
            }
            Meet::Admit(admit) => match self.ask_leader(&Ask::Admit(admit)).await {
                Heard::Reply(reply) => Met::Leader(reply),
                Heard::Nobody(why) => Met::Leader(Reply::Later(why)),
                Heard::Maybe(why) => Met::Leader(Reply::Unknown(why)),
            },
            Meet::Come(address) => Met::Came(self.order_join(address).await),
        })
    }

    /// Somebody has found this node at `ip`: if nobody has told it where it is, it is there.
    async fn move_to(&self, ip: std::net::IpAddr) {
        if self.learn_address(ip) && self.raft().is_some() && self.node().out.is_none() {
            let _ = self.ask_leader(&Ask::Admit(self.admission(false))).await;
        }
    }

    async fn order_join(&self, address: SocketAddr) -> Result<(), String> {
        let (answer, heard) = oneshot::channel();
        self.order(Order::Join(address, answer), heard).await
    }

    /// CLUSTER MEET: joins the cluster of the node at this bus address if this node is alone, and else
    /// has that node come here.
    pub fn meet(&self, host: String) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let address = resolve(&host).await?;
            if self.is_alone() && !self.host.has_keys() {
                return self.order_join(address).await;
            }
            let Met::Me { node, cluster, alone, you } =
                self.ask_stranger(address, &Meet::Who(address.ip())).await?
            else {
                return Err("the node does not say who it is".to_owned());
            };
            self.move_to(you).await;
            if node == self.node().id || cluster == self.node().cluster {
                return Ok(());
            }
            if !alone {
                return Err("both nodes are in clusters with others, or have keys".to_owned());
            }
            let here = self.endpoint().bus();
            match self.ask_stranger(address, &Meet::Come(here)).await? {
                Met::Came(came) => came,
                other => Err(format!("unexpected: {other:?}")),
            }
        })
    }
}

/// The address of a host with a port.
async fn resolve(host: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = tokio::net::lookup_host(host).await.map_err(|error| format!("{host}: {error}"))?;
    found.into_iter().next().ok_or_else(|| format!("{host} has no address"))
}
