//! Several nodes with their duties, one map, and everything around them as a model in which links break,
//! nodes begin anew, and proposals are lost, made twice or decided on late, or their verdicts are late.

mod clearing;
mod recalls;
mod verdicts;

use super::*;
use crate::cluster::change::{Change, Gone, Verdict};
use crate::cluster::map::Goal;
use crate::cluster::meta::Unsettled;
use crate::cluster::node::Endpoint;
use std::collections::{BTreeSet, VecDeque};

fn node(number: u32) -> NodeId {
    NodeId::from(number)
}

fn join(number: u32, incarnation: u64) -> Change {
    let endpoint = Endpoint {
        ip: "127.0.0.1".parse().unwrap(),
        hostname: String::new(),
        port: number as u16,
        tls_port: 0,
        bus_port: 0,
    };
    let life = Life { node: node(number), incarnation };
    Change::Join { life, endpoint, weight: 100, zone: String::new(), seen: 0 }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % most
    }
}

struct Node {
    duty: Duty,
    life: Life,
    events: VecDeque<Event>,
    /// Verdicts that are on their way, while maps go by.
    late: Vec<Event>,
    /// Connections that it wants, and whether they are there.
    links: BTreeMap<NodeId, (Life, bool)>,
    fenced: Ranges,
    /// Its replies wait for these.
    held: BTreeSet<NodeId>,
    /// What it has of others, complete.
    copies: BTreeMap<NodeId, (Life, Ranges)>,
    /// Its commit was proposed and nothing of it is known.
    limbo: Vec<(Proposal, bool)>,
    /// Confirmed groups by taker.
    confirmed: BTreeSet<(NodeId, u32)>,
}

