//! The present state of a key, as it is sent.

use crate::rdb;
use crate::server::Server;
use crate::snapshot::Failed;
use crate::snapshot::entry::{Filler, Head, What};
use crate::snapshot::{LongValue, part, value};
use dunlin_storage::{DbId, Entry, Handle, Millis, Rope, Touch};

/// The only database.
pub(super) const DB: DbId = DbId(0);

/// What is too long to be read under a pin.
#[derive(Debug)]
pub(super) enum Later {
    Rope(Box<[u8]>, Option<Millis>, Rope),
    Large(Box<[u8]>),
}

/// Adds the state of an entry, unless that takes long.
pub(super) fn add(server: &Server, filler: &mut Filler, entry: &Entry<'_>) -> Result<(), Later> {
    let now = server.clock.now();
    let expire_at = entry.expire_at().map(|at| server.clock.to_wall(at));
    match value(entry, &server.limits().list, now, server.clock.skew()) {
        Ok(value) => {
            let head = Head { what: What::Value, db: DB, key: entry.key(), expire_at };
            filler.add(&head, &value);
            Ok(())
        }
        Err(LongValue::Rope(rope)) => Err(Later::Rope(entry.key().into(), expire_at, rope)),
        Err(LongValue::Large) => Err(Later::Large(entry.key().into())),
    }
}

/// Adds that a key is not there.
pub(super) fn add_absence(filler: &mut Filler, key: &[u8]) {
    filler.add(&Head { what: What::Void, db: DB, key, expire_at: None }, b"");
}

/// Adds the state that a key has now.
pub(super) fn add_key(
    server: &'static Server,
    handle: &Handle,
    filler: &mut Filler,
    name: &[u8],
    write: impl FnMut(&mut Filler) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let later = {
        let guard = handle.pin();
        let key = server.keyspace.key(name);
        match server.keyspace.get(DB, &key, server.clock.now(), Touch::No, &guard) {
            Some(entry) => add(server, filler, &entry).err(),
            None => {
                add_absence(filler, name);
                None
            }
        }
    };
    later.map_or(Ok(()), |later| add_later(server, handle, filler, later, write))
}

/// Adds what takes long, with pauses for whoever writes.
pub(super) fn add_later(
    server: &'static Server,
    handle: &Handle,
    filler: &mut Filler,
    later: Later,
    mut write: impl FnMut(&mut Filler) -> Result<(), Failed>,
) -> Result<(), Failed> {
    match later {
        Later::Rope(key, expire_at, rope) => {
            let head = Head { what: What::Value, db: DB, key: &key, expire_at };
            let front = rdb::string_front(rope.len());
            let chunks = rope.chunks().map(|chunk| chunk.as_ref());
            let chunks = std::iter::once(front.as_slice()).chain(chunks);
            filler.add_in_chunks(&head, front.len() + rope.len(), chunks, write)
        }
        Later::Large(key) => {
            let one = (DB, server.keyspace.database(DB), key.clone());
            if !part::add(server, handle, filler, one, &mut write)? {
                add_absence(filler, &key);
            }
            write(filler)
        }
    }
}
