//! Slots that begin empty on a node that has something of them from before.

use super::world::world;
use super::*;
use crate::cluster::change::Gone;
use dunlin_storage::ShardId;

/// The first shard is not cleared as long as somebody has its role, and those that come after it are not
/// either.
#[test]
fn what_is_being_cleared_is_neither_served_nor_sent() {
    let world = world(0);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let mut two = TestNode::start(&world, 2);
    let three = TestNode::start(&world, 3);
    world.apply(Change::Weight { node: id(3), weight: 0 });
    world.settle();
    // The first node gets copies of some of what the second one owns, and not the slots.
    world.refuses.store(true, Ordering::Relaxed);
    let runs = world.map().slots;
    let of_two = runs.runs().iter().filter(|run| run.value.owner == Some(id(2)));
    let slots = of_two.map(|run| (run.first, run.last)).collect();
    world.apply(Change::Want { slots, owner: id(1) });
    wait("it has copies", || world.refused.load(Ordering::Relaxed) > 0);
    let (client, keyspace) = (one.client(), &one.server.keyspace);
    let is_copy = |name: &String| {
        let slot = slot::of(name.as_bytes());
        let is_last = keyspace.shard_of_slot(slot) != ShardId(0);
        is_last && runs.get(slot).owner == Some(id(2)) && client.look(name).is_some()
    };
    let name = (0..8_000).map(|key| format!("key:{key}")).find(is_copy).unwrap();
    let moved = slot::of(name.as_bytes());
    let life = two.kill();
    let holder = one.client();
    let guard = holder.handle.pin();
    let mut role = None;
    wait("the role is free", || {
        role = keyspace.try_enter(&ShardSet::one(ShardId(0)), &guard);
        role.is_some()
    });
    world.apply(Change::Remove { life, why: Gone::Silent });
    world.refuses.store(false, Ordering::Relaxed);
    world.apply(Change::Want { slots: vec![(moved, moved)], owner: id(3) });
    wait("it hears of that", || one.cluster.map().owner(moved) == Some(id(1)));
    // Longer than a fence lasts.
    for _ in 0..100 {
        assert_eq!(client.get(&name), None, "it is served");
        assert_eq!(three.client().look(&name), None, "it is sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(role);
    drop(guard);
    world.settle();
    wait("it is served, and empty", || three.client().get(&name) == Some(None));
}
