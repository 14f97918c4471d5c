//! The stream as a model: an owner, a peer, two directions of a connection that may be lost at any
//! time, two groups of slots that begin anew at any time, and everything that can happen between them, in
//! random order.

use super::*;
use dunlin_storage::KeyHash;
use std::collections::BTreeMap;

const KEYS: u8 = 8;
/// Groups of slots, and the keys of each: every key has a slot of its own.
const GROUPS: usize = 2;
const KEYS_OF_GROUP: u8 = KEYS / GROUPS as u8;

/// The value of a key; each is written once.
type State = Option<u64>;

fn slot_of(key: u8) -> u16 {
    slot::of(&[key])
}

fn group_of(key: u8) -> usize {
    usize::from(key / KEYS_OF_GROUP)
}

fn slots_of(group: usize) -> Ranges {
    let keys = (0..KEYS).filter(|key| group_of(*key) == group);
    keys.map(|key| (slot_of(key), slot_of(key))).collect()
}

#[derive(Debug)]
enum Message {
    State(u8, State),
    Flush(Ranges),
    Begin(usize),
    BaseEnd(usize),
    Upto(u64),
}

/// How far the base of a group is.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    /// The walk has passed so many keys.
    walked: u8,
    ended: bool,
    /// The peer has all of it.
    is_there: bool,
}

#[derive(Debug, Default)]
struct World {
    outbox: Outbox,
    /// Moments are counted by changes.
    moment: usize,
    present: BTreeMap<u8, u64>,
    /// What each key was from which moment on.
    history: BTreeMap<u8, Vec<(usize, State)>>,
    /// When each mark was made, by its number.
    made: Vec<usize>,
    bases: [Base; GROUPS],
    wire: Vec<Message>,
    back: Vec<u64>,
    /// What was sent last of each key, over the present connection or one before.
    sent: BTreeMap<u8, State>,
    peer: BTreeMap<u8, u64>,
    acknowledgements: usize,
}

