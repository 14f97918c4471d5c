//! Who votes: the largest odd number of members up to [`MAX_VOTERS`], in as many zones as can be. The
//! others learn. Pure.
//!
//! An even number of voters survives no more failures than one less, so there are 1 of 2, 3 of 4, 5 of
//! 6 and more. With two members there is one voter, and without it nothing goes on.

use super::super::map::Map;
use super::super::node::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Voters at most.
pub(super) const MAX_VOTERS: usize = 5;

/// Who shall vote, if those vote now. Only who `is_ready` (is heard, and has the log) is made a voter.
pub(super) fn voters(
    map: &Map,
    now: &BTreeSet<NodeId>,
    leader: NodeId,
    is_ready: impl Fn(NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let may = |node: &NodeId| now.contains(node) || is_ready(*node);
    let able = map.members.keys().filter(|node| may(node)).count();
    let count = able.min(MAX_VOTERS);
    let count = if count % 2 == 0 { count.saturating_sub(1) } else { count };
    let mut chosen = BTreeSet::new();
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    while chosen.len() < count {
        let candidates =
            map.members.iter().filter(|(node, _)| may(node) && !chosen.contains(*node));
        let best = candidates.min_by_key(|(node, member)| {
            let crowd = zones.get(member.zone.as_str()).copied().unwrap_or(0);
            (member.leaving, crowd, **node != leader, !now.contains(*node), **node)
        });
        let Some((node, member)) = best else { break };
        chosen.insert(*node);
        *zones.entry(member.zone.as_str()).or_default() += 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::super::node::{Endpoint, Member};
    use super::*;

    fn map(zones: &[&str]) -> Map {
        let mut map = Map::default();
        for (number, zone) in (1..).zip(zones) {
            let ip = std::net::Ipv4Addr::LOCALHOST.into();
            let endpoint =
                Endpoint { ip, hostname: String::new(), port: 1, tls_port: 0, bus_port: 2 };
            let member = Member {
                endpoint,
                incarnation: 1,
                weight: 1,
                zone: (*zone).to_owned(),
                leaving: false,
            };
            map.members.insert(NodeId::from(number), member);
        }
        map
    }

    fn ids(numbers: &[u32]) -> BTreeSet<NodeId> {
        numbers.iter().map(|number| NodeId::from(*number)).collect()
    }

    #[test]
    fn an_odd_number() {
        let all = |_: NodeId| true;
        for (members, count) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (20, 5)] {
            let map = map(&vec![""; members]);
            let voters = voters(&map, &ids(&[1]), NodeId::from(1), all);
            assert_eq!(voters.len(), count, "{members} members");
            assert!(voters.contains(&NodeId::from(1)), "the leader stays");
        }
    }

    #[test]
    fn those_that_vote_stay_and_others_have_to_be_ready() {
        let map = map(&[""; 4]);
        let nobody = |_: NodeId| false;
        let leader = NodeId::from(3);
        assert_eq!(voters(&map, &ids(&[3]), leader, nobody), ids(&[3]));
        let two = |node: NodeId| node == NodeId::from(2);
        assert_eq!(voters(&map, &ids(&[3]), leader, two), ids(&[3]), "not two");
        assert_eq!(voters(&map, &ids(&[2, 3, 4]), leader, |_| true), ids(&[2, 3, 4]));
        // Somebody who is no member any more does not vote.
        assert_eq!(voters(&map, &ids(&[3, 4, 9]), leader, two), ids(&[2, 3, 4]));
    }

    #[test]
    fn zones_and_those_who_leave() {
        let mut map = map(&["a", "a", "a", "b", "c"]);
        map.members.insert(NodeId::from(6), map.members[&NodeId::from(1)].clone());
        let all = |_: NodeId| true;
        let now = ids(&[1, 2, 3]);
        let chosen = voters(&map, &now, NodeId::from(2), all);
        assert!(chosen.is_superset(&ids(&[2, 4, 5])) && chosen.len() == 5, "{chosen:?}");
        for node in [2, 3, 6] {
            map.members.get_mut(&NodeId::from(node)).unwrap().leaving = true;
        }
        let chosen = voters(&map, &now, NodeId::from(2), all);
        assert!(chosen.is_superset(&ids(&[1, 4, 5])) && chosen.len() == 5, "{chosen:?}");
    }
}
