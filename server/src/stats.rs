//! Counters, one set per worker and thread of the pool so that no thread writes a line another one
//! writes; added up when somebody asks.

use crate::acl::Reason;
use crate::commands::table::{CommandId, table};
use crate::insight::Sampler;
use crate::runtime::pool;
use crate::runtime::sweep::Patience;
use dunlin_storage::Miss;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A counter with one writer at a time: plain load and store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only for the owner: the worker, or whoever runs the session.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Back to zero (CONFIG RESETSTAT; an addition at the same instant may survive it).
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A figure that goes up and down, with one writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Says what it is now.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Figures of one command on one worker.
#[derive(Debug, Default)]
pub struct CommandStats {
    /// Executions.
    pub calls: Counter,
    /// Time in nanoseconds.
    pub nanos: Counter,
    /// Refused before execution.
    pub rejected: Counter,
    /// Answered with an error.
    pub failed: Counter,
    histogram: OnceLock<Box<Histogram>>,
}

impl CommandStats {
    /// Accounts `calls` executions that took `nanos` together.
    #[inline]
    pub fn time(&self, calls: u64, nanos: u64, histogram: bool) {
        self.nanos.add(nanos);
        if histogram {
            self.histogram.get_or_init(Box::default).record(nanos / calls.max(1), calls);
        }
    }

    /// The histogram, if anything was recorded.
    pub fn histogram(&self) -> Option<&Histogram> {
        self.histogram.get().map(Box::as_ref)
    }

    fn reset(&self) {
        for counter in [&self.calls, &self.nanos, &self.rejected, &self.failed] {
            counter.reset();
        }
        if let Some(histogram) = self.histogram() {
            histogram.reset();
        }
    }
}

const SUB_BITS: u32 = 4;
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) << SUB_BITS;

/// Log-linear histogram of nanoseconds: 16 steps per power of two (6 % resolution), as
/// HdrHistogram lays it out, with single-writer counters so that readers need no lock.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[Counter]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: (0..BUCKETS).map(|_| Counter::default()).collect() }
    }
}

impl Histogram {
    fn bucket(value: u64) -> usize {
        let shift = (u64::BITS - value.leading_zeros()).saturating_sub(SUB_BITS + 1);
        let sub = usize::try_from(value >> shift).unwrap_or(0);
        ((shift as usize) << SUB_BITS) + sub
    }

    /// Upper bound of bucket `index`.
    pub fn upper(index: usize) -> u64 {
        let sub = 1_usize << SUB_BITS;
        if index < 2 * sub {
            return index as u64;
        }
        let shift = index / sub - 1;
        (((index % sub + sub + 1) as u64) << shift).wrapping_sub(1)
    }

    /// Counts `n` values.
    pub fn record(&self, value: u64, n: u64) {
        if let Some(count) = self.counts.get(Self::bucket(value)) {
            count.add(n);
        }
    }

    /// Adds the counts to `total` (as long as [`Histogram::len`]).
    pub fn add_to(&self, total: &mut Vec<u64>) {
        total.resize(BUCKETS, 0);
        for (sum, count) in total.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
    }

    /// The upper bound of the bucket that holds the value at `percent` of those
    /// that [`Histogram::add_to`] has added up; 0 if there are none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage of a count, never negative"
    )]
    pub fn percentile(counts: &[u64], percent: f64) -> u64 {
        let total: u64 = counts.iter().sum();
        let rank = ((percent.clamp(0.0, 100.0) / 100.0 * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Self::upper(index);
            }
        }
        0
    }

    fn reset(&self) {
        self.counts.iter().for_each(Counter::reset);
    }
}

/// Bytes that one thread's Lua holds.
#[derive(Debug, Default)]
pub struct LuaMemory {
    /// For scripts.
    pub eval: Gauge,
    /// For libraries.
    pub functions: Gauge,
}

/// Counters of one worker.
#[derive(Debug)]
pub struct WorkerStats {
    commands: Box<[CommandStats]>,
    /// Lookups that found their key.
    pub hits: Counter,
    /// Lookups that did not.
    pub misses: Counter,
    /// Of these, those whose key has been there: by the number of [`Miss`], less one.
    gone: [Counter; Miss::ALL.len() - 1],
    /// Connections accepted.
    pub connections: Counter,
    /// Samples of the commands that run.
    pub samples: Sampler,
    /// Bytes read from sockets.
    pub net_in: Counter,
    /// Bytes written to sockets.
    pub net_out: Counter,
    /// Reads from sockets.
    pub reads: Counter,
    /// Writes to sockets.
    pub writes: Counter,
    /// Commands run in turns of connections.
    pub turn_commands: Counter,
    /// Nanoseconds of those turns.
    pub turn_nanos: Counter,
    /// Error replies.
    pub error_replies: Counter,
    /// What Lua holds.
    pub lua: Arc<LuaMemory>,
    /// Error replies by first word. Locked only when an error is answered.
    errors: Mutex<BTreeMap<String, u64>>,
}

