//! What survives a restart: the files in `cluster-dir`.
//!
//! ```text
//!   lock       held as long as the process lives: two with one directory would be one node twice
//!   node       who this node is: its id, its incarnation, its cluster (see [`super::identity`])
//!   log        Raft's log and vote, and how far it is decided: records, appended
//!   snapshot   the state machine up to an entry of the log; replaced as a whole
//!
//!   record   +-----------+--------------+------------------------------+
//!            | length u32| checksum u64 | JSON: an entry, a vote, ..   |
//!            +-----------+--------------+------------------------------+
//! ```
//!
//! Everything is written and flushed to the disk before it counts, as one record. What a crash has cut off
//! at the end of the log was never confirmed, and is removed; anything else that is wrong is damage, with
//! which a node must not go on: it would have forgotten what it has promised. The log is written anew when
//! most of it is of no use any more.
//!
//! A disk may be **full**, or fail in another way. Then what is here is what was before the write, nothing
//! more is appended, and the log is written anew before the next attempt ([`Disk::recover`]), because
//! nobody knows what is in the file of the write that has failed. No step makes another one necessary:
//! entries are purged when the snapshot that has them is on the disk (openraft asks for both at once), and
//! a snapshot without a log is a leftover of the cluster before.

use super::types::{Entry, LogId, SnapshotMeta, Vote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

#[cfg(test)]
mod tests;

/// The longest record.
const MAX_RECORD: u32 = 64 * 1024 * 1024;
/// A log of up to this many bytes is not written anew.
const SMALL: u64 = 1024 * 1024;

const HEADER: usize = 12;
/// Bytes that a disk on which a write has failed has to take before it is used again.
const ROOM: usize = 256 * 1024;

/// A line of the log's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Record {
    Vote(Vote),
    /// Entries that were appended at once.
    Entries(Vec<Entry>),
    /// Entries from this index on are not there any more.
    Truncate(u64),
    /// Entries up to this one are not there any more.
    Purge(LogId),
    /// Entries up to this one are decided.
    Committed(LogId),
}

