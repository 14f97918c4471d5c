//! Watchers and waiters over a keyspace, without connections.

use super::*;
use dunlin_storage::{Guard, Keyspace, Millis, NewValue, Options, ShardSet};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

const DATABASES: u8 = 2;

fn keyspace(shards: usize) -> (Arc<Interests>, Keyspace) {
    let notifier = Arc::new(Notifier::new(Default::default()));
    let options = Options { shards, databases: DATABASES, ..Options::default() };
    let interests = Arc::new(Interests::new(options.shard_count(), 1, notifier));
    let keyspace = Keyspace::observed(options, Arc::clone(&interests) as _);
    (interests, keyspace)
}

fn all<'g>(keyspace: &'g Keyspace, guard: &'g Guard) -> Roles<'g> {
    keyspace.try_enter(&ShardSet::all(keyspace), guard).expect("one thread")
}

fn client(id: u64) -> Arc<ClientShared> {
    Arc::new(ClientShared::new(id, "127.0.0.1:1".into(), String::new(), 0, 0, 0))
}

fn is_marked(client: &ClientShared) -> bool {
    client.has_flag(ClientShared::DIRTY)
}

fn held(client: &ClientShared) -> u64 {
    client.interests.load(Ordering::Relaxed)
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % most
    }
}

/// A client with the keys it watches, and what the model knows of them.
struct Session {
    shared: Arc<ClientShared>,
    watched: Watched,
    /// What each key held when it was watched.
    seen: BTreeMap<(u8, u64), Option<u64>>,
    changed: bool,
}

/// Values by database and key, each written once, with their expiry.
type Model = BTreeMap<(u8, u64), (u64, Millis)>;

fn live(model: &Model, key: (u8, u64), now: Millis) -> Option<u64> {
    model.get(&key).filter(|(_, at)| now <= *at).map(|(value, _)| *value)
}

/// Keys at random; watchers are dirty if, and only if, something that they watch is not what it was.
#[test]
fn dirty_is_who_watches_what_has_changed() {
    const KEYS: u64 = 6;
    let (mut clean, mut dirty) = (0, 0);
    for seed in 1..40 {
        let (interests, ks) = keyspace(2);
        let handle = ks.handle();
        let mut rng = Rng(seed);
        let (mut model, mut now, mut values) = (Model::new(), 1000, 0);
        let mut sessions: Vec<Session> = (1..4)
            .map(|id| Session {
                shared: client(id),
                watched: Watched::default(),
                seen: BTreeMap::new(),
                changed: false,
            })
            .collect();
        for _ in 0..1500 {
            let guard = handle.pin();
            let (db, other) = (rng.below(2) as u8, rng.below(KEYS));
            let number = rng.below(KEYS);
            let (name, other_name) = (number.to_le_bytes(), other.to_le_bytes());
            let (key, other_key) = (ks.key(&name), ks.key(&other_name));
            match rng.below(14) {
                0..3 => {
                    values += 1;
                    let at =
                        if rng.below(2) == 0 { now + rng.below(20) as i64 } else { Millis::MAX };
                    let expiry = (at != Millis::MAX).then_some(at);
                    all(&ks, &guard).put(DbId(db), &key, NewValue::Bytes(b"v"), expiry, now);
                    model.insert((db, number), (values, at));
                }
                3 => {
                    all(&ks, &guard).remove(DbId(db), &key, now);
                    model.remove(&(db, number));
                }
                4 if number != other => {
                    let to = (DbId(db), &other_key);
                    if all(&ks, &guard).rename((DbId(db), &key), to, now) {
                        values += 1;
                        let (_, at) = model.remove(&(db, number)).expect("it was renamed");
                        model.insert((db, other), (values, at));
                    }
                }
                5 => {
                    for shard in ShardSet::all(&ks).iter() {
                        ks.expire_slice(shard, now, usize::MAX, &guard);
                    }
                    model.retain(|_, (_, at)| now <= *at);
                }
                6 if rng.below(4) == 0 => {
                    all(&ks, &guard).flush(DbId(db));
                    model.retain(|(of, _), _| *of != db);
                }
                7 if rng.below(4) == 0 => {
                    all(&ks, &guard).swap(DbId(0), DbId(1), now);
                    model = model.into_iter().map(|((db, key), v)| ((1 - db, key), v)).collect();
                }
                8..10 => now += rng.below(8) as i64,
                _ => {
                    let session = &mut sessions[rng.below(3) as usize];
                    let mut writer = all(&ks, &guard);
                    if rng.below(3) > 0 {
                        let there = writer.get(DbId(db), &key, now).is_some();
                        let at = (ks.shard_of(key.hash), DbId(db), &key);
                        session.watched.add(&interests, &mut writer, &session.shared, at, there);
                        let value = live(&model, (db, number), now);
                        session.seen.entry((db, number)).or_insert(value);
                    } else {
                        session.watched.clear(&interests, &mut writer, &session.shared);
                        session.shared.set_flag(ClientShared::DIRTY, false);
                        session.seen.clear();
                        session.changed = false;
                        assert_eq!(held(&session.shared), 0);
                    }
                }
            }
            for session in &mut sessions {
                let moved =
                    |(key, seen): (&(u8, u64), &Option<u64>)| live(&model, *key, now) != *seen;
                session.changed |= session.seen.iter().any(moved);
                let is_there = |db, key: &Key<'_>| all(&ks, &guard).get(db, key, now).is_some();
                let found = is_marked(&session.shared) || session.watched.misses_any(is_there);
                assert_eq!(found, session.changed, "seed {seed}: {:?}", session.seen);
                let count = if found { &mut dirty } else { &mut clean };
                *count += usize::from(!session.seen.is_empty());
            }
        }
    }
    assert!(clean > 1000 && dirty > 1000, "{clean} {dirty}");
}

#[test]
fn nobody_is_told_after_the_last_has_left() {
    let (interests, ks) = keyspace(4);
    let handle = ks.handle();
    let guard = handle.pin();
    let one = client(1);
    let mut watched = Watched::default();
    let names: Vec<String> = (0..100).map(|i| format!("key:{i}")).collect();
    let mut writer = all(&ks, &guard);
    for name in names.iter().chain(&names) {
        let key = ks.key(name.as_bytes());
        let at = (ks.shard_of(key.hash), DbId(0), &key);
        watched.add(&interests, &mut writer, &one, at, false);
    }
    assert_eq!(watched.len(), 100, "each once");
    assert_eq!(watched.shards(), ShardSet::all(&ks));
    let each: u64 = names.iter().map(|name| OVERHEAD + name.len() as u64).sum();
    assert_eq!(held(&one), each);
    assert!(one.held() >= each, "it shows in CLIENT LIST");
    watched.clear(&interests, &mut writer, &one);
    assert!(watched.is_empty() && held(&one) == 0);
    for name in &names {
        writer.put(DbId(0), &ks.key(name.as_bytes()), NewValue::Bytes(b"v"), None, 0);
    }
    assert!(!is_marked(&one));
    for shard in ShardSet::all(&ks).iter() {
        assert!(interests.tables(shard).watchers.is_empty());
    }
}
