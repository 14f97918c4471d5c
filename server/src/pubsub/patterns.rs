//! The patterns that somebody has subscribed to.
//!
//! Every PUBLISH has to try every pattern, so there is one list and whoever publishes takes a
//! snapshot of the whole: an [`Arc`] that is copied when the list changes under somebody's eyes.
//! Such a copy costs about as much as the PUBLISH that caused it.

use super::Members;
use crate::inbox::Feed;
use ahash::RandomState;
use bytes::Bytes;
use dunlin_protocol::push_bulk;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// Who has subscribed to a pattern.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Begin of a message to them.
    pub(super) head: Bytes,
    pub(super) members: Arc<Members>,
}

impl Group {
    fn new(pattern: &[u8]) -> Group {
        let mut head = Vec::new();
        push_bulk(&mut head, b"pmessage");
        push_bulk(&mut head, pattern);
        Group { head: head.into(), members: Arc::default() }
    }
}

pub(super) type Groups = HashMap<Bytes, Group, RandomState>;

#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// Number of patterns; changed under the lock.
    len: AtomicUsize,
    groups: RwLock<Arc<Groups>>,
}

impl Patterns {
    fn write(&self) -> RwLockWriteGuard<'_, Arc<Groups>> {
        self.groups.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, pattern: &[u8], feed: &Arc<Feed>) -> Bytes {
        let mut groups = self.write();
        let known = groups.get_key_value(pattern).map(|(known, _)| known.clone());
        let name = known.unwrap_or_else(|| Bytes::copy_from_slice(pattern));
        let groups = Arc::make_mut(&mut groups);
        let group = groups.entry(name.clone()).or_insert_with(|| Group::new(pattern));
        Arc::make_mut(&mut group.members).add(feed);
        self.len.store(groups.len(), Ordering::Release);
        name
    }

    pub(super) fn leave(&self, pattern: &[u8], client: u64) {
        let mut groups = self.write();
        let groups = Arc::make_mut(&mut groups);
        let Some(group) = groups.get_mut(pattern) else { return };
        if Arc::make_mut(&mut group.members).remove(client, |_| true) {
            groups.remove(pattern);
            self.len.store(groups.len(), Ordering::Release);
        }
    }

    /// All patterns as of now, if there are any.
    #[inline]
    pub(super) fn snapshot(&self) -> Option<Arc<Groups>> {
        (self.len() > 0).then(|| {
            let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&groups)
        })
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }
}
