//! Which keys and prefixes are used, from samples of the commands that run.
//!
//! Each worker looks at the keys of about [`hot-key-sampling`](crate::config) commands a second,
//! however many it runs: one in `ratio`, which doubles when a tick has had its share of samples and
//! is halved when it had few. How many commands are passed over is drawn before (geometrically), so what is not
//! looked at costs a comparison per batch, and regular patterns hide nothing. A sample counts for
//! `ratio` commands.
//!
//! What is found goes into two bounded tables ([`TopK`]) of the worker's own, behind a lock that
//! nobody else wants but who reads the figures: the hottest keys, in counts that forget
//! ([`Decay`]), and the prefixes.

use super::decay::Decay;
use super::prefixes::{PrefixUse, Shape};
use super::top::TopK;
use super::{HotKey, id_of};
use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::dispatch::Context;
use crate::stats::WorkerStats;
use dunlin_protocol::Request;
use dunlin_storage::{DbId, Millis, Miss, Touch};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that a worker keeps count of. One that makes up more than a five hundredth of all is among
/// them; with names of the usual length they take 60 KB.
const HOT_KEYS: usize = 512;
/// Prefixes that a worker keeps count of.
pub(super) const PREFIXES: usize = 128;
/// Keys of one command that are counted, from the first on.
const KEYS_PER_COMMAND: usize = 32;
/// No command is a sample.
const OFF: u64 = u64::MAX;

/// One worker's samples.
#[derive(Debug)]
pub struct Sampler {
    /// Commands to pass over before the next sample; [`OFF`]: all. Written by the worker only.
    left: AtomicU64,
    tallies: Mutex<Tallies>,
}

#[derive(Debug)]
struct Tallies {
    shape: Shape,
    /// One command in so many is a sample.
    ratio: u64,
    /// Samples that a tick may have, and has had.
    share: u64,
    taken: u64,
    random: u64,
    decay: Decay,
    /// With their databases.
    keys: TopK<u8>,
    prefixes: TopK<PrefixUse>,
    /// Those of the prefixes that are not in the table any more.
    other: PrefixUse,
}

impl Default for Sampler {
    fn default() -> Self {
        Sampler { left: AtomicU64::new(OFF), tallies: Mutex::new(Tallies::new(Shape::default())) }
    }
}

/// The counters before a command that is a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    hits: u64,
    misses: [u64; Miss::ALL.len()],
    reply: usize,
}

impl Before {
    fn read(stats: &WorkerStats, reply: usize) -> Self {
        Before { hits: stats.hits.get(), misses: stats.misses_by_cause(), reply }
    }
}

