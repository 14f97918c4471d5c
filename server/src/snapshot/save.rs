//! Writing a snapshot; see [`super`] for the whole of it.

use super::entry::{Filler, Head, What};
use super::files::Temporary;
use super::format::{BlockWriter, Header};
use super::pace::Pace;
use super::{AtExit, Failed, Job, Saved, part, reload};
use crate::config::Settings;
use crate::rdb::object;
use crate::rdb::{self, Strings};
use crate::runtime::clock::Skew;
use crate::runtime::phase::Phase;
use crate::runtime::pool::Courtesy;
use crate::server::Server;
use dunlin_storage::{DbId, Entry, Guard, Handle, Millis, Rope, Str, Value, Walk};
use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The longest that the epoch stays pinned, in nanoseconds.
const SLICE_NS: u64 = 100_000;
/// Blocks that may wait to be written before the slice ends.
const MAX_READY: usize = 2;
/// Dirty bytes that the system may have at most: what is written at once in the end would make a busy
/// disk stand still for others.
const SYNC_EVERY: u64 = 16 << 20;
/// How long the end of the process waits for a snapshot that was cancelled.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// Writes the snapshot that was asked for, on a thread of its own.
pub(super) fn run(server: &'static Server, job: &Job) {
    // Whatever happens, it is not under way any more.
    let outcome = catch_unwind(AssertUnwindSafe(|| match job.reload {
        Some(how) => reload::run(server, job, how),
        None => save(server, job, true).map(Some),
    }))
    .unwrap_or_else(|_panic| Err(Failed::Error("a defect of the server".to_owned())));
    report(&outcome);
    server.snapshots.finish(job, outcome, server.clock.now());
}

fn report(outcome: &Result<Option<Saved>, Failed>) {
    match outcome {
        Ok(Some(Saved { entries, bytes, .. })) => {
            tracing::info!(entries = *entries, bytes = *bytes, "snapshot saved");
        }
        Ok(None) => {}
        Err(Failed::NotLoaded(why)) => tracing::error!("cannot read the file again: {why}"),
        Err(Failed::Cancelled) => tracing::info!("snapshot cancelled"),
        Err(Failed::Error(why)) => tracing::warn!("the snapshot failed: {why}"),
    }
}

/// Saves the keys at the end of the process, when nobody is served any more, if that is wanted; ends
/// what is under way.
///
/// # Errors
/// Why there is no snapshot.
pub(crate) fn at_exit(server: &'static Server) -> io::Result<()> {
    if let Some(job) = server.snapshots.cancel() {
        let began = server.clock.monotonic_ns();
        let spent = || Duration::from_nanos(server.clock.monotonic_ns().saturating_sub(began));
        while job.outcome().is_none() && spent() < CANCEL_LIMIT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let wanted = match server.snapshots.at_exit() {
        AtExit::Default => !server.settings().save_points.is_empty(),
        AtExit::Save => true,
        AtExit::NoSave => false,
    };
    // What was not loaded to its end is worth less than the file.
    if !wanted || !server.snapshots.loading.is_over() {
        return Ok(());
    }
    let outcome = save(server, &Job::new(false, None), false).map(Some);
    report(&outcome);
    match outcome {
        Err(Failed::Error(why)) => Err(io::Error::other(format!("nothing was saved: {why}"))),
        _ => Ok(()),
    }
}

/// Whether a snapshot could be begun now: for a shutdown that would fail in the end.
pub(crate) fn check_directory(settings: &Settings) -> io::Result<()> {
    Temporary::create(settings).map(drop)
}

/// `gently`: at the rate that is allowed, and behind others who want the processor.
pub(super) fn save(server: &'static Server, job: &Job, gently: bool) -> Result<Saved, Failed> {
    let settings = server.settings();
    let (changes, flushes) = (server.keyspace.stats().changes, server.snapshots.flushes());
    let databases = (0..server.keyspace.databases()).map(DbId);
    let keys = databases.map(|db| server.keyspace.len(db)).sum();
    server.snapshots.keys_total.store(keys, Ordering::Relaxed);
    let header = Header {
        created: server.clock.wall_us() / 1000,
        databases: server.keyspace.databases().into(),
        keys,
    };
    let (temporary, file) = Temporary::create(&settings)?;
    let out = BlockWriter::begin(Synced { file, unsynced: 0 }, &header, settings.rdbcompression)?;
    let mut saving = Saving {
        server,
        job,
        gently,
        out,
        pace: Pace::new(server.clock.monotonic_ns()),
        courtesy: Courtesy::default(),
    };
    let entries = saving.write_all()?;
    let written = saving.out.written();
    let out = saving.out.end(entries)?;
    if job.is_cancelled() {
        return Err(Failed::Cancelled);
    }
    temporary.place(&out.file)?;
    Ok(Saved { entries, bytes: written, changes, flushes })
}

/// A file whose data goes to the disk as it is written.
struct Synced {
    file: File,
    unsynced: u64,
}

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.unsynced += count as u64;
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A snapshot that is being written.
struct Saving<'j> {
    server: &'static Server,
    job: &'j Job,
    gently: bool,
    out: BlockWriter<Synced>,
    pace: Pace,
    courtesy: Courtesy,
}

/// What is too long to be read under a pin.
enum Later {
    Rope(DbId, Box<[u8]>, Option<Millis>, Rope),
    Large(DbId, Box<[u8]>),
}