fn damage(path: &Path, what: &str) -> io::Error {
    let why = format!("{} is damaged: {what}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= MAX_RECORD);
    let length = length.ok_or_else(|| io::Error::other("a record is too long"))?;
    let mut bytes = Vec::with_capacity(HEADER + json.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&xxh3_64(&json).to_be_bytes());
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// Whether nothing of this was ever confirmed: else a record that is whole would stand somewhere behind the
/// one that is not. Text is full of lengths that are too long, so this does not take as long as it seems.
fn is_end(rest: &[u8]) -> bool {
    let mut later = (1..rest.len()).filter_map(|at| split(rest.get(at..)?));
    !later.any(|(body, _)| body.is_ok())
}

/// The body of a record, or what is wrong with it.
type Body<'a> = Result<&'a [u8], &'static str>;

/// The first record of these bytes: its body, and what comes after it. None if it is not whole.
fn split(bytes: &[u8]) -> Option<(Body<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    let is_right = xxh3_64(body) == u64::from_be_bytes(*checksum);
    Some((is_right.then_some(body).ok_or("a checksum is wrong"), rest))
}

/// How files are opened.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// The directory.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    /// Simulations need no safety from the loss of power.
    flush: bool,
    /// Held as long as it is open.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, not read"))]
    lock: File,
    log: File,
    /// Bytes of the log's file.
    length: u64,
    vote: Option<Vote>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
    /// How far the snapshot goes.
    snapshot: Option<LogId>,
    /// Entries up to this one are to be purged when there is a snapshot that has them.
    waits: Option<LogId>,
    /// A write has failed.
    failed: bool,
}

impl Disk {
    /// Opens the directory, which is made if it is not there.
    ///
    /// # Errors
    /// If another process has it, or it cannot be used or is damaged.
    pub(super) fn open(directory: &Path, flush: bool) -> io::Result<Disk> {
        fs::create_dir_all(directory)?;
        let options = options();
        let lock = options.open(directory.join("lock"))?;
        lock.try_lock().map_err(|error| {
            let why = format!("{} is in use by another process: {error}", directory.display());
            io::Error::new(io::ErrorKind::WouldBlock, why)
        })?;
        let log = options.open(directory.join("log"))?;
        let mut disk = Disk {
            directory: directory.to_owned(),
            flush,
            lock,
            log,
            length: 0,
            vote: None,
            purged: None,
            committed: None,
            entries: BTreeMap::new(),
            snapshot: None,
            waits: None,
            failed: false,
        };
        disk.load()?;
        // A process that was killed may not have come to that, and what is known here is told to others.
        disk.sync(&disk.log)?;
        disk.load_snapshot()?;
        disk.sync_directory()?;
        Ok(disk)
    }

    /// Lets another have the directory, as the end of the process does.
    #[cfg(test)]
    pub(super) fn unlock(&self) {
        let _ = self.lock.unlock();
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.vote
    }

    pub(super) fn purged(&self) -> Option<LogId> {
        self.purged.max(self.waits)
    }

    pub(super) fn committed(&self) -> Option<LogId> {
        self.committed
    }

    pub(super) fn last(&self) -> Option<LogId> {
        let last = self.entries.last_key_value().map(|(_, entry)| entry.log_id);
        last.max(self.purged())
    }

    pub(super) fn entries(&self, range: impl std::ops::RangeBounds<u64>) -> Vec<Entry> {
        let first = self.purged().map_or(0, |purged| purged.index + 1);
        // A range that ends before it begins is empty here, too.
        self.entries
            .range(first..)
            .filter(|(index, _)| range.contains(*index))
            .map(|(_, e)| e.clone())
            .collect()
    }

    pub(super) fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        self.append(&Record::Vote(vote), true)?;
        self.vote = Some(vote);
        Ok(())
    }

    /// It is not flushed: an older one does no harm, the node only knows less of the map until it hears
    /// from others.
    pub(super) fn save_committed(&mut self, committed: LogId) -> io::Result<()> {
        self.append(&Record::Committed(committed), false)?;
        self.committed = Some(committed);
        Ok(())
    }

    pub(super) fn append_entries(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        if self.waits.is_some() {
            return Err(io::Error::other("the snapshot before these entries is not there yet"));
        }
        let record = Record::Entries(entries);
        self.append(&record, true)?;
        self.replay(record);
        Ok(())
    }

    pub(super) fn truncate(&mut self, from: u64) -> io::Result<()> {
        self.append(&Record::Truncate(from), true)?;
        self.entries.split_off(&from);
        Ok(())
    }

    /// openraft has a snapshot installed and entries purged at the same time: they stay until the snapshot
    /// that has them is there.
    pub(super) fn purge(&mut self, upto: LogId) -> io::Result<()> {
        if self.snapshot < Some(upto) {
            self.waits = self.waits.max(Some(upto));
            return Ok(());
        }
        self.append(&Record::Purge(upto), true)?;
        self.replay(Record::Purge(upto));
        self.rewrite_if_worthwhile()
    }

    /// Forgets log, vote and snapshot: this node leaves the cluster that they are of. The log goes first: a
    /// snapshot without one does not count.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.log = self.replace_bytes("log", &[])?;
        (self.vote, self.purged, self.committed, self.length) = (None, None, None, 0);
        (self.waits, self.failed) = (None, false);
        self.entries.clear();
        self.remove_snapshot()
    }

    fn remove_snapshot(&mut self) -> io::Result<()> {
        match fs::remove_file(self.directory.join("snapshot")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.snapshot = None;
        self.sync_directory()
    }

    /// Before Raft begins, maybe again: what has waited has not happened, and if a write has failed the
    /// log is written anew, on a disk that takes some more than that.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        self.waits = None;
        if self.length == 0 {
            self.remove_snapshot()?;
        }
        if !self.failed {
            return Ok(());
        }
        let probed = self.replace_bytes("probe", &[0x55; ROOM]);
        let removed = fs::remove_file(self.directory.join("probe"));
        drop(probed?);
        removed?;
        self.rewrite(&self.essence()?)?;
        self.failed = false;
        Ok(())
    }

    /// Replaces a file as a whole.
    pub(super) fn replace(&mut self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let bytes = encode(value)?;
        self.replace_bytes(name, &bytes).map(drop)
    }

    /// Reads what [`Disk::replace`] has written; none if there is nothing.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.directory.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let body = match split(&bytes) {
            Some((Ok(body), [])) => body,
            Some((Err(what), _)) => return Err(damage(&path, what)),
            _ => return Err(damage(&path, "its length is wrong")),
        };
        serde_json::from_slice(body).map(Some).map_err(|error| damage(&path, &error.to_string()))
    }

    /// One that is older than what is there is not needed: it may have been begun before the other came.
    pub(super) fn save_snapshot(&mut self, meta: &SnapshotMeta, state: &[u8]) -> io::Result<()> {
        if meta.last_log_id < self.snapshot {
            return Ok(());
        }
        let state = std::str::from_utf8(state).map_err(io::Error::other)?;
        self.replace("snapshot", &(meta, state))?;
        self.snapshot = meta.last_log_id;
        match self.waits {
            Some(upto) if self.snapshot >= Some(upto) => {
                self.waits = None;
                self.purge(upto)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn snapshot(&self) -> io::Result<Option<(SnapshotMeta, String)>> {
        self.read("snapshot")
    }

    fn load_snapshot(&mut self) -> io::Result<()> {
        if self.length == 0 {
            return self.remove_snapshot();
        }
        self.snapshot = self.snapshot()?.and_then(|(meta, _)| meta.last_log_id);
        Ok(())
    }

    fn load(&mut self) -> io::Result<()> {
        let path = self.directory.join("log");
        let mut bytes = Vec::new();
        self.log.read_to_end(&mut bytes)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (body, after) = split(rest).unwrap_or((Err("a record is not whole"), rest));
            match body.map(serde_json::from_slice) {
                Ok(Ok(record)) => self.replay(record),
                Ok(Err(error)) => return Err(damage(&path, &error.to_string())),
                // What was written last may not have got to the disk as a whole.
                Err(_) if is_end(rest) => break,
                Err(what) => return Err(damage(&path, what)),
            }
            rest = after;
        }
        self.length = (bytes.len() - rest.len()) as u64;
        if !rest.is_empty() {
            tracing::warn!(bytes = rest.len(), "{}: the end was cut off", path.display());
            self.log.set_len(self.length)?;
            self.sync(&self.log)?;
        }
        Ok(())
    }

    fn replay(&mut self, record: Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Committed(committed) => self.committed = Some(committed),
            Record::Entries(entries) => {
                self.entries.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
            }
            Record::Truncate(from) => {
                self.entries.split_off(&from);
            }
            Record::Purge(upto) => {
                self.purged = Some(upto);
                self.entries = self.entries.split_off(&(upto.index + 1));
            }
        }
    }

    fn append(&mut self, record: &Record, flush: bool) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("a write to the log has failed before"));
        }
        let bytes = encode(record)?;
        let written = self.write_at_end(&bytes, flush);
        self.failed = written.is_err();
        written
    }

    fn write_at_end(&mut self, bytes: &[u8], flush: bool) -> io::Result<()> {
        self.log.seek(SeekFrom::Start(self.length))?;
        self.log.write_all(bytes)?;
        if flush {
            self.sync(&self.log)?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// After a purge the file has more than it needs. What is needed is small: a vote and the entries
    /// since the last snapshot.
    fn rewrite_if_worthwhile(&mut self) -> io::Result<()> {
        if self.length <= SMALL {
            return Ok(());
        }
        let bytes = self.essence()?;
        if (bytes.len() as u64).saturating_mul(2) > self.length {
            return Ok(());
        }
        self.rewrite(&bytes)
    }

    /// The shortest log that says what is known.
    fn essence(&self) -> io::Result<Vec<u8>> {
        let vote = self.vote.map(Record::Vote);
        let purged = self.purged.map(Record::Purge);
        let entries = self.entries.values().cloned().collect();
        let committed = self.committed.map(Record::Committed);
        let mut bytes = Vec::new();
        for record in [vote, purged, Some(Record::Entries(entries)), committed].iter().flatten() {
            bytes.extend(encode(record)?);
        }
        Ok(bytes)
    }

    fn rewrite(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.log = self.replace_bytes("log", bytes)?;
        self.length = bytes.len() as u64;
        Ok(())
    }

    fn replace_bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<File> {
        let new = self.directory.join(format!("{name}.new"));
        let write = || {
            let mut file = options().truncate(true).open(&new)?;
            file.write_all(bytes)?;
            self.sync(&file)?;
            fs::rename(&new, self.directory.join(name))?;
            self.sync_directory()?;
            Ok(file)
        };
        let written = write();
        if written.is_err() {
            self.failed = true;
            // On a full disk it would take the room that is needed to go on. It may not be there.
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.flush { file.sync_data() } else { Ok(()) }
    }

    fn sync_directory(&self) -> io::Result<()> {
        if self.flush { File::open(&self.directory)?.sync_all() } else { Ok(()) }
    }
}
