//! How handlers read and change collections.
//!
//! Small collections are read like strings, without any role. A large one is only looked into under
//! the role of its shard: a reader that meets one without it answers [`NEEDS_ROLE`], and dispatch
//! runs the command again with the role.
//!
//! A handler that writes gets `&mut Set` (and the like), whatever the form; the store packs small
//! ones again and removes the key of one that is empty.

use super::call::Call;
use super::error::{NEEDS_ROLE, ReplyError, WRONG_TYPE};
use crate::Roles;
use crate::notify::Class;
use crate::stats::WorkerStats;
use dunlin_protocol::Reply;
use dunlin_storage::value::hash::{self, Hash, HashRef};
use dunlin_storage::value::list::{self, List, ListRef};
use dunlin_storage::value::set::{self, Set, SetRef};
use dunlin_storage::value::sorted_set::{self, SortedSet, SortedSetRef};
use dunlin_storage::value::stream::{self, Stream};
use dunlin_storage::{
    DbId, Encoding, Entry, Guard, Key, Keyspace, Kind, Millis, NewValue, Object, Touch, Value,
};
use std::cell::RefCell;

/// When collections change their form, by kind.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of lists.
    pub list: list::Limits,
    /// Of sets.
    pub set: set::Limits,
    /// Of hashes.
    pub hash: hash::Limits,
    /// Of sorted sets.
    pub sorted_set: sorted_set::Limits,
    /// Of streams.
    pub stream: stream::Limits,
}

/// A kind of collection.
pub trait Collection: Default {
    /// Its kind.
    const KIND: Kind;

    /// The collection in an object.
    fn of(object: &mut Object) -> Option<&mut Self>;

    /// The object around a collection.
    fn into_object(self) -> Object;

    /// Whether its key goes.
    fn is_gone(&self, now: Millis) -> bool;
}

macro_rules! collection {
    ($name:ident, $is_gone:expr) => {
        impl Collection for $name {
            const KIND: Kind = Kind::$name;

            fn of(object: &mut Object) -> Option<&mut Self> {
                if let Object::$name(collection) = object { Some(collection) } else { None }
            }

            fn into_object(self) -> Object {
                Object::$name(self)
            }

            fn is_gone(&self, now: Millis) -> bool {
                let is_gone: fn(&Self, Millis) -> bool = $is_gone;
                is_gone(self, now)
            }
        }
    };
}

collection!(List, |list, _| list.is_empty());
collection!(Set, |set, _| set.is_empty());
collection!(Hash, |hash, now| hash.view().is_empty(now));
collection!(SortedSet, |set, _| set.is_empty());
collection!(Stream, |_, _| false);

/// The reading half of a [`Call`], which leaves the reply free to be written meanwhile.
pub struct Reader<'r, 'g> {
    keyspace: &'r Keyspace,
    writer: Option<&'r Roles<'g>>,
    guard: &'g Guard,
    db: DbId,
    now: Millis,
    touch: Touch,
    /// Of a command that only reads: hits and misses are its.
    stats: Option<&'r WorkerStats>,
    /// Where keys go that are not there, if somebody wants to hear of them.
    missed: Option<RefCell<&'r mut Vec<Box<[u8]>>>>,
}

