//! Verdicts that come late: they are about what was proposed then, and say nothing of what was proposed
//! since.

use super::*;

/// The map comes from the log, and the verdict from the leader: another way, and maybe a longer one.
#[test]
fn the_verdict_of_an_earlier_move_does_not_end_the_present_one() {
    let (mut duty, mut map, now) = pair();
    duty.step(Event::Map(Arc::new(map.clone())), now);
    let begun = duty.step(Event::Up(node(2)), now);
    let first = commit(&mut duty, &begun, now);
    assert_eq!(map.apply(first.change().clone()), Verdict::Done);
    let begun = duty.step(Event::Map(Arc::new(map.clone())), now);
    let second = commit(&mut duty, &begun, now);
    let (void, not_proposed) = (Verdict::Void(String::new()), String::new());
    for outcome in [Ok(Verdict::Done), Ok(void), Err(Unsettled::NotProposed(not_proposed))] {
        let effects = duty.step(Event::Settled(first.clone(), outcome), now);
        assert!(effects.is_empty(), "the second may be decided on still: {effects:?}");
    }
    assert_eq!(map.apply(second.change().clone()), Verdict::Done);
    duty.step(Event::Map(Arc::new(map)), now);
    duty.step(Event::Settled(second, Ok(Verdict::Done)), now);
    assert_eq!(duty.handed_over, 2 * BATCH as u64);
}

/// The second node begins a life, and gets copies of everything; what is proposed then.
fn back_up(duty: &mut Duty, map: &mut Map, incarnation: u64, now: Moment) -> Proposal {
    assert_eq!(map.apply(join(2, incarnation)), Verdict::Done);
    let goal = Goal { owner: Some(node(1)), backups: [Some(node(2)), None] };
    map.goal.set(0, crate::cluster::slot::SLOTS - 1, goal);
    duty.step(Event::Map(Arc::new(map.clone())), now);
    let effects = duty.step(Event::Up(node(2)), now);
    let [Effect::Begin(_, group, _)] = &effects[..] else { panic!("{effects:?}") };
    duty.step(Event::Taken(node(2), *group), now);
    let effects = duty.step(Event::Held(node(2)), now);
    let [Effect::Propose(proposal)] = &effects[..] else { panic!("{effects:?}") };
    proposal.clone()
}

#[test]
fn the_verdict_about_a_former_life_of_a_backup_says_nothing_of_this_one() {
    let (mut duty, mut map) = (Duty::new(node(1)), Map { replicas: 1, ..Map::default() });
    let now = Duration::from_secs(10);
    assert_eq!(map.apply(join(1, 1)), Verdict::Done);
    let first = back_up(&mut duty, &mut map, 1, now);
    let second = back_up(&mut duty, &mut map, 2, now);
    duty.step(Event::Settled(second, Err(Unsettled::Unknown(String::new()))), now);
    duty.step(Event::Settled(first, Ok(Verdict::Done)), now);
    let effects = duty.step(Event::Down(node(2)), now);
    assert!(effects.is_empty(), "it may be in sync, so that replies wait for it: {effects:?}");
}
