//! S3-FIFO (SOSP '23) with libCacheSim's defaults: a small queue of a tenth, a ghost queue of nine
//! tenths, keys used at least twice since they came go to the main queue.

use std::collections::VecDeque;

use super::{Model, Weights};
use crate::replay::trace::KeyId;

const PROMOTE_AT: u8 = 2;
const FREQUENCY_MAX: u8 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Small,
    Main,
    Ghost,
}

/// Three queues.
pub struct S3Fifo<'a> {
    weights: Weights<'a>,
    budget: u64,
    place: Vec<Place>,
    frequency: Vec<u8>,
    /// Which entry of the ghost queue is the key's: it may have been there before.
    remembered: Vec<u64>,
    small: VecDeque<KeyId>,
    main: VecDeque<KeyId>,
    ghost: VecDeque<(KeyId, u64)>,
    weight: [u64; 4],
    time: u64,
}

impl<'a> S3Fifo<'a> {
    /// An empty cache.
    #[must_use]
    pub fn new(weights: Weights<'a>, budget: u64) -> Self {
        let keys = weights.len();
        Self {
            weights,
            budget,
            place: vec![Place::Nowhere; keys],
            frequency: vec![0; keys],
            remembered: vec![0; keys],
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            weight: [0; 4],
            time: 0,
        }
    }

    fn put(&mut self, key: KeyId, place: Place) {
        let weight = u64::from(self.weights[key as usize]);
        self.weight[self.place[key as usize] as usize] -=
            if self.place[key as usize] == Place::Nowhere { 0 } else { weight };
        self.place[key as usize] = place;
        match place {
            Place::Nowhere => return,
            Place::Small => self.small.push_back(key),
            Place::Main => self.main.push_back(key),
            Place::Ghost => {
                self.time += 1;
                self.remembered[key as usize] = self.time;
                self.ghost.push_back((key, self.time));
            }
        }
        self.weight[place as usize] += weight;
    }

    fn evict_small(&mut self) {
        while let Some(key) = self.small.pop_front() {
            if self.frequency[key as usize] >= PROMOTE_AT {
                self.frequency[key as usize] = 0;
                self.put(key, Place::Main);
                continue;
            }
            self.put(key, Place::Ghost);
            while self.weight[Place::Ghost as usize] > self.budget / 10 * 9 {
                let Some((old, time)) = self.ghost.pop_front() else { break };
                if self.place[old as usize] == Place::Ghost && self.remembered[old as usize] == time
                {
                    self.put(old, Place::Nowhere);
                }
            }
            return;
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            if self.frequency[key as usize] == 0 {
                self.put(key, Place::Nowhere);
                return;
            }
            self.frequency[key as usize] -= 1;
            self.put(key, Place::Main);
        }
    }
}

impl Model for S3Fifo<'_> {
    fn request(&mut self, key: KeyId) -> bool {
        let place = self.place[key as usize];
        if matches!(place, Place::Small | Place::Main) {
            let frequency = &mut self.frequency[key as usize];
            *frequency = (*frequency + 1).min(FREQUENCY_MAX);
            return true;
        }
        let wanted = u64::from(self.weights[key as usize]);
        let used = |s: &Self| s.weight[Place::Small as usize] + s.weight[Place::Main as usize];
        while used(self) > 0 && used(self) + wanted > self.budget {
            let small = self.weight[Place::Small as usize];
            if self.weight[Place::Main as usize] > self.budget / 10 * 9 || small == 0 {
                self.evict_main();
            } else {
                self.evict_small();
            }
        }
        self.frequency[key as usize] = 0;
        // Evicting may have pushed the key out of the ghost queue; it was there when it was asked for.
        self.put(key, if place == Place::Ghost { Place::Main } else { Place::Small });
        false
    }
}
