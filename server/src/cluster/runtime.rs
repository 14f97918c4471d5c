//! The threads of the cluster: one for everything that is not data (Raft, leases, links), and one for
//! the connections of data and their keeper.
//!
//! Each has a runtime of its own, so a worker that is busy, or a node that sends what it has, delays no
//! heartbeat, and what is done here delays no command. A lease is a word in memory that workers read
//! ([`super::lease`]).

use dunlin_storage::scheduling;
use std::future::Future;
use std::io;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread.
#[derive(Debug)]
pub struct Runtime {
    handle: Handle,
    /// Ends the thread when it is dropped.
    end: oneshot::Sender<()>,
}

impl Runtime {
    /// Starts it, nicer than workers by so much.
    ///
    /// # Errors
    /// If the system has no thread or no poll for it.
    pub fn start(name: &str, nice: i32) -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // What is done here is little, and others wait for it: other nodes, and commands while slots are
            // handed over. A system that does not allow it still runs the thread.
            let _ = scheduling::ask_for_short_slices();
            let _ = rustix::process::nice(nice);
            let _ = runtime.block_on(ended);
        })?;
        Ok(Runtime { handle, end })
    }

    /// It runs as long as the process.
    pub fn run_for_ever(self) {
        std::mem::forget(self.end);
    }

    /// To spawn on it.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs something on it and waits for the result: for the start and the end of the process.
    ///
    /// # Errors
    /// If the thread has ended.
    pub fn wait_for<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let (send, receive) = std::sync::mpsc::channel();
        self.handle.spawn(async move {
            let _ = send.send(future.await);
        });
        receive.recv().map_err(|_| io::Error::other("the cluster's thread has ended"))
    }
}