struct World {
    rng: Rng,
    now: Moment,
    map: Map,
    nodes: BTreeMap<NodeId, Node>,
    incarnations: u64,
    faults: bool,
    commits: usize,
    unknown: usize,
    unfenced: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            rng: Rng(seed),
            now: Duration::from_secs(1),
            map: Map { replicas: 1, ..Map::default() },
            nodes: BTreeMap::new(),
            incarnations: 0,
            faults: true,
            commits: 0,
            unknown: 0,
            unfenced: 0,
        }
    }

    /// A node begins, or begins anew.
    fn begin(&mut self, number: u32) {
        self.incarnations += 1;
        let life = Life { node: node(number), incarnation: self.incarnations };
        self.apply(join(number, life.incarnation)).unwrap();
        for other in self.nodes.values_mut() {
            if let Some((_, up)) = other.links.get_mut(&life.node)
                && std::mem::take(up)
            {
                other.events.push_back(Event::Down(life.node));
            }
        }
        let map = Event::Map(Arc::new(self.map.clone()));
        let state = Node {
            duty: Duty::new(life.node),
            life,
            events: [map].into(),
            late: Vec::new(),
            links: BTreeMap::new(),
            fenced: Ranges::default(),
            held: BTreeSet::new(),
            copies: BTreeMap::new(),
            limbo: Vec::new(),
            confirmed: BTreeSet::new(),
        };
        self.nodes.insert(life.node, state);
    }

    fn apply(&mut self, change: Change) -> Result<Verdict, ()> {
        let before = self.map.clone();
        let verdict = self.map.apply(change);
        if self.map != before {
            self.check_held();
            let map = Arc::new(self.map.clone());
            for node in self.nodes.values_mut() {
                node.events.push_back(Event::Map(Arc::clone(&map)));
            }
        }
        Ok(verdict)
    }

    /// Whoever could follow an owner has every write that it answers.
    fn check_held(&self) {
        for run in self.map.slots.runs() {
            let owner = run.value.owner.and_then(|owner| self.nodes.get(&owner));
            let lives = |node: &&Node| {
                let member = self.map.members.get(&node.life.node);
                member.is_some_and(|member| member.incarnation == node.life.incarnation)
            };
            let Some(owner) = owner.filter(lives) else { continue };
            for backup in run.value.backups().filter(|backup| backup.in_sync) {
                assert!(owner.held.contains(&backup.node), "in sync, and nobody waits for it");
            }
        }
    }

    /// Delivers an event to a node and does what it wants.
    fn deliver(&mut self, id: NodeId, event: Event) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Event::Map(map) = &event {
            // Routes follow the map.
            let lost: Ranges = map
                .slots
                .runs()
                .iter()
                .filter(|run| run.value.owner != Some(id))
                .map(|run| (run.first, run.last))
                .collect();
            node.fenced = node.fenced.without(&lost);
        }
        let effects = node.duty.step(event, self.now);
        effects.into_iter().for_each(|effect| self.act(id, effect));
    }

    fn act(&mut self, id: NodeId, effect: Effect) {
        match effect {
            Effect::Open(life) => {
                self.nodes.get_mut(&id).unwrap().links.insert(life.node, (life, false));
            }
            Effect::Close(peer) => {
                let node = self.nodes.get_mut(&id).unwrap();
                node.links.remove(&peer);
                node.held.remove(&peer);
            }
            Effect::Hold(life) => {
                let node = self.nodes.get_mut(&id).unwrap();
                assert!(node.held.insert(life.node), "held twice");
                node.events.push_back(Event::Held(life.node));
            }
            Effect::Release(peer) => {
                assert!(self.nodes.get_mut(&id).unwrap().held.remove(&peer), "released twice");
            }
            Effect::Begin(peer, group, slots) => self.begin_base(id, peer, group, &slots),
            Effect::Resume(peer, group, slots) => {
                let life = self.nodes[&id].life;
                if self.nodes[&id].links.get(&peer).is_some_and(|(_, up)| *up) {
                    self.deliver(peer, Event::Unkept(id, slots.clone()));
                }
                let copies = self.nodes.get(&peer).and_then(|node| node.copies.get(&id));
                let has = copies.is_some_and(|(owner, copies)| {
                    *owner == life && slots.without(copies).is_empty()
                });
                let event = match has {
                    true => Event::Taken(peer, group),
                    false => Event::Refused(peer, group, Why::Lost),
                };
                self.reply(id, peer, event);
            }
            Effect::Forget(peer, slots) => {
                if let Some((_, copies)) =
                    self.nodes.get_mut(&peer).and_then(|node| node.copies.get_mut(&id))
                {
                    *copies = copies.without(&slots);
                }
            }
            Effect::Fence(taker, group, slots) => {
                let node = self.nodes.get_mut(&id).unwrap();
                assert!(node.fenced.both(&slots).is_empty(), "fenced twice");
                node.fenced = node.fenced.with(&slots);
                node.events.push_back(Event::Fenced(taker, group, slots));
            }
            Effect::Fin(taker, group, slots) => {
                let node = &self.nodes[&id];
                assert!(slots.without(&node.fenced).is_empty(), "a fin without a fence");
                let (life, has) = (node.life, node.duty.has(taker).0);
                assert!(slots.without(&has).is_empty(), "a fin of what the taker has not");
                // It remembers changes before it confirms, and does neither before it knows the owner.
                self.deliver(taker, Event::Kept(life, slots.clone()));
                let kept = self.nodes.get(&taker).map(|node| node.duty.kept(life));
                let event = match kept.is_some_and(|kept| slots.without(&kept).is_empty()) {
                    true => {
                        self.nodes.get_mut(&id).unwrap().confirmed.insert((taker, group));
                        Event::Confirmed(taker, group)
                    }
                    false => Event::Refused(taker, group, Why::Old),
                };
                self.reply(id, taker, event);
            }
            Effect::Unfence(slots) => {
                self.unfenced += 1;
                let node = self.nodes.get_mut(&id).unwrap();
                for (proposal, _) in &node.limbo {
                    if let Proposal::Commit(_, _, Change::Commit { slots: moved, .. }) = proposal {
                        let moved: Ranges = moved.iter().copied().collect();
                        assert!(moved.both(&slots).is_empty(), "served while it may be committed");
                    }
                }
                let is_mine = |slot| self.map.owner(slot) == Some(id);
                let still = self.map.members.get(&id);
                if still.is_some_and(|member| member.incarnation == node.life.incarnation) {
                    let given = slots.slots().find(|slot| !is_mine(*slot));
                    // A removal by others may be on its way; a commit of ours may not.
                    assert!(given.is_none() || !node.fenced.contains(given.unwrap_or(0)));
                }
                node.fenced = node.fenced.without(&slots);
            }
            Effect::Propose(proposal) => self.propose(id, proposal),
        }
    }

    fn begin_base(&mut self, id: NodeId, peer: NodeId, group: u32, slots: &Ranges) {
        let life = self.nodes[&id].life;
        if self.map.members.get(&id).is_some_and(|member| member.incarnation == life.incarnation) {
            for run in self.map.slots.runs() {
                let here: Ranges = [(run.first, run.last)].into_iter().collect();
                let is_ours = run.value.owner == Some(id) && !here.both(slots).is_empty();
                let in_sync =
                    run.value.backups().any(|backup| backup.node == peer && backup.in_sync);
                assert!(!(is_ours && in_sync), "a base of what the map calls in sync");
            }
        }
        let Some(keeper) = self.nodes.get_mut(&peer) else { return };
        let (owner, copies) = keeper.copies.entry(id).or_insert((life, Ranges::default()));
        if *owner != life {
            (*owner, *copies) = (life, Ranges::default());
        }
        // Another owner's copies are dropped.
        *copies = copies.with(slots);
        for (other, (_, copies)) in &mut keeper.copies {
            if *other != id {
                *copies = copies.without(slots);
            }
        }
        self.reply(id, peer, Event::Taken(peer, group));
    }

    /// What a peer answers, if it is connected. A refusal ends the connection.
    fn reply(&mut self, id: NodeId, peer: NodeId, event: Event) {
        let node = self.nodes.get_mut(&id).unwrap();
        let link = node.links.get_mut(&peer).filter(|(_, up)| *up);
        if let Some((_, up)) = link {
            *up = !matches!(event, Event::Refused(..));
            node.events.push_back(event);
        }
    }

    fn propose(&mut self, id: NodeId, proposal: Proposal) {
        // What was in limbo is in the log before this, or never.
        let limbo = std::mem::take(&mut self.nodes.get_mut(&id).unwrap().limbo);
        for (before, is_made) in limbo {
            if is_made {
                self.make(id, &before);
            }
        }
        let (lot, faults) = (self.rng.below(12), self.faults);
        let outcome = match lot {
            0 if faults => Err(Unsettled::NotProposed(String::new())),
            1..4 if faults => {
                self.unknown += 1;
                match lot {
                    1 => drop(self.make(id, &proposal)),
                    late => {
                        let node = self.nodes.get_mut(&id).unwrap();
                        node.limbo.push((proposal.clone(), late == 2));
                    }
                }
                Err(Unsettled::Unknown(String::new()))
            }
            _ => Ok(self.make(id, &proposal)),
        };
        let is_late = self.faults && self.rng.below(4) == 0;
        let node = self.nodes.get_mut(&id).unwrap();
        let settled = Event::Settled(proposal, outcome);
        match is_late {
            true => node.late.push(settled),
            false => node.events.push_back(settled),
        }
    }

    fn make(&mut self, id: NodeId, proposal: &Proposal) -> Verdict {
        if let Proposal::Commit(taker, _, Change::Commit { from, slots, .. }) = proposal {
            let fenced = &self.nodes[&id].fenced;
            let slots: Ranges = slots.iter().copied().collect();
            let is_ours = self.map.owner(slots.as_slice()[0].0) == Some(id);
            assert!(
                !is_ours || *from != self.nodes[&id].life || slots.without(fenced).is_empty(),
                "a commit without a fence"
            );
            assert!(!self.nodes[&id].confirmed.is_empty());
            let verdict = self.apply(proposal.change().clone()).unwrap();
            if verdict == Verdict::Done {
                self.commits += 1;
                // The former owner has what the new one has.
                let to = self.nodes.get(taker).map(|node| node.life);
                let node = self.nodes.get_mut(&id).unwrap();
                if let Some(to) =
                    to.filter(|to| self.map.members[taker].incarnation == to.incarnation)
                {
                    let (owner, copies) =
                        node.copies.entry(*taker).or_insert((to, Ranges::default()));
                    if *owner != to {
                        (*owner, *copies) = (to, Ranges::default());
                    }
                    *copies = copies.with(&slots);
                }
            }
            return verdict;
        }
        self.apply(proposal.change().clone()).unwrap()
    }

    /// Some time goes by.
    fn pass(&mut self) {
        self.now += Duration::from_millis(self.rng.below(60));
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for &id in &ids {
            self.change_links(id);
            let verdicts_come = self.rng.below(8) == 0;
            if let Some(node) = self.nodes.get_mut(&id).filter(|_| verdicts_come) {
                node.events.extend(node.late.drain(..));
            }
            for _ in 0..self.rng.below(4) {
                let event = self.nodes.get_mut(&id).and_then(|node| node.events.pop_front());
                if let Some(event) = event {
                    self.deliver(id, event);
                }
            }
            self.deliver(id, Event::Tick);
        }
        if self.faults && self.rng.below(400) == 0 {
            let number = self.rng.below(ids.len() as u64) as u32 + 1;
            if self.rng.below(2) == 0 {
                let life = self.nodes.get(&node(number)).map(|node| node.life);
                if let Some(life) = life {
                    let _ = self.apply(Change::Remove { life, why: Gone::Silent });
                }
            }
            self.begin(number);
        }
    }

    fn change_links(&mut self, id: NodeId) {
        let lives: BTreeMap<NodeId, Life> =
            self.nodes.iter().map(|(id, node)| (*id, node.life)).collect();
        let breaks = self.faults && self.rng.below(60) == 0;
        let lot = self.rng.below(3);
        let node = self.nodes.get_mut(&id).unwrap();
        for (peer, (life, up)) in &mut node.links {
            if *up && breaks {
                *up = false;
                // What was on its way back is lost.
                let of_peer = |event: &Event| match event {
                    Event::Taken(of, _) | Event::Confirmed(of, _) | Event::Refused(of, ..) => {
                        of == peer
                    }
                    _ => false,
                };
                node.events.retain(|event| !of_peer(event));
                node.events.push_back(Event::Down(*peer));
            } else if !*up && lot == 0 && lives.get(peer) == Some(life) {
                *up = true;
                node.events.push_back(Event::Up(*peer));
            }
        }
    }

    fn is_settled(&self) -> bool {
        let pieces = self.map.slots.zip(&self.map.goal);
        pieces.iter().all(|run| {
            let (holders, goal) = run.value;
            let has = |node| holders.backups().any(|backup| backup.node == node && backup.in_sync);
            holders.owner == goal.owner && goal.backups.into_iter().flatten().all(has)
        })
    }
}

