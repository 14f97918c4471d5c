//! What a node does while it leads: it answers what others ask of the leader, keeps making sure that it
//! leads, removes who is silent, and sees to it that the right ones vote.
//!
//! All of it looks again and again at what is and what should be, so nothing is lost when the leader
//! changes: the next one goes on.

use super::super::change::{Change, Gone, Life, Verdict};
use super::super::lease::{LENGTH, RENEWAL};
use super::super::node::NodeId;
use super::agreement::{Agreement, locked};
use super::types::{Proposal, Raft};
use super::voters::voters;
use super::wire::{Admit, Ask, Granted, Reply};
use super::{grants, machine};
use openraft::error::{ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers, RaftMetrics};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// How often the leader makes sure that it leads.
const QUORUM: Duration = Duration::from_millis(125);
/// How long it waits for a quorum.
const QUORUM_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long an entry may take to be committed before the one who asked is told that it is unknown.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A leader that was away for this long does not hold it against others that it has not heard them.
const AWAY: Duration = Duration::from_millis(1000);
/// Who is to vote has to have been heard of within this time.
const RECENT: Duration = Duration::from_millis(1500);
/// How many entries who is to vote may be behind.
const LAG: u64 = 100;
/// How often a leader looks who is silent, and a node whether it leads.
const LOOK: Duration = Duration::from_millis(25);
/// For so long after a member has gone nobody ceases to vote: openraft sends nothing while it gives up its
/// connection to one who is not there, and others wait to hear that they follow it.
const CALM: Duration = Duration::from_millis(1000);

impl Agreement {
    /// A member asks for a lease.
    pub(super) async fn answer_renewal(&self, life: Life) -> Granted {
        let Some((raft, term)) = self.leads() else {
            return Granted::NotLeader(self.known_leader());
        };
        let (granted, now, index) = {
            // The index first: the map is at least as new.
            let index = *self.outlet.applied.borrow();
            let map = self.current_map();
            let now = self.host.now();
            let mut grants = self.grants(term);
            // Heard of it is in any case.
            let granted = match grants.grant(life, &map, now) {
                grants::Granted::Until(_) if !grants.knows_all(index) => grants::Granted::NotNow,
                granted => granted,
            };
            (granted, now, index)
        };
        match granted {
            grants::Granted::Until(until) => Granted::For(until.saturating_sub(now), index),
            grants::Granted::NotNow => Granted::NotNow,
            grants::Granted::Out => {
                // To be told this costs a node all that it has: an old map is not enough.
                let confirmed = timeout(QUORUM_TIMEOUT, raft.ensure_linearizable()).await;
                let map = self.current_map();
                let member = map.members.get(&life.node);
                let is_out = member.is_none_or(|member| member.incarnation > life.incarnation);
                let is_sure = matches!(confirmed, Ok(Ok(_))) && is_out;
                if is_sure { Granted::Out } else { Granted::NotNow }
            }
        }
    }

    /// Somebody asks the leader for something.
    pub(super) async fn answer_ask(&self, asker: NodeId, ask: Ask) -> Reply {
        let Some((raft, _)) = self.leads() else { return Reply::NotLeader(self.known_leader()) };
        match ask {
            Ask::Propose(proposal) if proposal.from.node != asker => {
                Reply::Refused("a node proposes for itself only".to_owned(), None)
            }
            Ask::Propose(proposal) => match proposal.change {
                Change::Remove { life, .. } => self.remove(&raft, asker, life, proposal).await,
                _ => write(&raft, proposal).await,
            },
            Ask::Admit(admit) => self.admit(&raft, admit).await,
        }
    }

    /// Removes a member when it cannot hold a lease any more.
    async fn remove(
        &self,
        raft: &Raft,
        asker: NodeId,
        life: Life,
        mut proposal: Proposal,
    ) -> Reply {
        let Some((_, term)) = self.leads() else { return Reply::NotLeader(self.known_leader()) };
        let until = self.grants(term).bar(life);
        if life == self.life() {
            self.lease.limit(until);
        }
        // Who goes by itself has given its lease up, and may have got another since, which does no harm if
        // it owns nothing.
        let may_serve = asker != life.node || self.current_map().is_owner(life.node);
        while may_serve && self.host.now() <= until {
            tokio::time::sleep(Duration::from_nanos(until - self.host.now().min(until) + 1)).await;
            if self.leads().is_none_or(|(_, now)| now != term) {
                return Reply::NotLeader(self.known_leader());
            }
        }
        proposal.term = Some(term);
        let reply = write(raft, proposal).await;
        if matches!(reply, Reply::Decided(Verdict::Void(_), _)) {
            self.grants(term).unbar(life);
        }
        reply
    }

