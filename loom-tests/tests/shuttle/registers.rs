//! Goal: of a few keys that several tasks read, write, count up and remove, each has one history; no
//! increment is lost, whether its task had the role or left the work with who had it; nobody reads what
//! was freed, though tasks rest and use freed blocks again all the time.

use crate::explore::explore;
use crate::world::{World, program};

#[test]
fn keys_have_one_history() {
    explore(|| {
        let tasks = (0..4).map(|task| {
            program(move |me| {
                let keys: Vec<Vec<u8>> = (0..3).map(|i| format!("key{i}").into_bytes()).collect();
                (0..5).for_each(|turn| me.do_something(&keys, 1000 * (1 + task * 5 + turn)));
            })
        });
        World::plain(2).run(tasks.collect());
    });
}

/// The history says so, too: it has every sum once, and the last is read at the end.
#[test]
fn no_increment_is_lost() {
    explore(|| {
        let tasks = (0..5).map(|_| {
            program(|me| {
                (0..4).for_each(|_| me.add(b"counter"));
                me.rest();
            })
        });
        World::plain(1).run_and(tasks.collect(), |last| {
            assert_eq!(last.number(b"counter"), Some(20));
        });
    });
}

/// So few steps that most of the places where a task may leave work to another one are met.
#[test]
fn no_work_is_left_behind() {
    explore(|| {
        let tasks = (0..4).map(|_| program(|me| me.add(b"counter")));
        World::plain(1).run(tasks.collect());
    });
}
