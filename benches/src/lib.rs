//! Benchmarks of Dunlin: the load generator, the side-by-side harness and what the criterion
//! benches share.
//!
//! # How servers are compared
//!
//! All servers of a comparison run at the same time, idle ones costing nothing, each started
//! fresh, without persistence and pinned to one core; the generator runs on the other. Within a
//! round every load goes to every server in turn, so that slow changes of the machine meet all of
//! them; the next round begins with another server. What is compared is the **server's own CPU
//! time per operation** (sum over its threads from `/proc/PID/task/*/schedstat`), which a busy
//! neighbour hardly disturbs, as the median of the ratios within each round. Throughput and
//! latency stand beside it.
//!
//! Closed loops ([`load`]) show cost and peak; their latencies leave out what a stalled server
//! keeps the generator from sending. Where a stall is the question the loop is open ([`open`]):
//! requests have planned times, and latency counts from the plan.
//!
//! # Map
//!
//! - [`rng`], [`request`], [`scan`]: what is sent and how replies are told apart.
//! - [`load`], [`open`]: closed and open loop.
//! - [`process`], [`peer`], [`control`]: servers: start, pin, measure, ask, kill; [`peer::Way`]: TCP,
//!   a unix socket or TLS.
//! - [`report`]: tables, medians, JSON.
//! - [`compare`], [`standard`], [`latency`], [`stall`], [`soak`], [`scripts`], [`memory`], [`collections`],
//!   [`maxmemory`], [`expiry`], [`storage`], [`mixes`], [`overload`], [`overhead`], [`replay`]: the
//!   subcommands of `dunlin-bench`.
//! - [`floor`]: the cheapest server there can be, to compare with.

#![expect(clippy::disallowed_methods, reason = "measuring reads the real clock")]

pub mod cluster;
pub mod collections;
pub mod compare;
pub mod control;
pub mod expiry;
pub mod floor;
pub mod latency;
mod link;
pub mod load;
pub mod maxmemory;
pub mod memory;
pub mod migration;
pub mod mixes;
pub mod open;
pub mod overhead;
pub mod overload;
pub mod peer;
pub mod placement;
pub mod process;
pub mod replay;
pub mod report;
pub mod request;
pub mod rng;
pub mod scan;
mod scratch;
pub mod scripts;
pub mod soak;
pub mod stall;
pub mod standard;
pub mod storage;
mod tls;

/// What goes wrong in a measurement; it ends the program with a message.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// Result of a measurement's step.
pub type Outcome<T> = Result<T, Failure>;

/// Unix time in milliseconds.
#[must_use]
pub fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| d.as_millis() as u64)
}
