//! `allkeys-auto`: which items go depends on what the requests are like.
//!
//! ```text
//! new key --(not in ghost)--> ring
//!    |                         | oldest: read since it came?
//!    |                         |  frequency rule -> main      recency rule -> round the ring once more
//!    |                         |  not read: against the next unused one that the hand comes to, by the
//!    |                         |  sketch: the one that was used more often is in main, the other one goes
//!    `--(in ghost, and not just as often used as what is there; frequency rule)--> main
//! main: the hand goes from item to item; frequency > 0 -> minus one, and one more use in the sketch;
//!       frequency 0 -> evict. What goes is remembered in the ghost.
//! ```
//!
//! Under the frequency rule the ring has a twentieth of the items, under the recency rule four fifths. A
//! shard follows the rule that would have missed less lately: two [miniatures](shadow) of it, one under
//! each rule, are asked for the keys of a [sample](sampler) that the shard is asked for, and [compared](duel).
//!
//! The hand stops at the item that is next to go and stays there until it has gone: a hand that went on
//! would age the others several times as fast as they are replaced. The sketch learns from what happens
//! anyway, evictions and the steps of the hand, so a read costs no more than under the other policies but
//! for the keys of the sample.
//!
//! The miniatures begin when half of the budget is used, so that they are warm when something has to go,
//! and the rest when something has to. All of it is small: see [`Auto::fit`].

mod duel;
mod pick;
mod rule;
pub(crate) mod sampler;
mod shadow;
mod sketch;

use crate::hash::Spot;
use crate::shard::Counters;
use crate::sync::{AtomicU64, Ordering};
use duel::Duel;
pub(super) use pick::pick;
use rule::{Contest, Rule};
use sampler::Sampler;
use sketch::Sketch;

/// Counters of the sketch for each item: of items that take so many bytes at least, and of others.
const LARGE_ITEM: usize = 512;
const COUNTERS_LARGE: usize = 8;
const COUNTERS: usize = 4;
/// The miniatures take one byte of so many at most.
const SHADOW_SHARE: usize = 128;
/// Items of a miniature: more would not make it wiser, and fewer know nothing.
const SHADOW_MOST: usize = 1024;
const SHADOW_LEAST: usize = 8;
/// The sample is chosen anew when a miniature would have so many times the items that it should have...
const SAMPLE_DENSE: usize = 2;
/// ...or less than one of so many.
const SAMPLE_SPARSE: usize = 4;

/// What a shard holds, and what it will when the budget is used up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) items: usize,
    pub(super) bytes: usize,
    /// Of the whole store.
    pub(super) used: u64,
    pub(super) max: u64,
}

/// The state of a shard. Only under its role.
#[derive(Default)]
pub(super) struct Auto {
    rule: Rule,
    sketch: Sketch,
    contest: Contest,
    duel: Option<Duel>,
    /// One key in two to the power of this is in the sample.
    bits: u32,
    /// Something had to go already: new ones go through the ring.
    pub(super) is_full: bool,
    /// The key that was inserted last, until the miniatures have heard of it.
    newcomer: Option<Spot>,
    /// Rounds of the hand that free items which say that they are on the ring: see [`Auto::free_strays`].
    freeing: usize,
    tally: Tally,
}

/// What has happened and was not published yet.
#[derive(Default)]
struct Tally {
    ghost_hits: u64,
    admitted: u64,
    rejected: u64,
    changes: u64,
}

/// Figures of a shard. Written under the role, read by anybody (Relaxed): each is whole and says nothing
/// of another.
#[derive(Default)]
pub(crate) struct AutoCounters {
    pub(crate) ghost_hits: AtomicU64,
    pub(crate) admitted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) changes: AtomicU64,
    /// 0: the policy is another one; else one more than the place of the rule.
    pub(crate) rule: AtomicU64,
    pub(crate) ring: AtomicU64,
    /// Items of a miniature, and what both have missed.
    pub(crate) shadow: AtomicU64,
    pub(crate) misses: [AtomicU64; 2],
}

impl Auto {
    /// Some items say that they are on the ring and are not: the hand goes round once for them, in every
    /// database.
    pub(super) fn free_strays(&mut self, databases: usize) {
        self.freeing = databases + 1;
    }

    /// Asks for the memory in which it will be compared.
    pub(super) fn approach(&self, spot: Spot) {
        self.sketch.approach(spot);
    }

