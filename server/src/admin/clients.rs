//! A walk over the clients, for figures that are sums or maxima over all of them.

use crate::client::{ClientShared, Registry};
use std::sync::Arc;

/// Clients read under one lock of the registry: some microseconds.
const PAGE: usize = 64;

/// Calls `look` with each client, in the order of their numbers. Who comes or goes meanwhile may be
/// among them or not.
pub(super) fn each(registry: &Registry, mut look: impl FnMut(&Arc<ClientShared>)) {
    let mut last = 0;
    loop {
        let page = registry.page(last, PAGE);
        page.iter().for_each(&mut look);
        match page.last() {
            Some(client) => last = client.id,
            None => return,
        }
    }
}

/// Figures over all clients.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Clients.
    pub(super) connected: u64,
    /// Those who wait in a blocking command.
    pub(super) blocked: u64,
    /// Those who have subscribed to something.
    pub(super) subscribers: u64,
    /// Those whose keys are tracked for them.
    pub(super) tracking: u64,
    /// Bytes they hold.
    pub(super) bytes: u64,
    /// Clients by worker.
    pub(super) by_worker: Vec<u64>,
}

impl Totals {
    /// Adds up the clients of `registry`, which so many workers serve.
    pub(super) fn read(registry: &Registry, workers: usize) -> Self {
        let mut totals = Totals { by_worker: vec![0; workers], ..Totals::default() };
        each(registry, |client| totals.add(client));
        totals
    }

    fn add(&mut self, client: &ClientShared) {
        let has = |flag| u64::from(client.has_flag(flag));
        self.connected += 1;
        self.blocked += has(ClientShared::BLOCKED);
        self.subscribers += has(ClientShared::PUBSUB);
        self.tracking += has(ClientShared::TRACKING);
        self.bytes += held(client);
        if let Some(count) = self.by_worker.get_mut(client.worker()) {
            *count += 1;
        }
    }
}

/// Bytes that a client takes, itself included.
pub(super) fn held(client: &ClientShared) -> u64 {
    client.held() + size_of::<ClientShared>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u64, worker: usize) -> Arc<ClientShared> {
        Arc::new(ClientShared::new(id, "127.0.0.1:1".into(), String::new(), 0, worker, 0))
    }

    #[test]
    fn everybody_is_seen_once_in_pages() {
        let registry = Registry::default();
        assert_eq!(Totals::read(&registry, 2).connected, 0);
        for n in 0..3 * PAGE {
            registry.add(client(registry.next_id(), n % 2));
        }
        let mut seen = Vec::new();
        each(&registry, |client| seen.push(client.id));
        assert_eq!(seen, (1..=3 * PAGE as u64).collect::<Vec<_>>());
    }

    #[test]
    fn totals_count_by_worker_and_kind() {
        let registry = Registry::default();
        (1..=5).for_each(|id| registry.add(client(id, usize::from(id > 3))));
        registry.get(2).unwrap().set_flag(ClientShared::BLOCKED, true);
        registry.get(3).unwrap().set_flag(ClientShared::PUBSUB, true);
        // A worker that there is not: the figures stay whole.
        registry.add(client(6, 9));
        let totals = Totals::read(&registry, 2);
        assert_eq!((totals.connected, totals.blocked, totals.subscribers), (6, 1, 1));
        assert_eq!(totals.by_worker, [3, 2]);
        assert!(totals.bytes >= 6 * size_of::<ClientShared>() as u64);
    }
}
