//! From a key of a database to those who are interested in it.

use bytes::Bytes;
use dunlin_storage::{DbId, Key, KeyHash};
use hashbrown::HashTable;
use std::collections::VecDeque;

/// A table of at least this many places is given back in part when an eighth of it is used.
const SHRINK_FROM: usize = 64;

/// Those who are interested in one key, by their places.
#[derive(Debug)]
pub(super) struct Group<T> {
    pub(super) db: DbId,
    pub(super) name: Bytes,
    hash: KeyHash,
    /// In ascending order of the places.
    members: VecDeque<(u64, T)>,
}

impl<T> Group<T> {
    pub(super) fn key(&self) -> Key<'_> {
        Key { bytes: &self.name, hash: self.hash }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &T> {
        self.members.iter().map(|(_, member)| member)
    }

    fn is(&self, db: DbId, key: &Key<'_>) -> bool {
        self.db == db && self.hash == key.hash && self.name == key.bytes
    }

    fn find(&self, place: u64) -> Result<usize, usize> {
        self.members.binary_search_by_key(&place, |(place, _)| *place)
    }
}

/// Groups by key. The store's hash of a key is random enough to be the table's as well.
#[derive(Debug)]
pub(super) struct KeyTable<T>(HashTable<Group<T>>);

impl<T> Default for KeyTable<T> {
    fn default() -> Self {
        KeyTable(HashTable::new())
    }
}

impl<T> KeyTable<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, db: DbId, key: &Key<'_>) -> Option<&Group<T>> {
        self.0.find(key.hash.mixed(), |group| group.is(db, key))
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Group<T>> {
        self.0.iter()
    }

    /// Enters somebody at a place among those who are interested in a key. The key's name, shared;
    /// none if the place is taken.
    pub(super) fn join(&mut self, db: DbId, key: &Key<'_>, place: u64, member: T) -> Option<Bytes> {
        let is = |group: &Group<T>| group.is(db, key);
        let mut entry =
            self.0.entry(key.hash.mixed(), is, |group| group.hash.mixed()).or_insert_with(|| {
                let name = Bytes::copy_from_slice(key.bytes);
                Group { db, name, hash: key.hash, members: VecDeque::new() }
            });
        let group = entry.get_mut();
        let at = group.find(place).err()?;
        group.members.insert(at, (place, member));
        Some(group.name.clone())
    }

    /// Takes out whoever has that place.
    pub(super) fn leave(&mut self, db: DbId, key: &Key<'_>, place: u64) -> Option<T> {
        let mut entry = self.0.find_entry(key.hash.mixed(), |group| group.is(db, key)).ok()?;
        let at = entry.get().find(place).ok()?;
        let (_, member) = entry.get_mut().members.remove(at)?;
        if entry.get().members.is_empty() {
            entry.remove();
            if self.0.capacity() >= SHRINK_FROM && self.0.len() < self.0.capacity() / 8 {
                let room = self.0.len() * 2;
                self.0.shrink_to(room, |group| group.hash.mixed());
            }
        }
        Some(member)
    }
}
