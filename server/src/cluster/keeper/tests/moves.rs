//! Moves of slots between nodes that write, hear late, die or have no memory.

use super::world::world;
use super::*;
use crate::cluster::change::Gone;

#[test]
fn nothing_is_lost_when_nodes_join_and_leave_under_load() {
    let world = world(1);
    world.unknown.store(5, Ordering::Relaxed);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let two = TestNode::start(&world, 2);
    let three = TestNode::start(&world, 3);
    let nodes = [&one, &two, &three];
    let mut expected = beside(&nodes, || {
        world.settle();
        world.apply(Change::Leave { node: id(2), leaving: true });
        world.settle();
    });
    expected.extend(keys(8_000));
    check(&nodes, &expected);
    assert_eq!(two.server.keyspace.keys_in_slots(|_| true), 0, "it may go");
}

/// The former owner is a backup from the commit on, and its connection may be gone, or be about the next
/// batch, before the new owner hears of the commit.
#[test]
fn what_was_handed_over_comes_back_as_it_is_however_late_maps_are() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 2_000);
    world.late.lock().unwrap().insert(id(2), Duration::from_millis(60));
    let two = TestNode::start(&world, 2);
    let nodes = [&one, &two];
    let mut expected = beside(&nodes, || {
        for weight in [0, 100, 0, 100] {
            world.settle();
            world.apply(Change::Weight { node: id(1), weight });
        }
        world.settle();
    });
    expected.extend(keys(2_000));
    check(&nodes, &expected);
    assert_eq!(world.cut_off.load(Ordering::Relaxed), 0, "what was handed over is kept up");
}

#[test]
fn a_taker_that_dies_in_the_middle_costs_nothing() {
    let world = world(0);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let mut expected = BTreeMap::new();
    for round in 0..3 {
        let mut two = TestNode::start(&world, 2);
        let moved = || {
            let of_two = |slot: &u16| world.map().slots.get(*slot).owner == Some(id(2));
            (0..slot::SLOTS).step_by(64).filter(of_two).count()
        };
        let written = beside(&[&one], || {
            // Before anything has moved: what has is gone with it, and so are those who wait for it.
            if round == 2 {
                wait("something has begun", || !one.streams.moves().is_empty());
            }
            let life = two.kill();
            world.apply(Change::Remove { life, why: Gone::Silent });
        });
        if moved() == 0 {
            expected.extend(written);
        }
        let whole = |map: &Map| map.slots.runs().iter().all(|run| run.value.empty_since <= 1);
        if whole(&world.map()) {
            expected.extend(keys(8_000));
            check(&[&one], &expected);
        }
        wait("it serves everything", || (0..slot::SLOTS).all(|slot| one.cluster.serves(slot, 1)));
    }
}

/// What a taker evicts before the slots are its own is not marked for the former owner, which is their
/// backup then: a client that removes it finds nothing to remove, and would find it again if the taker died.
#[test]
fn what_a_taker_has_evicted_does_not_stay_where_it_was() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    let names: Vec<String> = (0..4_000).map(|key| format!("key:{key}")).collect();
    let (client, value) = (one.client(), format!("{:01000}", 7));
    for name in &names {
        let put = client.write(name, |writer, key| {
            writer.put(DB, key, NewValue::Bytes(value.as_bytes()), None, 0);
        });
        assert!(put.is_some());
    }
    // There is room for half of what it is to own.
    let two = TestNode::start(&world, 2);
    let keyspace = &two.server.keyspace;
    keyspace.set_policy(Policy::AllKeysRandom);
    keyspace.set_max_memory(keyspace.memory().used + (1 << 20));
    world.settle();
    keyspace.set_max_memory(0);
    let (owner, map) = (two.client(), world.map());
    let of_two = |name: &&String| map.slots.get(slot::of(name.as_bytes())).owner == Some(id(2));
    let (there, gone): (Vec<&String>, Vec<&String>) =
        names.iter().filter(of_two).partition(|name| owner.look(name).is_some());
    assert!(!gone.is_empty() && !there.is_empty(), "{} {}", gone.len(), there.len());
    let is_gone = || gone.iter().all(|name| client.look(name).is_none());
    wait("what was evicted is gone", is_gone);
    world.settle();
    check(&[&one, &two], &there.into_iter().map(|name| (name.clone(), 7)).collect());
}

#[test]
fn a_taker_without_memory_is_let_alone() {
    let world = world(0);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 10_000);
    let two = TestNode::start_with(&world, 2, 1);
    std::thread::sleep(Duration::from_millis(500));
    let of_two = |slot: &u16| world.map().slots.get(*slot).owner == Some(id(2));
    assert_eq!((0..slot::SLOTS).filter(of_two).count(), 0);
    let client = one.client();
    one.serves_all();
    assert!((0..10_000).all(|key| client.get(&format!("key:{key}")) == Some(Some(key))));
    two.server.keyspace.set_max_memory(0);
    world.settle();
    check(&[&one, &two], &keys(10_000));
}

/// It remembers for the former owner what changes in them, which that one does not take, nor anything that
/// comes behind it.
#[test]
fn who_does_not_get_what_it_has_confirmed_does_not_wait_for_that() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 2_000);
    let two = TestNode::start(&world, 2);
    world.settle();
    let owner = |name: &String| world.map().owner(slot::of(name.as_bytes()));
    let mut names = (0..2_000).map(|key| format!("key:{key}"));
    let name = names.find(|name| owner(name) == Some(id(1))).unwrap();
    let moved = slot::of(name.as_bytes());
    world.refuses.store(true, Ordering::Relaxed);
    world.apply(Change::Want { slots: vec![(moved, moved)], owner: id(2) });
    wait("it is confirmed", || world.refused.load(Ordering::Relaxed) > 0);
    let (giver, taker) = (one.client(), two.client());
    wait("the giver serves it again", || {
        let removed = giver.write(&name, |writer, key| writer.remove(DB, key, 0));
        removed == Some(true)
    });
    wait("the taker has heard of it", || taker.look(&name).is_none());
    // Something in each lane comes behind it.
    assert!((0..2_000).filter(|key| taker.set(&format!("key:{key}"), *key)).count() > 500);
    let incarnation = world.map().members[&id(1)].incarnation;
    let life = Life { node: id(1), incarnation };
    wait("all is sent", || two.streams.taps.lag(life) == 0);
    world.refuses.store(false, Ordering::Relaxed);
    world.settle();
    let mut expected = keys(2_000);
    expected.remove(&name);
    check(&[&one, &two], &expected);
}