impl Saving<'_> {
    /// Writes everything but the end; how many entries.
    fn write_all(&mut self) -> Result<u64, Failed> {
        let (server, mut filler) = (self.server, Filler::default());
        for library in server.libraries.current().libraries.values() {
            let head = Head { what: What::Library, db: DbId(0), key: b"", expire_at: None };
            filler.add(&head, &library.body);
        }
        let handle = server.keyspace.handle();
        let mut walk = server.keyspace.walk();
        let mut more = true;
        while more {
            let mut later = Vec::new();
            more = self.slice(&handle, &mut walk, &mut filler, &mut later);
            for entry in later {
                self.add_later(&handle, &mut filler, &walk, entry)?;
            }
            self.write_ready(&mut filler)?;
            server.snapshots.keys_done.store(filler.entries(), Ordering::Relaxed);
        }
        filler.close();
        self.write_ready(&mut filler)?;
        Ok(filler.entries())
    }

    /// Walks on for as long as the epoch may be pinned.
    fn slice(
        &self,
        handle: &Handle,
        walk: &mut Walk,
        filler: &mut Filler,
        later: &mut Vec<Later>,
    ) -> bool {
        let server = self.server;
        let (now, limits) = (server.clock.now(), server.limits().list);
        let skew = server.clock.skew();
        let guard: Guard = handle.pin();
        let until = server.clock.monotonic_ns().saturating_add(SLICE_NS);
        loop {
            let more = walk.step(&server.keyspace, &guard, &mut |db, entry| {
                if entry.is_expired(now) {
                    return;
                }
                match value(&entry, &limits, now, skew) {
                    Ok(value) => filler.add(&head(server, db, &entry), &value),
                    Err(LongValue::Rope(rope)) => {
                        let key = entry.key().into();
                        later.push(Later::Rope(db, key, entry.expire_at(), rope));
                    }
                    Err(LongValue::Large) => later.push(Later::Large(db, entry.key().into())),
                }
            });
            let over = !later.is_empty()
                || filler.ready() >= MAX_READY
                || server.clock.monotonic_ns() >= until;
            if over || !more {
                return more;
            }
        }
    }

    fn add_later(
        &mut self,
        handle: &Handle,
        filler: &mut Filler,
        walk: &Walk,
        entry: Later,
    ) -> Result<(), Failed> {
        let server = self.server;
        match entry {
            Later::Rope(db, key, expire_at, rope) => {
                let expire_at = expire_at.map(|at| server.clock.to_wall(at));
                let head = Head { what: What::Value, db, key: &key, expire_at };
                let front = rdb::string_front(rope.len());
                let chunks = rope.chunks().map(|chunk| chunk.as_ref());
                let chunks = std::iter::once(front.as_slice()).chain(chunks);
                let length = front.len() + rope.len();
                filler.add_in_chunks(&head, length, chunks, |filler| self.write_ready(filler))
            }
            Later::Large(db, key) => {
                let key = (db, walk.database(db), key);
                part::add(server, handle, filler, key, |filler| self.write_ready(filler))?;
                Ok(())
            }
        }
    }

    /// Writes the blocks that are full, as fast as is allowed.
    fn write_ready(&mut self, filler: &mut Filler) -> Result<(), Failed> {
        let clock = &self.server.clock;
        while let Some((kind, body)) = filler.pop() {
            let before = self.out.written();
            self.out.block(kind, &body)?;
            let (bytes, now) = (self.out.written() - before, clock.monotonic_ns());
            let rate = if self.gently { self.server.settings().snapshot_rate_limit } else { 0 };
            self.pace.add(bytes, rate, now);
            while let Some(wait) = self.pace.wait(clock.monotonic_ns()) {
                self.check()?;
                std::thread::sleep(wait);
            }
        }
        if self.gently {
            self.courtesy.let_others_run(|| clock.monotonic_ns());
        }
        self.check()
    }

    fn check(&self) -> Result<(), Failed> {
        if self.job.is_cancelled() { Err(Failed::Cancelled) } else { Ok(()) }
    }
}

fn head<'e>(server: &Server, db: DbId, entry: &Entry<'e>) -> Head<'e> {
    let expire_at = entry.expire_at().map(|at| server.clock.to_wall(at));
    Head { what: What::Value, db, key: entry.key(), expire_at }
}

/// What takes long to read.
pub(crate) enum LongValue {
    /// A long string, which does not change any more.
    Rope(Rope),
    /// A large collection, which can be read under the role only.
    Large,
}

/// A value in the form of RDB files, unless that takes long.
pub(crate) fn value(
    entry: &Entry<'_>,
    limits: &dunlin_storage::value::list::Limits,
    now: Millis,
    skew: Skew,
) -> Result<Vec<u8>, LongValue> {
    match entry.value() {
        Value::Str(Str::Rope(rope)) if rope.as_slice().is_none() => {
            Err(LongValue::Rope(rope.clone()))
        }
        Value::Str(string) => Ok(rdb::dump_string(Strings::Plain, &string.to_cow()).into_value()),
        Value::Packed(packed) => {
            Ok(object::dump_packed(Strings::Plain, packed, limits, now, skew).into_value())
        }
        _ => Err(LongValue::Large),
    }
}

/// Whether the server is in a state in which a snapshot means something.
pub(super) fn may_begin(server: &Server) -> bool {
    server.phases.now() != Phase::Loading && !server.shutdown.requested()
}

/// Has a job done on a thread of the pool.
pub(super) async fn start(server: &'static Server, job: Arc<Job>) {
    match server.pool.place().await {
        Some(place) => place.run(move || run(server, &job)),
        None => {
            let outcome = Err(Failed::Error("there is no thread for it".to_owned()));
            report(&outcome);
            server.snapshots.finish(&job, outcome, server.clock.now());
        }
    }
}
