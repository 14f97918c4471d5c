use super::*;
use crate::cluster::map::{Backup, Goal, Holders};
use crate::cluster::slot::SLOTS;
use proptest::prelude::*;

const ALL: Range = (0, SLOTS - 1);

fn id(number: u32) -> NodeId {
    NodeId::from(number)
}

fn life(number: u32, incarnation: u64) -> Life {
    Life { node: id(number), incarnation }
}

fn endpoint(number: u32) -> Endpoint {
    let ip = std::net::Ipv4Addr::from(0x7f00_0000 + number).into();
    Endpoint { ip, hostname: String::new(), port: 7000, tls_port: 0, bus_port: 17000 }
}

fn join(number: u32, incarnation: u64) -> Change {
    let life = life(number, incarnation);
    Change::Join { life, endpoint: endpoint(number), weight: 100, zone: String::new(), seen: 0 }
}

fn remove(number: u32, incarnation: u64) -> Change {
    Change::Remove { life: life(number, incarnation), why: Gone::Silent }
}

fn done(map: &mut Map, change: Change) {
    assert_eq!(map.apply(change), Verdict::Done);
}

fn void(map: &mut Map, change: Change) {
    let before = map.clone();
    assert!(matches!(map.apply(change), Verdict::Void(_)));
    assert_eq!(*map, before);
}

/// Members 1 to `count` in their first life, everything where it shall be, backups in sync.
fn settled(count: u32, replicas: u8) -> Map {
    let mut map = Map::default();
    done(&mut map, Change::Replicas(replicas));
    for number in 1..=count {
        done(&mut map, join(number, 1));
    }
    settle(&mut map);
    map
}

/// Does what the data plane would do until nothing is left to do.
fn settle(map: &mut Map) {
    for _ in 0..10 {
        for change in duties(map) {
            done(map, change);
        }
    }
    assert!(duties(map).is_empty() && !map.is_moving());
}

/// What owners have to propose now.
fn duties(map: &Map) -> Vec<Change> {
    let life = |node: NodeId| Life { node, incarnation: map.members[&node].incarnation };
    let mut changes = Vec::new();
    for run in map.slots.zip(&map.goal) {
        let slots = vec![(run.first, run.last)];
        let (holders, goal) = run.value;
        let owner = life(holders.owner.unwrap());
        if goal.owner != holders.owner {
            let to = life(goal.owner.unwrap());
            changes.push(Change::Commit { slots, from: owner, to });
            continue;
        }
        let in_sync = |node| holders.backups().any(|b| b.node == node && b.in_sync);
        for backup in goal.backups.into_iter().flatten().filter(|node| !in_sync(*node)) {
            let (slots, backup) = (slots.clone(), life(backup));
            changes.push(Change::Sync { slots, owner, backup, in_sync: true });
        }
    }
    changes
}

#[test]
fn the_first_owns_everything() {
    let mut map = Map::default();
    done(&mut map, join(1, 1));
    assert_eq!((map.owner(0), map.owner(SLOTS - 1)), (Some(id(1)), Some(id(1))));
    assert_eq!((map.epoch, map.slots.runs().len()), (1, 1));
    // Saying the same again changes nothing.
    done(&mut map, join(1, 1));
    assert_eq!(map.epoch, 1);
    void(&mut map, remove(1, 1));
    void(&mut map, Change::Leave { node: id(1), leaving: true });
    void(&mut map, Change::Weight { node: id(1), weight: 0 });
}

#[test]
fn who_joins_gets_its_share_by_commits() {
    let mut map = settled(1, 0);
    done(&mut map, join(2, 1));
    assert_eq!(map.slots.runs().len(), 1, "nothing moves by itself");
    assert!(map.is_moving());
    let goal = map.goal.runs().iter().find(|run| run.value.owner == Some(id(2))).copied().unwrap();
    assert_eq!(goal.count(), SLOTS / 2);
    let slots = vec![(goal.first, goal.last)];
    let commit = |from, to| Change::Commit { slots: slots.clone(), from, to };
    void(&mut map, commit(life(1, 2), life(2, 1)));
    void(&mut map, commit(life(1, 1), life(2, 2)));
    void(&mut map, commit(life(2, 1), life(1, 1)));
    void(&mut map, commit(life(1, 1), life(1, 1)));
    done(&mut map, commit(life(1, 1), life(2, 1)));
    assert!(!map.is_moving());
    assert_eq!(map.owner(goal.first), Some(id(2)));
    assert_eq!(map.slots.get(goal.first).backups().count(), 0, "no backups are wanted");
    void(&mut map, commit(life(1, 1), life(2, 1)));
}

