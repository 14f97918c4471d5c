use super::super::map::Backup;
use super::super::node::Endpoint;
use super::super::slot::SLOTS;
use super::*;
use std::net::Ipv4Addr;

type Members = BTreeMap<NodeId, Member>;

fn member(weight: u32, zone: &str) -> Member {
    let endpoint = Endpoint {
        ip: Ipv4Addr::LOCALHOST.into(),
        hostname: String::new(),
        port: 6379,
        tls_port: 0,
        bus_port: 16_379,
    };
    Member { endpoint, incarnation: 1, weight, zone: zone.to_owned(), leaving: false }
}

fn equal(ids: impl IntoIterator<Item = u32>) -> Members {
    ids.into_iter().map(|id| (id.into(), member(100, ""))).collect()
}

fn weighted(weights: &[(u32, u32)]) -> Members {
    weights.iter().map(|&(id, weight)| (id.into(), member(weight, ""))).collect()
}

/// Everything has moved to where it shall be, and is in sync.
fn settled(goal: &Runs<Goal>) -> Runs<Holders> {
    goal.map(|goal| Holders {
        owner: goal.owner,
        backups: goal.backups.map(|node| node.map(|node| Backup { node, in_sync: true })),
        empty_since: 0,
    })
}

/// A member is gone: the first backup in sync follows it.
fn bury(slots: &Runs<Holders>, gone: NodeId) -> Runs<Holders> {
    slots.map(|holders| {
        let mut backups = holders.backups().filter(|backup| backup.node != gone);
        let owner = holders.owner.filter(|owner| *owner != gone);
        let owner = owner.or_else(|| backups.next().map(|backup| backup.node));
        Holders { owner, backups: [backups.next(), backups.next()], empty_since: 0 }
    })
}

fn next(previous: &Runs<Goal>, members: &Members, replicas: u8) -> Runs<Goal> {
    goal(previous, &settled(previous), members, replicas)
}

fn fresh(members: &Members, replicas: u8) -> Runs<Goal> {
    next(&Runs::default(), members, replicas)
}

fn number(id: NodeId) -> u32 {
    u32::from_be_bytes([id.0[16], id.0[17], id.0[18], id.0[19]])
}

/// Rows of: first, last, owner, backups.
fn show(goal: &Runs<Goal>) -> Vec<(u16, u16, u32, Vec<u32>)> {
    let row = |run: &Run<Goal>| {
        let backups = run.value.backups.iter().flatten().map(|id| number(*id)).collect();
        (run.first, run.last, number(run.value.owner.expect("an owner")), backups)
    };
    goal.runs().iter().map(row).collect()
}

fn owners_of(goal: &Runs<Goal>) -> Runs<Option<NodeId>> {
    goal.map(|goal| goal.owner)
}

fn count<T: Copy + PartialEq>(
    runs: &Runs<T>,
    counts: impl Fn(T) -> Option<NodeId>,
) -> BTreeMap<NodeId, u64> {
    let mut all = BTreeMap::new();
    for run in runs.runs() {
        if let Some(node) = counts(run.value) {
            *all.entry(node).or_default() += u64::from(run.count());
        }
    }
    all
}

fn moved(one: &Runs<Option<NodeId>>, other: &Runs<Option<NodeId>>) -> u64 {
    let differs = |run: &&Run<(Option<NodeId>, Option<NodeId>)>| run.value.0 != run.value.1;
    one.zip(other).iter().filter(differs).map(|run| u64::from(run.count())).sum()
}

fn must(goal: &Runs<Goal>, members: &Members) {
    for run in goal.runs() {
        let Goal { owner, backups } = run.value;
        let owner = owner.expect("every slot has an owner");
        let can = |id: &NodeId| members.get(id).is_some_and(|m| !m.leaving && m.weight > 0);
        assert!(can(&owner));
        assert!(backups.iter().flatten().all(|backup| can(backup) && *backup != owner));
        assert!(backups[0].is_some() || backups[1].is_none(), "those that are there come first");
        assert!(backups[0].is_none() || backups[0] != backups[1]);
    }
}

#[test]
fn golden_join_and_leave() {
    let three = fresh(&equal([1, 2, 3]), 1);
    let rows = [
        (0, 2730, 1, vec![2]),
        (2731, 5461, 1, vec![3]),
        (5462, 8192, 2, vec![3]),
        (8193, 10_922, 2, vec![1]),
        (10_923, 13_653, 3, vec![1]),
        (13_654, 16_383, 3, vec![2]),
    ];
    assert_eq!(show(&three), rows);
    // Those who give become the backups of what they gave.
    let four = next(&three, &equal(1..=4), 1);
    let rows = [
        (0, 1365, 1, vec![2]),
        (1366, 2730, 1, vec![4]),
        (2731, 4095, 1, vec![3]),
        (4096, 5461, 4, vec![1]),
        (5462, 6827, 2, vec![3]),
        (6828, 8192, 2, vec![4]),
        (8193, 9557, 2, vec![1]),
        (9558, 10_922, 4, vec![2]),
        (10_923, 12_288, 3, vec![1]),
        (12_289, 13_653, 3, vec![4]),
        (13_654, 15_018, 3, vec![2]),
        (15_019, 16_383, 4, vec![3]),
    ];
    assert_eq!(show(&four), rows);
    assert_eq!(next(&four, &equal([1, 2, 3]), 1), three);
}

