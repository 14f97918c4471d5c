//! Who comes in: the rate that all listeners share, and what has become of those who came.

use super::accept::AcceptRate;
use crate::config::Settings;
use crate::server::Server;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// New connections of the process.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Locked once per accepted connection, by the first worker.
    rate: Mutex<AcceptRate>,
    /// Accepted only after a wait.
    pub delayed: AtomicU64,
    /// Gone, or about to go, when it was their turn to wait: they do not count in the rate.
    pub gone: AtomicU64,
    /// Told that there is no place for want of descriptors.
    pub turned_away: AtomicU64,
    /// Failures of accept.
    pub failures: AtomicU64,
    /// TLS handshakes.
    pub handshakes: Handshakes,
}

/// What has become of TLS handshakes.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// Neither finished nor given up.
    pub open: AtomicU64,
    /// Of these, those that are being worked on.
    pub in_progress: AtomicU64,
    /// Finished.
    pub completed: AtomicU64,
    /// Ended by an error, or in the middle.
    pub failed: AtomicU64,
    /// Not finished in time.
    pub late: AtomicU64,
    /// The client had closed before it was its turn.
    pub given_up: AtomicU64,
    /// Dropped because too many newer ones were open.
    pub dropped: AtomicU64,
}

impl Arrivals {
    fn rate(&self) -> MutexGuard<'_, AcceptRate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds that the next connection has to wait.
    pub fn wait(&self, server: &Server, settings: &Settings) -> u64 {
        let floor = floor(server, settings);
        self.rate().wait(server.clock.monotonic_ns(), server.overload.any(), floor)
    }

    /// A connection was accepted; `delayed`: only after a wait.
    pub fn accepted(&self, server: &Server, delayed: bool) {
        self.rate().accepted(server.clock.monotonic_ns(), delayed);
        if delayed {
            self.delayed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections per second that are accepted at most; `None`: as many as come.
    pub fn limit(&self, server: &Server) -> Option<u64> {
        // Intervals pass also while nobody comes.
        self.wait(server, &server.settings());
        self.rate().limit()
    }

    /// The lines of INFO overload; a limit of 0 is none.
    pub fn show(&self, server: &Server, line: &mut dyn FnMut(&str, &dyn Display)) {
        let Handshakes { open, in_progress, completed, failed, late, given_up, dropped } =
            &self.handshakes;
        line("accept_rate_limit", &self.limit(server).unwrap_or(0));
        for (field, figure) in [
            ("accepts_delayed", &self.delayed),
            ("accepts_gone", &self.gone),
            ("accepts_turned_away", &self.turned_away),
            ("accept_failures", &self.failures),
            ("tls_handshakes_open", open),
            ("tls_handshakes_in_progress", in_progress),
            ("tls_handshakes_completed", completed),
            ("tls_handshakes_failed", failed),
            ("tls_handshakes_late", late),
            ("tls_handshakes_given_up", given_up),
            ("tls_handshakes_dropped", dropped),
        ] {
            line(field, &figure.load(Ordering::Relaxed));
        }
    }
}

fn floor(server: &Server, settings: &Settings) -> u64 {
    u64::from(settings.arrivals.rate_min).saturating_mul(server.workers as u64)
}
