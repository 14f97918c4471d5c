//! Keyspace notifications. Nobody can subscribe to them yet: branch `pubsub` replaces this file.

/// A class of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms, reason = "as they will be called")]
pub enum Class {
    /// Lists.
    LIST,
    /// Sorted sets.
    ZSET,
}
