//! The server's ground: workers, sockets, clock, log, limits.
pub mod container;