impl<'r, 'g> Reader<'r, 'g> {
    /// The entry of `key`: counted as a hit or a miss, and as a use.
    pub fn entry(&self, key: &Key<'_>) -> Option<Entry<'g>> {
        let found = match self.writer {
            Some(writer) if writer.holds(self.keyspace.shard_of(key.hash)) => {
                writer.get(self.db, key, self.now)
            }
            _ => self.keyspace.get(self.db, key, self.now, self.touch, self.guard),
        };
        match found {
            Some(_) => self.stats.into_iter().for_each(WorkerStats::hit),
            None => self.missed(key),
        }
        found
    }

    fn missed(&self, key: &Key<'_>) {
        if let Some(stats) = self.stats {
            let under_role = self.writer.is_some();
            let why = self.keyspace.why_missing(self.db, key, self.now, under_role, self.guard);
            stats.miss(why);
        }
        if let Some(missed) = &self.missed {
            missed.borrow_mut().push(key.bytes.into());
        }
    }

    /// The large collection behind `entry`. The command may hold roles, but not that of a key which
    /// its row does not name.
    pub fn object(&self, entry: &Entry<'_>) -> Result<&'r Object, ReplyError> {
        let shard = self.keyspace.shard_of(self.key(entry.key()).hash);
        let writer = self.writer.filter(|writer| writer.holds(shard));
        writer.and_then(|writer| writer.object(entry)).ok_or(NEEDS_ROLE)
    }

    /// A name as a key, for commands that make names.
    pub fn key<'k>(&self, name: &'k [u8]) -> Key<'k> {
        self.keyspace.key(name)
    }

