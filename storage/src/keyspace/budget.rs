//! The memory budget: what counts against it, and whether reads leave a mark for eviction to go by.

use super::{Keyspace, Options};
use crate::eviction::Policy;
use crate::hash::ShardId;
use crate::sync::{AtomicI64, AtomicU8, AtomicU64, Ordering, OwnLine};

/// The memory budget, and what counts against it.
pub(crate) struct Budget {
    pub(crate) max: AtomicU64,
    /// What commands hold the store below after `max` was lowered, while the background evicts: what
    /// was used when it last looked; 0 when that is over. Relaxed, like `max`: figures.
    pub(crate) ceiling: AtomicU64,
    pub(crate) policy: AtomicU8,
    /// [`UNTRACKED`], [`TRACKED`] or [`SAMPLED`].
    pub(super) tracking: AtomicU8,
    /// See [`quantum`].
    quantum: AtomicU64,
    /// Bytes of entries, tables and eviction state.
    pub(crate) used: OwnLine<AtomicI64>,
}

/// Reads leave no trace.
pub(super) const UNTRACKED: u8 = 0;
/// Reads bump frequencies: the policy wants to know, and there is need.
const TRACKED: u8 = 1;
/// And those of some keys are told to the shard as well.
pub(super) const SAMPLED: u8 = 2;

impl Budget {
    pub(super) fn new(options: &Options, shards: usize) -> Self {
        Budget {
            max: AtomicU64::new(options.max_memory),
            ceiling: AtomicU64::new(0),
            policy: AtomicU8::new(options.policy.to_u8()),
            tracking: AtomicU8::new(u8::from(options.policy.shows_use())),
            quantum: AtomicU64::new(quantum(options.max_memory, shards)),
            used: OwnLine(AtomicI64::new(0)),
        }
    }
}

impl Keyspace {
    /// Changes the budget; 0 = none. What is too much goes in slices ([`Keyspace::evict_slice`]);
    /// until then commands only keep the store from growing.
    pub fn set_max_memory(&self, bytes: u64) {
        let is_lowered = bytes != 0 && self.used() > bytes;
        let ceiling = if is_lowered { self.used() } else { 0 };
        self.budget.ceiling.store(ceiling, Ordering::Relaxed);
        self.budget.quantum.store(quantum(bytes, self.shards()), Ordering::Relaxed);
        self.budget.max.store(bytes, Ordering::Relaxed);
        self.track();
    }

    /// Changes the policy.
    pub fn set_policy(&self, policy: Policy) {
        self.budget.policy.store(policy.to_u8(), Ordering::Relaxed);
        self.track();
    }

    /// The policy.
    #[inline]
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::from_u8(self.budget.policy.load(Ordering::Relaxed))
    }

    /// Decides whether reads leave a mark: when half of the budget is used (before that nobody will
    /// ask), and always under the policies whose frequencies clients may read.
    fn track(&self) {
        let policy = self.policy();
        let max = self.budget.max.load(Ordering::Relaxed);
        let near = max != 0 && self.used() > max / 2;
        let tracking = match policy {
            Policy::AllKeysAuto if near => SAMPLED,
            _ if policy.shows_use() || near && policy.counts_reads() => TRACKED,
            _ => UNTRACKED,
        };
        if self.budget.tracking.load(Ordering::Relaxed) != tracking {
            self.budget.tracking.store(tracking, Ordering::Relaxed);
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed).max(0) as u64
    }

    /// Accounts for bytes taken (or given back) by a shard. Only under its role. The common counter
    /// hears of it when enough has come together.
    #[inline]
    pub(crate) fn memory_changed(&self, id: ShardId, bytes: i64) {
        if bytes == 0 {
            return;
        }
        let words = self.shard(id).words();
        let now = words.bytes.load(Ordering::Relaxed) + bytes;
        words.bytes.store(now, Ordering::Relaxed);
        let change = now - words.folded.load(Ordering::Relaxed);
        if change.unsigned_abs() >= self.budget.quantum.load(Ordering::Relaxed) {
            self.fold(id);
        }
    }

    /// Whether the common counter knows less of a shard than it should: the budget was lowered.
    pub(crate) fn lags_behind(&self, id: ShardId) -> bool {
        let words = self.shard(id).words();
        let change = words.bytes.load(Ordering::Relaxed) - words.folded.load(Ordering::Relaxed);
        change.unsigned_abs() >= self.budget.quantum.load(Ordering::Relaxed)
    }

    /// Brings the common counter up to date with a shard. Only under its role.
    pub(crate) fn fold(&self, id: ShardId) {
        let words = self.shard(id).words();
        let now = words.bytes.load(Ordering::Relaxed);
        let change = now - words.folded.load(Ordering::Relaxed);
        words.folded.store(now, Ordering::Relaxed);
        if change != 0 {
            self.budget.used.fetch_add(change, Ordering::Relaxed);
            self.track();
        }
    }
}

/// How many bytes a shard may be ahead of the common counter: all shards together at most a fifth
/// of a percent of the budget.
fn quantum(max_memory: u64, shards: usize) -> u64 {
    match max_memory {
        0 => QUANTUM_MAX,
        max => (max / (512 * shards as u64)).clamp(QUANTUM_MIN, QUANTUM_MAX),
    }
}

const QUANTUM_MIN: u64 = 256;
const QUANTUM_MAX: u64 = 16 * 1024;