#[test]
fn slots_come_to_where_they_shall_be_whatever_happens() {
    let (mut commits, mut unknown, mut unfenced) = (0, 0, 0);
    for seed in 1..14 {
        let mut world = World::new(seed);
        (1..4).for_each(|number| world.begin(number));
        for step in 0..1_500 {
            if step == 300 {
                world.begin(4);
            }
            if step == 900 {
                let _ = world.apply(Change::Weight { node: node(2), weight: 300 });
            }
            world.pass();
        }
        world.faults = false;
        for _ in 0..20_000 {
            if world.is_settled() {
                break;
            }
            world.pass();
        }
        assert!(world.is_settled(), "seed {seed}");
        commits += world.commits;
        unknown += world.unknown;
        unfenced += world.unfenced;
    }
    assert!(commits > 300 && unknown > 30 && unfenced > 6, "{commits} {unknown} {unfenced}");
}

/// Two nodes: the first owns everything, and the other is to take its share.
fn pair() -> (Duty, Map, Moment) {
    let mut map = Map { replicas: 0, ..Map::default() };
    map.apply(join(1, 1));
    let mut duty = Duty::new(node(1));
    duty.step(Event::Map(Arc::new(map.clone())), Duration::ZERO);
    map.apply(join(2, 1));
    (duty, map, Duration::from_secs(9))
}

