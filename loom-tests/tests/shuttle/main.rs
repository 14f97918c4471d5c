//! Schedules of the real engine under Shuttle; empty without `--cfg shuttle`.
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" DUNLIN_SHUTTLE_SCHEDULES=10000 DUNLIN_SHUTTLE_SEED=1 \
//!     cargo test -p loom-tests --profile loom --target-dir target/shuttle --test shuttle
//! ```
//!
//! Loom explores all schedules of a tiny engine; here are some schedules of the real one: its buckets,
//! groups, batches and pages, three to five tasks, programs drawn anew for each schedule. Half of the
//! schedules go at random, half by priorities that change twice (PCT of depth 3). Every module says what it
//! checks; `world` what is checked of each at the end, and `dunlin_storage::steps` what is explored.

#![cfg(shuttle)]

mod compaction;
mod eviction;
mod expiry;
mod explore;
mod flush;
mod growth;
mod history;
mod multi;
mod registers;
mod scan;
mod world;
