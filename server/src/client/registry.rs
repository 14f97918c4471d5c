//! Who is connected.

use super::ClientShared;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All connected clients. Locked when one comes or goes and by CLIENT LIST/KILL, never by a
/// command on data.
#[derive(Debug, Default)]
pub struct Registry {
    clients: Mutex<BTreeMap<u64, Arc<ClientShared>>>,
    next_id: AtomicU64,
}

impl Registry {
    /// A new client number, from 1.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<ClientShared>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a client.
    pub fn add(&self, client: Arc<ClientShared>) {
        self.lock().insert(client.id, client);
    }

    /// Removes a client.
    pub fn remove(&self, id: u64) {
        if let Some(client) = self.lock().remove(&id) {
            client.set_flag(ClientShared::GONE, true);
        }
    }

    /// The client `id`.
    pub fn get(&self, id: u64) -> Option<Arc<ClientShared>> {
        self.lock().get(&id).cloned()
    }

    /// All clients, by id.
    pub fn all(&self) -> Vec<Arc<ClientShared>> {
        self.lock().values().cloned().collect()
    }

    /// Up to `count` clients with numbers above `after`, by id: for a walk that locks briefly.
    pub fn page(&self, after: u64, count: usize) -> Vec<Arc<ClientShared>> {
        let above = (Bound::Excluded(after), Bound::Unbounded);
        self.lock().range(above).take(count).map(|(_, client)| client.clone()).collect()
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
