//! The accepted differences, each with its reason.
//!
//! The reference is the redis-server of the distribution (7.0), the goal is compatibility with 7.2:
//! most rows are changes that Redis itself made between the two.

use crate::sequence::Step;
use crate::support::Value;

/// One accepted difference.
pub(crate) struct Accepted {
    pub(crate) reason: &'static str,
    pub(crate) applies: fn(&Step, &Value, &Value) -> bool,
    /// the data differs from here on: the sequence cannot go on
    pub(crate) ends: bool,
}

/// The list.
pub(crate) const ACCEPTED: &[Accepted] = &[];

/// The accepted difference that covers these replies.
pub(crate) fn accepted(step: &Step, reference: &Value, subject: &Value) -> Option<usize> {
    ACCEPTED.iter().position(|row| (row.applies)(step, reference, subject))
}
