//! The stream as a model: an owner, a peer, two directions of a connection that may be lost at any
//! time, and everything that can happen between them, in random order.

use super::*;
use dunlin_storage::KeyHash;
use std::collections::BTreeMap;

const KEYS: u8 = 8;

/// The value of a key; each is written once.
type State = Option<u64>;

#[derive(Debug)]
enum Message {
    State(u8, State),
    Flush,
    BaseEnd,
    Upto(u64),
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
    /// The base walk has passed keys below this.
    walked: u8,
    base_ended: bool,
    wire: Vec<Message>,
    back: Vec<u64>,
    /// What was sent last of each key, over the present connection or one before.
    sent: BTreeMap<u8, State>,
    peer: BTreeMap<u8, u64>,
    peer_has_base: bool,
    acknowledgements: usize,
}

fn with_key<R>(key: u8, visit: impl FnOnce(&Key<'_>) -> R) -> R {
    // Two hashes only, so that names matter.
    visit(&Key { bytes: &[key], hash: KeyHash(u64::from(key % 2)) })
}

impl World {
    fn new() -> Self {
        let mut world = World { made: vec![0], ..World::default() };
        world.outbox.set_slots([(0, 9)].into_iter().collect());
        world
    }

    fn change(&mut self, key: u8, state: State) {
        self.moment += 1;
        match state {
            Some(value) => self.present.insert(key, value),
            None => self.present.remove(&key),
        };
        self.history.entry(key).or_default().push((self.moment, state));
        with_key(key, |key| self.outbox.mark(key, 3));
        self.note_mark();
    }

    fn flush(&mut self) {
        self.moment += 1;
        self.present.clear();
        for key in 0..KEYS {
            self.history.entry(key).or_default().push((self.moment, None));
        }
        self.outbox.flush();
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
        if self.walked < KEYS {
            if self.present.contains_key(&self.walked) {
                self.send(self.walked);
            }
            self.walked += 1;
        } else if !self.base_ended {
            self.base_ended = true;
            self.wire.push(Message::BaseEnd);
        }
    }

    fn pop(&mut self) {
        match self.outbox.pop() {
            Some(Changed::Key(name)) => self.send(name[0]),
            Some(Changed::All) => {
                self.sent.clear();
                self.wire.push(Message::Flush);
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
            Message::Flush => self.peer.clear(),
            Message::BaseEnd => self.peer_has_base = true,
            Message::Upto(number) => {
                if self.peer_has_base {
                    self.check_peer(number);
                }
                self.back.push(number);
            }
        }
    }

    /// The peer has been told `Upto(number)`: each key is what it was at that moment or later.
    fn check_peer(&mut self, number: u64) {
        let since = self.made[number as usize];
        for key in 0..KEYS {
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
        if self.base_ended && !self.peer_has_base {
            // A base whose end was lost begins anew.
            self.restart();
        } else if self.base_ended {
            self.outbox.reconnect();
        } else {
            self.restart();
        }
    }

    /// The peer has lost what it had, or drops it.
    fn restart(&mut self) {
        self.wire.clear();
        self.back.clear();
        self.peer.clear();
        self.sent.clear();
        (self.walked, self.base_ended, self.peer_has_base) = (0, false, false);
        self.outbox.restart();
    }

    fn is_queued(&self, key: u8) -> bool {
        let of = |mark: &Mark| mark.key.as_ref().is_none_or(|name| name.bytes[..] == [key]);
        self.outbox.queue.iter().any(of)
    }

    fn check(&self) {
        for key in 0..KEYS {
            let sent = self.sent.get(&key).copied().flatten();
            let is_true = sent == self.present.get(&key).copied()
                || self.is_queued(key)
                || key >= self.walked;
            assert!(is_true, "{key}: {self:?}");
        }
        let numbers = self.outbox.queue.iter().map(|mark| mark.number);
        assert!(numbers.is_sorted(), "{self:?}");
        let names = self.outbox.queue.iter().filter(|mark| mark.key.is_some()).count();
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
                12 if rng.below(4) == 0 => world.flush(),
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
                39 if rng.below(10) == 0 => world.restart(),
                _ => {}
            }
            world.check();
        }
        // Left alone, the peer gets everything.
        while !world.peer_has_base || world.outbox.taken() < world.outbox.newest() {
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
    outbox.set_slots([(5, 5)].into_iter().collect());
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