#[test]
fn a_commit_that_names_a_slot_twice_is_void() {
    let mut map = settled(2, 1);
    let slot = map.slots.runs()[0].first;
    let owner = map.owner(slot).unwrap();
    let (from, to) = if owner == id(1) { (1, 2) } else { (2, 1) };
    let slots = vec![(slot, slot + 1), (slot + 1, slot + 2)];
    void(&mut map, Change::Commit { slots, from: life(from, 1), to: life(to, 1) });
    let slots = vec![(slot + 1, slot + 2), (slot, slot)];
    done(&mut map, Change::Commit { slots, from: life(from, 1), to: life(to, 1) });
}

#[test]
fn a_commit_is_void_after_a_removal() {
    for gone in [1, 2] {
        let mut map = settled(3, 1);
        done(&mut map, remove(gone, 1));
        let slots = vec![(0, 0)];
        void(&mut map, Change::Commit { slots, from: life(1, 1), to: life(2, 1) });
    }
}

#[test]
fn the_giver_keeps_a_copy_until_it_is_not_needed() {
    let mut map = settled(2, 1);
    let slot = map.slots.runs()[0].first;
    let owner = map.owner(slot).unwrap();
    let other = id(if owner == id(1) { 2 } else { 1 });
    let slots = vec![(slot, slot)];
    let life = |node| Life { node, incarnation: 1 };
    done(&mut map, Change::Commit { slots, from: life(owner), to: life(other) });
    let holders = map.slots.get(slot);
    assert_eq!(holders.owner, Some(other));
    assert_eq!(holders.backups().collect::<Vec<_>>(), [Backup { node: owner, in_sync: true }]);
}

#[test]
fn a_backup_in_sync_follows_and_nobody_else() {
    let mut map = settled(3, 1);
    let before = map.clone();
    // One slot of each owner loses its backup's being in sync.
    let slot = before.slots.runs()[0].first;
    let holders = before.slots.get(slot);
    let (owner, backup) = (holders.owner.unwrap(), holders.backups().next().unwrap().node);
    let life = |node| Life { node, incarnation: 1 };
    let slots = vec![(slot, slot)];
    let sync = Change::Sync { slots, owner: life(owner), backup: life(backup), in_sync: false };
    done(&mut map, sync);
    let epoch = map.epoch;
    assert_eq!(epoch, before.epoch, "clients do not see backups");
    done(&mut map, Change::Remove { life: life(owner), why: Gone::Silent });
    for other in 0..SLOTS {
        let (old, new) = (before.slots.get(other), map.slots.get(other));
        if old.owner == Some(owner) && other != slot {
            assert_eq!(new.owner, Some(old.backups().next().unwrap().node));
            assert_eq!(new.empty_since, old.empty_since);
        } else if other != slot {
            assert_eq!(new.owner, old.owner);
        }
    }
    assert_eq!(map.slots.get(slot).empty_since, epoch + 1);
    assert_eq!(map.owner(slot), map.goal.get(slot).owner);
}

#[test]
fn who_comes_back_comes_back_empty() {
    let mut map = settled(3, 1);
    let owned =
        map.slots.runs().iter().find(|run| run.value.owner == Some(id(2))).copied().unwrap();
    done(&mut map, join(2, 2));
    let holders = map.slots.get(owned.first);
    assert_eq!(holders.owner, Some(owned.value.backups().next().unwrap().node));
    assert!(map.slots.runs().iter().all(|run| !run.value.is_backup(id(2))), "it has no copies");
    assert!(map.slots.runs().iter().all(|run| run.value.owner != Some(id(2))));
    assert!(map.is_moving(), "its share comes back to it");
    settle(&mut map);
    // What is about its former life is void, and it does not return to it.
    void(&mut map, remove(2, 1));
    void(&mut map, join(2, 1));
    done(&mut map, remove(2, 2));
    void(&mut map, join(2, 2));
    assert_eq!(map.former[&id(2)].why, Gone::Silent);
    done(&mut map, join(2, 3));
    assert!(map.former.is_empty());
}

#[test]
fn epochs_rise_for_who_comes_from_another_cluster() {
    let mut map = settled(1, 0);
    let Change::Join { life, endpoint, weight, zone, .. } = join(2, 1) else { unreachable!() };
    done(&mut map, Change::Join { life, endpoint, weight, zone, seen: 70 });
    assert_eq!(map.epoch, 71);
}

#[test]
fn a_lone_node_that_restarts_begins_empty() {
    let mut map = settled(1, 1);
    let before = map.slots.get(0);
    done(&mut map, join(1, 2));
    let after = map.slots.get(0);
    assert_eq!(after.owner, Some(id(1)));
    assert!(after.empty_since > before.empty_since);
}

