//! Redis's policies: the best of a pool that samples of five keys feed.
//!
//! The clock of the LRU has no resolution here: it counts requests. That of the LFU takes the trace
//! for an hour long, so a key that is not used loses one of its 255 points per sixtieth of it.

use super::{Model, Weights};
use crate::replay::trace::KeyId;
use crate::rng::Rng;

const SAMPLES: usize = 5;
const POOL: usize = 16;
const LFU_INIT: u8 = 5;
const LFU_LOG_FACTOR: f64 = 10.0;
const MINUTES: u64 = 60;

/// What both have: the keys held, in no order, and the pool.
struct Sampled<'a> {
    weights: Weights<'a>,
    budget: u64,
    used: u64,
    held: Vec<KeyId>,
    place: Vec<u32>,
    /// Worst last: (idleness, key).
    pool: Vec<(u64, KeyId)>,
    rng: Rng,
}

const NOWHERE: u32 = u32::MAX;

impl<'a> Sampled<'a> {
    fn new(weights: Weights<'a>, budget: u64) -> Self {
        let place = vec![NOWHERE; weights.len()];
        let (held, pool) = (Vec::new(), Vec::new());
        Self { weights, budget, used: 0, held, place, pool, rng: Rng::new(1) }
    }

    fn holds(&self, key: KeyId) -> bool {
        self.place[key as usize] != NOWHERE
    }

    fn insert(&mut self, key: KeyId) {
        self.place[key as usize] = self.held.len() as u32;
        self.held.push(key);
        self.used += u64::from(self.weights[key as usize]);
    }

    fn remove(&mut self, key: KeyId) {
        let at = self.place[key as usize] as usize;
        self.held.swap_remove(at);
        if let Some(&moved) = self.held.get(at) {
            self.place[moved as usize] = at as u32;
        }
        self.place[key as usize] = NOWHERE;
        self.used -= u64::from(self.weights[key as usize]);
    }

    /// Makes room for a key that is about to come, as Redis does before it runs a command.
    fn make_room(&mut self, key: KeyId, idleness: impl Fn(KeyId) -> u64) {
        let wanted = u64::from(self.weights[key as usize]);
        while self.used + wanted > self.budget && !self.held.is_empty() {
            for _ in 0..SAMPLES {
                let sampled = self.held[self.rng.below(self.held.len() as u64) as usize];
                self.offer(sampled, idleness(sampled));
            }
            while let Some((_, worst)) = self.pool.pop() {
                if self.holds(worst) {
                    self.remove(worst);
                    break;
                }
            }
        }
    }

    fn offer(&mut self, key: KeyId, idleness: u64) {
        if self.pool.iter().any(|&(_, known)| known == key) {
            return;
        }
        let at = self.pool.partition_point(|&(other, _)| other < idleness);
        if self.pool.len() < POOL {
            self.pool.insert(at, (idleness, key));
        } else if at > 0 {
            self.pool.insert(at, (idleness, key));
            self.pool.remove(0);
        }
    }
}

/// `allkeys-lru` of Redis.
pub struct RedisLru<'a> {
    keys: Sampled<'a>,
    used_at: Vec<u64>,
    now: u64,
}

impl<'a> RedisLru<'a> {
    /// An empty cache.
    #[must_use]
    pub fn new(weights: Weights<'a>, budget: u64) -> Self {
        Self { keys: Sampled::new(weights, budget), used_at: vec![0; weights.len()], now: 0 }
    }
}

impl Model for RedisLru<'_> {
    fn request(&mut self, key: KeyId) -> bool {
        self.now += 1;
        let hit = self.keys.holds(key);
        if !hit {
            let (now, used_at) = (self.now, &self.used_at);
            self.keys.make_room(key, |key| now - used_at[key as usize]);
            self.keys.insert(key);
        }
        self.used_at[key as usize] = self.now;
        hit
    }
}

/// `allkeys-lfu` of Redis.
pub struct RedisLfu<'a> {
    keys: Sampled<'a>,
    /// Logarithmic counter, and the minute in which it was last lowered.
    counters: Vec<(u8, u32)>,
    now: u64,
    minute: u64,
}

impl<'a> RedisLfu<'a> {
    /// An empty cache.
    #[must_use]
    pub fn new(weights: Weights<'a>, budget: u64, requests: usize) -> Self {
        let minute = (requests as u64 / MINUTES).max(1);
        let counters = vec![(0, 0); weights.len()];
        Self { keys: Sampled::new(weights, budget), counters, now: 0, minute }
    }
}

fn lowered((counter, at): (u8, u32), minute: u32) -> u8 {
    counter.saturating_sub((minute - at).min(255) as u8)
}

impl Model for RedisLfu<'_> {
    fn request(&mut self, key: KeyId) -> bool {
        self.now += 1;
        let minute = (self.now / self.minute) as u32;
        if !self.keys.holds(key) {
            let counters = &self.counters;
            self.keys
                .make_room(key, |key| 255 - u64::from(lowered(counters[key as usize], minute)));
            self.keys.insert(key);
            self.counters[key as usize] = (LFU_INIT, minute);
            return false;
        }
        let counter = lowered(self.counters[key as usize], minute);
        let above = f64::from(counter.saturating_sub(LFU_INIT));
        let more = self.keys.rng.unit() < 1.0 / (above * LFU_LOG_FACTOR + 1.0);
        self.counters[key as usize] = (counter.saturating_add(u8::from(more)), minute);
        true
    }
}
