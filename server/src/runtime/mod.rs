//! The server's ground: workers, sockets, clock, log, limits.

pub mod accept;
pub mod activation;
pub mod affinity;
pub mod announce;
pub mod chunks;
pub mod clock;
pub mod container;
pub mod doors;
pub mod heartbeat;
pub mod listen;
pub mod logging;
pub mod pages;
pub mod phase;
pub mod pidfile;
pub mod pool;
pub mod process;
pub mod refuse;
pub mod shutdown;
pub mod supervisor;
pub mod sweep;
pub mod worker;
