//! The orderly end of the process.
//!
//! SIGTERM, SIGINT or SHUTDOWN request it: listeners stop, every connection is signalled, runs
//! what it has received, flushes and closes; then the workers return and the process exits 0. A
//! second signal ends the process at once.

use crate::client::Registry;
use crate::server::Server;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// The request to end.
#[derive(Debug)]
pub struct Shutdown {
    /// Set once, before the watchers are told; read by connections when they are signalled.
    requested: AtomicBool,
    sender: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { requested: AtomicBool::new(false), sender: watch::Sender::new(false) }
    }
}

impl Shutdown {
    /// Requests the end; false if it had been requested before.
    pub fn request(&self, clients: &Registry) -> bool {
        let first = !self.requested.swap(true, Ordering::AcqRel);
        self.sender.send_replace(true);
        for client in clients.all() {
            client.signal.notify();
        }
        first
    }

    /// Whether the end has been requested.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Something to wait on.
    pub fn watch(&self) -> Watch {
        Watch(self.sender.subscribe())
    }
}

/// One waiter for the end.
#[derive(Debug)]
pub struct Watch(watch::Receiver<bool>);

impl Watch {
    /// Ready once the end is requested.
    pub async fn requested(&mut self) {
        // The sender lives as long as the process.
        let _ = self.0.wait_for(|requested| *requested).await;
    }
}

/// Turns SIGTERM and SIGINT into requests; the second one ends the process at once.
pub fn on_signals(server: &'static Server) -> io::Result<impl Future<Output = ()> + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => info!("SIGTERM received"),
                _ = interrupt.recv() => info!("SIGINT received"),
            }
            let drain = u64::from(server.settings().drain_seconds);
            if !server.shutdown.requested() && drain > 0 {
                info!(seconds = drain, "serving on before the shutdown");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(drain)) => {}
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            if !server.shutdown.request(&server.clients) {
                info!("second signal: ending at once");
                std::process::exit(1);
            }
        }
    })
}
