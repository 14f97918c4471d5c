//! What the server tells of the use of its keys without being asked to watch: hot keys, big keys, and
//! what each prefix costs and brings. (Why reads miss is the store's knowledge, see
//! [`dunlin_storage::Miss`].)
//!
//! | Question | Answered from | Bound |
//! |---|---|---|
//! | which keys are used most | samples, [`sampler`] | 512 keys per worker |
//! | hits, misses, bytes sent, by prefix | the same samples | 128 prefixes per worker |
//! | which keys are biggest | a slow walk, [`survey`] | 1024 keys, in parts by shard |
//! | keys and memory, by prefix | the same walk | 4096 prefixes, likewise |
//!
//! HOTKEYS is another thing: a session that measures every command ([`tracking`]).
//!
//! Each worker or shard has its own tables, which are put together when somebody asks; what does not fit into
//! a bounded table is counted in `other`. [`top`] is that table, [`decay`] how hot keys are forgotten, [`prefixes`] what
//! a prefix is.

mod decay;
mod prefixes;
mod sampler;
mod survey;
mod top;
mod tracking;

use crate::config::Settings;
use crate::server::Server;
use crate::stats::WorkerStats;
use dunlin_storage::{DbId, Guard, Keyspace, Kind, ShardId, Surveyed};
use prefixes::Shape;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use prefixes::PrefixUse;
pub(crate) use sampler::Before;
pub use sampler::Sampler;
pub use survey::PrefixSize;
use survey::Reports;
pub(crate) use survey::Surveyor;
pub(crate) use tracking::Done;
pub use tracking::{Metric, Plan, Session, Tracking};

/// A key that is used much.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its database.
    pub db: DbId,
    /// Its name; of a very long one the beginning.
    pub key: Box<[u8]>,
    /// Accesses per second of late, at least.
    pub per_second: f64,
}

/// A key that takes much memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigKey {
    /// Its database.
    pub db: DbId,
    /// Its name; of a very long one the beginning.
    pub key: Box<[u8]>,
    /// Of what kind its value is.
    pub kind: Kind,
    /// Bytes of memory.
    pub bytes: usize,
    /// Bytes of a string, elements of a collection.
    pub len: usize,
}

impl BigKey {
    fn of(found: &Surveyed<'_>) -> Self {
        let Surveyed { db, key, kind, bytes, len } = *found;
        BigKey { db, key: key[..key.len().min(top::NAME_MAX)].into(), kind, bytes, len }
    }
}

/// A prefix, or all that have no place of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prefix {
    /// Its name, without the separator; empty for keys without one.
    pub name: Box<[u8]>,
    /// What was done to its keys.
    pub used: PrefixUse,
    /// How many keys it has, and what they take.
    pub size: PrefixSize,
}

/// The part of it that all workers share.
#[derive(Debug)]
pub struct Insight {
    /// Commands per second and worker that are samples.
    per_second: AtomicU64,
    shape: Mutex<Arc<Shape>>,
    reports: Reports,
    /// HOTKEYS.
    pub tracking: Tracking,
}

impl Insight {
    /// For a keyspace of so many shards.
    pub fn new(shards: usize) -> Self {
        Insight {
            per_second: AtomicU64::new(0),
            shape: Mutex::default(),
            tracking: Tracking::default(),
            reports: Reports::new(shards),
        }
    }

    /// Applies the directives; the workers follow with their next ticks.
    pub fn configure(&self, settings: &Settings) {
        self.per_second.store(u64::from(settings.hot_key_sampling), Ordering::Relaxed);
        let shape = Shape {
            separator: settings.prefix_separator.as_slice().into(),
            depth: settings.prefix_depth as usize,
        };
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(shape);
    }

    fn shape(&self) -> Arc<Shape> {
        Arc::clone(&self.shape.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Once per tick of a worker, on its thread.
    pub(crate) fn tick(
        &self,
        server: &Server,
        worker: usize,
        surveyor: &mut Surveyor,
        shards: &[ShardId],
        guard: &Guard,
    ) {
        let (stats, shape) = (server.stats.worker(worker), self.shape());
        let hz = u64::from(server.settings().hz.max(1));
        stats.samples.tick(self.per_second.load(Ordering::Relaxed), hz, &shape);
        surveyor.step(server, &self.reports, &shape, shards, stats.reads.get(), guard);
    }

    /// Forgets all samples.
    pub fn reset(&self, server: &Server) {
        samplers(server).for_each(Sampler::reset);
    }

    /// The hottest keys, the hottest first.
    pub fn hot_keys(&self, server: &Server, count: usize) -> Vec<HotKey> {
        let now = server.clock.now();
        let mut all: HashMap<u64, HotKey> = HashMap::new();
        for sampler in samplers(server) {
            sampler.each_hot_key(now, &mut |id, hot| match all.get_mut(&id) {
                Some(known) => known.per_second += hot.per_second,
                None => drop(all.insert(id, hot)),
            });
        }
        let mut keys: Vec<HotKey> = all.into_values().collect();
        let order = |key: &HotKey| (key.db.0, key.key.clone());
        keys.sort_by(|a, b| {
            b.per_second.total_cmp(&a.per_second).then_with(|| order(a).cmp(&order(b)))
        });
        keys.truncate(count);
        keys
    }

    /// The biggest keys, the biggest first, as the last walks have found them. Some may be gone.
    pub fn big_keys(&self, count: usize) -> Vec<BigKey> {
        let reports = self.reports.latest();
        let mut keys: Vec<BigKey> = reports.flat_map(|report| report.big.clone()).collect();
        keys.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.key.cmp(&b.key)));
        // A key that has moved while it was walked by is there twice.
        keys.dedup_by(|a, b| a.db == b.db && a.key == b.key);
        keys.truncate(count);
        keys
    }

    /// The prefixes, those with the most accesses first, then those with the most memory, and all
    /// others together. With more than `count` the rest is in the others, too.
    pub fn prefixes(&self, server: &Server, count: usize) -> (Vec<Prefix>, Prefix) {
        let (mut all, mut other) = (HashMap::<Box<[u8]>, Prefix>::new(), Prefix::default());
        let mut of = |name: &[u8], add: &dyn Fn(&mut Prefix)| {
            let fresh = || Prefix { name: name.into(), ..Prefix::default() };
            add(all.entry(name.into()).or_insert_with(fresh));
        };
        for sampler in samplers(server) {
            sampler.each_prefix(&mut |name, used| match name {
                Some(name) => of(name, &|prefix| prefix.used.merge(used)),
                None => other.used.merge(used),
            });
        }
        for report in self.reports.latest() {
            report
                .prefixes
                .iter()
                .for_each(|(name, size)| of(name, &|prefix| prefix.size.merge(*size)));
            other.size.merge(report.other);
        }
        let mut prefixes: Vec<Prefix> = all.into_values().collect();
        prefixes.sort_by(|a, b| {
            let by_use = b.used.accesses.total_cmp(&a.used.accesses);
            by_use.then(b.size.bytes.cmp(&a.size.bytes)).then_with(|| a.name.cmp(&b.name))
        });
        for rest in prefixes.drain(count.min(prefixes.len())..) {
            other.used.merge(&rest.used);
            other.size.merge(rest.size);
        }
        (prefixes, other)
    }
}

fn samplers(server: &Server) -> impl Iterator<Item = &Sampler> {
    server.stats.workers().map(|worker: &WorkerStats| &worker.samples)
}

/// What a key is told apart by.
fn id_of(keyspace: &Keyspace, db: DbId, name: &[u8]) -> u64 {
    keyspace.digest(name) ^ u64::from(db.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
