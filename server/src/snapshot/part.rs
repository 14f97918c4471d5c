//! Large collections: what is behind a key is read under its shard's role, a bounded piece at a time.
//!
//! A role that is held is a shard whose writers wait. So a set, sorted set or hash of more than
//! [`PART_ITEMS`] items is read with the cursors of SSCAN, ZSCAN and HSCAN, about [`PART_BYTES`] at a
//! time, and the role is free in between. The cursors promise that each item which is there all the
//! time is seen; one that comes, goes or changes is in the snapshot as it was at some moment, or not at
//! all. When the key does not hold the same object any more, what was written of it is taken back.
//! When it expires is said in the end: by a part without items.
//!
//! Lists and streams have an order that parts could not keep, so they are copied as they are, in one
//! go: their nodes are blocks of bytes, and that is as fast as memory.
//!
//! The roles come by way of an errand to this thread, as they do to scripts on the pool: in turn with
//! those who write, and nobody who drains a queue reads a collection for us.

use super::Failed;
use super::entry::{Filler, Head, What};
use super::format::BLOCK;
use crate::rdb::object;
use crate::rdb::stream::Form;
use crate::rdb::{self, Payload, Strings};
use crate::runtime::clock::Skew;
use crate::server::Server;
use dunlin_storage::value::hash::{HashRef, Pair};
use dunlin_storage::value::list;
use dunlin_storage::value::set::SetRef;
use dunlin_storage::value::sorted_set::SortedSetRef;
use dunlin_storage::{
    Baton, Database, DbId, Errand, Guard, Handle, Job, Millis, Object, ShardSet, Value, Writer,
};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Collections of more items are written in parts.
pub(super) const PART_ITEMS: usize = 512;
/// About how many bytes of a collection are read under one role.
const PART_BYTES: usize = 64 * 1024;

/// A key with a large collection, and how far it was read.
struct Reading {
    /// The database itself: while a key is read, another one may get its number.
    database: Database,
    key: Box<[u8]>,
    cursor: u64,
    /// Which object is being read, by [`Entry::large_id`](dunlin_storage::Entry::large_id); none:
    /// nothing was read.
    object: Option<u64>,
    now: Millis,
    limits: list::Limits,
}

/// What was read of it.
enum Step {
    /// All of it.
    Whole(Payload, Option<Millis>),
    /// A part, if it has items; there may be more.
    Part { items: Option<Payload>, expire_at: Option<Millis>, more: bool },
    /// It is not there, or not as it was.
    Gone,
    /// It is no large collection.
    Small,
}

/// Adds the large collection behind a key of a database, as it is now; `db` is the number that is told.
/// False if there is nothing, or nothing that counts: it is not there, or not what it was.
pub(crate) fn add(
    server: &'static Server,
    handle: &Handle,
    filler: &mut Filler,
    (db, database, key): (DbId, Database, Box<[u8]>),
    mut write: impl FnMut(&mut Filler) -> Result<(), Failed>,
) -> Result<bool, Failed> {
    let (now, limits) = (server.clock.now(), server.limits().list);
    let mut reading = Reading { database, key, cursor: 0, object: None, now, limits };
    let mut begun = false;
    loop {
        reading.now = server.clock.now();
        let step;
        (reading, step) = under_role(server, handle, reading)?;
        let to_wall = |at: Millis| server.clock.to_wall(at);
        let head = |what, expire_at: Option<Millis>| Head {
            what,
            db,
            key: &reading.key,
            expire_at: expire_at.map(to_wall),
        };
        let (added, more) = match step {
            Step::Whole(payload, expire_at) => {
                let value = payload.into_value();
                let (head, chunks) = (head(What::Value, expire_at), value.chunks(BLOCK));
                filler.add_in_chunks(&head, value.len(), chunks, &mut write)?;
                (true, false)
            }
            Step::Part { items, expire_at, more } => {
                if let Some(payload) = items {
                    filler.add(&head(What::Part, None), &payload.into_value());
                    begun = true;
                }
                // When the key expires may have changed since the first part.
                if begun && !more {
                    filler.add(&head(What::Part, expire_at), b"");
                }
                (begun, more)
            }
            Step::Gone | Step::Small => {
                if begun {
                    filler.add(&head(What::Void, None), b"");
                }
                (false, false)
            }
        };
        write(filler)?;
        if !more {
            return Ok(added);
        }
    }
}

/// Takes the next step of a reading under the role of its shard.
fn under_role(
    server: &'static Server,
    handle: &Handle,
    reading: Reading,
) -> Result<(Reading, Step), Failed> {
    let keyspace = &server.keyspace;
    let shard = keyspace.shard_of(keyspace.key(&reading.key).hash);
    let (sender, roles) = sync_channel(1);
    keyspace.send(ShardSet::one(shard), Box::new(Fetch { sender }), &handle.pin());
    let lost = || Failed::Error("the role of a shard was lost".to_owned());
    let roles: Baton = roles.recv().map_err(|_| lost())?;
    let left = Arc::new(Mutex::new(None));
    let visit = Visit { reading, server, left: Arc::clone(&left) };
    keyspace.run_with(roles, Box::new(visit), &handle.pin());
    // What came meanwhile for this role has run here; what is left of it is everybody's.
    for shard in keyspace.take_leftovers() {
        while keyspace.drain(shard, &handle.pin()) {}
    }
    server.tracker().broadcast();
    let step = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    step.ok_or_else(lost)
}