/// Brings the move that begins with this base to its commit; what is proposed.
fn commit(duty: &mut Duty, begun: &[Effect], now: Moment) -> Proposal {
    let base = begun.iter().find_map(|effect| match effect {
        Effect::Begin(_, group, slots) => Some((*group, slots.clone())),
        _ => None,
    });
    let (group, slots) = base.expect("a base");
    let mut effects = duty.step(Event::Taken(node(2), group), now);
    effects.extend(duty.step(Event::Tick, now));
    let [Effect::Fence(_, fence, _)] = &effects[..] else { panic!("{effects:?}") };
    duty.step(Event::Fenced(node(2), *fence, slots), now);
    let effects = duty.step(Event::Confirmed(node(2), *fence), now);
    let [Effect::Propose(proposal)] = &effects[..] else { panic!("{effects:?}") };
    proposal.clone()
}

#[test]
fn a_move_from_its_begin_to_its_end() {
    let (mut duty, mut map, now) = pair();
    let taker = Life { node: node(2), incarnation: 1 };
    let effects = duty.step(Event::Map(Arc::new(map.clone())), now);
    assert_eq!(effects, [Effect::Open(taker)]);
    let effects = duty.step(Event::Up(node(2)), now);
    let [Effect::Begin(to, group, slots)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((*to, slots.count()), (node(2), BATCH));
    let effects = duty.step(Event::Taken(node(2), *group), now);
    let effects_of_fence = duty.step(Event::Tick, now);
    let fence = effects.iter().chain(&effects_of_fence).cloned().collect::<Vec<_>>();
    let [Effect::Fence(_, fence, fenced)] = &fence[..] else { panic!("{fence:?}") };
    assert_eq!(fenced, slots);
    let effects = duty.step(Event::Fenced(node(2), *fence, slots.clone()), now);
    assert_eq!(effects, [Effect::Fin(node(2), *fence, slots.clone())]);
    let effects = duty.step(Event::Confirmed(node(2), *fence), now);
    let [Effect::Propose(proposal)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(map.apply(proposal.change().clone()), Verdict::Done);
    assert!(duty.step(Event::Tick, now + 10 * FENCE).is_empty(), "it waits for the verdict");
    let effects = duty.step(Event::Map(Arc::new(map)), now);
    duty.step(Event::Settled(proposal.clone(), Ok(Verdict::Done)), now);
    assert!(effects.contains(&Effect::Forget(node(2), slots.clone())), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Unfence(_))), "{effects:?}");
    assert_eq!(duty.handed_over, BATCH as u64);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Begin(..))), "the next batch");
}

