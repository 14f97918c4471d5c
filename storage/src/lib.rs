//! The lock-free sharded keyspace of Dunlin: keys, values, expiry, eviction. No protocol, no
//! sockets, no clock: time is passed in as unix milliseconds.
//!
//! # Consistency
//!
//! - A key's reads and writes are linearizable: a write is visible to every thread from the moment
//!   [`Writer`]'s method returns, and a read that starts after it sees it or something later.
//! - An expired key is never seen, whether or not it was removed yet.
//! - Reads take no lock, never wait for a writer and never retry. What they return stays readable
//!   until the guard is dropped.
//! - Writes need the role of the key's shard, which one thread has at a time. Nobody waits for it:
//!   [`Keyspace::try_enter`] says no, [`Keyspace::submit`] leaves the work with the holder.
//! - A write over several shards is atomic for whoever checks [`Keyspace::multi_seq`] around its
//!   reads, or reads under the roles. A plain read may see one key of it before the others.
//! - Every change of a key is told to the [`Observer`], if there is one: once, in their order.
//! - A scan returns every key that is there from its start to its end at least once.
//!
//! ```
//! use dunlin_storage::{DbId, Keyspace, NewValue, Options, ShardSet, Str, Touch, Value};
//!
//! let keyspace = Keyspace::new(Options::default());
//! let handle = keyspace.handle();
//! let guard = handle.pin();
//! let key = keyspace.key(b"greeting");
//! let shards = ShardSet::one(keyspace.shard_of(key.hash));
//! let mut writer = keyspace.try_enter(&shards, &guard).expect("nobody else is here");
//! writer.put(DbId(0), &key, NewValue::Bytes(b"hello"), None, 0);
//! drop(writer);
//! let entry = keyspace.get(DbId(0), &key, 0, Touch::Yes, &guard).expect("just stored");
//! let Value::Str(text) = entry.value() else { unreachable!() };
//! assert!(text.eq_bytes(b"hello"));
//! ```

mod compact;
mod entry;
mod epoch;
pub mod eviction;
mod expiry;
mod hash;
pub mod huge_pages;
mod keyspace;
pub mod memory;
mod misses;
#[cfg(loom)]
#[doc(hidden)]
pub mod model;
mod observer;
mod reclaim;
pub mod scheduling;
mod shard;
mod shelf;
mod slab;
pub mod slots;
mod stats;
#[cfg(shuttle)]
#[doc(hidden)]
pub mod steps;
mod survey;
pub mod sync;
mod table;
mod tidy;
pub mod value;
mod walk;
mod writer;

/// Unix time in milliseconds.
pub type Millis = i64;

pub use entry::{ENTRY_PART_MAX, Entry};
pub use epoch::{Guard, Handle};
pub use eviction::{Policy, SliceReport};
pub use hash::{Key, KeyHash, ShardId};
pub use keyspace::{Database, DbId, Keyspace, Options, PREFETCH_MAX, Touch};
pub use memory::MemoryStats;
pub use misses::Miss;
pub use observer::{Cause, Change, Observer};
pub use shard::{Baton, Errand, Job, ShardSet};
pub use slab::SlabStats;
pub use slots::{Clearing, SLOTS, ShownSlots, SlotOf, SlotSet};
pub use stats::{AutoStats, ShardStats, StoreStats};
pub use survey::{Place, Surveyed};
pub use value::object::{Object, Packed};
pub use value::rope::{CHUNK, Rope};
pub use value::string::{BIG_VALUE, Encoding, NewValue, Str, canonical_i64};
pub use value::{Kind, Value};
pub use walk::Walk;
pub use writer::{Put, Writer};
