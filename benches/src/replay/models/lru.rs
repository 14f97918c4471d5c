//! Exact least recently used.

use super::list::{Links, List};
use super::{Model, Weights};
use crate::replay::trace::KeyId;

/// The measure of all others.
pub struct Lru<'a> {
    weights: Weights<'a>,
    budget: u64,
    links: Links,
    list: List,
    held: Vec<bool>,
}

impl<'a> Lru<'a> {
    /// An empty cache.
    #[must_use]
    pub fn new(weights: Weights<'a>, budget: u64) -> Self {
        let keys = weights.len();
        Self {
            weights,
            budget,
            links: Links::new(keys),
            list: List::new(),
            held: vec![false; keys],
        }
    }
}

impl Model for Lru<'_> {
    fn request(&mut self, key: KeyId) -> bool {
        let weight = self.weights[key as usize];
        let hit = self.held[key as usize];
        if hit {
            self.links.remove(&mut self.list, key, weight);
        }
        self.links.push(&mut self.list, key, weight);
        self.held[key as usize] = true;
        while self.list.weight > self.budget {
            let Some(oldest) = self.list.oldest() else { break };
            self.links.remove(&mut self.list, oldest, self.weights[oldest as usize]);
            self.held[oldest as usize] = false;
        }
        hit
    }
}