fn with_key<R>(key: u8, visit: impl FnOnce(&Key<'_>) -> R) -> R {
    // Two hashes only, so that names matter.
    visit(&Key { bytes: &[key], hash: KeyHash(u64::from(key % 2)) })
}

impl World {
    fn new() -> Self {
        let mut world = World { made: vec![0], ..World::default() };
        (0..GROUPS).for_each(|group| world.outbox.add(&slots_of(group)));
        world
    }

    fn change(&mut self, key: u8, state: State) {
        self.moment += 1;
        match state {
            Some(value) => self.present.insert(key, value),
            None => self.present.remove(&key),
        };
        self.history.entry(key).or_default().push((self.moment, state));
        with_key(key, |key| self.outbox.mark(key, slot::of(key.bytes)));
        self.note_mark();
    }

    /// All keys of these groups go: those of others are hidden.
    fn flush(&mut self, groups: std::ops::Range<usize>) {
        self.moment += 1;
        for key in (0..KEYS).filter(|key| groups.contains(&group_of(*key))) {
            self.present.remove(&key);
            self.history.entry(key).or_default().push((self.moment, None));
        }
        let slots: Vec<Ranges> = groups.map(slots_of).collect();
        self.outbox.flush(&slots.iter().flat_map(Ranges::slots).collect());
        self.note_mark();
    }

    /// A key that is in the queue already needs no mark of its own: the older one stands for it.
    fn note_mark(&mut self) {
        if self.outbox.newest() as usize == self.made.len() {
            self.made.push(self.moment);
        }
    }

    fn send(&mut self, key: u8) {
        let state = self.present.get(&key).copied();
        self.sent.insert(key, state);
        self.wire.push(Message::State(key, state));
    }

    fn walk(&mut self) {
        let Some(group) = self.bases.iter().position(|base| !base.ended) else { return };
        let base = &mut self.bases[group];
        if base.walked == KEYS_OF_GROUP {
            base.ended = true;
            self.wire.push(Message::BaseEnd(group));
            return;
        }
        let key = group as u8 * KEYS_OF_GROUP + base.walked;
        base.walked += 1;
        if self.present.contains_key(&key) {
            self.send(key);
        }
    }

    fn pop(&mut self) {
        let open = (0..GROUPS).fold(Ranges::default(), |all, group| all.with(&slots_of(group)));
        let turn = self.outbox.turn(&open);
        match self.outbox.pop().filter(|_| turn == Some(Turn::Goes)) {
            Some(Changed::Key(name)) => self.send(name[0]),
            Some(Changed::Slots(slots)) => {
                self.sent.retain(|key, _| !slots.contains(slot_of(*key)));
                self.wire.push(Message::Flush(slots));
            }
            None => {}
        }
    }

    fn deliver(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        match self.wire.remove(0) {
            Message::State(key, Some(value)) => {
                self.peer.insert(key, value);
            }
            Message::State(key, None) => {
                self.peer.remove(&key);
            }
            Message::Flush(slots) => self.peer.retain(|key, _| !slots.contains(slot_of(*key))),
            Message::Begin(group) => self.peer.retain(|key, _| group_of(*key) != group),
            Message::BaseEnd(group) => self.bases[group].is_there = true,
            Message::Upto(number) => {
                self.check_peer(number);
                self.back.push(number);
            }
        }
    }

    /// The peer has been told `Upto(number)`: each key of which it has the base is what it was at that
    /// moment or later.
    fn check_peer(&mut self, number: u64) {
        let since = self.made[number as usize];
        for key in (0..KEYS).filter(|key| self.bases[group_of(*key)].is_there) {
            let has = self.peer.get(&key).copied();
            let history = self.history.get(&key).map_or(&[][..], Vec::as_slice);
            let before = history.iter().rposition(|(moment, _)| *moment <= since);
            let then = before.and_then(|at| history[at].1);
            let later = before.map_or(0, |at| at + 1);
            let fits = has == then || history[later..].iter().any(|(_, state)| *state == has);
            assert!(fits, "{key}: {has:?} at {number}: {self:?}");
        }
        self.acknowledgements += 1;
    }

    fn lose_connection(&mut self) {
        self.wire.clear();
        self.back.clear();
        self.sent = self.peer.iter().map(|(key, value)| (*key, Some(*value))).collect();
        self.outbox.reconnect();
        // A base that has not ended, or whose end was lost, begins anew.
        let lost = (0..GROUPS).filter(|group| !self.bases[*group].is_there);
        lost.collect::<Vec<_>>().into_iter().for_each(|group| self.begin(group));
    }

    /// The peer drops what it has of a group, and gets it anew.
    fn begin(&mut self, group: usize) {
        self.outbox.remove(&slots_of(group));
        self.outbox.add(&slots_of(group));
        self.sent.retain(|key, _| group_of(*key) != group);
        self.bases[group] = Base::default();
        self.wire.retain(|message| !matches!(message, Message::BaseEnd(ended) if *ended == group));
        self.wire.push(Message::Begin(group));
    }

    fn is_queued(&self, key: u8) -> bool {
        let of = |mark: &Mark| match &mark.what {
            What::Key(name) => name.bytes[..] == [key],
            What::Slots(slots) => slots.contains(slot_of(key)),
        };
        self.outbox.queue.iter().any(of)
    }

    fn check(&self) {
        for key in 0..KEYS {
            let sent = self.sent.get(&key).copied().flatten();
            let is_true = sent == self.present.get(&key).copied()
                || self.is_queued(key)
                || key % KEYS_OF_GROUP >= self.bases[group_of(key)].walked;
            assert!(is_true, "{key}: {self:?}");
        }
        let numbers = self.outbox.queue.iter().map(|mark| mark.number);
        assert!(numbers.is_sorted(), "{self:?}");
        let is_key = |mark: &&Mark| matches!(mark.what, What::Key(_));
        let names = self.outbox.queue.iter().filter(is_key).count();
        assert_eq!(names, self.outbox.marked.len());
        assert!(names <= usize::from(KEYS), "each key once");
    }
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

#[test]
fn order_alone_is_enough() {
    let (mut acknowledgements, mut reconnections) = (0, 0);
    for seed in 1..400 {
        let (mut rng, mut world, mut value) = (Rng(seed), World::new(), 0);
        for _ in 0..600 {
            match rng.below(40) {
                0..9 => {
                    value += 1;
                    world.change(rng.below(KEYS.into()) as u8, Some(value));
                }
                9..12 => {
                    let key = rng.below(KEYS.into()) as u8;
                    if world.present.contains_key(&key) {
                        world.change(key, None);
                    }
                }
                12 if rng.below(4) == 0 => {
                    world.flush([0..1, 1..2, 0..2][rng.below(3) as usize].clone());
                }
                13..16 => world.walk(),
                16..22 => world.pop(),
                22..25 => world.wire.push(Message::Upto(world.outbox.taken())),
                25..36 => world.deliver(),
                36..38 if !world.back.is_empty() => {
                    let number = world.back.remove(0);
                    world.outbox.acknowledge(number);
                }
                38 if rng.below(3) == 0 => {
                    reconnections += 1;
                    world.lose_connection();
                }
                39 if rng.below(10) == 0 => world.begin(rng.below(2) as usize),
                _ => {}
            }
            world.check();
        }
        // Left alone, the peer gets everything.
        let is_there = |world: &World| world.bases.iter().all(|base| base.is_there);
        while !is_there(&world) || world.outbox.taken() < world.outbox.newest() {
            world.walk();
            world.pop();
            world.deliver();
        }
        while !world.wire.is_empty() {
            world.deliver();
        }
        assert_eq!(world.peer, world.present, "seed {seed}");
        acknowledgements += world.acknowledgements;
    }
    assert!(acknowledgements > 1_000 && reconnections > 100, "{acknowledgements} {reconnections}");
}

#[test]
fn a_hot_key_is_queued_once() {
    let mut outbox = Outbox::default();
    assert!(!with_key(1, |key| outbox.mark(key, 5)), "the slot is not among its own");
    outbox.add(&[(5, 5)].into_iter().collect());
    assert!(with_key(1, |key| outbox.mark(key, 5)), "it was empty");
    for _ in 0..100 {
        assert!(!with_key(1, |key| outbox.mark(key, 5)));
    }
    assert_eq!((outbox.lag(), outbox.newest(), outbox.taken()), (1, 1, 0));
    assert_eq!(outbox.pop(), Some(Changed::Key(Bytes::from_static(&[1]))));
    assert_eq!((outbox.pop(), outbox.taken(), outbox.lag()), (None, 1, 1));
    assert!(with_key(1, |key| outbox.mark(key, 5)), "it has changed after it was taken out");
    outbox.acknowledge(7);
    assert_eq!(outbox.acknowledged(), 0, "that was never told");
    outbox.acknowledge(1);
    assert_eq!((outbox.acknowledged(), outbox.lag()), (1, 1));
}

#[test]
fn a_flush_is_about_the_slots_of_its_time() {
    let slots = |first: u16, last: u16| -> Ranges { [(first, last)].into_iter().collect() };
    let mut outbox = Outbox::default();
    outbox.add(&slots(0, 9));
    assert!(!outbox.flush(&(10..30).collect()), "none of them are marked");
    // The last ones are another node's still.
    assert!(outbox.flush(&(0..5).collect()), "it was empty");
    // The first ones begin anew, and others begin.
    outbox.remove(&slots(0, 1));
    outbox.add(&slots(0, 1));
    outbox.add(&slots(20, 29));
    assert_eq!(outbox.turn(&slots(0, 3)), Some(Turn::Waits));
    assert_eq!(outbox.turn(&slots(0, 4)), Some(Turn::Goes));
    assert!(!outbox.flush(&(20..30).collect()), "something is queued");
    assert_eq!((outbox.pop(), outbox.taken()), (Some(Changed::Slots(slots(2, 4))), 1));
    assert_eq!((outbox.pop(), outbox.taken()), (Some(Changed::Slots(slots(20, 29))), 2));
    outbox.reconnect();
    outbox.remove(&slots(2, 9));
    assert_eq!(outbox.turn(&slots(0, 29)), Some(Turn::Drops));
}