#[test]
fn leaving_and_weights_move_the_goal() {
    let mut map = settled(3, 1);
    done(&mut map, Change::Leave { node: id(1), leaving: true });
    assert!(map.goal.runs().iter().all(|run| run.value.owner != Some(id(1))));
    assert!(map.goal.runs().iter().all(|run| !run.value.backups.contains(&Some(id(1)))));
    settle(&mut map);
    assert!(map.slots.runs().iter().all(|run| run.value.owner != Some(id(1))));
    // A restart ends it.
    done(&mut map, join(1, 2));
    assert!(!map.members[&id(1)].leaving);
    done(&mut map, Change::Weight { node: id(1), weight: 0 });
    assert!(map.goal.runs().iter().all(|run| run.value.owner != Some(id(1))));
    void(&mut map, Change::Weight { node: id(1), weight: MAX_WEIGHT + 1 });
    void(&mut map, Change::Weight { node: id(9), weight: 1 });
    void(&mut map, Change::Leave { node: id(9), leaving: true });
}

#[test]
fn wanted_slots() {
    let mut map = settled(3, 1);
    let before = map.goal.get(0);
    let owner = if before.owner == Some(id(1)) { id(2) } else { id(1) };
    done(&mut map, Change::Want { slots: vec![(0, 9)], owner });
    assert_eq!(map.goal.get(9).owner, Some(owner));
    assert_eq!(map.goal.get(9).backups, [before.owner, None]);
    assert_eq!(map.goal.get(10), before);
    settle(&mut map);
    assert_eq!(map.owner(9), Some(owner));
    for slots in [vec![], vec![(5, 4)], vec![(0, SLOTS)], vec![(3, 9), (0, 3)]] {
        void(&mut map, Change::Want { slots, owner });
    }
    void(&mut map, Change::Want { slots: vec![ALL], owner: id(9) });
}

#[test]
fn fewer_replicas_let_copies_go() {
    let mut map = settled(3, 2);
    assert!(map.slots.runs().iter().all(|run| run.value.backups().count() == 2));
    done(&mut map, Change::Replicas(1));
    assert!(map.slots.runs().iter().all(|run| run.value.backups().count() == 1));
    void(&mut map, Change::Replicas(3));
}

#[test]
fn the_gone_are_remembered_within_bounds() {
    let mut map = settled(1, 0);
    for number in 2..=u32::try_from(MAX_FORMER).unwrap() + 5 {
        map.members.insert(id(number), map.members[&id(1)].clone());
        done(&mut map, remove(number, 1));
    }
    assert_eq!(map.former.len(), MAX_FORMER);
    assert!(!map.former.contains_key(&id(2)) && map.former.contains_key(&id(1005)));
}

/// A random change; nodes and lives are few, so that many are about something.
fn changes() -> impl Strategy<Value = Change> {
    let life = || (1..6_u32, 1..4_u64).prop_map(|(number, incarnation)| life(number, incarnation));
    let node = || (1..6_u32).prop_map(id);
    let slots = || {
        let range = (0..SLOTS, 0..SLOTS).prop_map(|(a, b)| (a.min(b), a.max(b)));
        proptest::collection::vec(range, 1..3)
    };
    prop_oneof![
        4 => (1..6_u32, 1..4_u64, 0..3_u32, 0..3_u8).prop_map(|(number, incarnation, weight, zone)| {
            let (life, endpoint) = (super::tests::life(number, incarnation), endpoint(number));
            Change::Join { life, endpoint, weight: weight * 100, zone: format!("z{zone}"), seen: 0 }
        }),
        1 => (node(), any::<bool>()).prop_map(|(node, leaving)| Change::Leave { node, leaving }),
        2 => life().prop_map(|life| Change::Remove { life, why: Gone::Silent }),
        1 => (node(), 0..3_u32).prop_map(|(node, weight)| Change::Weight { node, weight }),
        1 => (0..4_u8).prop_map(Change::Replicas),
        1 => (slots(), node()).prop_map(|(slots, owner)| Change::Want { slots, owner }),
        1 => (slots(), life(), life()).prop_map(|(slots, from, to)| Change::Commit { slots, from, to }),
        1 => (slots(), life(), life(), any::<bool>()).prop_map(|(slots, owner, backup, in_sync)| {
            Change::Sync { slots, owner, backup, in_sync }
        }),
    ]
}

/// One step of a history: something random, or one of the things that owners have to do.
fn steps() -> impl Strategy<Value = (Change, Option<prop::sample::Index>)> {
    (changes(), prop::option::weighted(0.6, any::<prop::sample::Index>()))
}

