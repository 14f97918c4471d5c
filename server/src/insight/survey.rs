//! The biggest keys and the memory of each prefix, from a slow walk over everything.
//!
//! Each worker walks over the shards whose background work is its own, some buckets per tick, more
//! when there is little else to do. What it has found in a shard it publishes when it has come to the
//! shard's end, whoever walked there before; the next walk begins when something has changed since,
//! so a server that does nothing walks nowhere. Nothing is noted when keys are written: that would
//! cost every write what few ask for.

use super::prefixes::Shape;
use super::top::TopK;
use super::{BigKey, id_of};
use crate::server::Server;
use dunlin_storage::{Guard, Millis, Place, ShardId, Surveyed};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys that are kept of all shards, and of one at least and at most.
const BIG_KEYS: usize = 1024;
const BIG_KEYS_OF_SHARD: (usize, usize) = (16, 64);
/// Prefixes that are kept, by their memory.
const PREFIXES: usize = 4096;
const PREFIXES_OF_SHARD: (usize, usize) = (32, 256);
/// Buckets per tick, of seven keys at most: about a tenth of a millisecond.
const BUCKETS: usize = 128;
/// Buckets per tick of a worker that has little else to do.
const IDLE_BUCKETS: usize = 1024;
/// A worker that has read from sockets less often since the last tick.
const IDLE_READS: u64 = 100;
/// Between the end of a walk and the beginning of the next one.
const PAUSE: Millis = 1_000;
/// Buckets per look: what is left of it at the end of a shard is not used.
const STEP: usize = 32;

/// Keys and their memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixSize {
    /// Keys.
    pub keys: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

impl PrefixSize {
    /// Adds another account to this one.
    pub(super) fn merge(&mut self, other: PrefixSize) {
        self.keys += other.keys;
        self.bytes += other.bytes;
    }
}

/// What a walk has found in a shard.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The biggest first.
    pub(super) big: Vec<BigKey>,
    pub(super) prefixes: Vec<(Box<[u8]>, PrefixSize)>,
    /// What is in none of them.
    pub(super) other: PrefixSize,
}

/// The last report of each shard.
#[derive(Debug)]
pub(super) struct Reports(Box<[Mutex<Arc<Report>>]>);

impl Reports {
    pub(super) fn new(shards: usize) -> Self {
        Reports((0..shards).map(|_| Mutex::default()).collect())
    }

