//! The server's ground: workers, sockets, clock, log, limits.
pub mod affinity;
pub mod clock;
pub mod container;
pub mod listen;
pub mod logging;
