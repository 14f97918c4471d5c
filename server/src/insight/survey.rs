//! The biggest keys and the memory of each prefix, from a slow walk over everything.
//!
//! Each worker walks over the shards whose background work is its own, some buckets per tick, more
//! when there is little else to do. A walk that has come round publishes what it has found; the next
//! one begins when something has changed since, so a server that does nothing walks nowhere.
//! Nothing is noted when keys are written: that would cost every write what few ask for.

use super::prefixes::Shape;
use super::top::TopK;
use super::{BigKey, id_of};
use crate::server::Server;
use dunlin_storage::{Guard, Millis, Place, ShardId, Surveyed};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys that are kept of a walk.
pub(super) const BIG_KEYS: usize = 64;
/// Prefixes that are kept of a walk, by their memory.
const PREFIXES: usize = 256;
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
/// A walk that takes longer shows what it has found so far if there is nothing older to show.
const PATIENCE: Millis = 2_000;

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

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The biggest first.
    pub(super) big: Vec<BigKey>,
    pub(super) prefixes: Vec<(Box<[u8]>, PrefixSize)>,
    /// What is in none of them.
    pub(super) other: PrefixSize,
}

/// The last report of a worker.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<Arc<Report>>);

impl Reports {
    pub(super) fn latest(&self) -> Arc<Report> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, report: Report) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(report);
    }
}

/// What a walk finds.
#[derive(Debug)]
struct Findings {
    shape: Shape,
    /// By their sizes, and what tells equal ones apart.
    big: BTreeMap<(usize, u64), BigKey>,
    prefixes: TopK<PrefixSize>,
    other: PrefixSize,
}

impl Findings {
    fn new(shape: Shape) -> Self {
        let (big, prefixes) = (BTreeMap::new(), TopK::new(PREFIXES));
        Findings { shape, big, prefixes, other: PrefixSize::default() }
    }

    fn note(&mut self, server: &Server, found: &Surveyed<'_>) {
        let keyspace = &server.keyspace;
        let size = PrefixSize { keys: 1, bytes: found.bytes as u64 };
        let prefix = self.shape.prefix(found.key);
        let id = keyspace.key(prefix).hash.0;
        let weight = found.bytes as f64;
        if let Some(out) = self.prefixes.add(id, prefix, weight, |sum| sum.merge(size)) {
            self.other.merge(out);
        }
        let is_small = |(smallest, _): (&(usize, u64), _)| smallest.0 >= found.bytes;
        if self.big.len() == BIG_KEYS && self.big.first_key_value().is_some_and(is_small) {
            return;
        }
        self.big.insert((found.bytes, id_of(keyspace, found.db, found.key)), BigKey::of(found));
        if self.big.len() > BIG_KEYS {
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
    began: Millis,
    /// What the store had seen of changes when it began.
    changes: u64,
    findings: Findings,
}

/// What a worker keeps between ticks.
#[derive(Debug, Default)]
pub(crate) struct Surveyor {
    walk: Option<Walk>,
    /// When the last walk has ended, what had changed when it began, and over which shards it went.
    last: Option<(Millis, u64, Vec<ShardId>)>,
    /// Whether its report is that of a whole walk.
    whole: bool,
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
        if self.walk.as_ref().is_some_and(|walk| walk.findings.shape != *shape) {
            self.walk = None;
            self.last = None;
        }
        let Some(mut walk) = self.walk.take().or_else(|| self.begin(server, shape, shards, now))
        else {
            return;
        };
        let buckets = if is_idle { IDLE_BUCKETS } else { BUCKETS };
        if walk.go_on(server, buckets, now, guard) {
            if !self.whole && now - walk.began > PATIENCE {
                reports.publish(walk.findings.report());
            }
            self.walk = Some(walk);
        } else {
            reports.publish(walk.findings.report());
            self.whole = true;
            self.last = Some((now, walk.changes, shards.to_vec()));
        }
    }

    /// Begins a walk if there is a reason.
    fn begin(
        &self,
        server: &Server,
        shape: &Shape,
        shards: &[ShardId],
        now: Millis,
    ) -> Option<Walk> {
        let stats = server.keyspace.stats();
        let changes = stats.changes + stats.expired_keys + stats.evicted_keys;
        let is_same = |(ended, seen, of): &(Millis, u64, Vec<ShardId>)| {
            of == shards && (*seen == changes || (0..PAUSE).contains(&(now - ended)))
        };
        if self.last.as_ref().is_some_and(is_same) {
            return None;
        }
        let (shards, place) = (shards.to_vec(), Place::default());
        let findings = Findings::new(shape.clone());
        Some(Walk { shards, place, began: now, changes, findings })
    }
}

impl Walk {
    /// Visits the next buckets; false if it has come round.
    fn go_on(&mut self, server: &Server, buckets: usize, now: Millis, guard: &Guard) -> bool {
        let mut left = buckets;
        while left > 0 {
            let Some(shard) = self.shards.last() else { return false };
            let step = left.min(STEP);
            left -= step;
            let findings = &mut self.findings;
            let mut visit = |found: Surveyed<'_>| findings.note(server, &found);
            match server.keyspace.survey(*shard, self.place, step, now, guard, &mut visit) {
                // Somebody has the role.
                Some(next) if next == self.place => break,
                Some(next) => self.place = next,
                None => {
                    self.shards.pop();
                    self.place = Place::default();
                }
            }
        }
        true
    }
}