    /// A new key; true if it starts on the ring. `is_known` says whether the ghost remembers it.
    pub(super) fn admit(&mut self, spot: Spot, is_known: impl FnOnce() -> bool) -> bool {
        self.newcomer = Some(spot);
        if !self.is_full {
            return false;
        }
        let is_known = is_known();
        self.tally.ghost_hits += u64::from(is_known);
        !(is_known && self.rule.trusts_ghost() && self.contest.lets_back(&self.sketch, spot))
    }

    /// Asks the miniatures for what was asked for in the shard since the last time.
    pub(super) fn learn(&mut self, sampler: &Sampler) {
        let newcomer = self.newcomer.take().and_then(|spot| sampler.name(spot));
        let Some(duel) = &mut self.duel else { return };
        let mut rule = self.rule;
        sampler.take(&mut |id| rule = duel.request(id));
        if let Some(id) = newcomer {
            rule = duel.request(id);
        }
        self.tally.changes += u64::from(rule != self.rule);
        self.rule = rule;
    }

    /// Makes sketch and miniatures as large as the shard asks for: of the sketch two or four bytes per
    /// item, and of the miniatures a small share of all bytes. A shard of which that is next to nothing
    /// has none and keeps its rule. Bytes taken.
    pub(super) fn fit(&mut self, load: Load, sampler: &Sampler) -> usize {
        if load.used < load.max / 4 * 3 {
            self.is_full = false;
        }
        if self.is_full {
            let is_large = load.bytes >= load.items * LARGE_ITEM;
            let counters = if is_large { COUNTERS_LARGE } else { COUNTERS };
            self.sketch.fit(load.items, counters);
        }
        let whole = (load.max as f64 / load.used.max(1) as f64).max(1.0);
        let (items, bytes) = (load.items as f64 * whole, load.bytes as f64 * whole);
        let most = bytes as usize / SHADOW_SHARE / (2 * shadow::BYTES_PER_ITEM);
        self.fit_duel(items as usize, most.min(SHADOW_MOST), sampler);
        self.sketch.bytes() + self.duel.as_ref().map_or(0, Duel::bytes)
    }

    fn fit_duel(&mut self, items: usize, most: usize, sampler: &Sampler) {
        if most < SHADOW_LEAST {
            self.duel = None;
            sampler.choose(None);
            return;
        }
        let now = items >> self.bits;
        let is_dense = now > most * SAMPLE_DENSE;
        let is_sparse = self.bits > 0 && now < most / SAMPLE_SPARSE;
        if self.duel.is_none() || is_dense || is_sparse {
            self.bits = 0;
            while items >> self.bits > most * 5 / 4 {
                self.bits += 1;
            }
            self.duel = Some(Duel::new(self.rule, items >> self.bits));
            sampler.choose(Some(self.bits));
        }
        if let Some(duel) = &mut self.duel {
            // Not for every item that comes or goes.
            let now = (items >> self.bits).max(1);
            if duel.items().abs_diff(now) > now / 32 {
                duel.fit(now);
            }
        }
    }

    /// Tells everybody how it is.
    pub(super) fn publish(&mut self, ring: usize, counters: &AutoCounters) {
        let tally = std::mem::take(&mut self.tally);
        let add = |counter: &AtomicU64, more: u64| {
            if more > 0 {
                counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
            }
        };
        add(&counters.ghost_hits, tally.ghost_hits);
        add(&counters.admitted, tally.admitted);
        add(&counters.rejected, tally.rejected);
        add(&counters.changes, tally.changes);
        counters.rule.store(self.rule.index() as u64 + 1, Ordering::Relaxed);
        counters.ring.store(ring as u64, Ordering::Relaxed);
        let (items, misses) =
            self.duel.as_ref().map_or((0, [0; 2]), |duel| (duel.items(), duel.misses));
        counters.shadow.store(items as u64, Ordering::Relaxed);
        for (counter, misses) in counters.misses.iter().zip(misses) {
            counter.store(misses, Ordering::Relaxed);
        }
    }
}

/// The policy is another one now.
pub(super) fn retract(counters: &Counters, sampler: &Sampler) {
    sampler.choose(None);
    for counter in [&counters.auto.rule, &counters.auto.ring, &counters.auto.shadow] {
        counter.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
