//! What is in the slots: large collections that change while they are copied, and nothing after a flush.

use super::world::world;
use super::*;
use crate::cluster::routes::Route;
use dunlin_storage::value::set::{self, Set};

fn big_set(members: std::ops::Range<u32>) -> Object {
    let (mut set, limits) = (Set::new(), set::Limits::new(7));
    for member in members {
        set.add(format!("member:{member}").as_bytes(), &limits);
    }
    Object::Set(set)
}

#[test]
fn large_collections_come_whole_and_change_on_the_way() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    let client = one.client();
    let names: Vec<String> = (0..8).map(|i| format!("big:{i}")).collect();
    for name in &names {
        client.write(name, |writer, key| {
            let set = NewValue::Object(Box::new(big_set(0..5_000)));
            writer.put(DB, key, set, None, 0);
        });
    }
    let long = "x".repeat(3 << 20);
    client.write("long", |writer, key| {
        writer.put(DB, key, NewValue::Bytes(long.as_bytes()), None, 0);
    });
    let two = TestNode::start(&world, 2);
    let clients = [one.client(), two.client()];
    let mut next = 5_000_u32;
    while !world.is_settled() || next < 5_100 {
        for name in &names {
            let (limits, added) = (set::Limits::new(7), format!("member:{next}"));
            let gone = format!("member:{}", next - 5_000);
            let change = |client: &Client| {
                client.write(name, |writer, key| {
                    writer.update(DB, key, 0, |object| {
                        let Object::Set(set) = object else { unreachable!() };
                        set.add(added.as_bytes(), &limits);
                        set.remove(gone.as_bytes());
                    });
                })
            };
            wait("somebody serves it", || clients.iter().any(|client| change(client).is_some()));
        }
        next += 1;
        // They are copied anew with each change, so nothing settles if changes come faster than that. How
        // fast that is depends on the machine: the pauses grow, up to a second.
        std::thread::sleep(Duration::from_millis(2 << ((next - 5_000) / 200).min(9)));
        assert!(next < 8_000, "it never settles");
    }
    check(&[&one, &two], &BTreeMap::new());
    let mut expected: Vec<Vec<u8>> =
        (next - 5_000..next).map(|member| format!("member:{member}").into_bytes()).collect();
    expected.sort();
    for (name, client) in names.iter().flat_map(|name| clients.iter().map(move |c| (name, c))) {
        assert!(client.members(name).as_ref() == Some(&expected), "{name}");
    }
    for client in &clients {
        let guard = client.handle.pin();
        let key = client.server.keyspace.key(b"long");
        let entry = client.server.keyspace.get(DB, &key, 0, Touch::No, &guard).unwrap();
        let Value::Str(text) = entry.value() else { panic!() };
        assert!(text.eq_bytes(long.as_bytes()));
    }
}

/// Removes all keys that are a node's own, as soon as `may` says so under all roles.
fn flush(node: &TestNode, may: impl Fn() -> bool) {
    let client = node.client();
    wait("all roles are free", || {
        let guard = client.handle.pin();
        let all = ShardSet::all(&node.server.keyspace);
        let Some(mut writer) = node.server.keyspace.try_enter(&all, &guard) else {
            return false;
        };
        // Fenced slots are a node's own, but a command for all keys waits for them.
        let own = node.cluster.routes.own();
        if own.iter().any(|slot| !node.cluster.serves(slot, 1)) || !may() {
            return false;
        }
        writer.flush(DB);
        true
    });
}

#[test]
fn what_was_flushed_does_not_come_back() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    let two = TestNode::start(&world, 2);
    wait("something has begun", || !one.streams.moves().is_empty());
    flush(&one, || true);
    flush(&two, || true);
    let clients = [one.client(), two.client()];
    for key in 0..100 {
        let name = format!("new:{key}");
        wait("somebody serves it", || clients.iter().any(|client| client.set(&name, key)));
    }
    world.settle();
    let expected = (0..100).map(|key| (format!("new:{key}"), key)).collect();
    check(&[&one, &two], &expected);
}

/// Until it hears that slots have come they are not the taker's own, and stay when it flushes; so they have
/// to stay at the former owner, too, which is their backup.
#[test]
fn a_flush_of_a_taker_is_not_about_what_has_just_come() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 8_000);
    world.late.lock().unwrap().insert(id(2), Duration::from_millis(500));
    let two = TestNode::start(&world, 2);
    flush(&two, || {
        assert!(two.cluster.routes.own().is_empty(), "nothing of it was seen");
        (0..slot::SLOTS).any(|slot| two.cluster.routes.get(slot) == Route::Expected)
    });
    world.late.lock().unwrap().clear();
    world.settle();
    check(&[&one, &two], &keys(8_000));
}
