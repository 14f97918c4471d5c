//! Slots that have begun empty: what is there from before is nobody's, and what others have of it, too.

use super::*;
use crate::cluster::map::Holders;
use crate::cluster::slot::SLOTS;

/// The first of two nodes, which owns all slots, and their map: the second one is to be the backup of all.
fn owner() -> (Duty, Map, Moment) {
    let mut map = Map { replicas: 1, ..Map::default() };
    for number in [1, 2] {
        assert_eq!(map.apply(join(number, u64::from(number))), Verdict::Done);
    }
    let goal = Goal { owner: Some(node(1)), backups: [Some(node(2)), None] };
    map.goal.set(0, SLOTS - 1, goal);
    (Duty::new(node(1)), map, Duration::from_secs(10))
}

#[test]
fn no_base_begins_of_what_is_being_cleared() {
    let (mut duty, map, now) = owner();
    duty.clearing = [(0, 99)].into_iter().collect();
    duty.step(Event::Map(Arc::new(map)), now);
    let effects = duty.step(Event::Up(node(2)), now);
    let [Effect::Begin(_, _, slots)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(slots.as_slice(), [(100, SLOTS - 1)]);
    assert!(duty.step(Event::Tick, now).is_empty());
    duty.clearing = Ranges::default();
    let effects = duty.step(Event::Tick, now);
    let [Effect::Begin(_, _, slots)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(slots.as_slice(), [(0, 99)]);
}

#[test]
fn a_copy_of_what_has_begun_empty_is_begun_anew() {
    let (mut duty, mut map, now) = owner();
    duty.step(Event::Map(Arc::new(map.clone())), now);
    let effects = duty.step(Event::Up(node(2)), now);
    let [Effect::Begin(_, group, _)] = &effects[..] else { panic!("{effects:?}") };
    duty.step(Event::Taken(node(2), *group), now);
    // They have been somebody else's, who is gone.
    map.slots.set(0, 99, Holders { empty_since: 77, ..map.slots.get(0) });
    let effects = duty.step(Event::Map(Arc::new(map)), now);
    let slots: Ranges = [(0, 99)].into_iter().collect();
    let begin = Effect::Begin(node(2), group + 1, slots.clone());
    assert_eq!(effects, [Effect::Forget(node(2), slots), begin]);
}