/// Brings roles to the thread that waits for them.
struct Fetch {
    sender: SyncSender<Baton>,
}

impl Errand for Fetch {
    fn set_out(self: Box<Self>, roles: Baton) {
        // There is room for one, and the receiver waits for it.
        let _ = self.sender.send(roles);
    }
}

struct Visit {
    reading: Reading,
    server: &'static Server,
    left: Arc<Mutex<Option<(Reading, Step)>>>,
}

impl Job for Visit {
    fn run<'g>(self: Box<Self>, writer: &mut Writer<'_, 'g>, _guard: &'g Guard) {
        let Visit { mut reading, server, left } = *self;
        let step = reading.step(server, writer);
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some((reading, step));
    }
}

impl Reading {
    fn step(&mut self, server: &Server, writer: &Writer<'_, '_>) -> Step {
        let (key, skew) = (server.keyspace.key(&self.key), server.clock.skew());
        let db = writer.number_of(self.database);
        let Some(entry) = writer.get(db, &key, self.now) else { return Step::Gone };
        let expire_at = entry.expire_at();
        let Some(object) = writer.object(&entry) else {
            // It has shrunk, or was replaced, since it was seen.
            let value = match entry.value() {
                _ if self.object.is_some() => return Step::Gone,
                Value::Str(string) => rdb::dump_string(Strings::Plain, &string.to_cow()),
                Value::Packed(packed) => {
                    object::dump_packed(Strings::Plain, packed, &self.limits, self.now, skew)
                }
                _ => return Step::Small,
            };
            return Step::Whole(value, expire_at);
        };
        if object.is_gone(self.now) {
            // All fields have expired, and nobody has removed the key yet.
            return Step::Gone;
        }
        let id = entry.large_id();
        if self.object.is_some() && self.object != id {
            return Step::Gone;
        }
        self.object = id;
        match self.part(object, skew) {
            Some((items, more)) => Step::Part { items, expire_at, more },
            None => {
                let strings = Strings::Plain;
                let form = Form::Redis72;
                let payload =
                    object::dump_object(strings, object, form, &self.limits, self.now, skew);
                Step::Whole(payload, expire_at)
            }
        }
    }

    /// The next part of what is read in parts, and whether there are more.
    fn part(&mut self, object: &Object, skew: Skew) -> Option<(Option<Payload>, bool)> {
        let (strings, now) = (Strings::Plain, self.now);
        let bytes = object.memory_usage();
        let (payload, cursor) = match object {
            Object::Set(set) => {
                let set = set.view();
                let SetRef::Table(_) = set else { return None };
                let count = count_of_part(set.len(), bytes, self.cursor)?;
                let mut items = Vec::with_capacity(count);
                let cursor = set.scan(self.cursor, count, &mut |member| items.push(member));
                (some(&items).then(|| rdb::set::dump(strings, items)), cursor)
            }
            Object::SortedSet(set) => {
                let set = set.view();
                let SortedSetRef::Table(_) = set else { return None };
                let count = count_of_part(set.len(), bytes, self.cursor)?;
                let mut items = Vec::with_capacity(count);
                let mut take = |member, score| items.push((member, score));
                let cursor = set.scan(self.cursor, count, &mut take);
                (some(&items).then(|| rdb::sorted_set::dump(strings, items)), cursor)
            }
            Object::Hash(hash) => {
                let hash = hash.view();
                let HashRef::Table(_) = hash else { return None };
                let count = count_of_part(hash.len(now), bytes, self.cursor)?;
                let mut items = Vec::with_capacity(count);
                let cursor = hash.scan(self.cursor, count, now, &mut |pair| {
                    let expire_at = pair.expire_at.map(|at| skew.to_wall(at));
                    items.push(Pair { expire_at, ..pair });
                });
                let soonest = items.iter().filter_map(|pair| pair.expire_at).min();
                let payload = some(&items).then(|| match soonest {
                    None => {
                        let pairs = items.iter().map(|pair| (pair.field, pair.value));
                        rdb::hash::dump(strings, pairs)
                    }
                    Some(soonest) => {
                        let fields =
                            items.iter().map(|pair| (pair.field, pair.value, pair.expire_at));
                        rdb::hash::dump_expiring(strings, soonest, fields)
                    }
                });
                (payload, cursor)
            }
            Object::List(_) | Object::Stream(_) => return None,
        };
        self.cursor = cursor;
        Some((payload, cursor != 0))
    }
}

fn some<T>(items: &[T]) -> bool {
    !items.is_empty()
}

/// How many items make a part; none: the collection is so small that it is read as a whole, and its
/// reading has not begun.
fn count_of_part(items: usize, bytes: usize, cursor: u64) -> Option<usize> {
    if items <= PART_ITEMS && bytes <= PART_BYTES && cursor == 0 {
        return None;
    }
    let each = (bytes / items.max(1)).max(1);
    Some((PART_BYTES / each).clamp(1, PART_ITEMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded() {
        assert_eq!(count_of_part(500, 20_000, 0), None, "it is small");
        assert_eq!(count_of_part(500, 20_000, 9), Some(PART_ITEMS), "it has shrunk meanwhile");
        assert_eq!(count_of_part(1_000_000, 60_000_000, 0), Some(PART_ITEMS));
        assert_eq!(count_of_part(100, 100 << 20, 0), Some(1));
        assert_eq!(count_of_part(1_000, 10_000_000, 5), Some(6));
        assert_eq!(count_of_part(0, 0, 5), Some(PART_ITEMS));
    }
}
