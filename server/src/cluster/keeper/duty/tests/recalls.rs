//! What a taker may have confirmed and does not get: it has to hear that, because it remembers until then
//! what changes in these slots.

use super::*;

/// The first move of a pair up to its commit; what is moved and proposed.
fn confirmed() -> (Duty, Map, Ranges, Proposal) {
    let (mut duty, map, now) = pair();
    duty.step(Event::Map(Arc::new(map.clone())), now);
    let begun = duty.step(Event::Up(node(2)), now);
    let proposal = commit(&mut duty, &begun, now);
    let slots = duty.moves().next().expect("a move").slots.clone();
    (duty, map, slots, proposal)
}

fn not_proposed(proposal: Proposal) -> Event {
    Event::Settled(proposal, Err(Unsettled::NotProposed(String::new())))
}

#[test]
fn who_has_confirmed_in_vain_is_told() {
    let (mut duty, _, slots, proposal) = confirmed();
    let effects = duty.step(not_proposed(proposal), Duration::from_secs(9));
    let [Effect::Resume(_, _, recalled), Effect::Unfence(served)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((recalled, served), (&slots, &slots));
}

#[test]
fn nothing_is_said_of_what_may_be_handed_over() {
    let (mut duty, _, slots, proposal) = confirmed();
    let now = Duration::from_secs(9);
    duty.step(Event::Down(node(2)), now);
    let effects = duty.step(Event::Up(node(2)), now);
    assert!(effects.is_empty(), "it may be the taker's: {effects:?}");
    let effects = duty.step(not_proposed(proposal), now);
    let [Effect::Resume(_, _, recalled), Effect::Unfence(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(*recalled, slots);
}

#[test]
fn a_taker_is_not_let_go_before_it_has_heard() {
    let (mut duty, mut map, slots, proposal) = confirmed();
    let now = Duration::from_secs(9);
    duty.step(Event::Down(node(2)), now);
    duty.step(not_proposed(proposal), now);
    // Nothing is to be there any more.
    let goal = Goal { owner: Some(node(1)), backups: [None, None] };
    map.goal.set(0, crate::cluster::slot::SLOTS - 1, goal);
    let effects = duty.step(Event::Map(Arc::new(map)), now);
    assert!(effects.is_empty(), "it is away, and has not heard: {effects:?}");
    let effects = duty.step(Event::Up(node(2)), now);
    let [Effect::Resume(_, group, recalled)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*recalled, slots);
    let effects = duty.step(Event::Taken(node(2), *group), now);
    assert_eq!(effects, [Effect::Close(node(2))]);
}
