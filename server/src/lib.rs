//! Dunlin: a lock-free, sharded, in-memory cache server that speaks RESP.
//!
//! This crate composes the keyspace (`dunlin-storage`) and the protocol (`dunlin-protocol`); it
//! is the only one that knows sockets, clocks and files. See ARCHITECTURE.md for the tour.
#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods)]

pub mod acl;
pub mod admin;
pub mod blocking;
pub mod boot;
pub mod client;
pub mod cluster;
#[macro_use]
pub mod commands;
pub mod config;
mod connection;
mod dispatch;
pub mod escape;
mod files;
pub mod glob;
pub mod inbox;
pub mod insight;
pub mod interest;
pub mod latency;
pub mod migrate;
pub mod monitor;
pub mod notify;
pub mod overload;
pub mod pause;
pub mod placement;
pub mod pubsub;
pub mod rates;
pub mod rdb;
pub mod redact;
pub mod runtime;
pub mod scripting;
pub mod server;
pub mod session;
pub mod slowlog;
pub mod snapshot;
pub mod stats;
pub mod tls;
mod tools;
pub mod tracking;

pub use dispatch::Context;

/// The writer roles of a turn, borrowed from the keyspace for as long as the epoch is pinned.
pub type Roles<'g> = dunlin_storage::Writer<'g, 'g>;
