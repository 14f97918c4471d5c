//! A node's part in agreement: all of it in one place, and the tasks that keep it going.

use super::super::change::{Change, Life, Verdict};
use super::super::lease::Lease;
use super::super::link::{Connection, Identity, Kind, Links, Peer, Service, Target};
use super::super::map::Map;
use super::super::node::{Endpoint, NodeId};
use super::disk::Disk;
use super::election::Loyalty;
use super::grants::{Grants, nanoseconds};
use super::identity::Node;
use super::life::Order;
use super::propose::Numbers;
use super::store::{Machine, Outlet, Store};
use super::types::Raft;
use super::wire::Whereabouts;
use super::{Later, Meta, Status, Unsettled, network};
use openraft::ServerState;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Orders that wait at most.
const ORDERS: usize = 16;

/// A leader that was heard within this time leads: those who do not vote hear one every 0.65 s.
const HEARD: Duration = Duration::from_millis(1500);

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// `cluster-dir`.
    pub directory: PathBuf,
    /// Where the node is.
    pub endpoint: Endpoint,
    /// Nobody has said where it is: it believes those who meet it.
    pub address_is_unknown: bool,
    /// `cluster-weight`.
    pub weight: u32,
    /// `cluster-zone`.
    pub zone: String,
    /// `cluster-replicas`, for a cluster that this node begins.
    pub replicas: u8,
    /// `cluster-join`: bus addresses of nodes to join.
    pub join: Vec<String>,
    /// `cluster-node-timeout`.
    pub removal: Duration,
    /// `cluster-linger`.
    pub linger: Duration,
    /// No disk and no randomness of the system's: a simulation.
    pub simulated: bool,
}

/// What agreement needs of the server around it.
pub trait Host: Send + Sync + 'static {
    /// Nanoseconds on the clock of leases ([`super::super::lease`]).
    fn now(&self) -> u64;

    /// Whether there are keys: a node that has some does not join another cluster.
    fn has_keys(&self) -> bool;

    /// Waits until the server acts on the map of this epoch, or on a newer one.
    fn follows(&self, epoch: u64) -> Later<'_, ()>;

    /// This node begins anew: what it has in memory is not to be seen again. It holds no lease.
    fn forget_everything(&self) -> Later<'_, ()>;

    /// This node has another identity from now on (CLUSTER RESET HARD).
    fn rename(&self, me: NodeId);

    /// A message for all subscribers (PUBLISH on another node).
    fn message(&self, from: NodeId, body: Vec<u8>);

    /// A connection for data.
    fn stream(&self, connection: Connection);
}

