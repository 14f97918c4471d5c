//! Who leads when nobody does: a node asks before it stands for election.
//!
//! In Raft a node that hears no leader raises the term and asks for votes, and whoever sees the higher term
//! follows its leader no more. So a node that was cut off, or that comes back and knows only what was,
//! brings down a leader whom all others hear well, and while they elect another nobody has a new lease.
//! openraft 0.9 knows no remedy. Its own timer is off, and instead
//!
//! - a voter that hears no leader first asks the others whether they would vote for it, which changes
//!   nothing, and stands only if a majority would;
//! - within [`LOYALTY`] of a leader's last message a node neither says that it would nor votes. So does
//!   the leader itself after a majority has confirmed it.
//!
//! ```text
//!   the leader is silent for [SILENCE] + up to [SPREAD] --> would you? --> a majority: stand --> lead
//!                 ^                                             | no            | others do
//!                 `-------------- [PAUSE] ----------------------'---------------'
//! ```

use super::super::node::NodeId;
use super::agreement::{Agreement, locked};
use super::grants::{Time, nanoseconds};
use super::network;
use super::types::{LogId, Raft, Random};
use openraft::ServerState;
use rand_core::RngCore;
use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often a node looks whether it has to stand.
const LOOK: Duration = Duration::from_millis(25);
/// How long a node holds to a leader that it has heard: openraft does the same for its longest election
/// timeout.
const LOYALTY: Duration = Duration::from_millis(super::ELECTION_MAX);
/// How long a leader is silent before somebody stands.
const SILENCE: Duration = Duration::from_millis(super::ELECTION_MAX + 100);
/// Nodes wait differently long beyond that, so that one of them is the first.
const SPREAD: Duration = Duration::from_millis(300);
/// Between two attempts, and as much again as they wait differently long.
const PAUSE: Duration = Duration::from_millis(200);
/// Who would vote for another does not stand itself for this time.
const DEFERENCE: Duration = Duration::from_millis(600);
/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_millis(800);

/// What a node has heard of leaders. Time is passed in.
#[derive(Debug, Default)]
pub(super) struct Loyalty {
    /// When a leader lived, as far as this node knows; or when it has begun to listen.
    heard: Time,
    /// Who that was.
    leader: Option<NodeId>,
    /// When it has voted for another.
    voted: Time,
    /// How long it waits for the leader this time.
    patience: Time,
    /// It does not stand before that.
    next: Time,
}

impl Loyalty {
    /// The node begins to listen.
    fn listen(&mut self, now: Time, patience: Time) {
        *self = Loyalty { heard: now, leader: None, voted: 0, patience, next: now };
    }

    /// A leader lives.
    pub(super) fn hear(&mut self, leader: NodeId, at: Time) {
        (self.heard, self.leader) = (self.heard.max(at), Some(leader));
    }

    /// It has voted for another, who gets the time to be heard.
    pub(super) fn vote(&mut self, at: Time) {
        self.voted = at;
        self.pause(at, DEFERENCE);
    }

    /// Whether it has neither heard a leader nor voted since `then`.
    fn is_free_since(&self, then: Time) -> bool {
        self.heard <= then && self.voted <= then
    }

    /// The leader that was heard last, and when.
    pub(super) fn last(&self) -> Option<(NodeId, Time)> {
        self.leader.map(|leader| (leader, self.heard))
    }

    /// Whether the node holds to a leader, whoever else may want to lead.
    fn holds(&self, now: Time) -> bool {
        now <= self.heard.saturating_add(nanoseconds(LOYALTY))
    }

    /// Whether it is time to stand. Who votes alone has nobody to wait for.
    fn is_due(&self, now: Time, alone: bool) -> bool {
        now >= self.next && (alone || now >= self.heard.saturating_add(self.patience))
    }

    /// It has stood, or would not have won.
    fn try_again(&mut self, now: Time) {
        self.pause(now, PAUSE + up_to(PAUSE));
        self.patience = nanoseconds(SILENCE + up_to(SPREAD));
    }

    /// It does not stand within this time.
    fn pause(&mut self, now: Time, pause: Duration) {
        self.next = self.next.max(now.saturating_add(nanoseconds(pause)));
    }
}

/// A part of a time by chance.
fn up_to(limit: Duration) -> Duration {
    let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    Duration::from_millis((Random.next_u32() % limit.max(1)).into())
}

/// Whether these are a majority of each of the sets that have to agree.
fn is_majority(yes: &BTreeSet<NodeId>, sets: &[BTreeSet<NodeId>]) -> bool {
    sets.iter().all(|set| set.intersection(yes).count() > set.len() / 2)
}

