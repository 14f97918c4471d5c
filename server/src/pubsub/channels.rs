//! From the name of a channel to its subscribers.
//!
//! The names are spread over shards by a keyed hash, so that neither luck nor malice puts all
//! traffic behind one lock. The lock of a shard is held for one look-up: what comes out is the list
//! of members behind an [`Arc`], which stays as it is for whoever holds it ([`Arc::make_mut`] copies
//! a list before it changes it under somebody's eyes). Publishing takes the lock shared.

use super::Members;
use crate::inbox::Feed;
use ahash::RandomState;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Far more than threads, so that two which publish at the same time seldom meet.
const SHARDS: usize = 64;
/// A map of at least this many places is given back in part when an eighth of it is used.
const SHRINK_FROM: usize = 64;

type Names = HashMap<Bytes, Arc<Members>, RandomState>;

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    /// Number of names; changed under the lock.
    len: AtomicUsize,
    names: RwLock<Names>,
}

impl Shard {
    fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Names> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Channels that somebody has subscribed to.
#[derive(Debug)]
pub struct Channels {
    hasher: RandomState,
    shards: Box<[Shard]>,
}

impl Default for Channels {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Channels { hasher: RandomState::new(), shards }
    }
}

impl Channels {
    fn shard(&self, name: &[u8]) -> &Shard {
        let hash = self.hasher.hash_one(name);
        &self.shards[usize::try_from(hash >> 32).unwrap_or(0) % SHARDS]
    }

    pub(super) fn join(&self, name: &[u8], feed: &Arc<Feed>) -> Bytes {
        let shard = self.shard(name);
        let mut names = shard.write();
        let known = names.get_key_value(name).map(|(known, _)| known.clone());
        let name = known.unwrap_or_else(|| Bytes::copy_from_slice(name));
        Arc::make_mut(names.entry(name.clone()).or_default()).add(feed);
        shard.len.store(names.len(), Ordering::Release);
        name
    }

    pub(super) fn leave(&self, name: &[u8], client: u64) {
        self.remove(name, client, |_| true);
    }

    /// [`Channels::leave`], unless the client has a newer subscription meanwhile.
    pub(super) fn leave_with(&self, name: &[u8], feed: &Arc<Feed>) {
        self.remove(name, feed.client_id(), |now| Arc::ptr_eq(now, feed));
    }

    fn remove(&self, name: &[u8], client: u64, is: impl FnOnce(&Arc<Feed>) -> bool) {
        let shard = self.shard(name);
        let mut names = shard.write();
        let Some(members) = names.get_mut(name) else { return };
        if Arc::make_mut(members).remove(client, is) {
            names.remove(name);
            if names.capacity() >= SHRINK_FROM && names.len() < names.capacity() / 8 {
                let room = names.len() * 2;
                names.shrink_to(room);
            }
            shard.len.store(names.len(), Ordering::Release);
        }
    }

    /// The subscribers of `name` as of now, if there are any.
    #[inline]
    pub(super) fn members(&self, name: &[u8]) -> Option<Arc<Members>> {
        let shard = self.shard(name);
        if shard.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        shard.read().get(name).cloned()
    }

    /// Calls `visit` with every name and its subscribers.
    pub(super) fn each(&self, visit: impl Fn(&[u8], &Members)) {
        for shard in &self.shards {
            let all: Vec<(Bytes, Arc<Members>)> = shard
                .read()
                .iter()
                .map(|(name, members)| (name.clone(), members.clone()))
                .collect();
            all.iter().for_each(|(name, members)| visit(name, members));
        }
    }

    /// Number of clients that have subscribed to `name`.
    pub fn subscribers(&self, name: &[u8]) -> usize {
        self.members(name).map_or(0, |members| members.0.len())
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len.load(Ordering::Acquire)).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.len.load(Ordering::Acquire) == 0)
    }

    /// The names that `wanted` takes.
    pub fn names(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let all: Vec<Bytes> = shard.read().keys().cloned().collect();
            found.extend(all.into_iter().filter(|name| wanted(name)));
        }
        found
    }
}