/// A node's part in agreement.
pub struct Agreement {
    pub(super) options: Options,
    pub(super) host: Arc<dyn Host>,
    pub(super) links: Arc<Links>,
    pub(super) lease: Arc<Lease>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) store: Store,
    node: Mutex<Node>,
    endpoint: Mutex<Endpoint>,
    raft: Mutex<Option<Raft>>,
    grants: Mutex<Grants>,
    pub(super) loyalty: Mutex<Loyalty>,
    /// It is about to propose other voters, or has been and does not know what has come of it.
    pub(super) widens: AtomicBool,
    pub(super) numbers: Mutex<Numbers>,
    /// Who was said to lead, by somebody who does not.
    hint: Mutex<Option<Whereabouts>>,
    turn: AtomicUsize,
    pub(super) orders: mpsc::Sender<Order>,
    /// It stays a member, whatever it has given away: an operator wants that (CLUSTER FAILOVER), or the
    /// process is about to end.
    pub(super) stays: AtomicBool,
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agreement({:?})", self.node())
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agreement {
    /// Opens the directory and begins another life of the node that is in it. Nothing happens before
    /// [`Agreement::run`].
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn open(
        options: Options,
        host: Arc<dyn Host>,
        links: Arc<Links>,
        lease: Arc<Lease>,
    ) -> io::Result<(Arc<Agreement>, Orders)> {
        let mut disk = Disk::open(&options.directory, !options.simulated)?;
        let node = Node::wake(&mut disk, options.simulated)?;
        links.set_identity(Identity { node: node.id, cluster: node.cluster });
        let (orders, received) = mpsc::channel(ORDERS);
        let agreement = Agreement {
            endpoint: Mutex::new(options.endpoint.clone()),
            options,
            host,
            links,
            lease,
            outlet: Outlet::new(),
            store: Store(Arc::new(Mutex::new(disk))),
            node: Mutex::new(node),
            raft: Mutex::default(),
            grants: Mutex::default(),
            loyalty: Mutex::default(),
            widens: AtomicBool::new(false),
            numbers: Mutex::default(),
            hint: Mutex::default(),
            turn: AtomicUsize::new(0),
            orders,
            stays: AtomicBool::new(false),
        };
        Ok((Arc::new(agreement), Orders(received)))
    }

    /// Takes part, for ever.
    pub async fn run(self: Arc<Self>, orders: Orders) {
        tokio::join!(
            Arc::clone(&self).keep_lease(),
            Arc::clone(&self).keep_leader(),
            Arc::clone(&self).keep_quorum(),
            Arc::clone(&self).keep_members(),
            Arc::clone(&self).keep_voters(),
            self.live(orders.0),
        );
    }

    pub(super) fn node(&self) -> Node {
        *locked(&self.node)
    }

    /// Changes who this node is; it is on the disk before anybody sees it.
    pub(super) fn change_node(
        &self,
        change: impl FnOnce(&mut Node) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut node = self.node();
        change(&mut node)?;
        node.save(&mut self.store.disk())?;
        *locked(&self.node) = node;
        self.links.set_identity(Identity { node: node.id, cluster: node.cluster });
        Ok(())
    }

    /// Which node, and which of its lives.
    pub fn life(&self) -> Life {
        self.node().life()
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        locked(&self.endpoint).clone()
    }

    /// Others see this node at `ip`. Whether that is news.
    pub(super) fn learn_address(&self, ip: IpAddr) -> bool {
        let mut endpoint = locked(&self.endpoint);
        let is_news = self.options.address_is_unknown
            && endpoint.ip != ip
            && (endpoint.ip.is_loopback() || endpoint.ip.is_unspecified())
            && !ip.is_loopback()
            && !ip.is_unspecified();
        if is_news {
            endpoint.ip = ip;
        }
        is_news
    }

    /// What this node knows as the leader of this term.
    pub(super) fn grants(&self, term: u64) -> MutexGuard<'_, Grants> {
        let (before, now) = (self.loyalty().last(), self.host.now());
        let log = self.store.disk().last().map_or(0, |last| last.index);
        let mut grants = locked(&self.grants);
        grants.lead(term, before, log, now);
        grants
    }

    pub(super) fn current_map(&self) -> Arc<Map> {
        Arc::clone(&self.outlet.map.borrow())
    }

    /// Whether the map that this node sees has it as a member in this life.
    pub(super) fn is_member(&self, map: &Map) -> bool {
        let life = self.life();
        map.members.get(&life.node).is_some_and(|me| me.incarnation == life.incarnation)
    }

    pub(super) fn raft(&self) -> Option<Raft> {
        locked(&self.raft).clone()
    }

    pub(super) fn set_raft(&self, raft: Option<Raft>) {
        *locked(&self.raft) = raft;
        *locked(&self.hint) = None;
    }

    /// Whether this node believes that it leads, and in which term.
    pub(super) fn leads(&self) -> Option<(Raft, u64)> {
        let raft = self.raft()?;
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let leads = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
        let term = metrics.current_term;
        drop(metrics);
        leads.then_some((raft, term))
    }

    /// Who leads, as far as is known here. What others say comes first: a node that is cut off from
    /// Raft still believes in the leader of before.
    pub(super) fn leader(&self) -> Option<Target> {
        let me = self.node().id;
        let hint = *locked(&self.hint);
        let leader = hint.or_else(|| self.known_leader()).filter(|(node, _)| *node != me);
        leader.map(|(node, address)| Target { node: Some(node), address })
    }

    /// Who leads as Raft knows it: what others are told, who shall not go by this node's guesses.
    pub(super) fn known_leader(&self) -> Option<Whereabouts> {
        let leader = {
            let metrics = self.raft()?.metrics();
            let metrics = metrics.borrow();
            // A Raft that has failed believes for ever what it has believed last.
            metrics.current_leader.filter(|_| metrics.running_state.is_ok())?
        };
        Some((leader, self.address(leader)?))
    }

    /// Whoever was asked does not lead: `leader` does, or if that is not known either, maybe somebody
    /// else.
    pub(super) fn look_elsewhere(&self, leader: Option<Whereabouts>) {
        let me = self.node().id;
        let leader = leader.filter(|(node, _)| *node != me);
        // A leader that is heard and does not answer in time is slow: nobody else can help.
        let is_heard = leader.is_none() && self.hears_leader();
        let leader = leader.or_else(|| if is_heard { None } else { self.somebody() });
        let mut hint = locked(&self.hint);
        // Who has been let in and has heard nothing yet knows nobody but the one that it was told of.
        *hint = leader.or(hint.filter(|_| !is_heard));
    }

    /// Whether Raft's leader, another node, was heard of late.
    fn hears_leader(&self) -> bool {
        let (heard, me) = (self.loyalty().last(), self.node().id);
        let is_heard = |(leader, at): (NodeId, u64)| {
            leader != me && self.host.now() < at.saturating_add(nanoseconds(HEARD))
        };
        self.known_leader().is_some_and(|(leader, _)| {
            heard.filter(|(known, _)| *known == leader).is_some_and(is_heard)
        })
    }

    /// Raft has heard of another leader than before: what others have said is old.
    pub(super) fn look_for_leader_here(&self) {
        *locked(&self.hint) = None;
    }

    /// Another member, a different one each time. A node that was away may know none but those who took
    /// part in Raft.
    fn somebody(&self) -> Option<Whereabouts> {
        let me = self.node().id;
        let mut others: BTreeSet<NodeId> =
            self.outlet.map.borrow().members.keys().copied().collect();
        if let Some(raft) = self.raft() {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            others.extend(metrics.membership_config.nodes().map(|(node, _)| *node));
        }
        others.remove(&me);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let other = others.iter().nth(turn % others.len().max(1)).copied()?;
        Some((other, self.address(other)?))
    }

    /// The way to a node.
    pub(super) fn target(&self, node: NodeId) -> Option<Target> {
        Some(Target { node: Some(node), address: self.address(node)? })
    }

    /// Where a node is.
    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        let member = self.outlet.map.borrow().members.get(&node).map(|m| m.endpoint.bus());
        let in_raft = || {
            let raft = self.raft()?;
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            metrics.membership_config.membership().get_node(&node)?.addr.parse().ok()
        };
        member.or_else(in_raft)
    }

    /// Starts Raft on what is on the disk.
    pub(super) async fn start_raft(&self) -> io::Result<()> {
        self.store.disk().recover()?;
        let config = super::raft_config();
        let config = Arc::new(config.validate().map_err(io::Error::other)?);
        let machine = Machine::load(self.store.clone(), Arc::clone(&self.outlet))?;
        let (links, map) = (Arc::clone(&self.links), self.outlet.map.subscribe());
        let network = network::Network { links, map, store: self.store.clone() };
        let id = self.node().id;
        self.listen();
        let raft = Raft::new(id, config, network, self.store.clone(), machine).await;
        self.set_raft(Some(raft.map_err(io::Error::other)?));
        Ok(())
    }

    /// How many vote.
    #[cfg(test)]
    pub(super) fn voters(&self) -> usize {
        let raft = self.raft().map(|raft| raft.metrics().borrow().membership_config.clone());
        raft.map_or(0, |membership| membership.voter_ids().count())
    }

    /// Ends Raft without a word, and lets go of the directory.
    #[cfg(test)]
    pub(super) async fn kill(&self) {
        if let Some(raft) = self.raft() {
            self.set_raft(None);
            let _ = raft.shutdown().await;
        }
        self.store.disk().unlock();
    }

    /// Waits until this node has applied an entry of the log.
    pub(super) async fn applied(&self, index: u64) {
        let mut applied = self.outlet.applied.subscribe();
        // The outlet is this node's own.
        let _ = applied.wait_for(|applied| *applied >= index).await;
    }
}

