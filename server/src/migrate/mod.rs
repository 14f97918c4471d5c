//! MIGRATE: keys go to another server as RESTORE commands.
//!
//! # The way of a migration
//!
//! ```text
//!  MIGRATE, under the roles of its keys: values become payloads
//!     |  Outcome::Block with a Delivery: the session is parked, the roles are given back
//!     v
//!  the connection's task runs the delivery: connect, AUTH, SELECT, RESTORE ..., one reply for each
//!     |  the wait ends, the session goes on with the same command
//!     v
//!  MIGRATE, under the roles again: what was taken, and is what was sent, is removed;
//!     what has changed meanwhile is sent again
//! ```
//!
//! No thread and no role waits for the other server: others read and write the keys as long as it
//! takes. That a key changed is found out by making its payload once more; what has changed replaces what
//! the other server has just taken, and what is gone here is removed there, until the timeout is over.
//!
//! Connections are kept for a while ([`Sockets`]), as in Redis, for those who move one key after the other.

mod line;
pub mod options;

use dunlin_storage::Millis;
use line::{Broken, Line};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections that are kept.
const MAX_KEPT: usize = 64;
/// Milliseconds for which an idle connection is kept.
const KEPT_FOR: Millis = 10_000;
/// Bytes collected before they are sent.
const CHUNK: usize = 64 * 1024;

/// Where to, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub db: i64,
    /// User, if one is named, and password.
    pub login: Option<(Option<Vec<u8>>, Vec<u8>)>,
    /// For connecting, and for each part that is sent or received.
    pub timeout: Duration,
}

/// One key on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The key.
    pub key: Box<[u8]>,
    /// What is to become of it there; `None`: nothing is to be left.
    pub value: Option<Content>,
}

/// A value on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The value, in the form of DUMP.
    pub payload: Vec<u8>,
    /// When it expires.
    pub expire_at: Option<Millis>,
}

/// Why not all was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The other server has answered with this error, at least once.
    Refused(Vec<u8>),
    /// It cannot be reached.
    Connecting,
    /// It does not take what is sent.
    Writing,
    /// It does not answer.
    Reading,
}

/// What came of a delivery.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The parcels that were taken.
    pub taken: Vec<usize>,
    /// What has failed.
    pub failure: Option<Failure>,
}

/// What is to be done at the other server.
#[derive(Debug)]
pub struct Delivery {
    /// Where.
    pub target: Target,
    /// The keys.
    pub parcels: Vec<Parcel>,
    /// Whether to replace what has the names there.
    pub replace: bool,
    /// How long keys are sent again that change meanwhile.
    pub until: Millis,
    /// What has failed in earlier rounds.
    pub earlier: Option<Failure>,
    report: Mutex<Option<Report>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Delivery {
    /// The first round.
    pub fn new(target: Target, parcels: Vec<Parcel>, replace: bool, until: Millis) -> Self {
        Delivery { target, parcels, replace, until, earlier: None, report: Mutex::new(None) }
    }

    /// The next round, for what has changed meanwhile.
    #[must_use]
    pub fn again(&self, parcels: Vec<Parcel>, earlier: Option<Failure>) -> Self {
        Delivery { earlier, ..Delivery::new(self.target.clone(), parcels, true, self.until) }
    }

    /// What came of it; `None`: it was not done. Once.
    pub fn take_report(&self) -> Option<Report> {
        locked(&self.report).take()
    }

    /// Does it. `now`: when times to live are reckoned from.
    pub(crate) async fn run(&self, sockets: &Sockets, now: impl Fn() -> Millis) {
        let report = self.exchange(sockets, &now).await;
        *locked(&self.report) = Some(report);
    }

    async fn exchange(&self, sockets: &Sockets, now: &impl Fn() -> Millis) -> Report {
        let mut may_retry = true;
        loop {
            let mut report = Report::default();
            let mut line = match self.connect(sockets).await {
                Ok(line) => line,
                // Redis notices that nobody listens when it writes.
                Err(Broken::Closed) => return Report::failed(Failure::Writing),
                Err(Broken::Late | Broken::Nowhere) => return Report::failed(Failure::Connecting),
            };
            match self.deliver(&mut line, &mut report, now()).await {
                Ok(()) => {
                    sockets.keep(line, now());
                    return report;
                }
                // A connection that was kept may have been closed by the other side.
                Err((broken, _)) if may_retry && report.is_blank() && broken == Broken::Closed => {
                    may_retry = false;
                }
                Err((_, failure)) => {
                    report.failure.get_or_insert(failure);
                    return report;
                }
            }
        }
    }

    async fn connect(&self, sockets: &Sockets) -> Result<Line, Broken> {
        let Target { host, port, timeout, .. } = &self.target;
        match sockets.take(host, *port) {
            Some(kept) => Line::reopen(kept),
            None => Line::open(host, *port, *timeout).await,
        }
    }

    /// Sends everything, then reads the replies.
    async fn deliver(
        &self,
        line: &mut Line,
        report: &mut Report,
        now: Millis,
    ) -> Result<(), (Broken, Failure)> {
        let preludes = self.send(line, now).await.map_err(|broken| (broken, Failure::Writing))?;
        let mut refused = None;
        for _ in 0..preludes {
            let reply = self.read(line).await?;
            refused = refused.or_else(|| error_in(&reply));
        }
        for index in 0..self.parcels.len() {
            let reply = self.read(line).await?;
            match refused.clone().or_else(|| error_in(&reply)) {
                None => report.taken.push(index),
                Some(text) => {
                    line.db = None;
                    report.failure.get_or_insert(Failure::Refused(text));
                }
            }
        }
        if report.failure.is_none() {
            line.db = Some(self.target.db);
        }
        Ok(())
    }

    async fn read(&self, line: &mut Line) -> Result<Vec<u8>, (Broken, Failure)> {
        line.read_line(self.target.timeout).await.map_err(|broken| (broken, Failure::Reading))
    }

    /// Sends all commands; how many come before those of the parcels.
    async fn send(&self, line: &mut Line, now: Millis) -> Result<usize, Broken> {
        let Target { db, login, timeout, .. } = &self.target;
        let mut out = Vec::new();
        let mut preludes = 0;
        if let Some((user, password)) = login {
            preludes += 1;
            let user = user.iter().map(Vec::as_slice);
            let words: Vec<&[u8]> =
                std::iter::once(&b"AUTH"[..]).chain(user).chain([password.as_slice()]).collect();
            put_command(&mut out, &words);
        }
        if line.db != Some(*db) {
            preludes += 1;
            put_command(&mut out, &[b"SELECT", db.to_string().as_bytes()]);
        }
        for parcel in &self.parcels {
            self.put_parcel(&mut out, parcel, now);
            if out.len() >= CHUNK {
                line.write(&out, *timeout).await?;
                out.clear();
            }
        }
        line.write(&out, *timeout).await?;
        Ok(preludes)
    }

    fn put_parcel(&self, out: &mut Vec<u8>, parcel: &Parcel, now: Millis) {
        let Some(content) = &parcel.value else {
            return put_command(out, &[b"DEL", &parcel.key]);
        };
        // What expires at this very moment is sent with the shortest time that is not for ever.
        let ttl = content.expire_at.map_or(0, |at| at.saturating_sub(now).max(1)).to_string();
        let words: [&[u8]; 5] =
            [b"RESTORE", &parcel.key, ttl.as_bytes(), &content.payload, b"REPLACE"];
        put_command(out, if self.replace { &words } else { &words[..4] });
    }
}

impl Report {
    fn failed(why: Failure) -> Self {
        Report { taken: Vec::new(), failure: Some(why) }
    }