    pub(super) fn latest(&self) -> impl Iterator<Item = Arc<Report>> {
        let read = |report: &Mutex<Arc<Report>>| {
            Arc::clone(&report.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.0.iter().map(read)
    }

    fn publish(&self, shard: ShardId, report: Report) {
        if let Some(last) = self.0.get(usize::from(shard.0)) {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(report);
        }
    }

    /// The share of one shard in a number for all.
    fn share(&self, of: usize, (least, most): (usize, usize)) -> usize {
        (of / self.0.len().max(1)).clamp(least, most)
    }
}

/// What a walk finds in a shard.
#[derive(Debug)]
struct Findings {
    /// By their sizes, and what tells equal ones apart.
    big: BTreeMap<(usize, u64), BigKey>,
    most_big: usize,
    prefixes: TopK<PrefixSize>,
    other: PrefixSize,
}

impl Findings {
    fn new(reports: &Reports) -> Self {
        let prefixes = TopK::new(reports.share(PREFIXES, PREFIXES_OF_SHARD));
        let most_big = reports.share(BIG_KEYS, BIG_KEYS_OF_SHARD);
        Findings { big: BTreeMap::new(), most_big, prefixes, other: PrefixSize::default() }
    }

    fn note(&mut self, server: &Server, shape: &Shape, found: &Surveyed<'_>) {
        let keyspace = &server.keyspace;
        let size = PrefixSize { keys: 1, bytes: found.bytes as u64 };
        let prefix = shape.prefix(found.key);
        let id = keyspace.digest(prefix);
        let weight = found.bytes as f64;
        if let Some(out) = self.prefixes.add(id, prefix, weight, |sum| sum.merge(size)) {
            self.other.merge(out);
        }
        let is_small = |(smallest, _): (&(usize, u64), _)| smallest.0 >= found.bytes;
        if self.big.len() == self.most_big && self.big.first_key_value().is_some_and(is_small) {
            return;
        }
        self.big.insert((found.bytes, id_of(keyspace, found.db, found.key)), BigKey::of(found));
        if self.big.len() > self.most_big {
            self.big.pop_first();
        }
    }

    fn report(&self) -> Report {
        let prefixes = self.prefixes.items().iter();
        Report {
            big: self.big.values().rev().cloned().collect(),
            prefixes: prefixes.map(|item| (item.name.clone(), item.value)).collect(),
            other: self.other,
        }
    }
}

/// A walk on its way.
#[derive(Debug)]
struct Walk {
    /// Those still to come, and where it stands in the last of them.
    shards: Vec<ShardId>,
    place: Place,
    /// What the store had seen of changes when it began.
    changes: u64,
    shape: Shape,
    /// Of the last of the shards.
    findings: Findings,
}

/// The walk before.
#[derive(Debug)]
struct Last {
    ended: Millis,
    /// What had changed when it began.
    changes: u64,
    shape: Shape,
    shards: Vec<ShardId>,
}

/// What a worker keeps between ticks.
#[derive(Debug, Default)]
pub(crate) struct Surveyor {
    walk: Option<Walk>,
    last: Option<Last>,
    reads: u64,
}

impl Surveyor {
    /// Goes on a bit. `reads`: how often the worker has read from sockets.
    pub(super) fn step(
        &mut self,
        server: &Server,
        reports: &Reports,
        shape: &Shape,
        shards: &[ShardId],
        reads: u64,
        guard: &Guard,
    ) {
        let now = server.clock.now();
        let is_idle = reads.wrapping_sub(self.reads) < IDLE_READS;
        self.reads = reads;
        if self.walk.as_ref().is_some_and(|walk| walk.shape != *shape) {
            self.walk = None;
        }
        let walk = self.walk.take().or_else(|| self.begin(server, reports, shape, shards, now));
        let Some(mut walk) = walk else { return };
        let buckets = if is_idle { IDLE_BUCKETS } else { BUCKETS };
        if walk.go_on(server, reports, buckets, now, guard) {
            self.walk = Some(walk);
        } else {
            let (changes, shape) = (walk.changes, walk.shape);
            self.last = Some(Last { ended: now, changes, shape, shards: shards.to_vec() });
        }
    }

    /// Begins a walk if there is a reason.
    fn begin(
        &self,
        server: &Server,
        reports: &Reports,
        shape: &Shape,
        shards: &[ShardId],
        now: Millis,
    ) -> Option<Walk> {
        let stats = server.keyspace.stats();
        let changes = stats.changes + stats.expired_keys + stats.evicted_keys;
        let is_enough = |last: &Last| {
            let soon = (0..PAUSE).contains(&(now - last.ended));
            last.shards == shards && last.shape == *shape && (last.changes == changes || soon)
        };
        if self.last.as_ref().is_some_and(is_enough) {
            return None;
        }
        let (shards, place, shape) = (shards.to_vec(), Place::default(), shape.clone());
        Some(Walk { shards, place, changes, shape, findings: Findings::new(reports) })
    }
}

impl Walk {
    /// Visits the next buckets; false if it has come round.
    fn go_on(
        &mut self,
        server: &Server,
        reports: &Reports,
        buckets: usize,
        now: Millis,
        guard: &Guard,
    ) -> bool {
        let mut left = buckets;
        while left > 0 {
            let Some(&shard) = self.shards.last() else { return false };
            let step = left.min(STEP);
            left -= step;
            let (findings, shape) = (&mut self.findings, &self.shape);
            let mut visit = |found: Surveyed<'_>| findings.note(server, shape, &found);
            match server.keyspace.survey(shard, self.place, step, now, guard, &mut visit) {
                // Somebody has the role.
                Some(next) if next == self.place => break,
                Some(next) => self.place = next,
                None => {
                    let findings = std::mem::replace(&mut self.findings, Findings::new(reports));
                    reports.publish(shard, findings.report());
                    self.shards.pop();
                    self.place = Place::default();
                }
            }
        }
        true
    }
}
