//! RESP2 and RESP3 bytes on one side, arguments and replies on the other.
//!
//! The crate does no I/O and knows no command: it turns what a socket delivered into batches of
//! [`Request`]s and what the commands answer into bytes.
//!
//! - [`Decoder`] owns a connection's receive buffers and parses pipelines, resuming at any byte.
//! - [`Queue`] keeps commands beyond their batch.
//! - [`chunk`] is the memory of big arguments, which is used again.
//! - [`Reply`] collects the answers of a batch and hides the difference between the protocols.
//! - [`number`] parses and prints numbers the way the protocol's users expect, to the byte.
//! - [`client`] is the other end: it reads replies, for the load generator and cluster links.
//! - [`limits`] names every limit; [`error`] holds the texts of the protocol errors.
#![forbid(unsafe_code)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

pub mod chunk;
pub mod client;
pub mod error;
mod inline;
pub mod limits;
pub mod number;
mod reply;
mod request;

pub use error::ProtocolError;
pub use limits::Limits;
pub use reply::{Deferred, Mark, Reply, push_bulk, push_header};
pub use request::{ArgValue, Decoder, Queue, Request};

/// The protocol version a connection has chosen with `HELLO`; every connection starts in RESP2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// RESP2: five types; what RESP3 added is folded into them.
    #[default]
    Resp2,
    /// RESP3: maps, sets, doubles, booleans, pushes and a null of its own.
    Resp3,
}
