//! The cluster: several servers that share one set of keys, for clients of Redis Cluster.
//!
//! A key is in one of [`slot::SLOTS`] slots, and a slot has one **owner**, who serves it. Up to two
//! other nodes keep **backups** of it, which clients do not see. Who has what is the [`map`], which the
//! members agree on by Raft; each map has a higher **epoch** than the one before.
//!
//! ```text
//!            clients
//!               |  MOVED, CLUSTER SLOTS
//!   routes  <---+---------- view       every worker: may this command run here, now?
//!     ^                      ^
//!     | fence, serve         | newest map, replies rendered once
//!     |                      |
//!   stream ----- done -----> meta      changes of the map are proposed; Raft decides
//!     |  base walk, changes   |  lease: how long this node may act on what it knows
//!     v                      v
//!            other nodes (link: frames over the cluster bus)
//! ```
//!
//! - [`meta`]: membership, the map and leases. Consensus is openraft's; what the entries of its log
//!   ([`change`]) mean is ours, and pure ([`apply`]).
//! - [`plan`]: where slots shall be, given where they are and who is there. Pure.
//! - `stream`: the way of data. An owner sends what it owns to those who back it up or shall take it
//!   over: a walk through all keys, and what changes meanwhile and after. There is one mechanism for
//!   both: to move slots is to make the taker a backup, and then to hand over.
//! - `routes`: the state of each slot on this node, one byte that dispatch reads for each key.
//! - `view`: the newest map as clients see it: rendered once per epoch, the same bytes on all nodes.
//! - [`link`]: connections between nodes: mutual authentication, frames with checked lengths.
//!
//! # What is promised
//!
//! Per key, a read returns the value last acknowledged **or a miss, never an older value**, whoever
//! joins, leaves or is cut off; what the crash of an owner costs depends on `cluster-replication` (see
//! README). It rests on five rules:
//!
//! 1. **One owner.** A slot has one owner in each map; maps are in one order, which Raft gives.
//! 2. **Leases.** A node serves only while it holds a lease that the leader has granted after it has
//!    made sure that it leads. A member is removed only when every lease that it may hold is over. The
//!    lease is looked at before a turn and again before its replies are sent.
//! 3. **Hand-over.** The owner fences slots (their commands wait), lets what runs come to an end,
//!    sends the last of their changes, and proposes the commit only when the taker has confirmed
//!    everything. From then on it may not serve them again before it knows how the proposal ended.
//! 4. **In sync or nothing.** Only a backup that the map calls in sync follows an owner that is gone;
//!    otherwise the slot begins empty. What a node had in memory before its restart never comes back.
//! 5. **First the view, then the answer.** A node that says MOVED shows the map that says so.

pub mod announce;
pub mod apply;
pub mod begin;
pub mod change;
pub mod farewell;
pub mod here;
mod jobs;
pub mod keeper;
pub mod lease;
pub mod link;
pub mod map;
pub mod meta;
pub mod node;
pub mod operations;
mod operators;
pub mod plan;
pub mod redirect;
pub mod routes;
pub mod runs;
pub mod runtime;
pub mod slot;
pub mod stream;
pub mod view;

pub use here::Cluster;
