//! Whether what was told of one key could have happened one after the other.
//!
//! An operation takes effect at one moment between its beginning and its end. The search tries which of
//! those that may come next does, and remembers what led nowhere (Wing and Gong, with Lowe's memory).

use std::collections::HashSet;

use dunlin_storage::Millis;

/// What was done, and what was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// The number that was read.
    Get(Option<u64>),
    /// A number, and when it expires.
    Set(u64, Millis),
    /// One more, or one; the result.
    Add(u64),
    /// Whether there was something.
    Remove(bool),
    /// Everything was flushed.
    Clear,
}

/// An operation, when it began and when it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// What the time of the keys was then.
    pub(crate) now: (Millis, Millis),
    pub(crate) op: Op,
}

/// A number that is there, and when it expires.
pub(crate) type Item = Option<(u64, Millis)>;

/// Never.
pub(crate) const NEVER: Millis = Millis::MAX;

/// # Panics
/// If there is no order in which the answers are right.
pub(crate) fn assert_linear(name: &str, first: Item, events: &[Event]) {
    assert!(events.len() <= 64, "too many to be searched");
    let mut dead_ends = HashSet::new();
    if !search(first, 0, events, &mut dead_ends) {
        let mut events = events.to_vec();
        events.sort_by_key(|event| event.start);
        let events: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        panic!("no order explains {name}, {first:?} at first:\n{}", events.join("\n"));
    }
}

fn search(item: Item, done: u64, events: &[Event], dead: &mut HashSet<(u64, Item)>) -> bool {
    let left = || (0..events.len()).filter(move |&at| done >> at & 1 == 0);
    let Some(first_end) = left().map(|at| events[at].end).min() else { return true };
    if dead.contains(&(done, item)) {
        return false;
    }
    for at in left().filter(|&at| events[at].start < first_end) {
        let event = &events[at];
        for seen in seen(item, event.now).into_iter().flatten() {
            if let Some(next) = after(seen, event.op)
                && search(next, done | 1 << at, events, dead)
            {
                return true;
            }
        }
    }
    dead.insert((done, item));
    false
}

/// As what an operation may take an item: what expires while it goes on may be there or not.
fn seen(item: Item, now: (Millis, Millis)) -> [Option<Item>; 2] {
    match item {
        Some((_, until)) if until < now.0 => [Some(None), None],
        Some((_, until)) if until < now.1 => [Some(item), Some(None)],
        _ => [Some(item), None],
    }
}

/// What is there after an operation; nothing, if it would have answered otherwise.
fn after(item: Item, op: Op) -> Option<Item> {
    match op {
        Op::Get(number) => (number == item.map(|(number, _)| number)).then_some(item),
        Op::Set(number, until) => Some(Some((number, until))),
        Op::Add(sum) => {
            let (number, until) = item.unwrap_or((0, NEVER));
            (sum == number + 1).then_some(Some((sum, until)))
        }
        Op::Remove(was_there) => (was_there == item.is_some()).then_some(None),
        Op::Clear => Some(None),
    }
}

#[test]
fn orders_that_cannot_be_are_found() {
    let event = |start, end, op| Event { start, end, now: (0, 0), op };
    let linear = |events: &[Event]| search(None, 0, events, &mut HashSet::new());
    let (one, two) = (Op::Set(1, NEVER), Op::Set(2, NEVER));
    assert!(linear(&[event(0, 3, one), event(1, 2, Op::Get(None)), event(4, 5, Op::Get(Some(1)))]));
    assert!(!linear(&[event(0, 1, one), event(2, 3, Op::Get(None))]), "it was there");
    assert!(!linear(&[event(0, 1, one), event(2, 3, two), event(4, 5, Op::Get(Some(1)))]), "old");
    let reads = [event(2, 3, Op::Get(Some(2))), event(4, 5, Op::Get(Some(1)))];
    assert!(!linear(&[event(0, 1, one), event(1, 9, two), reads[0], reads[1]]), "back again");
    assert!(!linear(&[event(0, 9, Op::Add(1)), event(0, 9, Op::Add(1))]), "one was lost");
    let late = |now, op| Event { now, ..event(2, 3, op) };
    let set = event(0, 1, Op::Set(1, 50));
    assert!(linear(&[set, late((50, 51), Op::Get(None))]));
    assert!(linear(&[set, late((50, 51), Op::Get(Some(1)))]));
    assert!(!linear(&[set, late((50, 50), Op::Get(None))]), "it is there in its last moment");
    assert!(!linear(&[set, late((51, 51), Op::Get(Some(1)))]), "its time is over");
}