/// Who may have the slot after a change, given who had it before.
fn check_owner(before: &Map, after: &Map, change: &Change, slot: u16) {
    let (old, new) = (before.slots.get(slot), after.slots.get(slot));
    assert!(new.owner.is_some_and(|owner| after.members.contains_key(&owner)), "an owner each");
    assert!(new.backups().all(|backup| after.members.contains_key(&backup.node)));
    assert!(new.backups().all(|backup| Some(backup.node) != new.owner));
    let [first, second] = new.backups.map(|backup| backup.map(|backup| backup.node));
    assert!(first.is_some() || second.is_none());
    assert!(first.is_none() || first != second);
    if old.owner == new.owner && old.empty_since == new.empty_since {
        return;
    }
    match change {
        Change::Commit { from, to, .. } => {
            assert_eq!((old.owner, new.owner), (Some(from.node), Some(to.node)));
            assert_eq!(new.empty_since, old.empty_since);
        }
        Change::Remove { life, .. } | Change::Join { life, .. } => {
            assert!(old.owner.is_none() || old.owner == Some(life.node), "only its slots change");
            let mut in_sync = old.backups().filter(|backup| backup.in_sync).peekable();
            if in_sync.peek().is_some() {
                assert!(in_sync.any(|backup| Some(backup.node) == new.owner), "in sync follows");
                assert_eq!(new.empty_since, old.empty_since);
            } else {
                assert_eq!((new.owner, new.empty_since), (after.goal.get(slot).owner, after.epoch));
                assert_eq!(new.backups().count(), 0);
            }
            assert!(new.backups().all(|backup| !backup.in_sync), "the others begin anew");
        }
        change => panic!("{change:?} gave a slot to another owner"),
    }
}

/// Who may be called in sync.
fn check_sync(before: &Map, after: &Map, change: &Change, slot: u16) {
    let (old, new) = (before.slots.get(slot), after.slots.get(slot));
    for backup in
        new.backups().filter(|backup| backup.in_sync && !old.backups().any(|b| b == *backup))
    {
        let said = match change {
            Change::Sync { backup: life, owner, in_sync: true, .. } => {
                life.node == backup.node && old.owner == Some(owner.node)
            }
            Change::Commit { from, .. } => from.node == backup.node,
            _ => false,
        };
        assert!(said, "{backup:?} is in sync because of {change:?}");
    }
}

fn check(before: &Map, after: &Map, change: &Change) {
    assert!(after.epoch >= before.epoch && after.epoch <= before.epoch + 1);
    let shown = |map: &Map| (map.members.clone(), map.slots.map(|holders| holders.owner));
    assert!(shown(before) == shown(after) || after.epoch > before.epoch);
    for (node, member) in &before.members {
        let now = after.members.get(node).map(|member| member.incarnation);
        let gone = after.former.get(node).map(|former| former.incarnation);
        assert!(now.or(gone).is_some_and(|incarnation| incarnation >= member.incarnation));
    }
    if after.members.is_empty() {
        return;
    }
    let mut firsts: Vec<u16> = before.slots.zip(&after.slots).iter().map(|run| run.first).collect();
    firsts.extend(after.goal.runs().iter().map(|run| run.first));
    for slot in firsts {
        check_owner(before, after, change, slot);
        check_sync(before, after, change, slot);
        let goal: Goal = after.goal.get(slot);
        assert!(goal.owner.is_some_and(|owner| after.members.contains_key(&owner)));
    }
}

proptest! {
    // PROPTEST_CASES, if it is set, says how many.
    #![proptest_config(match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(200),
    })]

    #[test]
    fn any_history(steps in proptest::collection::vec(steps(), 1..40)) {
        let mut map = Map::default();
        let mut twin = Map::default();
        for (change, duty) in steps {
            let duties = if map.members.is_empty() { Vec::new() } else { duties(&map) };
            let change = match duty {
                Some(duty) if !duties.is_empty() => duty.get(&duties).clone(),
                _ => change,
            };
            let before = map.clone();
            match map.apply(change.clone()) {
                Verdict::Done => check(&before, &map, &change),
                Verdict::Void(_) => prop_assert_eq!(&before, &map),
            }
            // Others who apply the same come to the same, by way of a snapshot, too.
            twin.apply(change);
            let text = serde_json::to_string(&twin).unwrap();
            twin = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&twin, &map);
        }
    }
}

#[test]
fn what_the_holders_of_a_slot_do() {
    let backup = |number, in_sync| Backup { node: id(number), in_sync };
    let mut holders = Holders { owner: Some(id(1)), ..Holders::default() };
    holders.set_backups([backup(2, false), backup(3, true)]);
    let followed = slots::follow(holders, id(1));
    assert_eq!(followed.owner, Some(id(3)));
    assert_eq!(followed.backups, [Some(backup(2, false)), None]);
    let goal = Goal { owner: Some(id(1)), backups: [Some(id(2)), Some(id(4))] };
    // The one that shall not be there stays until those that shall are in sync.
    assert_eq!(slots::tidy(holders, goal), holders);
    slots::mark(&mut holders, goal, id(4), true);
    assert_eq!(holders.backups, [Some(backup(2, false)), Some(backup(4, true))]);
    slots::mark(&mut holders, goal, id(2), true);
    assert_eq!(holders.backups, [Some(backup(2, true)), Some(backup(4, true))]);
}
