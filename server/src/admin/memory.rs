//! Where the memory is, by class.

use crate::server::Server;
use crate::stats::{Gauge, WorkerStats};

/// The classes in the order in which they are shown; their sum is what the process counts.
pub(super) const CLASSES: [&str; CLASS_COUNT] =
    ["entries", "tables", "eviction", "misses", "limbo", "clients", "tracking", "scripts"];
const CLASS_COUNT: usize = 8;

/// Bytes by class.
pub(super) type Classes = [u64; CLASS_COUNT];

/// Reads them; `clients` is what the clients hold.
pub(super) fn classes(server: &Server, clients: u64) -> Classes {
    let store = server.keyspace.memory();
    let lua = |of: fn(&WorkerStats) -> &Gauge| -> u64 {
        server.stats.workers().map(|worker| of(worker).get()).sum()
    };
    let texts = server.scripts.memory() + server.libraries.current().memory();
    let scripts = lua(|w| &w.lua.eval) + lua(|w| &w.lua.functions) + texts as u64;
    let tracking = server.tracker().bytes();
    let dunlin_storage::MemoryStats { entries, tables, eviction, misses, limbo, .. } = store;
    [entries, tables, eviction, misses, limbo, clients, tracking, scripts]
}
