//! ACL LOG: the latest refusals. Locked only by a refusal and by ACL LOG.
//!
//! A client that goes on trying would fill the log with one and the same line, so a refusal that is
//! like one of the latest is counted there.

use super::check::Reason;
use dunlin_storage::Millis;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Among so many of the latest entries a like one is looked for.
const LOOK_BACK: usize = 10;
/// Refusals further apart are not counted as one.
const MERGE_MILLIS: Millis = 60_000;
/// Bytes kept of a name of a key, channel or user, and of the line about the client, which has its names
/// in it: they come from the client.
const MAX_NAME: usize = 4 * 1024;
/// `acllog-max-len` unless set.
const DEFAULT_LEN: usize = 128;

/// Where a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogContext {
    /// As it came from the client.
    TopLevel,
    /// In a transaction.
    Multi,
    /// In a script.
    Lua,
}

impl LogContext {
    /// The word of ACL LOG.
    pub fn name(self) -> &'static str {
        match self {
            LogContext::TopLevel => "toplevel",
            LogContext::Multi => "multi",
            LogContext::Lua => "lua",
        }
    }
}

/// One refusal, or several like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// How many.
    pub count: u64,
    /// What there was no right to.
    pub reason: Reason,
    /// Where.
    pub context: LogContext,
    /// Name of the command, key or channel.
    pub object: Vec<u8>,
    /// Name of the user.
    pub user: Vec<u8>,
    /// Time of the first.
    pub created: Millis,
    /// Time of the latest.
    pub updated: Millis,
    /// The latest client, as in CLIENT LIST.
    pub client: String,
    /// Number of the entry, never used twice.
    pub id: u64,
}

impl LogEntry {
    /// A refusal.
    pub fn new(
        reason: Reason,
        context: LogContext,
        object: &[u8],
        user: &[u8],
        mut client: String,
        now: Millis,
    ) -> LogEntry {
        client.truncate(client.floor_char_boundary(MAX_NAME));
        let short = |name: &[u8]| name[..name.len().min(MAX_NAME)].to_vec();
        LogEntry {
            count: 1,
            reason,
            context,
            object: short(object),
            user: short(user),
            created: now,
            updated: now,
            client,
            id: 0,
        }
    }

    fn is_like(&self, other: &LogEntry) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && (self.updated - other.updated).abs() <= MERGE_MILLIS
            && self.object == other.object
            && self.user == other.user
    }
}

#[derive(Debug, Default)]
struct Entries {
    /// The latest first.
    list: VecDeque<LogEntry>,
    next_id: u64,
}

/// The log of refusals.
#[derive(Debug)]
pub struct AclLog {
    entries: Mutex<Entries>,
    max_len: AtomicUsize,
}

impl Default for AclLog {
    fn default() -> Self {
        AclLog { entries: Mutex::default(), max_len: AtomicUsize::new(DEFAULT_LEN) }
    }
}

impl AclLog {
    /// Applies `acllog-max-len`, from the next refusal on.
    pub fn configure(&self, max_len: u64) {
        self.max_len.store(usize::try_from(max_len).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a refusal.
    pub fn add(&self, mut entry: LogEntry) {
        let max_len = self.max_len.load(Ordering::Relaxed);
        let mut entries = self.lock();
        let known = entries.list.iter().take(LOOK_BACK).position(|known| known.is_like(&entry));
        if let Some(mut known) = known.and_then(|at| entries.list.remove(at)) {
            known.count += 1;
            known.updated = entry.updated;
            known.client = entry.client;
            entries.list.push_front(known);
        } else if max_len > 0 {
            entry.id = entries.next_id;
            entries.next_id += 1;
            entries.list.push_front(entry);
        }
        entries.list.truncate(max_len);
    }

    /// The latest `count` entries, the latest first.
    pub fn latest(&self, count: usize) -> Vec<LogEntry> {
        self.lock().list.iter().take(count).cloned().collect()
    }

    /// Forgets every entry; numbers go on.
    pub fn reset(&self) {
        self.lock().list.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str, now: Millis) -> LogEntry {
        let client = format!("now={now}");
        LogEntry::new(Reason::Key, LogContext::TopLevel, object.as_bytes(), b"alice", client, now)
    }

    fn shown(log: &AclLog) -> Vec<(u64, String, u64)> {
        let text = |entry: &LogEntry| String::from_utf8_lossy(&entry.object).into_owned();
        log.latest(100).iter().map(|e| (e.id, text(e), e.count)).collect()
    }

    #[test]
    fn like_refusals_are_counted_and_come_first() {
        let log = AclLog::default();
        log.add(refusal("a", 1));
        log.add(refusal("b", 2));
        log.add(refusal("a", 60_001));
        assert_eq!(shown(&log), [(0, "a".into(), 2), (1, "b".into(), 1)]);
        let first = &log.latest(1)[0];
        assert_eq!((first.created, first.updated), (1, 60_001));
        assert_eq!(first.client, "now=60001");
        log.add(refusal("a", 120_002));
        assert_eq!(shown(&log)[0], (2, "a".into(), 1), "too late to be the same");
        let mut other = refusal("a", 120_002);
        other.context = LogContext::Multi;
        log.add(other);
        assert_eq!(shown(&log)[0], (3, "a".into(), 1));
    }

    #[test]
    fn only_the_latest_are_compared() {
        let log = AclLog::default();
        log.add(refusal("a", 1));
        (0..LOOK_BACK).for_each(|i| log.add(refusal(&format!("x{i}"), 1)));
        log.add(refusal("a", 1));
        assert_eq!(shown(&log)[0], (11, "a".into(), 1));
        log.add(refusal("x1", 1));
        assert_eq!(shown(&log)[0], (2, "x1".into(), 2));
    }

    #[test]
    fn length_and_names_are_bounded() {
        let log = AclLog::default();
        log.configure(2);
        (0..5).for_each(|i| log.add(refusal(&format!("x{i}"), 1)));
        assert_eq!(shown(&log), [(4, "x4".into(), 1), (3, "x3".into(), 1)]);
        log.configure(0);
        assert_eq!(shown(&log).len(), 2, "entries stay until the next refusal");
        log.add(refusal("y", 1));
        assert_eq!(shown(&log).len(), 0);
        log.configure(1);
        log.add(refusal(&"y".repeat(1 << 20), 1));
        assert_eq!(log.latest(1)[0].object.len(), MAX_NAME);
        log.reset();
        assert!(log.latest(1).is_empty());
    }
}
