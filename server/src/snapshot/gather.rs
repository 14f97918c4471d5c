//! Collections that a file has in parts, while they are put together.
//!
//! Parts come on several threads and in any order, and so does what is behind the last of them: when the
//! key expires, or that it is not to be there. Meanwhile the store may become full, or evict what is there
//! of a collection. Half of one would be wrong, so then all of it goes, and what is still to come of it is
//! left out.

use super::Loading;
use crate::commands::collection::Limits;
use crate::rdb::{self, Refused, object};
use crate::runtime::clock::Skew;
use dunlin_storage::{DbId, Key, Kind, Millis, NewValue, Writer};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a file says of a collection.
#[derive(Debug)]
pub(super) enum Piece<'p> {
    /// It has these members, too. Files of version 1 say with them when the key expires.
    Members(rdb::Value<'p>, Option<Millis>),
    /// When the key expires.
    End(Option<Millis>),
    /// It is not to be there.
    Void,
}

/// What is known of a collection.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Something of it was stored.
    begun: bool,
    /// Nothing of it is to be there.
    void: bool,
    /// When its key expires, if its end has come.
    expire_at: Option<Millis>,
}

type Collections = HashMap<(DbId, Box<[u8]>), Known>;

/// All of them. What is known of one is read and changed under the role of its key.
#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<Collections>);

