//! A slow walk over everything, for those who want to know what the keys take.
//!
//! A [scan](Keyspace::scan) shows what a reader sees; a survey also knows the memory and the length of
//! large collections, which only the holder of a role may look into. It goes bucket by bucket and
//! takes the role of the shard only for a bucket with such a collection, if it is free: nobody is to
//! wait for figures. Otherwise it is as a scan is: what is there all the time is seen at least once.

use crate::Millis;
use crate::entry::Entry;
use crate::epoch::Guard;
use crate::hash::ShardId;
use crate::keyspace::{DbId, Keyspace};
use crate::shard::ShardSet;
use crate::table::iter::POSITION_END;
use crate::value::object::{Object, Packed};
use crate::value::{Kind, Value};

/// A key, and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Surveyed<'g> {
    /// Its database.
    pub db: DbId,
    /// Its name.
    pub key: &'g [u8],
    /// Of what kind its value is.
    pub kind: Kind,
    /// Bytes of memory, as MEMORY USAGE counts them.
    pub bytes: usize,
    /// Bytes of a string, elements of a collection.
    pub len: usize,
}

/// Where the survey of a shard goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    db: u8,
    position: u64,
}

impl Keyspace {
    /// Visits the live keys of up to `buckets` buckets of a shard, of all databases one after the
    /// other, from `place` on. Where to go on; `None` at the end. It stays where it is if it needs the
    /// role and somebody has it.
    pub fn survey<'g>(
        &self,
        shard: ShardId,
        place: Place,
        buckets: usize,
        now: Millis,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Surveyed<'g>),
    ) -> Option<Place> {
        let Place { mut db, mut position } = place;
        for _ in 0..buckets {
            if db >= self.databases() {
                return None;
            }
            let table = self.table(self.physical(DbId(db)), shard);
            let mut entries = Vec::new();
            let next = table.visit_bucket(position, &self.hasher, guard, &mut |entry| {
                if !entry.is_expired(now) && self.shows(entry.key()) {
                    entries.push(entry);
                }
            });
            if !self.measure(DbId(db), shard, &entries, now, guard, visit) {
                break;
            }
            (db, position) = if next == POSITION_END { (db + 1, 0) } else { (db, next) };
        }
        (db < self.databases()).then_some(Place { db, position })
    }

    /// Visits these entries, which one bucket has; false, and none was visited, if the role is taken
    /// that it takes.
    fn measure<'g>(
        &self,
        db: DbId,
        shard: ShardId,
        entries: &[Entry<'g>],
        now: Millis,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Surveyed<'g>),
    ) -> bool {
        let is_large = |entry: &Entry<'_>| matches!(entry.value(), Value::Large(_));
        let writer = match entries.iter().any(is_large) {
            true => match self.try_enter(&ShardSet::one(shard), guard) {
                Some(writer) => Some(writer),
                None => return false,
            },
            false => None,
        };
        for &entry in entries {
            let (entry, behind, len) = match (entry.value(), &writer) {
                (Value::Str(text), _) => (entry, 0, text.len()),
                (Value::Packed(packed), _) => (entry, 0, packed.count(now)),
                (Value::Large(_), Some(writer)) => {
                    // It may have changed since the bucket was read.
                    let key = self.key(entry.key());
                    let Some(entry) = writer.get(db, &key, now) else { continue };
                    let Some(object) = writer.object(&entry) else { continue };
                    (entry, object.memory_usage(), object.count(now))
                }
                (Value::Large(_), None) => continue,
            };
            let (key, kind) = (entry.key(), entry.kind());
            visit(Surveyed { db, key, kind, bytes: entry.memory_usage() + behind, len });
        }
        true
    }
}

impl Packed<'_> {
    /// Its elements.
    fn count(self, now: Millis) -> usize {
        match self.kind {
            Kind::List => self.list().map_or(0, |list| list.len()),
            Kind::Set => self.set().map_or(0, |set| set.len()),
            Kind::Hash => self.hash().map_or(0, |hash| hash.len(now)),
            Kind::SortedSet => self.sorted_set().map_or(0, |set| set.len()),
            Kind::String | Kind::Stream => 0,
        }
    }
}

impl Object {
    /// Its elements.
    fn count(&self, now: Millis) -> usize {
        match self {
            Object::List(list) => list.len(),
            Object::Set(set) => set.len(),
            Object::Hash(hash) => hash.view().len(now),
            Object::SortedSet(set) => set.len(),
            Object::Stream(stream) => usize::try_from(stream.log.len()).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Options;
    use crate::value::string::NewValue;
    use std::collections::BTreeMap;

    #[test]
    fn everything_that_is_there_is_seen_once_with_its_size() {
        let keyspace = Keyspace::new(Options { shards: 4, databases: 3, ..Options::default() });
        let handle = keyspace.handle();
        let guard = handle.pin();
        let names: Vec<String> = (0..900).map(|i| format!("key:{i}")).collect();
        for (i, name) in names.iter().enumerate() {
            let key = keyspace.key(name.as_bytes());
            let shards = ShardSet::one(keyspace.shard_of(key.hash));
            let mut writer = keyspace.try_enter(&shards, &guard).expect("nobody is here");
            let value = vec![b'v'; i];
            let at = (i % 9 == 0).then_some(5);
            writer.put(DbId((i % 3) as u8), &key, NewValue::Bytes(&value), at, 0);
        }
        let mut seen = BTreeMap::new();
        for shard in 0..4 {
            let mut place = Some(Place::default());
            while let Some(from) = place {
                place = keyspace.survey(ShardId(shard), from, 3, 10, &guard, &mut |key| {
                    let name = String::from_utf8_lossy(key.key).into_owned();
                    assert_eq!(key.kind, Kind::String);
                    assert!(key.bytes >= key.len);
                    assert!(seen.insert(name, (key.db.0, key.len)).is_none(), "seen once");
                });
            }
        }
        let live = (0..900).filter(|i| i % 9 != 0);
        let expected = live.map(|i| (format!("key:{i}"), ((i % 3) as u8, i))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn it_does_not_wait_for_a_role() {
        let keyspace = Keyspace::new(Options { shards: 1, ..Options::default() });
        let handle = keyspace.handle();
        let guard = handle.pin();
        let key = keyspace.key(b"stream");
        let all = ShardSet::all(&keyspace);
        let mut writer = keyspace.try_enter(&all, &guard).expect("nobody is here");
        let stream = Box::new(Object::Stream(crate::value::stream::Stream::default()));
        writer.put(DbId(0), &key, NewValue::Object(stream), None, 0);
        let mut place = Some(Place::default());
        for _ in 0..10 {
            let from = place.expect("not the end");
            place = keyspace
                .survey(ShardId(0), from, 100, 0, &guard, &mut |_| panic!("somebody has the role"));
        }
        drop(writer);
        let mut seen = 0;
        while let Some(from) = place {
            place = keyspace.survey(ShardId(0), from, 100, 0, &guard, &mut |key| {
                assert_eq!((key.key, key.kind, key.len), (&b"stream"[..], Kind::Stream, 0));
                seen += 1;
            });
        }
        assert_eq!(seen, 1);
    }
}
