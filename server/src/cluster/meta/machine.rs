//! The state machine: the map, and which proposals it has seen.

use super::super::change::{Change, Life, Verdict};
use super::super::map::Map;
use super::super::node::NodeId;
use super::types::{Decided, Entry, LogId, Membership, Proposal};
use openraft::EntryPayload;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Verdicts of one node at most that are kept for the case that it asks again.
const MAX_VERDICTS: usize = 256;

/// What the log comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The last entry.
    pub applied: Option<LogId>,
    /// Those who take part in Raft.
    pub membership: Membership,
    /// The map.
    pub map: Map,
    /// What was decided on proposals that may be made again.
    answered: BTreeMap<NodeId, Answered>,
}

/// What was decided on the proposals of a node in one life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Answered {
    incarnation: u64,
    floor: u64,
    verdicts: BTreeMap<u64, Verdict>,
}

impl State {
    /// Applies an entry of the log.
    pub(super) fn apply(&mut self, entry: Entry) -> Decided {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Decided(None),
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(self.applied, membership);
                Decided(None)
            }
            EntryPayload::Normal(proposal) => {
                let term = entry.log_id.leader_id.term;
                Decided(Some(self.decide(proposal, term)))
            }
        }
    }

    fn decide(&mut self, proposal: Proposal, term: u64) -> Verdict {
        let Proposal { from, number, floor, term: meant, change } = proposal;
        let void = |why: &str| Verdict::Void(why.to_owned());
        if let Some(verdict) = self.known(from, number, floor) {
            return verdict;
        }
        let verdict = if meant.is_some_and(|meant| meant != term) {
            void("another node has led meanwhile")
        } else if speaker(&change).is_some_and(|speaker| speaker != from) {
            void("only the owner of slots says who has them")
        } else {
            self.map.apply(change)
        };
        let answered = self.answered.entry(from.node).or_default();
        answered.verdicts.insert(number, verdict.clone());
        if answered.verdicts.len() > MAX_VERDICTS
            && let Some((number, _)) = answered.verdicts.pop_first()
        {
            answered.floor = answered.floor.max(number + 1);
        }
        let (map, me) = (&self.map, from.node);
        self.answered.retain(|node, _| {
            *node == me || map.members.contains_key(node) || map.former.contains_key(node)
        });
        verdict
    }

    /// What was decided on this proposal, if it was made before.
    fn known(&mut self, from: Life, number: u64, floor: u64) -> Option<Verdict> {
        let answered = self.answered.entry(from.node).or_default();
        if answered.incarnation < from.incarnation {
            *answered = Answered { incarnation: from.incarnation, ..Answered::default() };
        }
        if answered.incarnation > from.incarnation {
            return Some(Verdict::Void("the node has begun anew".to_owned()));
        }
        if let Some(verdict) = answered.verdicts.get(&number) {
            return Some(verdict.clone());
        }
        answered.floor = answered.floor.max(floor);
        let floor = answered.floor;
        answered.verdicts.retain(|number, _| *number >= floor);
        (number < floor).then(|| Verdict::Void("the proposal is old".to_owned()))
    }
}

/// Whether a change is one that only the leader may propose, because it needs to know of leases.
pub(super) fn is_leaders(change: &Change) -> bool {
    matches!(change, Change::Remove { .. })
}