impl Gathering {
    fn all(&self) -> MutexGuard<'_, Collections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece of the collection of a key, of which the writer holds the role.
    pub(super) fn take(
        &self,
        writer: &mut Writer<'_, '_>,
        (db, key): (DbId, &Key<'_>),
        piece: Piece<'_>,
        limits: &Limits,
        (now, skew): (Millis, Skew),
        loading: &Loading,
    ) -> Result<(), Refused> {
        let name: (DbId, Box<[u8]>) = (db, key.bytes.into());
        let mut known = self.all().get(&name).copied().unwrap_or_default();
        if known.void {
            return Ok(());
        }
        let there = writer.get(db, key, now).map(|entry| entry.kind());
        match piece {
            // It was evicted, or its time is over.
            _ if known.begun && there.is_none() => known.void = true,
            Piece::Void => known.void = true,
            Piece::End(Some(at)) if at <= now => {
                known.void = true;
                loading.expired.fetch_add(1, Ordering::Relaxed);
            }
            Piece::End(expire_at) => {
                known.expire_at = expire_at;
                if known.begun {
                    writer.set_expiry(db, key, expire_at, now);
                }
            }
            Piece::Members(..) if known.begun && there == Some(Kind::String) => {
                return Err(Refused::Value);
            }
            Piece::Members(value, _) if known.begun => {
                let merge = |object: &mut _| object::merge(object, value, limits, now, skew);
                writer.update(db, key, now, merge).unwrap_or(Ok(()))?;
            }
            Piece::Members(value, expire_at) => match object::load(value, limits, now, skew)? {
                Some(object::Loaded::Object(object)) => {
                    let expire_at = known.expire_at.or(expire_at);
                    writer.put(db, key, NewValue::Object(object), expire_at, now);
                    known.begun = true;
                    loading.loaded.fetch_add(1, Ordering::Relaxed);
                }
                Some(object::Loaded::String(_)) => return Err(Refused::Value),
                // Fields whose time is over.
                None => {}
            },
        }
        if known.void && known.begun && writer.remove(db, key, now) {
            loading.loaded.fetch_sub(1, Ordering::Relaxed);
        }
        self.all().insert(name, known);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_storage::value::{hash, list, set, sorted_set, stream};
    use dunlin_storage::{Handle, Keyspace, Object, Options, ShardSet};

    const DB: DbId = DbId(0);
    const NOW: Millis = 1_000;

    struct Fixture {
        keyspace: Keyspace,
        handle: Handle,
        gathering: Gathering,
        loading: Loading,
    }

    impl Fixture {
        fn new() -> Self {
            let keyspace = Keyspace::new(Options::default());
            let (gathering, loading) = (Gathering::default(), Loading::default());
            Fixture { handle: keyspace.handle(), keyspace, gathering, loading }
        }

        fn writing<R>(&self, act: impl FnOnce(&mut Writer<'_, '_>, &Key<'_>) -> R) -> R {
            let (guard, key) = (self.handle.pin(), self.keyspace.key(b"set"));
            let shards = ShardSet::one(self.keyspace.shard_of(key.hash));
            act(&mut self.keyspace.try_enter(&shards, &guard).expect("nobody else writes"), &key)
        }

        fn take(&self, piece: Piece<'_>) -> Result<(), Refused> {
            let limits = Limits {
                list: list::Limits::default(),
                set: set::Limits::new(1),
                hash: hash::Limits::new(1),
                sorted_set: sorted_set::Limits::new(1),
                stream: stream::Limits { node_max_bytes: 4096, node_max_entries: 100 },
            };
            self.writing(|writer, key| {
                let times = (NOW, Skew(0));
                self.gathering.take(writer, (DB, key), piece, &limits, times, &self.loading)
            })
        }

        /// A set with these members, of one byte each, as a part.
        fn part(&self, members: &[u8]) -> Result<(), Refused> {
            let mut body = vec![members.len() as u8];
            members.iter().for_each(|member| body.extend([1, *member]));
            let value = rdb::read_value(2, &body).expect("a set");
            self.take(Piece::Members(value, None))
        }

        /// How many members there are, and when the key expires.
        fn found(&self) -> Option<(usize, Option<Millis>)> {
            self.writing(|writer, key| {
                let expire_at = writer.get(DB, key, NOW)?.expire_at();
                let count = |object: &mut Object| object.as_set().map_or(0, |set| set.len());
                Some((writer.update(DB, key, NOW, count)?, expire_at))
            })
        }

        fn counted(&self) -> (u64, u64) {
            let Loading { loaded, expired, .. } = &self.loading;
            (loaded.load(Ordering::Relaxed), expired.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn parts_and_their_end_come_in_any_order() {
        for end in 0..4 {
            let fixture = Fixture::new();
            for step in 0..4 {
                let taken = match step == end {
                    true => fixture.take(Piece::End(Some(5_000))),
                    false => fixture.part(&[b'a', b'0' + step]),
                };
                assert_eq!(taken, Ok(()));
            }
            assert_eq!(fixture.found(), Some((4, Some(5_000))), "the end is number {end}");
            assert_eq!(fixture.counted(), (1, 0));
        }
    }

    #[test]
    fn a_void_in_any_place_takes_all_of_it_back() {
        for void in 0..4 {
            let fixture = Fixture::new();
            for step in 0..4 {
                let taken = match step == void {
                    true => fixture.take(Piece::Void),
                    false => fixture.part(&[b'0' + step]),
                };
                assert_eq!(taken, Ok(()));
            }
            assert_eq!((fixture.found(), fixture.counted()), (None, (0, 0)), "number {void}");
        }
    }

    #[test]
    fn what_was_evicted_between_two_parts_stays_away() {
        let fixture = Fixture::new();
        assert_eq!(fixture.part(b"ab"), Ok(()));
        assert!(fixture.writing(|writer, key| writer.remove(DB, key, NOW)));
        assert_eq!(fixture.part(b"cd"), Ok(()));
        assert_eq!(fixture.part(b"ef"), Ok(()));
        assert_eq!(fixture.take(Piece::End(None)), Ok(()));
        assert_eq!(fixture.found(), None);
    }

    #[test]
    fn the_end_says_that_its_time_is_over() {
        let fixture = Fixture::new();
        assert_eq!(fixture.part(b"ab"), Ok(()));
        assert_eq!(fixture.take(Piece::End(Some(NOW))), Ok(()));
        assert_eq!(fixture.part(b"cd"), Ok(()));
        assert_eq!((fixture.found(), fixture.counted()), (None, (0, 1)));
    }

    #[test]
    fn a_string_has_no_parts() {
        let fixture = Fixture::new();
        let string = rdb::read_value(0, b"\x01v").expect("a string");
        assert_eq!(fixture.take(Piece::Members(string, None)), Err(Refused::Value));
        assert_eq!(fixture.part(b"ab"), Ok(()));
        let put = |writer: &mut Writer<'_, '_>, key: &Key<'_>| {
            writer.put(DB, key, NewValue::Bytes(b"v"), None, NOW);
        };
        fixture.writing(put);
        assert_eq!(fixture.part(b"cd"), Err(Refused::Value));
    }
}
