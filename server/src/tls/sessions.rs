//! TLS sessions that can be resumed: rustls's bounded cache, with `tls-session-cache-timeout`.

use crate::runtime::clock::Clock;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use std::sync::Arc;

/// Bytes that hold the time before a session's own.
const STAMP: usize = size_of::<u64>();

/// A cache in which a session is too old after a number of seconds.
#[derive(Debug)]
pub(super) struct Sessions {
    cache: Arc<ServerSessionMemoryCache>,
    clock: Clock,
    timeout_ns: u64,
}

impl Sessions {
    pub(super) fn new(size: usize, timeout_seconds: u32) -> Sessions {
        Sessions {
            cache: ServerSessionMemoryCache::new(size),
            clock: Clock::new(),
            timeout_ns: u64::from(timeout_seconds).saturating_mul(1_000_000_000),
        }
    }

    /// The session without its stamp, unless it is too old.
    fn fresh(&self, stamped: Vec<u8>) -> Option<Vec<u8>> {
        let (stamp, session) = stamped.split_at_checked(STAMP)?;
        let since = u64::from_be_bytes(stamp.try_into().ok()?);
        let age = self.clock.monotonic_ns().saturating_sub(since);
        (age <= self.timeout_ns).then(|| session.to_vec())
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, session: Vec<u8>) -> bool {
        let mut stamped = self.clock.monotonic_ns().to_be_bytes().to_vec();
        stamped.extend_from_slice(&session);
        self.cache.put(key, stamped)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.cache.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.cache.take(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_come_back_until_they_are_too_old() {
        let sessions = Sessions::new(16, 300);
        assert!(sessions.put(b"k".to_vec(), b"secret".to_vec()));
        assert_eq!(sessions.get(b"k"), Some(b"secret".to_vec()));
        assert_eq!(sessions.take(b"k"), Some(b"secret".to_vec()));
        assert_eq!(sessions.get(b"k"), None);
        let short = Sessions::new(16, 0);
        short.put(b"k".to_vec(), b"secret".to_vec());
        let before = short.clock.monotonic_ns();
        while short.clock.monotonic_ns() == before {}
        assert_eq!(short.get(b"k"), None);
    }
}
