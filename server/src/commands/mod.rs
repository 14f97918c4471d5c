//! The commands: one static table, one file per family.
//!
//! To add a command, add a row and its handler to the family's file; nothing else.

pub mod call;
pub mod category;
pub mod collection;
pub mod docs;
pub mod error;
pub mod keys;
#[macro_use]
pub mod spec;
pub mod table;

mod bitmap;
mod blocking;
mod cluster;
mod connection;
mod draw;
mod expiry;
mod generic;
mod geo;
mod hash;
mod help;
mod hyperloglog;
mod list;
mod multi_pop;
mod pubsub;
pub(crate) mod scripting;
mod server;
mod set;
mod sorted_set;
mod stream;
mod string;
mod transactions;
mod walk;
