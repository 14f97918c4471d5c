//! The commands: one static table, one file per family.
//!
//! To add a command, add a row and its handler to the family's file; nothing else.

pub mod call;
pub mod docs;
pub mod error;
#[macro_use]
pub mod spec;
pub mod table;

mod bitmap;
mod category;
mod connection;
mod expiry;
mod generic;
mod help;
mod scripting;
mod server;
mod string;
