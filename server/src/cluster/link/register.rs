//! Which connections there are, and what has gone over them, for operators.

use super::{Faults, Kind};
use crate::cluster::node::NodeId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// This node has opened it.
    pub outgoing: bool,
    /// The other end.
    pub node: NodeId,
    /// How long it has been there.
    pub age: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Register {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, (bool, NodeId, Instant)>>,
    sent: [AtomicU64; Kind::ALL.len()],
    received: [AtomicU64; Kind::ALL.len()],
    pub(super) faults: Faults,
}

/// A connection's entry, as long as it is there.
pub(super) struct Entry(Arc<Register>, u64);

impl Register {
    pub(super) fn enter(self: &Arc<Self>, outgoing: bool, node: NodeId) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(number, (outgoing, node, Instant::now()));
        drop(open);
        Entry(Arc::clone(self), number)
    }

    pub(super) fn count(&self, kind: Kind, sent: bool) {
        let counts = if sent { &self.sent } else { &self.received };
        if let Some(count) = counts.get(kind.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn open(&self) -> Vec<Open> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |(outgoing, node, since): &(bool, NodeId, Instant)| Open {
            outgoing: *outgoing,
            node: *node,
            age: since.elapsed(),
        };
        open.values().map(shown).collect()
    }

    pub(super) fn counts(&self) -> Vec<(Kind, u64, u64)> {
        let counts = Kind::ALL.into_iter().zip(self.sent.iter().zip(&self.received));
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        counts.map(|(kind, (sent, received))| (kind, read(sent), read(received))).collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}
