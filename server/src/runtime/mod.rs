//! The server's ground: workers, sockets, clock, log, limits.

use std::future::Future;
use std::io;
use std::pin::Pin;

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
mod standing;
pub mod supervisor;
pub mod sweep;
pub mod worker;

/// What a thread with a runtime runs, one type for all of them: so there is one copy of the runtime's
/// loop, a part of every turn, and the compiler puts its pieces together. With a copy for each type it
/// does not: 70 instructions per turn.
pub(crate) type Body = Pin<Box<dyn Future<Output = io::Result<()>>>>;