    /// Whether the other server has said nothing yet.
    fn is_blank(&self) -> bool {
        self.taken.is_empty() && self.failure.is_none()
    }
}

fn put_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    let mut header = String::new();
    let mut put = |out: &mut Vec<u8>, kind: char, length: usize| {
        header.clear();
        // Writing to these cannot fail.
        let _ = write!(header, "{kind}{length}\r\n");
        let _ = out.write_all(header.as_bytes());
    };
    put(out, '*', words.len());
    for word in words {
        put(out, '$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// The error that a reply is, without the mark.
fn error_in(reply: &[u8]) -> Option<Vec<u8>> {
    reply.strip_prefix(b"-").map(<[u8]>::to_vec)
}

/// A connection between two deliveries.
#[derive(Debug)]
struct Kept {
    host: String,
    port: u16,
    /// The database that is selected there, if that is known.
    db: Option<i64>,
    stream: TcpStream,
    since: Millis,
}

/// The connections that are kept for the next delivery: each belongs to one at a time.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<Vec<Kept>>);

impl Sockets {
    fn take(&self, host: &str, port: u16) -> Option<Kept> {
        let mut kept = locked(&self.0);
        let at = kept.iter().position(|kept| kept.host == host && kept.port == port)?;
        Some(kept.swap_remove(at))
    }

    fn keep(&self, line: Line, now: Millis) {
        let Some(line) = line.close(now) else { return };
        let mut kept = locked(&self.0);
        if kept.len() >= MAX_KEPT {
            // The one that has been idle for longest.
            let oldest = kept.iter().enumerate().min_by_key(|(_, kept)| kept.since);
            if let Some((at, _)) = oldest {
                kept.swap_remove(at);
            }
        }
        kept.push(line);
    }

    /// Closes those which nobody has used for a while.
    pub fn tend(&self, now: Millis) {
        locked(&self.0).retain(|kept| now - kept.since < KEPT_FOR);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        locked(&self.0).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_become_commands() {
        let target = Target {
            host: String::new(),
            port: 0,
            db: 0,
            login: None,
            timeout: Duration::from_secs(1),
        };
        let content = |expire_at| Some(Content { payload: b"xy".to_vec(), expire_at });
        let put = |value, replace| {
            let parcel = Parcel { key: b"k".as_slice().into(), value };
            let mut out = Vec::new();
            Delivery::new(target.clone(), Vec::new(), replace, 0)
                .put_parcel(&mut out, &parcel, 1000);
            String::from_utf8(out).expect("ASCII")
        };
        let head = "*4\r\n$7\r\nRESTORE\r\n$1\r\nk\r\n";
        assert_eq!(put(content(None), false), format!("{head}$1\r\n0\r\n$2\r\nxy\r\n"));
        assert_eq!(put(content(Some(1500)), false), format!("{head}$3\r\n500\r\n$2\r\nxy\r\n"));
        assert_eq!(put(content(Some(999)), false), format!("{head}$1\r\n1\r\n$2\r\nxy\r\n"));
        let replaced = put(content(None), true);
        assert!(replaced.starts_with("*5") && replaced.ends_with("$7\r\nREPLACE\r\n"));
        assert_eq!(put(None, true), "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n");
    }
}
