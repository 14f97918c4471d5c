//! What the tests from outside share: starting servers, a strict RESP client, a small generator of
//! random numbers.
//!
//! Nothing here uses the server's own protocol code: a mistake in it must not hide itself.
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod client;
pub mod process;
pub mod resp;
pub mod rng;
pub mod transcript;

pub use client::{Client, command};
pub use process::{Server, eventually, redis_server};
pub use resp::Value;
pub use rng::Rng;
pub use transcript::{follow, show};

use std::sync::{Mutex, MutexGuard};

static QUIET: Mutex<()> = Mutex::new(());

/// Tests that measure memory or open thousands of sockets run one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    QUIET.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
