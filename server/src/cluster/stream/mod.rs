//! The way of data between nodes: whoever owns slots sends what is in them to those who keep backups of
//! them, or are to take them over.
//!
//! ```text
//!        owner                                              keeper of copies
//!
//!  writers --- mark ---> taps (an outbox per shard and peer)
//!                          | pop
//!  keyspace --- read ---> source --- frames over the bus ---> sink --- put ---> keyspace
//!       base walk -------^   ^                                 |                    |
//!                            `-------- credit, acknowledged ---'                 copies: who may
//!                                                                                write to a slot
//! ```
//!
//! What is sent is never a command but the **state** that a key has at that moment, and the order in which
//! states are read is the order in which they are sent and stored. Nothing needs a version, a hot key
//! waits in an outbox once however often it changes, and memory is bounded by the number of keys that
//! have changed. [`outbox`] has the argument, and a model that tests it.
//!
//! So a transaction is not sent as one: who follows an owner that has crashed may have one part of
//! it and not the other. Slots that are handed over in order come as they are: nobody changes them by
//! then.
//!
//! - [`outbox`]: what of a shard a peer has still to be told. Pure.
//! - [`taps`]: how changes come there.
//! - [`source`]: the thread that sends to a peer; [`present`]: the state of a key; [`window`]: how much
//!   may be under way; [`pace`]: how it gives way.
//! - [`sink`]: the thread that takes what an owner sends; [`copies`]: what this node has of others.
//! - [`frame`]: what is sent, byte for byte; [`ranges`]: sets of slots.
//! - [`awaited`]: what WAIT waits for; [`hold`]: what replies wait for.
//! - [`role`]: work under the role of a shard; [`connection`]: sockets.

pub mod awaited;
pub mod connection;
pub mod copies;
pub mod frame;
pub mod hold;
pub mod outbox;
mod pace;
mod present;
pub mod ranges;
pub(in crate::cluster) mod role;
pub mod sink;
pub mod source;
pub mod taps;
pub mod window;
