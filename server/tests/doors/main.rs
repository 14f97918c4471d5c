//! Too many connections, connections that do not get on, and clients that do not read: what the server
//! does at its doors, over real sockets.

mod descriptors;
mod half_open;
mod slow_readers;
#[path = "../support/mod.rs"]
mod support;
