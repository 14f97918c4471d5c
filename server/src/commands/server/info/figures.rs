//! Memory figures that INFO and MEMORY share.

use crate::client::ClientShared;
use crate::runtime::container;
use crate::server::Server;
use dunlin_storage::MemoryStats;
use std::sync::atomic::Ordering;

/// Where the memory is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryFigures {
    /// What the store counts.
    pub(crate) store: MemoryStats,
    /// Store, clients, and what is remembered of keys that clients keep.
    pub(crate) used: u64,
    /// The most that `used` was seen to be.
    pub(crate) peak: u64,
    /// Resident bytes of the process.
    pub(crate) resident: u64,
    /// Buffers of the connections.
    pub(crate) clients: u64,
    /// maxmemory.
    pub(crate) limit: u64,
}

impl MemoryFigures {
    /// Reads the figures.
    pub(crate) fn read(server: &Server) -> Self {
        let store = server.keyspace.memory();
        let clients = server.clients.all().iter().map(|client| client_bytes(client)).sum();
        let used = store.used + clients + server.tracker().bytes();
        let peak = server.peak_memory.fetch_max(used, Ordering::Relaxed).max(used);
        let limit = server.settings().maxmemory;
        MemoryFigures { store, used, peak, resident: container::resident(), clients, limit }
    }

    /// What is not keys and values.
    pub(crate) fn overhead(&self) -> u64 {
        self.used.saturating_sub(self.dataset())
    }

    /// Keys and values.
    pub(crate) fn dataset(&self) -> u64 {
        self.store.entries
    }

    /// What is used, and the slack of the pages that entries are on.
    pub(crate) fn active(&self) -> u64 {
        self.used + self.store.slab.slack()
    }

    /// Resident memory over counted memory.
    pub(crate) fn fragmentation(&self) -> f64 {
        ratio(self.resident, self.used)
    }
}

/// A ratio for people.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub(crate) fn ratio(whole: u64, part: u64) -> f64 {
    if part == 0 { 0.0 } else { whole as f64 / part as f64 }
}

fn client_bytes(client: &ClientShared) -> u64 {
    client.held() + size_of::<ClientShared>() as u64
}

/// Bytes with a unit, as `used_memory_human` prints them.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub(super) fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64;
    let mut unit = 'B';
    for next in ['K', 'M', 'G', 'T', 'P', 'E'] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.2}{unit}")
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_for_people() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1_039_920), "1015.55K");
        assert_eq!(human(25_276_510_208), "23.54G");
        assert_eq!(human(u64::MAX), "16.00E");
    }
}
