//! Adaptive W-TinyLFU as Caffeine has it: a window, a segmented LRU behind an admission filter, and
//! a hill climber that looks for the window's size.

use super::list::{Links, List};
use super::{Model, Weights};
use crate::replay::trace::KeyId;
use crate::rng::mix;

/// The window's first share, and that of the protected segment of the rest.
const WINDOW: f64 = 0.01;
const PROTECTED: f64 = 0.8;
/// A sample of the climber and a period of the sketch: so many requests per item.
const PERIOD: u64 = 10;
/// First step, its decay, and the change of the hit ratio that makes it large again.
const STEP: f64 = 0.0625;
const STEP_DECAY: f64 = 0.98;
const RESTART: f64 = 0.05;
const COUNTER_MAX: u8 = 15;

/// Four-bit counters, halved now and then.
struct Sketch {
    counters: Vec<u8>,
    added: u64,
    period: u64,
}

impl Sketch {
    fn new(items: u64) -> Self {
        let counters = (items.max(16) as usize * 4).next_power_of_two();
        Self { counters: vec![0; counters * 4], added: 0, period: PERIOD * items.max(16) }
    }

    fn places(&self, key: KeyId) -> [usize; 4] {
        let row = self.counters.len() / 4;
        let hash = mix(u64::from(key) + 1);
        let place = |i: usize| i * row + (mix(hash ^ i as u64) as usize & (row - 1));
        [place(0), place(1), place(2), place(3)]
    }

    fn estimate(&self, key: KeyId) -> u8 {
        self.places(key).iter().map(|&at| self.counters[at]).min().unwrap_or(0)
    }

    fn add(&mut self, key: KeyId) {
        let mut changed = false;
        for at in self.places(key) {
            if self.counters[at] < COUNTER_MAX {
                self.counters[at] += 1;
                changed = true;
            }
        }
        self.added += u64::from(changed);
        if self.added >= self.period {
            self.added /= 2;
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Window,
    Probation,
    Protected,
}

/// Hits and requests of the current and the last sample.
struct Climber {
    hits: u64,
    requests: u64,
    last: f64,
    step: f64,
    period: u64,
}

/// The cache.
pub struct TinyLfu<'a> {
    weights: Weights<'a>,
    budget: u64,
    window_share: f64,
    sketch: Sketch,
    links: Links,
    place: Vec<Place>,
    window: List,
    probation: List,
    protected: List,
    climber: Climber,
    noise: u64,
}

impl<'a> TinyLfu<'a> {
    /// An empty cache.
    #[must_use]
    pub fn new(weights: Weights<'a>, budget: u64) -> Self {
        let keys = weights.len();
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let items = (budget as f64 / (total as f64 / keys.max(1) as f64)).ceil() as u64;
        let period = PERIOD * items.max(16);
        Self {
            weights,
            budget,
            window_share: WINDOW,
            sketch: Sketch::new(items),
            links: Links::new(keys),
            place: vec![Place::Nowhere; keys],
            window: List::new(),
            probation: List::new(),
            protected: List::new(),
            climber: Climber { hits: 0, requests: 0, last: 0.0, step: STEP, period },
            noise: 0,
        }
    }

    fn take(&mut self, key: KeyId) {
        let weight = self.weights[key as usize];
        let list = match self.place[key as usize] {
            Place::Nowhere => return,
            Place::Window => &mut self.window,
            Place::Probation => &mut self.probation,
            Place::Protected => &mut self.protected,
        };
        self.links.remove(list, key, weight);
        self.place[key as usize] = Place::Nowhere;
    }

    fn put(&mut self, key: KeyId, place: Place) {
        self.take(key);
        let weight = self.weights[key as usize];
        let list = match place {
            Place::Nowhere => return,
            Place::Window => &mut self.window,
            Place::Probation => &mut self.probation,
            Place::Protected => &mut self.protected,
        };
        self.links.push(list, key, weight);
        self.place[key as usize] = place;
    }

    fn window_budget(&self) -> u64 {
        (self.budget as f64 * self.window_share).max(1.0) as u64
    }

    fn balance(&mut self) {
        let window = self.window_budget();
        let protected = ((self.budget - window.min(self.budget)) as f64 * PROTECTED) as u64;
        while self.protected.weight > protected {
            let Some(oldest) = self.protected.oldest() else { break };
            self.put(oldest, Place::Probation);
        }
        // What leaves the window is a candidate; it stands at the front of the probation.
        let mut candidate = None;
        while self.window.weight > window {
            let Some(oldest) = self.window.oldest() else { break };
            self.put(oldest, Place::Probation);
            candidate = candidate.or(Some(oldest));
        }
        self.evict(candidate);
    }

    fn used(&self) -> u64 {
        self.window.weight + self.probation.weight + self.protected.weight
    }

    fn evict(&mut self, mut candidate: Option<KeyId>) {
        while self.used() > self.budget {
            let victim =
                self.probation.oldest().or(self.protected.oldest()).or(self.window.oldest());
            let Some(victim) = victim else { break };
            match candidate {
                Some(new) if new != victim => {
                    let next = self.links.newer(new);
                    if self.admits(new, victim) {
                        self.put(victim, Place::Nowhere);
                    } else {
                        self.put(new, Place::Nowhere);
                        candidate = next;
                    }
                }
                _ => self.put(victim, Place::Nowhere),
            }
        }
    }

    fn admits(&mut self, candidate: KeyId, victim: KeyId) -> bool {
        let (new, old) = (self.sketch.estimate(candidate), self.sketch.estimate(victim));
        // Seldom without a reason: whoever knows the hash could else keep a victim for ever.
        self.noise = mix(self.noise + 1);
        new > old || new >= 6 && self.noise & 127 == 0
    }

    fn climb(&mut self, hit: bool) {
        let climber = &mut self.climber;
        climber.hits += u64::from(hit);
        climber.requests += 1;
        if climber.requests < climber.period {
            return;
        }
        let ratio = climber.hits as f64 / climber.requests as f64;
        let change = ratio - climber.last;
        let direction = if change >= 0.0 { climber.step } else { -climber.step };
        climber.step =
            if change.abs() >= RESTART { STEP.copysign(direction) } else { direction * STEP_DECAY };
        (climber.last, climber.hits, climber.requests) = (ratio, 0, 0);
        self.window_share = (self.window_share + direction).clamp(0.001, 0.8);
    }
}

impl Model for TinyLfu<'_> {
    fn request(&mut self, key: KeyId) -> bool {
        self.sketch.add(key);
        let place = self.place[key as usize];
        let to = match place {
            Place::Nowhere | Place::Window => Place::Window,
            Place::Probation | Place::Protected => Place::Protected,
        };
        self.put(key, to);
        let hit = place != Place::Nowhere;
        self.balance();
        self.climb(hit);
        hit
    }
}