    /// Lets a node in.
    async fn admit(&self, raft: &Raft, admit: Admit) -> Reply {
        tracing::debug!(?admit, "admit");
        let Admit { life, endpoint, weight, zone, seen, fresh } = admit;
        let map = self.current_map();
        if fresh {
            if map.members.contains_key(&life.node) {
                let why = "the node is a member still, and has to be forgotten first";
                return Reply::Refused(why.to_owned(), None);
            }
            // It does not know what it has promised in this cluster's log, so it must not count for
            // anything that was agreed on before.
            let metrics = raft.metrics().borrow().membership_config.clone();
            if metrics.membership().get_node(&life.node).is_some() {
                return Reply::Later("the node has not quite gone".to_owned());
            }
        } else if let Some(former) = map.former.get(&life.node)
            && former.why != Gone::Silent
        {
            let why = "the node has left or was forgotten";
            return Reply::Refused(why.to_owned(), Some(former.why));
        }
        let change = Change::Join { life, endpoint, weight, zone, seen };
        match write(raft, self.proposal_of_leader(change, None)).await {
            Reply::Decided(Verdict::Done, _) => Reply::Admitted(self.node().cluster),
            Reply::Decided(Verdict::Void(why), _) => Reply::Refused(why, None),
            reply => reply,
        }
    }

    /// A proposal of this node's own, which is not made again.
    fn proposal_of_leader(&self, change: Change, term: Option<u64>) -> Proposal {
        let (number, floor) = locked(&self.numbers).pass();
        Proposal { from: self.life(), number, floor, term, change }
    }

    /// Makes sure that this node leads, again and again, as long as it does.
    pub(super) async fn keep_quorum(self: Arc<Self>) {
        loop {
            let Some((raft, _)) = self.leads() else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            let asked = self.host.now();
            let confirmed = timeout(QUORUM_TIMEOUT, raft.ensure_linearizable()).await;
            // What was confirmed is that it led in the term that it is in now, or in one before,
            // after `asked`; leaders that came in between have waited since then.
            if let (Ok(Ok(_)), Some((_, term))) = (confirmed, self.leads()) {
                self.grants(term).confirmed(asked);
                self.loyalty().hear(self.node().id, asked);
            }
            tokio::time::sleep(QUORUM).await;
        }
    }

    /// Whether this node leads and is the only one that votes: nobody leads beside it or after it before it
    /// has proposed other voters.
    pub(super) fn votes_alone(&self) -> bool {
        let Some((raft, _)) = self.leads() else { return false };
        !self.widens.load(Ordering::Relaxed) && is_alone(&raft.metrics().borrow())
    }

    /// The leader removes who is silent.
    pub(super) async fn keep_members(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut removals: BTreeMap<Life, JoinHandle<()>> = BTreeMap::new();
        loop {
            looks.tick().await;
            let Some((raft, term)) = self.leads() else { continue };
            let (map, me, now) = (self.current_map(), self.node().id, self.host.now());
            removals.retain(|_, removal| !removal.is_finished());
            let silent = {
                let mut grants = self.grants(term);
                grants.wake(now, AWAY);
                grants.meet(&map, now);
                let mut silent = grants.silent(&map, me, now, self.options.removal);
                silent.retain(|life| !removals.contains_key(life));
                silent.iter().for_each(|life| {
                    grants.bar(*life);
                });
                silent
            };
            for life in silent {
                tracing::warn!(node = %life.node, "nothing is heard of a member: it is removed");
                let removal = Arc::clone(&self).remove_silent(raft.clone(), life, term);
                removals.insert(life, tokio::spawn(removal));
            }
        }
    }

    async fn remove_silent(self: Arc<Self>, raft: Raft, life: Life, term: u64) {
        let change = Change::Remove { life, why: Gone::Silent };
        let proposal = self.proposal_of_leader(change, Some(term));
        if let Reply::Decided(Verdict::Void(why), _) = write(&raft, proposal).await {
            tracing::warn!(node = %life.node, why, "it is not removed");
            self.grants(term).unbar(life);
        }
    }