/// How many different first words of errors are counted; more go to `ERRORS_OVERFLOW`.
const MAX_ERROR_KINDS: usize = 128;
/// Bytes in which the first word of an error has to end, as in Redis; what goes on counts as `ERR`. Scripts
/// choose the texts of their errors.
const MAX_ERROR_KIND: usize = 31;

impl Default for WorkerStats {
    fn default() -> Self {
        WorkerStats {
            commands: table().entries().iter().map(|_| CommandStats::default()).collect(),
            hits: Counter::default(),
            misses: Counter::default(),
            gone: Default::default(),
            samples: Sampler::default(),
            connections: Counter::default(),
            net_in: Counter::default(),
            net_out: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            turn_commands: Counter::default(),
            turn_nanos: Counter::default(),
            error_replies: Counter::default(),
            lua: Arc::default(),
            errors: Mutex::default(),
        }
    }
}

impl WorkerStats {
    /// Executions of all commands.
    pub fn calls(&self) -> u64 {
        self.commands.iter().map(|command| command.calls.get()).sum()
    }

    /// Counts a hit.
    #[inline]
    pub fn hit(&self) {
        self.hits.add(1);
    }

    /// Counts a miss.
    #[inline]
    pub fn miss(&self, why: Miss) {
        self.misses.add(1);
        if let Some(counter) = (why as usize).checked_sub(1).map(|i| &self.gone[i]) {
            counter.add(1);
        }
    }

    /// Misses by the number of [`Miss`].
    pub fn misses_by_cause(&self) -> [u64; Miss::ALL.len()] {
        let mut counts = [0; Miss::ALL.len()];
        for (count, counter) in counts[1..].iter_mut().zip(&self.gone) {
            *count = counter.get();
        }
        // Read last, and added to first: it is never less than its parts.
        let gone = counts.iter().sum::<u64>();
        counts[Miss::NeverSet as usize] = self.misses.get().saturating_sub(gone);
        counts
    }

    /// Figures of command `id`.
    #[inline]
    pub fn command(&self, id: CommandId) -> &CommandStats {
        &self.commands[usize::from(id)]
    }

    /// Counts an error reply.
    pub fn error(&self, text: &[u8]) {
        self.error_replies.add(1);
        let kind = error_kind(text);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = errors.get_mut(kind) {
            *count += 1;
        } else if errors.len() < MAX_ERROR_KINDS {
            errors.insert(kind.to_owned(), 1);
        } else {
            *errors.entry("ERRORS_OVERFLOW".to_owned()).or_default() += 1;
        }
    }