impl Agreement {
    pub(super) fn loyalty(&self) -> MutexGuard<'_, Loyalty> {
        locked(&self.loyalty)
    }

    /// Raft begins: leaders are listened for from here on.
    pub(super) fn listen(&self) {
        self.loyalty().listen(self.host.now(), nanoseconds(SILENCE + up_to(SPREAD)));
    }

    /// A leader's message was accepted.
    pub(super) fn hear(&self, leader: NodeId) {
        let now = self.host.now();
        let mut loyalty = self.loyalty();
        let is_news = loyalty.leader != Some(leader);
        loyalty.hear(leader, now);
        drop(loyalty);
        if is_news {
            self.look_for_leader_here();
        }
    }

    /// Whether this node votes for nobody now.
    pub(super) fn holds_to_leader(&self) -> bool {
        self.votes_alone() || self.loyalty().holds(self.host.now())
    }

    /// Whether this node would vote for one whose log ends so. If it would, it does not stand meanwhile.
    pub(super) fn would_vote(&self, last: Option<LogId>) -> bool {
        let would = !self.holds_to_leader() && last >= self.store.disk().last();
        if would {
            self.loyalty().pause(self.host.now(), DEFERENCE);
        }
        would
    }

    /// Stands for election whenever nobody leads.
    pub(super) async fn keep_leader(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Some(raft) = self.raft() {
                self.stand_if_due(&raft).await;
            }
        }
    }

    async fn stand_if_due(&self, raft: &Raft) {
        let (me, now) = (self.node().id, self.host.now());
        let (sets, leads) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            let sets = metrics.membership_config.membership().get_joint_config().clone();
            (sets, metrics.state == ServerState::Leader)
        };
        if leads || !sets.iter().any(|set| set.contains(&me)) {
            return;
        }
        let alone = is_majority(&BTreeSet::from([me]), &sets);
        if !self.loyalty().is_due(now, alone) {
            return;
        }
        // To ask takes a round trip, in which another may have been faster.
        let stands = alone || self.would_win(me, &sets).await && self.loyalty().is_free_since(now);
        self.loyalty().try_again(self.host.now());
        if stands {
            tracing::info!("no node leads: this one stands for election");
            // If Raft has failed, others see to that.
            let _ = raft.trigger().elect().await;
        }
    }

    /// Asks all voters at once; comes back when a majority would vote for this node, or when all have
    /// answered that can.
    async fn would_win(&self, me: NodeId, sets: &[BTreeSet<NodeId>]) -> bool {
        let Some(body) = network::would_you(self.store.disk().last()) else { return false };
        let others: BTreeSet<NodeId> =
            sets.iter().flatten().copied().filter(|node| *node != me).collect();
        let mut asked = JoinSet::new();
        for node in others {
            let Some(target) = self.target(node) else { continue };
            let (links, body) = (Arc::clone(&self.links), body.clone());
            asked.spawn(async move {
                network::would(&links, target, body, TIMEOUT).await.then_some(node)
            });
        }
        let mut yes = BTreeSet::from([me]);
        while let Some(answer) = asked.join_next().await {
            yes.extend(answer.ok().flatten());
            if is_majority(&yes, sets) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Time = 1_000_000_000;

    #[test]
    fn a_node_waits_for_its_leader_and_holds_to_it() {
        let mut loyalty = Loyalty::default();
        loyalty.listen(SECOND, nanoseconds(SILENCE));
        assert!(loyalty.holds(SECOND), "who has just begun may have forgotten whom it has heard");
        assert!(loyalty.is_due(SECOND, true) && !loyalty.is_due(SECOND, false));
        loyalty.hear(NodeId::from(1), 10 * SECOND);
        let (held, due) = (nanoseconds(LOYALTY), nanoseconds(SILENCE));
        assert!(loyalty.holds(10 * SECOND + held) && !loyalty.holds(10 * SECOND + held + 1));
        assert!(!loyalty.is_due(10 * SECOND + due - 1, false));
        assert!(loyalty.is_due(10 * SECOND + due, false));
        assert_eq!(loyalty.last(), Some((NodeId::from(1), 10 * SECOND)));
        // What is old news does not make it newer.
        loyalty.hear(NodeId::from(1), 9 * SECOND);
        assert!(loyalty.is_due(10 * SECOND + due, false));
        loyalty.pause(20 * SECOND, DEFERENCE);
        assert!(!loyalty.is_due(20 * SECOND, true));
        assert!(loyalty.is_free_since(10 * SECOND) && !loyalty.is_free_since(10 * SECOND - 1));
        assert!(loyalty.is_due(20 * SECOND + nanoseconds(DEFERENCE), false));
        loyalty.vote(30 * SECOND);
        assert!(!loyalty.is_due(30 * SECOND, true) && !loyalty.is_free_since(30 * SECOND - 1));
    }

    #[test]
    fn a_majority_of_each_set() {
        let set = |numbers: &[u32]| -> BTreeSet<NodeId> {
            numbers.iter().map(|number| NodeId::from(*number)).collect()
        };
        let (old, new) = (set(&[1, 2, 3]), set(&[3, 4, 5, 6]));
        assert!(is_majority(&set(&[1, 3]), std::slice::from_ref(&old)));
        assert!(!is_majority(&set(&[3, 4]), std::slice::from_ref(&new)), "half is no majority");
        assert!(!is_majority(&set(&[1, 3]), &[old.clone(), new.clone()]));
        assert!(is_majority(&set(&[1, 3, 4, 5]), &[old, new]));
    }

    #[test]
    fn nobody_stands_while_others_would_not_vote() {
        assert!(LOYALTY < SILENCE && SPREAD < DEFERENCE);
    }
}
