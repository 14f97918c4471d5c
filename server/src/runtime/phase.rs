//! Where the process stands between its start and its end.
//!
//! Phases only go forwards. Who wants to know whether new clients are welcome (readiness) or whether
//! the data is there (`LOADING`) reads one word.

use std::sync::atomic::{AtomicU8, Ordering};

/// A phase of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// The snapshot is being read; commands on data are answered `LOADING`.
    Loading,
    /// As usual.
    Serving,
    /// A shutdown has been asked for; clients are served on and should go elsewhere.
    Draining,
    /// Connections are being ended.
    Ending,
}

impl Phase {
    const ALL: [Phase; 4] = [Phase::Loading, Phase::Serving, Phase::Draining, Phase::Ending];

    /// In lower case, for logs and probes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Loading => "loading",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
            Phase::Ending => "ending",
        }
    }
}

/// The phase of the process, shared.
#[derive(Debug)]
pub struct Phases {
    /// Number of a [`Phase`]. Raised only (`fetch_max`); it publishes nothing but itself, because what
    /// a phase promises is reached through other means (roles, channels).
    now: AtomicU8,
}

impl Default for Phases {
    fn default() -> Self {
        Phases { now: AtomicU8::new(Phase::Serving as u8) }
    }
}

impl Phases {
    /// A process that has a snapshot to read first.
    #[must_use]
    pub fn loading() -> Self {
        Phases { now: AtomicU8::new(Phase::Loading as u8) }
    }

    /// The phase.
    #[must_use]
    pub fn now(&self) -> Phase {
        let number = usize::from(self.now.load(Ordering::Acquire));
        Phase::ALL.get(number).copied().unwrap_or(Phase::Ending)
    }

    /// Goes on to `phase`, unless that is past.
    pub fn enter(&self, phase: Phase) {
        self.now.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Whether commands on data have to wait for the snapshot.
    #[inline]
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.now.load(Ordering::Relaxed) == Phase::Loading as u8
    }

    /// Whether new clients are welcome.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.now() == Phase::Serving
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, Phases};

    #[test]
    fn goes_forwards_only() {
        let phases = Phases::loading();
        assert!(!phases.is_ready());
        phases.enter(Phase::Serving);
        assert!(phases.is_ready());
        phases.enter(Phase::Draining);
        phases.enter(Phase::Serving);
        assert_eq!(phases.now(), Phase::Draining);
    }
}
