//! The slow log: the latest commands that took longer than `slowlog-log-slower-than`.
//!
//! Bounded twice: `slowlog-max-len` entries, and of each command line at most 32 arguments of at
//! most 128 bytes, of the client's name as many. Locked only by a slow command and by SLOWLOG.

use crate::client::Client;
use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::redact::{REDACTED, Secrets};
use dunlin_protocol::{ArgValue, Request};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Arguments kept of a command line; the last one tells how many more there were.
const MAX_ARGS: usize = 32;
/// Bytes kept of an argument.
const MAX_ARG_LEN: usize = 128;
/// `slowlog-log-slower-than` unless set.
const DEFAULT_THRESHOLD: i64 = 10_000;
/// `slowlog-max-len` unless set.
const DEFAULT_LEN: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCommand {
    /// Number of the entry, never used twice.
    pub id: u64,
    /// Unix time in seconds.
    pub time: i64,
    /// Duration in microseconds.
    pub micros: u64,
    /// The arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub addr: String,
    /// Name of the client.
    pub name: String,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<SlowCommand>,
    next_id: u64,
}

/// The slow log.
#[derive(Debug)]
pub struct Slowlog {
    log: Mutex<Log>,
    threshold: AtomicI64,
    max_len: AtomicUsize,
}

impl Default for Slowlog {
    fn default() -> Self {
        Slowlog {
            log: Mutex::default(),
            threshold: AtomicI64::new(DEFAULT_THRESHOLD),
            max_len: AtomicUsize::new(DEFAULT_LEN),
        }
    }
}

impl Slowlog {
    /// Applies the settings: microseconds (negative: nothing is slow) and number of entries.
    pub fn configure(&self, threshold: i64, max_len: u64) {
        self.threshold.store(threshold, Ordering::Relaxed);
        let max_len = usize::try_from(max_len).unwrap_or(usize::MAX);
        self.max_len.store(max_len, Ordering::Relaxed);
    }

    /// Whether a command of this duration belongs into the log.
    #[inline]
    pub fn is_slow(&self, micros: u64) -> bool {
        u64::try_from(self.threshold.load(Ordering::Relaxed)).is_ok_and(|t| micros >= t)
    }

    /// Enters a command if it was slow enough.
    pub fn record(
        &self,
        client: &Client,
        entry: &Entry,
        request: &Request<'_>,
        micros: u64,
        unix_seconds: i64,
    ) {
        if !self.is_slow(micros) || entry.has(Flags::SKIP_SLOWLOG) {
            return;
        }
        let secrets = Secrets::of(entry, request);
        let args = shorten(request.len(), |i| {
            if secrets.hide(request, i) {
                REDACTED.as_bytes().to_vec()
            } else {
                shorten_value(request.value(i))
            }
        });
        let mut name = client.shared.labels().name;
        name.truncate(name.floor_char_boundary(MAX_ARG_LEN));
        self.push(SlowCommand {
            id: 0,
            time: unix_seconds,
            micros,
            args,
            addr: client.shared.addr.clone(),
            name,
        });
    }

    fn push(&self, mut command: SlowCommand) {
        let max_len = self.max_len.load(Ordering::Relaxed);
        if max_len == 0 {
            // What is not kept has no number.
            return;
        }
        let mut log = self.lock();
        command.id = log.next_id;
        log.next_id += 1;
        log.entries.push_front(command);
        log.entries.truncate(max_len);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest `count` entries, newest first.
    pub fn latest(&self, count: usize) -> Vec<SlowCommand> {
        self.lock().entries.iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether the log is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every entry; numbers go on.
    pub fn reset(&self) {
        self.lock().entries.clear();
    }
}

/// At most [`MAX_ARGS`] arguments of a line of `argc`.
fn shorten(argc: usize, arg: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    if argc <= MAX_ARGS {
        return (0..argc).map(arg).collect();
    }
    let mut args: Vec<_> = (0..MAX_ARGS - 1).map(arg).collect();
    args.push(format!("... ({} more arguments)", argc - (MAX_ARGS - 1)).into_bytes());
    args
}

fn shorten_value(value: ArgValue<'_>) -> Vec<u8> {
    match value {
        ArgValue::Slice(bytes) => shorten_bytes(bytes.len(), bytes),
        ArgValue::Chunks { len, chunks } => {
            shorten_bytes(len, chunks.first().map_or(&[][..], |chunk| chunk))
        }
    }
}

/// An argument of `len` bytes which begins with `start`.
fn shorten_bytes(len: usize, start: &[u8]) -> Vec<u8> {
    if len <= MAX_ARG_LEN {
        return start.to_vec();
    }
    let mut short = start.iter().take(MAX_ARG_LEN).copied().collect::<Vec<_>>();
    short.extend(format!("... ({} more bytes)", len - MAX_ARG_LEN).into_bytes());
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(micros: u64) -> SlowCommand {
        let (addr, name) = ("127.0.0.1:1".to_owned(), String::new());
        SlowCommand { id: 0, time: 1, micros, args: Vec::new(), addr, name }
    }

    #[test]
    fn long_lines_lose_their_tail() {
        let arg = |i: usize| i.to_string().into_bytes();
        assert_eq!(shorten(32, arg).len(), 32);
        let short = shorten(34, arg);
        assert_eq!(short.len(), 32);
        assert_eq!(short[30], b"30");
        assert_eq!(short[31], b"... (3 more arguments)");
    }

    #[test]
    fn long_arguments_lose_their_tail() {
        assert_eq!(shorten_bytes(128, &[b'a'; 128]), [b'a'; 128]);
        let mut expected = vec![b'a'; 128];
        expected.extend(b"... (72 more bytes)");
        assert_eq!(shorten_bytes(200, &[b'a'; 200]), expected);
    }

    #[test]
    fn what_is_not_kept_has_no_number() {
        let log = Slowlog::default();
        log.configure(5, 0);
        log.push(command(7));
        assert!(log.is_empty());
        log.configure(5, 2);
        log.push(command(8));
        assert_eq!(log.latest(1)[0].id, 0);
    }

    #[test]
    fn newest_entries_stay() {
        let log = Slowlog::default();
        log.configure(5, 2);
        assert!(log.is_slow(5) && !log.is_slow(4));
        (0..3).for_each(|micros| log.push(command(micros)));
        let ids: Vec<_> = log.latest(10).iter().map(|e| (e.id, e.micros)).collect();
        assert_eq!(ids, [(2, 2), (1, 1)]);
        assert_eq!(log.latest(1).len(), 1);
        log.reset();
        assert!(log.is_empty());
        log.push(command(9));
        assert_eq!(log.latest(1)[0].id, 3);
        log.configure(-1, 2);
        assert!(!log.is_slow(u64::MAX));
    }
}
