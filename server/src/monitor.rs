//! MONITOR: a copy of every command line for the connections that asked for it.
//!
//! Commands run on any worker; a monitoring connection has its own task on its own worker.
//! [`Monitors::feed`] formats a line once and puts it into the inbox of every monitor (see
//! [`crate::inbox`]). While nobody monitors, the cost is one relaxed load.

use crate::client::{Client, ClientShared};
use crate::commands::spec::Flags;
use crate::commands::table::{Entry, table};
use crate::escape::escape;
use crate::inbox::{Feed, Message};
use crate::redact::{REDACTED, Secrets};
use bytes::Bytes;
use dunlin_protocol::{ArgValue, Request};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that may wait for a monitor when `client-output-buffer-limit` sets no limit for normal
/// clients: one that does not read must not cost memory.
const DEFAULT_LIMIT: u64 = 32 << 20;
/// Bytes of arguments in a line; of what is longer the end is left out. Redis shows all of it, and
/// everybody waits while it copies 512 MB.
const MAX_ARGS_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct Shared {
    active: AtomicUsize,
    feeds: Mutex<Vec<Arc<Feed>>>,
    limit: AtomicU64,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All monitoring connections.
#[derive(Debug)]
pub struct Monitors(Arc<Shared>);

impl Default for Monitors {
    fn default() -> Self {
        Monitors(Arc::new(Shared {
            active: AtomicUsize::new(0),
            feeds: Mutex::default(),
            limit: AtomicU64::new(DEFAULT_LIMIT),
        }))
    }
}

impl Monitors {
    /// Whether anybody monitors.
    #[inline]
    pub fn active(&self) -> bool {
        self.0.active.load(Ordering::Relaxed) != 0
    }

    /// Number of monitoring connections.
    pub fn len(&self) -> usize {
        self.0.active.load(Ordering::Relaxed)
    }

    /// Whether nobody monitors.
    pub fn is_empty(&self) -> bool {
        !self.active()
    }

    /// Applies the output buffer limit of normal clients; 0 = the built-in one.
    pub fn configure(&self, limit: u64) {
        let limit = if limit == 0 { DEFAULT_LIMIT } else { limit };
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Starts to feed `client`, until the result is dropped.
    pub fn subscribe(&self, client: Arc<ClientShared>) -> Monitoring {
        let feed = Arc::new(Feed::new(client));
        let mut feeds = self.0.lock();
        feeds.push(Arc::clone(&feed));
        self.0.active.store(feeds.len(), Ordering::Relaxed);
        Monitoring { feed, shared: Arc::clone(&self.0) }
    }

    /// Shows one command to every monitor (administrative ones are not shown).
    pub fn feed(&self, now_micros: i64, client: &Client, request: &Request<'_>) {
        let Some(entry) = entry_of(request) else {
            return;
        };
        if !entry.command.flags.any(Flags::SKIP_MONITOR.with(Flags::ADMIN)) {
            self.show(now_micros, client, entry, request);
        }
    }

    /// Shows a command that begins to run others, before these.
    pub fn show(&self, now_micros: i64, client: &Client, entry: &Entry, request: &Request<'_>) {
        let feeds = self.0.lock().clone();
        if feeds.is_empty() {
            return;
        }
        let line = Bytes::from(line(now_micros, client, entry, request));
        let limit = self.0.limit.load(Ordering::Relaxed);
        for feed in feeds {
            feed.push(Message::Line(line.clone()), limit);
        }
    }
}

/// One connection's part in it; dropping it ends the monitoring.
#[derive(Debug)]
pub struct Monitoring {
    feed: Arc<Feed>,
    shared: Arc<Shared>,
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        let mut feeds = self.shared.lock();
        feeds.retain(|feed| !Arc::ptr_eq(feed, &self.feed));
        self.shared.active.store(feeds.len(), Ordering::Relaxed);
        drop(feeds);
        self.feed.end();
    }
}

/// The row of `request`, the subcommand's if there is one.
fn entry_of(request: &Request<'_>) -> Option<&'static Entry> {
    let table = table();
    let entry = table.get(request.get(0)?)?;
    if entry.subcommands.is_empty() {
        return Some(entry);
    }
    Some(request.get(1).and_then(|name| table.sub(entry, name)).unwrap_or(entry))
}

/// `+seconds.micros [db addr] "arg" ...`
fn line(now_micros: i64, client: &Client, entry: &Entry, request: &Request<'_>) -> Vec<u8> {
    let (addr, unix) = match client.in_script {
        true => ("lua", false),
        false => (client.shared.addr.as_str(), client.shared.unix),
    };
    let mut line = prefix(now_micros, client.db.0, addr, unix);
    let secrets = Secrets::of(entry, request);
    let mut room = MAX_ARGS_BYTES;
    for i in 0..request.len() {
        if room == 0 {
            line.extend(format!(" ... ({} more arguments)", request.len() - i).as_bytes());
            break;
        }
        line.extend(b" \"");
        if secrets.hide(request, i) {
            line.extend(REDACTED.as_bytes());
        } else {
            put(request.value(i), &mut room, &mut line);
        }
        line.push(b'"');
    }
    line.extend(b"\r\n");
    line
}

/// As much of an argument as there is room for.
fn put(value: ArgValue<'_>, room: &mut usize, line: &mut Vec<u8>) {
    let mut shown = 0;
    let mut show = |bytes: &[u8]| {
        let part = &bytes[..bytes.len().min(*room)];
        escape(part, line);
        *room -= part.len();
        shown += part.len();
    };
    let length = match value {
        ArgValue::Slice(bytes) => {
            show(bytes);
            bytes.len()
        }
        ArgValue::Chunks { len, chunks } => {
            chunks.iter().for_each(|chunk| show(chunk));
            len
        }
    };
    if shown < length {
        line.extend(format!("... ({} more bytes)", length - shown).as_bytes());
    }
}

fn prefix(now_micros: i64, db: u8, addr: &str, unix: bool) -> Vec<u8> {
    let mut text = String::new();
    let (seconds, micros) = (now_micros.div_euclid(1_000_000), now_micros.rem_euclid(1_000_000));
    // A unix connection's address is `path:0`: shown as `unix:path`.
    let (scheme, addr) = match unix {
        true => ("unix:", addr.strip_suffix(":0").unwrap_or(addr)),
        false => ("", addr),
    };
    // Writing to a string cannot fail.
    let _ = write!(text, "+{seconds}.{micros:06} [{db} {scheme}{addr}]");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_begins_with_time_database_and_address() {
        assert_eq!(
            prefix(1_339_518_083_007_412, 3, "127.0.0.1:60866", false),
            b"+1339518083.007412 [3 127.0.0.1:60866]"
        );
        assert_eq!(prefix(1, 0, "/tmp/s:0", true), b"+0.000001 [0 unix:/tmp/s]");
    }
}
