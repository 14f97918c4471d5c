//! Backups: one that follows its owner, and what they have acknowledged.

use super::world::world;
use super::*;
use crate::cluster::change::Gone;

#[test]
fn a_backup_follows_an_owner_that_is_gone() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 5_000);
    let mut two = TestNode::start(&world, 2);
    let three = TestNode::start(&world, 3);
    world.settle();
    let mut expected = beside(&[&one, &two, &three], || {
        std::thread::sleep(Duration::from_millis(200));
    });
    expected.extend(keys(5_000));
    check(&[&one, &two, &three], &expected);
    let life = two.kill();
    world.apply(Change::Remove { life, why: Gone::Silent });
    world.settle();
    check(&[&one, &three], &expected);
    // It comes back with nothing, and gets its share.
    drop(two);
    let two = TestNode::start(&world, 2);
    world.settle();
    check(&[&one, &two, &three], &expected);
}

#[test]
fn what_was_lost_with_a_connection_is_sent_again() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    fill(&one.client(), 2_000);
    let two = TestNode::start(&world, 2);
    world.settle();
    let mut expected = beside(&[&one, &two], || {
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(30));
            for node in [&one, &two] {
                let sinks = node.streams.sinks.lock().unwrap();
                sinks.values().for_each(tokio::task::AbortHandle::abort);
            }
        }
    });
    world.settle();
    expected.extend(keys(2_000));
    check(&[&one, &two], &expected);
}

#[test]
fn who_waits_is_told_how_many_have_it() {
    let world = world(1);
    let one = TestNode::start(&world, 1);
    one.serves_all();
    assert_eq!(one.streams.awaited(1, None).acknowledged(), 0, "there is no backup");
    let mut two = TestNode::start(&world, 2);
    world.settle();
    let client = one.client();
    let name = (0..).map(|i| format!("key:{i}")).find(|name| client.set(name, 1)).unwrap();
    let awaited = one.streams.awaited(1, None);
    wait("the backup has it", || awaited.acknowledged() == 1);
    assert_eq!(two.client().look(&name), Some(1));
    two.kill();
    assert!(client.set(&name, 2));
    let awaited = one.streams.awaited(1, Some(5));
    assert_eq!(awaited.acknowledged(), 0, "nobody is there");
    assert!(awaited.is_over(5) && !awaited.is_over(4));
}
