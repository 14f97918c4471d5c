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

use super::super::change::{Change, Gone, Verdict};
use super::super::link::{ClusterId, Kind, Peer, Target};
use super::super::map::Map;
use super::super::node::NodeId;
use super::agreement::Agreement;
use super::propose::Heard;
use super::wire::{Admit, Ask, Meet, Met, Reply};
use super::{Later, Meta};
use openraft::BasicNode;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, sleep};

/// How often a node looks whether something is to be done.
const LOOK: Duration = Duration::from_millis(100);
/// Between two attempts to be let in.
const PAUSE: Duration = Duration::from_millis(250);
/// How long an operator waits for a node to become a member.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a stranger may take to answer.
const MEET_TIMEOUT: Duration = Duration::from_secs(8);
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

    /// Tries the nodes of `cluster-join` until one of them lets this one in.
    async fn join_one_of(&self, hosts: &[String]) {
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

    /// Asks once to be let in (again).
    async fn ask_to_be_admitted(&self) {
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

    fn next_life(&self) -> io::Result<()> {
        let seen = self.current_map().epoch;
        self.change_node(|node| {
            node.incarnation += 1;
            node.seen = node.seen.max(seen);
            Ok(())
        })
    }

    /// The cluster has removed this node: it comes back with nothing, unless somebody wanted it to go.
    async fn begin_anew(&self) {
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
    async fn be_out(&self, gone: Gone) {
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

    async fn stop_raft(&self) {
        if let Some(raft) = self.raft() {
            self.set_raft(None);
            let _ = raft.shutdown().await;
        }
    }

    /// A node that leaves and owns nothing any more lingers, so that clients learn from it where
    /// everything is now, and goes.
    async fn go_if_drained(&self, map: &Map, drained: &mut Option<Instant>) {
        let life = self.life();
        let leaves = map.members.get(&life.node).is_some_and(|me| me.leaving);
        let stays = self.options.linger == Duration::MAX || self.stays.load(Ordering::Relaxed);
        if !leaves || owns(map, life.node) || stays {
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

    /// Joins the cluster that the node at `address` is in.
    async fn join(&self, address: SocketAddr) -> Result<(), String> {
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

    /// Whether this node is in no cluster, or the only member of one.
    fn is_alone(&self) -> bool {
        let node = self.node();
        let map = self.current_map();
        node.out.is_some()
            || node.cluster == ClusterId::NONE
            || node.founder && map.members.is_empty()
            || map.members.len() == 1 && self.is_member(&map)
    }

    /// Somebody who is maybe in another cluster says something.
    pub(super) async fn answer_meet(&self, peer: Peer, meet: Meet) -> Option<Met> {
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

    async fn order(
        &self,
        order: Order,
        heard: oneshot::Receiver<Result<(), String>>,
    ) -> Result<(), String> {
        let busy = || "the node is busy with joining or leaving".to_owned();
        self.orders.try_send(order).map_err(|_| busy())?;
        heard.await.map_err(|_| busy())?
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

    /// CLUSTER RESET: leaves, and begins a cluster of its own; `hard`: as another node.
    pub fn reset(&self, hard: bool) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            let (answer, heard) = oneshot::channel();
            self.order(Order::Reset { hard, answer }, heard).await
        })
    }

    async fn start_over(&self, hard: bool) -> Result<(), String> {
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
            let _ = map.wait_for(|map| !owns(map, life.node)).await;
        };
        if !self.is_alone() && self.is_member(&self.current_map()) {
            let _ = tokio::time::timeout(limit, done).await;
        }
    }
}

fn owns(map: &Map, node: NodeId) -> bool {
    map.slots.runs().iter().any(|run| run.value.owner == Some(node))
}

/// The address of a host with a port.
async fn resolve(host: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = tokio::net::lookup_host(host).await.map_err(|error| format!("{host}: {error}"))?;
    found.into_iter().next().ok_or_else(|| format!("{host} has no address"))
}