#[test]
fn a_fence_has_a_limit_until_the_commit_is_proposed() {
    let (mut duty, map, mut now) = pair();
    duty.step(Event::Map(Arc::new(map)), now);
    let effects = duty.step(Event::Up(node(2)), now);
    let Some(Effect::Begin(_, group, slots)) = effects.first() else { panic!("{effects:?}") };
    duty.step(Event::Taken(node(2), *group), now);
    duty.step(Event::Tick, now);
    now += FENCE;
    assert_eq!(duty.step(Event::Tick, now), [Effect::Unfence(slots.clone())]);
    assert!(duty.step(Event::Tick, now).is_empty(), "it rests");
    now += REST_MOVE;
    duty.step(Event::Tick, now);
    let effects = duty.step(Event::Tick, now);
    assert!(matches!(effects[..], [Effect::Fence(..)]), "it tries again: {effects:?}");
    duty.step(Event::Cancel(slots.clone()), now);
    now += REST_MOVE;
    duty.step(Event::Tick, now);
    let others = duty.moves().next().expect("another batch").slots.clone();
    assert!(others.both(slots).is_empty(), "what was cancelled stays");
}

/// A node that hears nobody takes all peers for gone. It may be the one that is, and then one of them has
/// to follow it.
#[test]
fn who_is_deaf_does_not_say_that_nobody_can_follow_it() {
    let mut map = Map { replicas: 1, ..Map::default() };
    for number in [1, 2] {
        assert_eq!(map.apply(join(number, u64::from(number))), Verdict::Done);
    }
    let life = |number: u32| Life { node: node(number), incarnation: u64::from(number) };
    // Nothing is to move.
    let last = crate::cluster::slot::SLOTS - 1;
    let owner = Some(node(1));
    map.goal.set(0, last, Goal { owner, backups: [Some(node(2)), None] });
    let (owner, backup, mut now) = (node(1), node(2), Duration::from_secs(10));
    let mut duty = Duty::new(owner);
    duty.step(Event::Map(Arc::new(map.clone())), now);
    let effects = duty.step(Event::Up(backup), now);
    let [Effect::Begin(_, group, _)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(duty.step(Event::Taken(backup, *group), now), [Effect::Hold(life(2))]);
    let effects = duty.step(Event::Held(backup), now);
    let [Effect::Propose(proposal)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(map.apply(proposal.change().clone()), Verdict::Done);
    duty.step(Event::Map(Arc::new(map)), now);
    duty.step(Event::Settled(proposal.clone(), Ok(Verdict::Done)), now);
    duty.step(Event::Lag(backup, 5, false), now);
    let silent = now;
    now += 2 * CUT;
    let cuts = |effects: &[Effect]| {
        let is_cut = |effect: &Effect| {
            matches!(
                effect,
                Effect::Propose(Proposal::Sync(_, _, Change::Sync { in_sync: false, .. }))
            )
        };
        effects.iter().any(is_cut)
    };
    let before = duty.step(Event::Heard(silent - CUT), now);
    assert!(!cuts(&before), "it has heard of nobody since: {before:?}");
    let after = duty.step(Event::Heard(silent + CUT), now);
    assert!(cuts(&after), "the leader is there and the backup is not: {after:?}");
}

#[test]
fn who_has_given_slots_away_has_time_to_be_reached() {
    let mut map = Map { replicas: 1, ..Map::default() };
    for number in [1, 2] {
        assert_eq!(map.apply(join(number, u64::from(number))), Verdict::Done);
    }
    let life = |number: u32| Life { node: node(number), incarnation: u64::from(number) };
    let (giver, owner, mut now) = (node(1), node(2), Duration::from_secs(10));
    let all: Ranges = [(0, crate::cluster::slot::SLOTS - 1)].into_iter().collect();
    let mut duty = Duty::new(owner);
    duty.step(Event::Map(Arc::new(map.clone())), now);
    duty.step(Event::Kept(life(1), all.clone()), now);
    let (slots, from, to) = (all.as_slice().to_vec(), life(1), life(2));
    assert_eq!(map.apply(Change::Commit { slots, from, to }), Verdict::Done);
    let last = crate::cluster::slot::SLOTS - 1;
    map.goal.set(0, last, Goal { owner: Some(owner), backups: [Some(giver), None] });
    duty.step(Event::Map(Arc::new(map)), now);
    let proposes = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Propose(_)));
    now += CUT * 2;
    assert!(!proposes(&duty.step(Event::Tick, now)), "it is in sync, and not connected yet");
    now += FIRST;
    assert!(proposes(&duty.step(Event::Tick, now)), "it does not come");
}

