//! Whether a script keeps to the keys that it names.
//!
//! A script may use any key; those that its caller names are a promise which Redis without a cluster
//! does not ask it to keep. Dispatch needs to know: a script that keeps to its keys needs only their
//! roles, and others run beside it; one that does not needs all. Nobody can tell by reading it, so
//! the first run is under all roles, and what it does is believed from then on. The belief is no
//! matter of safety: a script that turns out to go further is noticed before it does.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is known of a script; see the [module documentation](self).
#[derive(Debug, Default)]
pub struct Reach(AtomicU8);

const UNKNOWN: u8 = 0;
const KEEPS: u8 = 1;
const EXCEEDS: u8 = 2;

impl Reach {
    /// It has run, and whenever it has it kept to its keys.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.load(Ordering::Relaxed) == KEEPS
    }

    /// A run has come to its end and has kept to its keys.
    pub fn note_kept(&self) {
        if self.0.load(Ordering::Relaxed) == UNKNOWN {
            // Who has seen it go further meanwhile is right.
            let _ = self.0.compare_exchange(UNKNOWN, KEEPS, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A run wants a key that it has not named.
    pub fn note_exceeded(&self) {
        self.0.store(EXCEEDS, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn one_run_that_goes_further_is_never_forgotten() {
        let reach = Reach::default();
        assert!(!reach.is_kept());
        reach.note_kept();
        assert!(reach.is_kept());
        reach.note_exceeded();
        reach.note_kept();
        assert!(!reach.is_kept());
    }
}