impl Sampler {
    /// Plans the next commands of a batch, of which there are `count`: how many can run before anything
    /// has to be done, and what to give to [`Sampler::sampled`] if that is one and it is a sample.
    #[inline]
    pub(crate) fn plan(
        &self,
        stats: &WorkerStats,
        count: usize,
        reply: usize,
    ) -> (usize, Option<Before>) {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return (1, Some(Before::read(stats, reply)));
        }
        (usize::try_from(left).unwrap_or(usize::MAX).min(count), None)
    }

    /// So many commands have run that are no samples.
    #[inline]
    pub(crate) fn pass(&self, count: usize) {
        let left = self.left.load(Ordering::Relaxed);
        if left != OFF {
            self.left.store(left.saturating_sub(count as u64), Ordering::Relaxed);
        }
    }

    /// A command has run that is a sample.
    #[cold]
    pub(crate) fn sampled(
        &self,
        ctx: &Context<'_, '_>,
        before: Before,
        entry: Option<&'static Entry>,
        request: &Request<'_>,
        db: DbId,
        reply: usize,
    ) {
        let mut tallies = self.tallies();
        let stands_for = tallies.ratio as f64;
        self.left.store(tallies.draw(), Ordering::Relaxed);
        // What does not fit was refused, and its keys may not be there.
        let Some(entry) = entry.filter(|e| e.command.arity.accepts(request.len())) else { return };
        let mut keys = Vec::new();
        entry.command.each_key(request, &mut |at| {
            if keys.len() < KEYS_PER_COMMAND && at < request.len() {
                keys.push(at);
            }
        });
        if keys.is_empty() {
            return;
        }
        let after = Before::read(ctx.stats, reply);
        let net = request.wire_len() + after.reply.saturating_sub(before.reply);
        let (weight, scale) = tallies.decay.weight(ctx.now);
        if let Some(factor) = scale {
            tallies.keys.scale(factor);
            tallies.prefixes.scale(factor);
        }
        let seen = seen(&before, &after);
        for at in &keys {
            let name = request.arg(*at);
            let mut used = PrefixUse { accesses: 1.0, ..PrefixUse::default() };
            used.net_bytes = net as f64 / keys.len() as f64;
            used.writes = f64::from(u8::from(entry.has(Flags::WRITE)));
            let seen = if seen == Seen::Mixed { look_again(ctx, db, name) } else { seen };
            match seen {
                Seen::Hits => used.hits = 1.0,
                Seen::Misses(why) => used.misses[why as usize] = 1.0,
                Seen::NoRead | Seen::Mixed => {}
            }
            tallies.count(ctx, db, name, weight, &used.times(stands_for));
        }
    }

    /// Once per tick, on the worker: follows the directives and the load.
    pub(super) fn tick(&self, per_second: u64, hz: u64, shape: &Shape) {
        let mut tallies = self.tallies();
        if tallies.shape != *shape {
            tallies.shape = shape.clone();
            tallies.forget();
        }
        let left = self.left.load(Ordering::Relaxed);
        if per_second == 0 {
            self.left.store(OFF, Ordering::Relaxed);
            return;
        }
        tallies.share = (per_second / hz).max(1);
        if tallies.taken * 2 < tallies.share {
            tallies.ratio = (tallies.ratio / 2).max(1);
        }
        tallies.taken = 0;
        // Whatever is passed over now was drawn for another load.
        if left == OFF || left > tallies.ratio.saturating_mul(16) {
            let next = tallies.draw();
            self.left.store(next, Ordering::Relaxed);
        }
    }

    /// Forgets everything.
    pub(super) fn reset(&self) {
        let mut tallies = self.tallies();
        tallies.forget();
    }

    /// Shows the hottest keys.
    pub(super) fn each_hot_key(&self, now: Millis, visit: &mut dyn FnMut(u64, HotKey)) {
        let tallies = self.tallies();
        for item in tallies.keys.items() {
            let per_second = tallies.decay.per_second(item.least(), now);
            let db = DbId(item.value);
            let hot = HotKey { db, key: item.name.clone(), per_second };
            visit(item.id, hot);
        }
    }

    /// Shows the prefixes, and all others together as `None`.
    pub(super) fn each_prefix(&self, visit: &mut dyn FnMut(Option<&[u8]>, &PrefixUse)) {
        let tallies = self.tallies();
        tallies.prefixes.items().iter().for_each(|item| visit(Some(&item.name), &item.value));
        visit(None, &tallies.other);
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the counters tell of a command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    NoRead,
    Hits,
    Misses(Miss),
    /// Hits and misses, or misses for several reasons.
    Mixed,
}

fn seen(before: &Before, after: &Before) -> Seen {
    let missed = |why: &Miss| after.misses[*why as usize] > before.misses[*why as usize];
    let mut missed = Miss::ALL.into_iter().filter(missed);
    match (after.hits > before.hits, missed.next(), missed.next()) {
        (false, None, _) => Seen::NoRead,
        (true, None, _) => Seen::Hits,
        (false, Some(why), None) => Seen::Misses(why),
        _ => Seen::Mixed,
    }
}

/// Looks one of several keys up once more.
fn look_again(ctx: &Context<'_, '_>, db: DbId, name: &[u8]) -> Seen {
    let keyspace = &ctx.server.keyspace;
    let key = keyspace.key(name);
    match keyspace.get(db, &key, ctx.now, Touch::No, ctx.guard) {
        Some(_) => Seen::Hits,
        None => Seen::Misses(keyspace.why_missing(db, &key, ctx.now, true, ctx.guard)),
    }
}