/// What [`Agreement::run`] is told to do.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

impl Service for Agreement {
    fn answer(&self, peer: Peer, kind: Kind, body: Vec<u8>) -> Later<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            match kind {
                Kind::Raft => self.answer_raft(&body).await,
                Kind::Renew => {
                    let life = serde_json::from_slice(&body).ok()?;
                    serde_json::to_vec(&self.answer_renewal(life).await).ok()
                }
                Kind::Propose => {
                    let ask = serde_json::from_slice(&body).ok()?;
                    serde_json::to_vec(&self.answer_ask(peer.node, ask).await).ok()
                }
                Kind::Meet => {
                    let meet = serde_json::from_slice(&body).ok()?;
                    serde_json::to_vec(&self.answer_meet(peer, meet).await?).ok()
                }
                Kind::Publish => {
                    self.host.message(peer.node, body);
                    None
                }
                Kind::Stream => None,
            }
        })
    }

    fn stream(&self, connection: Connection) {
        self.host.stream(connection);
    }
}

impl Meta for Agreement {
    fn me(&self) -> NodeId {
        self.node().id
    }

    fn life(&self) -> Life {
        self.node().life()
    }

    fn map(&self) -> watch::Receiver<Arc<Map>> {
        self.outlet.map.subscribe()
    }

    fn propose(&self, change: Change) -> Later<'_, Result<Verdict, Unsettled>> {
        Box::pin(self.make_proposal(change))
    }

    fn status(&self) -> Status {
        let Some(raft) = self.raft() else { return Status::default() };
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let role = match metrics.state {
            ServerState::Leader => "leader",
            ServerState::Candidate => "candidate",
            ServerState::Follower => "follower",
            ServerState::Learner | ServerState::Shutdown => "learner",
        };
        let applied = metrics.last_applied.map_or(0, |id| id.index);
        Status {
            role,
            term: metrics.current_term,
            applied,
            committed: applied,
            leader: metrics.current_leader,
        }
    }
}