    fn reset(&self) {
        self.commands.iter().for_each(CommandStats::reset);
        for counter in [
            &self.hits,
            &self.misses,
            &self.connections,
            &self.net_in,
            &self.net_out,
            &self.reads,
            &self.writes,
            &self.error_replies,
        ] {
            counter.reset();
        }
        self.gone.iter().for_each(Counter::reset);
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The counters of all workers.
#[derive(Debug)]
pub struct Stats {
    workers: Box<[WorkerStats]>,
    /// Those of the threads of the pool, from their first work on.
    pool: Box<[OnceLock<WorkerStats>]>,
    /// Connections refused at `maxclients`.
    pub rejected_connections: AtomicU64,
    /// Clients closed because all together held too much.
    pub evicted_clients: AtomicU64,
    /// Clients closed at a limit of their output buffer.
    pub output_limit_disconnections: AtomicU64,
    /// Clients closed at a limit of their query buffer.
    pub query_limit_disconnections: AtomicU64,
    /// Clients closed because they did nothing, by the number of [`Patience`].
    timed_out: [AtomicU64; Patience::ALL.len()],
    /// Refusals for want of a right, by the number of [`Reason`].
    denied: [AtomicU64; Reason::ALL.len()],
}

impl Stats {
    /// Counters for `workers` workers.
    pub fn new(workers: usize) -> Self {
        Stats {
            workers: (0..workers).map(|_| WorkerStats::default()).collect(),
            pool: (0..pool::NUMBERS).map(|_| OnceLock::new()).collect(),
            rejected_connections: AtomicU64::new(0),
            evicted_clients: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            timed_out: Default::default(),
            denied: Default::default(),
        }
    }

    /// Clients closed because they did nothing for longer than a directive allows.
    pub fn timed_out(&self, patience: Patience) -> &AtomicU64 {
        &self.timed_out[patience as usize]
    }

    /// Refusals for want of a right.
    pub fn denied(&self, reason: Reason) -> &AtomicU64 {
        &self.denied[reason as usize]
    }

    /// The counters of worker `index`; behind the workers come the threads of the pool.
    pub fn worker(&self, index: usize) -> &WorkerStats {
        match self.workers.get(index) {
            Some(worker) => worker,
            None => self.pool[index - self.workers.len()].get_or_init(WorkerStats::default),
        }
    }

    /// The counters of each worker and thread of the pool.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerStats> {
        self.workers.iter().chain(self.pool.iter().filter_map(OnceLock::get))
    }

    /// Sum of one counter over the workers.
    pub fn sum(&self, counter: impl Fn(&WorkerStats) -> &Counter) -> u64 {
        self.workers().map(|worker| counter(worker).get()).sum()
    }

    /// Misses by the number of [`Miss`].
    pub fn misses_by_cause(&self) -> [u64; Miss::ALL.len()] {
        let mut total = [0; Miss::ALL.len()];
        for worker in self.workers() {
            let counts = worker.misses_by_cause();
            total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        total
    }

    /// Executions of all commands.
    pub fn calls(&self) -> u64 {
        self.workers().map(WorkerStats::calls).sum()
    }

    /// Sum of one counter of one command.
    pub fn command_sum(&self, id: CommandId, counter: impl Fn(&CommandStats) -> &Counter) -> u64 {
        self.workers().map(|worker| counter(worker.command(id)).get()).sum()
    }

    /// Histogram of one command over the workers, empty if nothing was recorded.
    pub fn command_histogram(&self, id: CommandId) -> Vec<u64> {
        let mut total = Vec::new();
        for histogram in self.workers().filter_map(|w| w.command(id).histogram()) {
            histogram.add_to(&mut total);
        }
        total
    }

    /// Error replies by first word.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut total = BTreeMap::new();
        for worker in self.workers() {
            let errors = worker.errors.lock().unwrap_or_else(PoisonError::into_inner);
            for (kind, count) in errors.iter() {
                *total.entry(kind.clone()).or_insert(0) += count;
            }
        }
        total
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.workers().for_each(WorkerStats::reset);
        for counter in [
            &self.rejected_connections,
            &self.evicted_clients,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        let by_reason = self.timed_out.iter().chain(&self.denied);
        by_reason.for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

/// The word that an error is counted by.
fn error_kind(text: &[u8]) -> &str {
    let end = text.iter().take(MAX_ERROR_KIND).position(|b| *b == b' ');
    end.and_then(|end| std::str::from_utf8(&text[..end]).ok()).unwrap_or("ERR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_a_short_first_word() {
        assert_eq!(error_kind(b"WRONGTYPE Operation against"), "WRONGTYPE");
        let longest = "X".repeat(MAX_ERROR_KIND - 1);
        assert_eq!(error_kind(format!("{longest} why").as_bytes()), longest);
        for other in [format!("X{longest} why").as_bytes(), b"alone", b"", b"\xff why"] {
            assert_eq!(error_kind(other), "ERR");
        }
    }

    fn histogram(values: &[(u64, u64)]) -> Vec<u64> {
        let histogram = Histogram::default();
        values.iter().for_each(|(value, n)| histogram.record(*value, *n));
        let mut counts = Vec::new();
        histogram.add_to(&mut counts);
        counts
    }

    #[test]
    fn percentiles_find_their_bucket() {
        let counts = histogram(&[(10, 50), (20, 49), (1_000_000, 1)]);
        assert_eq!(Histogram::percentile(&counts, 50.0), 10);
        assert_eq!(Histogram::percentile(&counts, 99.0), 20);
        let max = Histogram::percentile(&counts, 100.0);
        assert!((1_000_000..1_063_000).contains(&max), "{max}");
        assert_eq!(Histogram::percentile(&counts, 0.0), 10);
        assert_eq!(Histogram::percentile(&[], 50.0), 0);
    }
}