impl Tallies {
    fn new(shape: Shape) -> Self {
        Tallies {
            shape,
            ratio: 1,
            share: 1,
            taken: 0,
            random: 0,
            decay: Decay::default(),
            keys: TopK::new(HOT_KEYS),
            prefixes: TopK::new(PREFIXES),
            other: PrefixUse::default(),
        }
    }

    /// Forgets all counts, but not what the load is like.
    fn forget(&mut self) {
        self.decay = Decay::default();
        self.keys = TopK::new(HOT_KEYS);
        self.prefixes = TopK::new(PREFIXES);
        self.other = PrefixUse::default();
    }

    /// How many commands to pass over before the next sample.
    fn draw(&mut self) -> u64 {
        self.taken += 1;
        if self.taken > self.share {
            self.taken = 0;
            self.ratio = self.ratio.saturating_mul(2).min(1 << 32);
        }
        if self.ratio == 1 {
            return 0;
        }
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        // In (0, 1], so its logarithm is a number.
        let uniform = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let skipped = uniform.ln() / (1.0 - 1.0 / self.ratio as f64).ln();
        skipped as u64
    }

    fn count(
        &mut self,
        ctx: &Context<'_, '_>,
        db: DbId,
        name: &[u8],
        weight: f64,
        used: &PrefixUse,
    ) {
        let keyspace = &ctx.server.keyspace;
        let weight = weight * used.accesses;
        self.keys.add(id_of(keyspace, db, name), name, weight, |at| *at = db.0);
        let prefix = self.shape.prefix(name);
        let id = keyspace.digest(prefix);
        let out = self.prefixes.add(id, prefix, weight, |sum| sum.merge(used));
        if let Some(out) = out {
            self.other.merge(&out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs so many commands in batches; how many were samples, and for how many they stand.
    fn run(sampler: &Sampler, commands: usize) -> (u64, u64) {
        let (mut samples, mut stand_for, mut done) = (0, 0, 0);
        let stats = WorkerStats::default();
        while done < commands {
            let mut at = 0;
            while at < 16 {
                let (count, before) = sampler.plan(&stats, 16 - at, 0);
                if before.is_some() {
                    let mut tallies = sampler.tallies();
                    samples += 1;
                    stand_for += tallies.ratio;
                    let left = tallies.draw();
                    drop(tallies);
                    sampler.left.store(left, Ordering::Relaxed);
                } else {
                    sampler.pass(count);
                }
                at += count;
            }
            done += 16;
        }
        (samples, stand_for)
    }

    #[test]
    fn samples_are_as_many_as_they_may_be_and_stand_for_all() {
        let sampler = Sampler::default();
        let shape = Shape { separator: b":".as_slice().into(), depth: 1 };
        assert_eq!(run(&sampler, 1000), (0, 0), "off until it is told");
        sampler.tick(1000, 10, &shape);
        assert_eq!(run(&sampler, 64), (64, 64), "all of few");
        let mut last = (0, 0);
        for _ in 0..100 {
            sampler.tick(1000, 10, &shape);
            last = run(&sampler, 100_000);
        }
        let (samples, stand_for) = last;
        assert!((30..300).contains(&samples), "{samples} samples of a tick");
        assert!((50_000..200_000).contains(&stand_for), "{stand_for} of 100000");
        sampler.tick(0, 10, &shape);
        assert_eq!(run(&sampler, 1000), (0, 0), "off again");
    }

    #[test]
    fn a_burst_after_silence_is_not_looked_at_as_a_whole() {
        let sampler = Sampler::default();
        let shape = Shape::default();
        (0..50).for_each(|_| sampler.tick(1000, 10, &shape));
        let (samples, _) = run(&sampler, 1_000_000);
        assert!(samples < 2500, "{samples} of a million");
    }
}