    /// The leader sees to it that the right ones vote.
    pub(super) async fn keep_voters(self: Arc<Self>) {
        let mut members = 0;
        let mut lost = Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            let before = std::mem::replace(&mut members, self.current_map().members.len());
            if members < before {
                lost = Instant::now();
            }
            if let Some((raft, term)) = self.leads() {
                self.tend(raft, term, lost.elapsed() > CALM).await;
            }
        }
    }

    /// Takes one step towards the right participants of Raft: each member learns, and if it `is_calm` some
    /// vote, others are not there.
    async fn tend(&self, raft: Raft, term: u64, is_calm: bool) {
        let map = self.current_map();
        let metrics = raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let nodes: BTreeSet<NodeId> = membership.nodes().map(|(node, _)| *node).collect();
        let now: BTreeSet<NodeId> = membership.voter_ids().collect();
        let is_joint = membership.get_joint_config().len() > 1;
        if map.members.is_empty() {
            return;
        }
        let replication = metrics.replication.clone().unwrap_or_default();
        let last = metrics.last_log_index.unwrap_or(0);
        let is_ready = |node: NodeId| {
            let matched = replication.get(&node).copied().flatten().map_or(0, |id| id.index);
            let incarnation = map.members.get(&node).map_or(0, |member| member.incarnation);
            let life = Life { node, incarnation };
            let is_heard = self.grants(term).is_heard(life, self.host.now(), RECENT);
            node == metrics.id || matched + LAG >= last && is_heard
        };
        let wanted = voters(&map, &now, metrics.id, is_ready);
        let gone: BTreeSet<NodeId> =
            nodes.iter().filter(|node| !map.members.contains_key(node)).copied().collect();
        let new: BTreeMap<NodeId, BasicNode> = map
            .members
            .iter()
            .filter(|(node, _)| !nodes.contains(node))
            .map(|(node, member)| (*node, BasicNode::new(member.endpoint.bus())))
            .collect();
        let step = if !new.is_empty() && !is_joint {
            ChangeMembers::AddNodes(new)
        } else if !is_calm {
            return;
        } else if (is_joint || wanted != now) && !wanted.is_empty() {
            ChangeMembers::ReplaceAllVoters(wanted)
        } else if !gone.is_empty() && gone.is_disjoint(&now) {
            ChangeMembers::RemoveNodes(gone)
        } else {
            return;
        };
        tracing::debug!(?step, "participants of Raft change");
        self.widen();
        let is_known = match timeout(COMMIT_TIMEOUT, raft.change_membership(step, true)).await {
            Ok(Ok(changed)) => {
                let is_seen = |metrics: &RaftMetrics<NodeId, BasicNode>| {
                    *metrics.membership_config.log_id() >= Some(changed.log_id)
                };
                raft.wait(Some(QUORUM_TIMEOUT)).metrics(is_seen, "the change").await.is_ok()
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "participants of Raft do not change now");
                matches!(error, RaftError::APIError(ClientWriteError::ChangeMembershipError(_)))
            }
            Err(_) => {
                tracing::warn!("participants of Raft do not change: no quorum");
                false
            }
        };
        self.widens.store(!is_known, Ordering::Relaxed);
    }

    /// Others are about to vote: from here on this node's lease is like that of everybody.
    fn widen(&self) {
        self.widens.store(true, Ordering::Relaxed);
        self.lease.limit(self.host.now().saturating_add(grants::nanoseconds(LENGTH)));
    }
}

/// Whether a node is the only one that votes.
fn is_alone(metrics: &RaftMetrics<NodeId, BasicNode>) -> bool {
    let membership = metrics.membership_config.membership();
    let mut sets = membership.get_joint_config().iter();
    sets.all(|set| set.len() == 1 && set.contains(&metrics.id))
}

/// Writes an entry and waits for it to be applied here.
async fn write(raft: &Raft, proposal: Proposal) -> Reply {
    debug_assert!(proposal.term.is_some() || !machine::is_leaders(&proposal.change));
    let written = timeout(COMMIT_TIMEOUT, raft.client_write(proposal)).await;
    match written {
        Ok(Ok(response)) => match response.data.0 {
            Some(verdict) => Reply::Decided(verdict, response.log_id.index),
            None => Reply::Unknown("the entry has no verdict".to_owned()),
        },
        // This is said of entries, too, that were in the log already when the node ceased to lead.
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
            Reply::Unknown("the leader has changed".to_owned())
        }
        Ok(Err(error)) => Reply::Unknown(error.to_string()),
        Err(_) => Reply::Unknown("no quorum in time".to_owned()),
    }
}