    /// Time of the turn.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The list at `key`.
    pub fn list(&self, key: &Key<'_>) -> Result<Option<ListRef<'r>>, ReplyError>
    where
        'g: 'r,
    {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match entry.value() {
            Value::Packed(packed) => packed.list(),
            Value::Large(Kind::List) => self.object(&entry)?.as_list().map(List::view),
            _ => None,
        }
        .map_or(Err(WRONG_TYPE), |list| Ok(Some(list)))
    }

    /// The set at `key`.
    pub fn set(&self, key: &Key<'_>) -> Result<Option<SetRef<'r>>, ReplyError>
    where
        'g: 'r,
    {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match entry.value() {
            Value::Packed(packed) => packed.set(),
            Value::Large(Kind::Set) => self.object(&entry)?.as_set().map(Set::view),
            _ => None,
        }
        .map_or(Err(WRONG_TYPE), |set| Ok(Some(set)))
    }

    /// The hash at `key`.
    pub fn hash(&self, key: &Key<'_>) -> Result<Option<HashRef<'r>>, ReplyError>
    where
        'g: 'r,
    {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match entry.value() {
            Value::Packed(packed) => packed.hash(),
            Value::Large(Kind::Hash) => self.object(&entry)?.as_hash().map(Hash::view),
            _ => None,
        }
        .map_or(Err(WRONG_TYPE), |hash| Ok(Some(hash)))
    }

    /// The sorted set at `key`.
    pub fn sorted_set(&self, key: &Key<'_>) -> Result<Option<SortedSetRef<'r>>, ReplyError>
    where
        'g: 'r,
    {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match entry.value() {
            Value::Packed(packed) => packed.sorted_set(),
            Value::Large(Kind::SortedSet) => {
                self.object(&entry)?.as_sorted_set().map(SortedSet::view)
            }
            _ => None,
        }
        .map_or(Err(WRONG_TYPE), |set| Ok(Some(set)))
    }

    /// The stream at `key`.
    pub fn stream(&self, key: &Key<'_>) -> Result<Option<&'r Stream>, ReplyError> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        match entry.value() {
            Value::Large(Kind::Stream) => self.object(&entry)?.as_stream(),
            _ => None,
        }
        .map_or(Err(WRONG_TYPE), |stream| Ok(Some(stream)))
    }
}

impl<'a, 'g> Call<'a, 'g> {
    /// A reader, and the reply.
    pub fn split(&mut self) -> (Reader<'_, 'g>, &mut Reply) {
        self.split_for(true)
    }

    /// As [`Call::split`], for commands that look a key up in order to change it: as in Redis that is
    /// neither a hit nor a miss.
    pub fn split_to_change(&mut self) -> (Reader<'_, 'g>, &mut Reply) {
        self.split_for(false)
    }

    fn split_for(&mut self, reading: bool) -> (Reader<'_, 'g>, &mut Reply) {
        let touch = if self.client.no_touch { Touch::No } else { Touch::Yes };
        let reader = Reader {
            keyspace: &self.server.keyspace,
            writer: self.writer.as_deref(),
            guard: self.guard,
            db: self.client.db,
            now: self.now,
            touch,
            stats: reading.then_some(self.stats),
            missed: (reading && self.server.events().any(Class::KEY_MISS))
                .then(|| RefCell::new(&mut self.client.missed)),
        };
        (reader, self.reply)
    }

    /// Whether there is a collection of this kind at `key`; an error if there is something else. Not
    /// counted as a hit or a miss.
    pub fn has<T: Collection>(&self, key: &Key<'_>) -> Result<bool, ReplyError> {
        match self.find(key) {
            Some(entry) if entry.kind() != T::KIND => Err(WRONG_TYPE),
            found => Ok(found.is_some()),
        }
    }

    /// Changes the collection at `key` if there is one. Whoever has changed it says so with
    /// [`Call::notify`]: of a large collection the store does not know.
    pub fn edit<T: Collection, R>(
        &mut self,
        key: &Key<'_>,
        change: impl FnOnce(&mut T, &Limits) -> R,
    ) -> Result<Option<R>, ReplyError> {
        if !self.has::<T>(key)? {
            return Ok(None);
        }
        let limits = self.server.limits();
        let (db, now) = (self.client.db, self.now);
        let writer = self.writer();
        let changed = writer.update_untold(db, key, now, |object| match T::of(object) {
            Some(collection) => change(collection, &limits),
            None => unreachable!("the kind was looked at, and the role is held"),
        });
        // Nobody but a copy notices all of it: a stream's pending entries have no event.
        let shard = self.server.keyspace.shard_of(key.hash);
        if self.writer().is_observed(shard) {
            self.server.interests.touched(shard, key);
        }
        Ok(changed)
    }

    /// Changes the collection at `key`, or a new one.
    pub fn edit_or_new<T: Collection, R>(
        &mut self,
        key: &Key<'_>,
        change: impl FnOnce(&mut T, &Limits) -> R,
    ) -> Result<R, ReplyError> {
        if self.find(key).is_none() {
            let limits = self.server.limits();
            let mut collection = T::default();
            let result = change(&mut collection, &limits);
            if !collection.is_gone(self.now) {
                self.put_collection(key, collection, None);
            }
            return Ok(result);
        }
        match self.edit(key, change)? {
            Some(result) => Ok(result),
            None => unreachable!("the key was there, and the role is held"),
        }
    }

    /// Stores a collection, whatever was there; an empty one removes the key.
    pub fn put_collection<T: Collection>(
        &mut self,
        key: &Key<'_>,
        collection: T,
        expire_at: Option<Millis>,
    ) {
        if collection.is_gone(self.now) {
            self.remove(key);
        } else {
            self.put(key, NewValue::Object(Box::new(collection.into_object())), expire_at);
        }
    }

    /// Gives a collection that was taken out of a key, or a part of one, to those who free things in
    /// steps.
    pub fn free_slowly<T: Collection>(&self, collection: T) {
        self.keyspace().free_slowly(collection.into_object());
    }

    /// The name that OBJECT ENCODING gives.
    pub fn encoding_of(&mut self, entry: &Entry<'_>) -> Result<&'static str, ReplyError> {
        Ok(match entry.value() {
            Value::Str(string) => match string.encoding() {
                Encoding::Int => "int",
                Encoding::EmbStr => "embstr",
                Encoding::Raw => "raw",
            },
            Value::Packed(packed) => packed.encoding(),
            _ => self.split().0.object(entry)?.encoding(),
        })
    }

    /// A copy of any value, to be stored elsewhere. Needs the role if it is a large collection.
    pub fn copy_of(&self, entry: &Entry<'g>) -> Result<NewValue<'g>, ReplyError> {
        if let Some(value) = entry.to_new_value() {
            return Ok(value);
        }
        let object = self.writer.as_deref().and_then(|writer| writer.object(entry));
        object.map(|object| NewValue::Object(Box::new(object.clone()))).ok_or(NEEDS_ROLE)
    }
}