#[test]
fn who_has_what_the_new_owner_has_evicted_gets_it_anew() {
    let mut map = Map { replicas: 1, ..Map::default() };
    for number in [1, 2] {
        assert_eq!(map.apply(join(number, u64::from(number))), Verdict::Done);
    }
    let life = |number: u32| Life { node: node(number), incarnation: u64::from(number) };
    let (giver, owner, now) = (node(1), node(2), Duration::from_secs(10));
    let last = crate::cluster::slot::SLOTS - 1;
    let all: Ranges = [(0, last)].into_iter().collect();
    let mut duty = Duty::new(owner);
    duty.step(Event::Map(Arc::new(map.clone())), now);
    duty.step(Event::Kept(life(1), all.clone()), now);
    duty.step(Event::Up(giver), now);
    let (slots, from, to) = (all.as_slice().to_vec(), life(1), life(2));
    assert_eq!(map.apply(Change::Commit { slots, from, to }), Verdict::Done);
    map.goal.set(0, last, Goal { owner: Some(owner), backups: [Some(giver), None] });
    let effects = duty.step(Event::Map(Arc::new(map.clone())), now);
    assert!(effects.iter().any(|e| matches!(e, Effect::Resume(..))), "{effects:?}");
    let thinned: Ranges = [(5, 9)].into_iter().collect();
    let effects = duty.step(Event::Thinned(thinned.clone()), now);
    let [forget, Effect::Propose(proposal)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*forget, Effect::Forget(giver, thinned.clone()));
    let Change::Sync { slots, in_sync: false, .. } = proposal.change() else {
        panic!("{proposal:?}")
    };
    assert_eq!(slots.as_slice(), [(5, 9)]);
    assert_eq!(map.apply(proposal.change().clone()), Verdict::Done);
    let effects = duty.step(Event::Map(Arc::new(map)), now);
    let begins = |e: &Effect| matches!(e, Effect::Begin(_, _, slots) if *slots == thinned);
    assert!(effects.iter().any(begins), "{effects:?}");
}

