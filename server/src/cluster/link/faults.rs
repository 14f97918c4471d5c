//! What was wrong with what came over the bus. Such a connection is closed, nothing that was in it has
//! had an effect, and it is counted here, so that an operator sees that somebody knocks.

use super::handshake::Refusal;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Whoever came is not to be trusted, repeats what another one has said, is of another cluster, or
    /// speaks another version.
    Refused,
    /// The connection has ended, or said nothing for too long, within a handshake or a frame.
    Truncated,
    /// What came is no frame, or none that may be there: another version, too long, of no known kind.
    Malformed,
}

/// How often.
#[derive(Debug, Default)]
pub struct Faults([AtomicU64; 3]);

impl Faults {
    /// There was one.
    pub fn count(&self, fault: Fault) {
        if let Some(count) = self.0.get(fault as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection has failed: that is one, unless the other side or the way to it is gone.
    pub fn count_error(&self, error: &Error) {
        match error.kind() {
            ErrorKind::InvalidData => self.count(Fault::Malformed),
            ErrorKind::UnexpectedEof => self.count(Fault::Truncated),
            ErrorKind::PermissionDenied => self.count(Fault::Refused),
            _ => {}
        }
    }

    pub(super) fn count_refusal(&self, refusal: &Refusal) {
        match refusal {
            Refusal::Refused(_) => self.count(Fault::Refused),
            Refusal::Broken(error) => self.count_error(error),
        }
    }

    /// How often there was one.
    #[must_use]
    pub fn get(&self, fault: Fault) -> u64 {
        self.0.get(fault as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
