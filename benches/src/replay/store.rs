//! The real keyspace, driven directly by one thread, with a real budget in bytes.

use dunlin_storage::{DbId, Handle, Keyspace, NewValue, Options, Policy, ShardSet, Touch};

use super::models::Model;
use super::trace::{KeyId, Trace};

const DB: DbId = DbId(0);
const NOW: i64 = 1_700_000_000_000;
/// Length of every key.
pub const KEY_LEN: usize = 16;

/// The key of a number.
#[must_use]
pub fn key_of(id: KeyId) -> [u8; KEY_LEN] {
    let mut key = *b"key:000000000000";
    crate::rng::write_digits(&mut key[4..], u64::from(id));
    key
}

/// A keyspace within a budget.
pub struct Store<'a> {
    handle: Handle,
    keyspace: Keyspace,
    trace: &'a Trace,
    value: Vec<u8>,
    default: usize,
}

impl<'a> Store<'a> {
    /// An empty store; no budget: 0. Values of keys without a size have `default` bytes.
    #[must_use]
    pub fn new(
        trace: &'a Trace,
        default: usize,
        shards: usize,
        policy: Policy,
        budget: u64,
    ) -> Self {
        let keyspace = Keyspace::new(Options {
            shards,
            databases: 1,
            max_memory: budget,
            policy,
            seed: Some([1, 2, 3, 4]),
            ..Options::default()
        });
        let largest = trace.sizes.iter().max().map_or(0, |&size| size as usize).max(default);
        Self { handle: keyspace.handle(), keyspace, trace, value: vec![b'x'; largest], default }
    }

    fn put(&self, key: KeyId) {
        let guard = self.handle.pin();
        let bytes = key_of(key);
        let key_ = self.keyspace.key(&bytes);
        let size = match self.trace.sizes[key as usize] {
            0 => self.default,
            size => size as usize,
        };
        let set = ShardSet::one(self.keyspace.shard_of(key_.hash));
        let writer = self.keyspace.try_enter(&set, &guard);
        // Nobody else is here: the role is free.
        if let Some(mut writer) = writer {
            writer.put(DB, &key_, NewValue::Bytes(&self.value[..size]), None, NOW);
        }
    }

    /// Bytes that count against a budget.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.keyspace.used_bytes()
    }

    /// Puts every key of the trace into it; the bytes that each takes, with its share of the table.
    pub fn fill(&mut self) -> Vec<u32> {
        let mut weights = Vec::with_capacity(self.trace.sizes.len());
        for key in 0..self.trace.sizes.len() as KeyId {
            let before = self.keyspace.memory().entries;
            self.put(key);
            weights.push((self.keyspace.memory().entries - before) as u32);
        }
        let tables = self.used().saturating_sub(self.keyspace.memory().entries);
        let share = (tables / weights.len().max(1) as u64) as u32;
        weights.iter_mut().for_each(|weight| *weight += share);
        weights
    }

    /// What the policy says of itself.
    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }
}

impl Model for Store<'_> {
    fn request(&mut self, key: KeyId) -> bool {
        let bytes = key_of(key);
        let found = {
            let guard = self.handle.pin();
            let key = self.keyspace.key(&bytes);
            self.keyspace.get(DB, &key, NOW, Touch::Yes, &guard).is_some()
        };
        if !found {
            self.put(key);
        }
        found
    }
}