#[test]
fn a_base_of_which_a_part_is_not_wanted_any_more_is_begun_anew() {
    let mut map = Map { replicas: 1, ..Map::default() };
    for number in [1, 2] {
        assert_eq!(map.apply(join(number, u64::from(number))), Verdict::Done);
    }
    let all = (0, crate::cluster::slot::SLOTS - 1);
    let (owner, now) = (Some(node(1)), Duration::from_secs(10));
    map.goal.set(all.0, all.1, Goal { owner, backups: [Some(node(2)), None] });
    let mut duty = Duty::new(node(1));
    duty.step(Event::Map(Arc::new(map.clone())), now);
    let effects = duty.step(Event::Up(node(2)), now);
    let [Effect::Begin(_, before, slots)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(slots.as_slice(), [all]);
    map.goal.set(0, 99, Goal { owner, backups: [None, None] });
    let effects = duty.step(Event::Map(Arc::new(map)), now);
    // A source gives a base up as a whole.
    let rest: Ranges = [(100, all.1)].into_iter().collect();
    let whole = Effect::Forget(node(2), slots.clone());
    assert_eq!(effects, [whole, Effect::Begin(node(2), before + 1, rest.clone())]);
    duty.step(Event::Taken(node(2), *before), now);
    assert_eq!(duty.has(node(2)), (Ranges::default(), rest.clone()));
    duty.step(Event::Taken(node(2), before + 1), now);
    assert_eq!(duty.has(node(2)).0, rest);
}
