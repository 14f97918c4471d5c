//! DEBUG RELOAD: what a restart does with the keys, without one.
//!
//! A snapshot is written, all keys go, and come back from the file. It is for tests, so nobody is held up
//! meanwhile: others find keys missing until they are back, and what they write in between may be
//! replaced by what the file has.

use super::save::save;
use super::{Failed, Job, Saved, files, fill, load};
use crate::server::Server;

/// What of it is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// A snapshot is written first; else the file is read as it is.
    pub save: bool,
    /// The keys that are there go first; else those of the file are put over them.
    pub flush: bool,
}

/// Does it, on a thread of the pool; what was written.
pub(super) fn run(
    server: &'static Server,
    job: &Job,
    how: Reload,
) -> Result<Option<Saved>, Failed> {
    let path = files::target(&server.settings());
    let path = path.ok_or_else(|| Failed::NotLoaded("dbfilename names no file".to_owned()))?;
    let saved = if how.save { Some(save(server, job, false)?) } else { None };
    if how.flush {
        fill::empty(server);
    }
    load::again(server, &path).map_err(Failed::NotLoaded)?;
    // The file knows all changes that reading it has made.
    let changes = server.keyspace.stats().changes;
    server.snapshots.note_changes(changes);
    Ok(saved.map(|saved| Saved { changes, ..saved }))
}