/// The only one who may propose a change, because nobody else can know that it is right: the owner of
/// slots knows what it has sent and that it serves them no more.
fn speaker(change: &Change) -> Option<Life> {
    match change {
        Change::Commit { from, .. } => Some(*from),
        Change::Sync { owner, .. } => Some(*owner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::node::Endpoint;
    use super::*;
    use openraft::{CommittedLeaderId, LogId};

    fn entry(term: u64, index: u64, proposal: Proposal) -> Entry {
        let leader = CommittedLeaderId::new(term, NodeId::from(1));
        Entry { log_id: LogId::new(leader, index), payload: EntryPayload::Normal(proposal) }
    }

    fn replicas(incarnation: u64, number: u64, floor: u64, replicas: u8) -> Proposal {
        let from = Life { node: NodeId::from(1), incarnation };
        Proposal { from, number, floor, term: None, change: Change::Replicas(replicas) }
    }

    #[test]
    fn a_proposal_counts_once() {
        let mut state = State::default();
        let mut index = 0;
        let mut decide = |proposal| {
            index += 1;
            let decided = state.apply(entry(1, index, proposal));
            (decided.0.unwrap(), state.map.replicas)
        };
        assert_eq!(decide(replicas(1, 1, 0, 1)), (Verdict::Done, 1));
        assert_eq!(decide(replicas(1, 2, 0, 2)), (Verdict::Done, 2));
        // The first again, late: it has its verdict, and changes nothing.
        assert_eq!(decide(replicas(1, 1, 0, 1)), (Verdict::Done, 2));
        // Void ones stay void.
        assert!(matches!(decide(replicas(1, 3, 0, 9)), (Verdict::Void(_), 2)));
        assert_eq!(decide(replicas(1, 4, 4, 0)), (Verdict::Done, 0));
        assert!(matches!(decide(replicas(1, 2, 0, 2)), (Verdict::Void(_), 0)), "below the floor");
        // A new life begins its numbers anew, and the old one is over.
        assert_eq!(decide(replicas(2, 1, 0, 1)), (Verdict::Done, 1));
        assert!(matches!(decide(replicas(1, 5, 4, 0)), (Verdict::Void(_), 1)));
        let answered = &state.answered[&NodeId::from(1)];
        assert_eq!((answered.incarnation, answered.verdicts.len()), (2, 1));
    }

    #[test]
    fn verdicts_are_kept_within_bounds() {
        let mut state = State::default();
        let count = MAX_VERDICTS as u64 + 10;
        for number in 1..=count {
            state.apply(entry(1, number, replicas(1, number, 0, 1)));
        }
        let answered = &state.answered[&NodeId::from(1)];
        assert_eq!((answered.verdicts.len(), answered.floor), (MAX_VERDICTS, 11));
        let late = state.apply(entry(1, count + 1, replicas(1, 10, 0, 2)));
        assert!(matches!(late.0, Some(Verdict::Void(_))) && state.map.replicas == 1);
    }

    #[test]
    fn only_an_owner_gives_its_slots_away() {
        // The second node shall have it.
        const LAST: u16 = super::super::super::slot::SLOTS - 1;
        let mut state = State::default();
        let mut index = 0;
        let mut decide = |from: Life, change: Change| {
            index += 1;
            let (floor, term) = (0, None);
            let proposal = Proposal { from, number: index, floor, term, change };
            let verdict = state.apply(entry(1, index, proposal)).0.unwrap();
            (verdict, state.map.owner(LAST), state.map.slots.get(LAST).backups().next())
        };
        let [one, two] = [1, 2].map(|number| Life { node: NodeId::from(number), incarnation: 1 });
        for life in [one, two] {
            let (ip, hostname) = (std::net::Ipv4Addr::LOCALHOST.into(), String::new());
            let endpoint = Endpoint { ip, hostname, port: 1, tls_port: 0, bus_port: 2 };
            let join = Change::Join { life, endpoint, weight: 1, zone: String::new(), seen: 0 };
            assert_eq!(decide(life, join).0, Verdict::Done);
        }
        let slots = vec![(LAST - 9, LAST)];
        let commit = Change::Commit { slots: slots.clone(), from: one, to: two };
        let sync = Change::Sync { slots, owner: one, backup: two, in_sync: true };
        let earlier = Life { incarnation: 0, ..one };
        for other in [two, earlier] {
            for change in [&commit, &sync] {
                let (verdict, owner, backup) = decide(other, change.clone());
                assert!(matches!(verdict, Verdict::Void(_)), "{other:?}");
                assert!(owner == Some(one.node) && backup.is_none());
            }
        }
        let (verdict, _, backup) = decide(one, sync);
        assert!(verdict == Verdict::Done && backup.is_some_and(|backup| backup.in_sync));
        let (verdict, owner, _) = decide(one, commit);
        assert_eq!((verdict, owner), (Verdict::Done, Some(two.node)));
    }

    #[test]
    fn what_another_leader_decided_is_void() {
        let mut state = State::default();
        let mut proposal = replicas(1, 1, 0, 1);
        proposal.term = Some(4);
        let decided = state.apply(entry(5, 1, proposal.clone()));
        assert!(matches!(decided.0, Some(Verdict::Void(_))));
        proposal.number = 2;
        assert_eq!(state.apply(entry(4, 2, proposal)).0, Some(Verdict::Done));
        assert_eq!(state.applied.map(|id| id.index), Some(2));
    }
}