#[test]
fn nobody_and_one() {
    let empty = Runs::default();
    assert_eq!(next(&empty, &Members::new(), 1), empty);
    assert_eq!(fresh(&weighted(&[(1, 0)]), 1), empty);
    let one = fresh(&weighted(&[(1, 5)]), 2);
    assert_eq!(show(&one), [(0, 16_383, 1, vec![])]);
    // A member without weight gets nothing.
    let other = next(&one, &weighted(&[(1, 0), (2, 1)]), 2);
    assert_eq!(show(&other), [(0, 16_383, 2, vec![])]);
    // While all leave, all stays.
    let mut leaving = equal([1]);
    leaving.values_mut().for_each(|member| member.leaving = true);
    assert_eq!(next(&one, &leaving, 2), one);
}

#[test]
fn nothing_moves_without_a_reason() {
    for weights in [&[1][..], &[1, 2, 4]] {
        let mut members = Members::new();
        let mut goal = Runs::default();
        for id in 0..40_u32 {
            members.insert(id.into(), member(weights[id as usize % weights.len()], ""));
            for replicas in [1, 2] {
                goal = next(&goal, &members, replicas);
                let again = next(&goal, &members, replicas);
                let same = |run: &&Run<(Goal, Goal)>| run.value.0 != run.value.1;
                let changed: u16 = goal.zip(&again).iter().filter(same).map(Run::count).sum();
                assert!(changed == 0, "{id} {replicas} {weights:?}: {changed}");
            }
        }
    }
}

/// Shares are exact to a slot, and what moves is what has to.
fn check(had: &Runs<Option<NodeId>>, goal: &Runs<Goal>, members: &Members) {
    must(goal, members);
    let has = owners_of(goal);
    let total: u64 = members.values().map(|member| u64::from(member.weight)).sum();
    let (before, after) = (count(had, |owner| owner), count(&has, |owner| owner));
    let mut gains = 0;
    for (id, member) in members {
        let exact = u64::from(member.weight) * u64::from(SLOTS) / total;
        let count = after.get(id).copied().unwrap_or(0);
        assert!((exact..=exact + 1).contains(&count), "{member:?}: {count} for {exact}");
        gains += count.saturating_sub(before.get(id).copied().unwrap_or(0));
    }
    assert_eq!(after.values().sum::<u64>(), u64::from(SLOTS));
    assert_eq!(moved(had, &has), gains, "only what somebody gains moves");
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    /// Members come, go and die; `each` sees who owned each slot before, the goal, and the members.
    fn history(
        &mut self,
        weights: &[u32],
        zones: &[&str],
        replicas: u8,
        mut each: impl FnMut(&Runs<Option<NodeId>>, &Runs<Goal>, &Members),
    ) {
        let mut members = Members::new();
        let mut plan = Runs::default();
        for step in 0..20_u32 {
            let mut slots = settled(&plan);
            if members.len() < 2 || self.below(3) > 0 {
                for i in 0..=self.below(4) as u32 {
                    let weight = weights[self.below(weights.len())];
                    let zone = zones[self.below(zones.len())];
                    members.insert((step * 4 + i).into(), member(weight, zone));
                }
            } else {
                let gone = *members.keys().nth(self.below(members.len())).expect("one of them");
                let is_planned = self.below(2) == 0;
                if is_planned && let Some(member) = members.get_mut(&gone) {
                    member.leaving = true;
                    plan = goal(&plan, &slots, &members, replicas);
                    slots = settled(&plan);
                }
                members.remove(&gone);
                slots = bury(&slots, gone);
            }
            let next = goal(&plan, &slots, &members, replicas);
            each(&slots.map(|holders| holders.owner), &next, &members);
            plan = next;
        }
    }
}

/// Random histories, 100 or `PROPTEST_CASES` of them.
fn owners_of_histories(seed: u64, weights: &[u32]) {
    let mut random = Random(seed);
    let cases = std::env::var("PROPTEST_CASES").ok().map(|text| text.parse().expect("a number"));
    for _ in 0..cases.unwrap_or(100) {
        random.history(weights, &[""], 1, check);
    }
}

#[test]
fn owners_of_random_histories_with_equal_weights() {
    owners_of_histories(0x9e37_79b9_7f4a_7c15, &[1]);
}

#[test]
fn owners_of_random_histories_with_different_weights() {
    owners_of_histories(0xbf58_476d_1ce4_e5b9, &[1, 2, 4]);
}
