//! Goal: removing expired keys beside readers: a live key is always found (also when the removal
//! pulls it back from the overflow chain), an expired one never, and a key whose expiry is taken
//! away in time is not removed.
//!
//! Method: two expired keys and a live one in the same home; one thread runs an expiry slice, the
//! other reads all three. In the second model the other thread changes the expiry instead, which
//! needs the role: one of them finds it busy, and either order must leave a consistent store.
//!
//! Catches: pull-backs that clear or count down first; leaving out the second look at the home;
//! freeing entries without the grace period.

use dunlin_storage::{NewValue, ShardId, ShardSet};
use loom_tests::{DB, Run, Shared, explore};

#[test]
fn live_keys_are_found_beside_an_expiry_slice() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        ks.put_until(&handle.pin(), &keys[0], b"dead", Some(100));
        ks.put_until(&handle.pin(), &keys[1], b"dead", Some(200));
        ks.put_until(&handle.pin(), &keys[2], b"live", Some(90_000));
        let cleaner = ks.spawn(|ks, handle| {
            let report = ks.expire_slice(ShardId(0), 1000, 10, &handle.pin());
            assert_eq!((report.removed, report.busy), (2, false));
        });
        {
            let guard = handle.pin();
            assert_eq!(ks.read_at(&guard, &keys[2], 1000), Some(&b"live"[..]));
            assert_eq!(ks.read_at(&guard, &keys[0], 1000), None);
            // Somebody whose clock is behind may still see it, whole.
            assert!(ks.read_at(&guard, &keys[1], 0).is_none_or(|value| value == b"dead"));
        }
        cleaner.join().expect("cleaner");
        assert_eq!((ks.len(DB), ks.expires(DB)), (1, 1));
        assert_eq!(ks.read_at(&handle.pin(), &keys[2], 1000), Some(&b"live"[..]));
    });
}

#[test]
fn a_new_expiry_wins_or_comes_after_the_removal() {
    explore(|| {
        let ks = Shared::new(1);
        let key = ks.keys(0, 0, 2, 1).remove(0);
        let handle = ks.handle();
        ks.put_until(&handle.pin(), &key, b"old", Some(100));
        let cleaner = ks.spawn(|ks, handle| {
            ks.expire_slice(ShardId(0), 1000, 10, &handle.pin());
            ks.help(&handle.pin());
        });
        {
            let guard = handle.pin();
            let hash = ks.key(&key).hash;
            let body = {
                let (ks, key) = (ks.clone(), key.clone());
                move |writer: &mut dunlin_storage::Writer<'_, '_>| {
                    let put = writer.put(DB, &ks.key(&key), NewValue::Bytes(b"new"), None, 1000);
                    assert!(!put.existed, "what has expired is not there");
                }
            };
            ks.submit(ShardSet::one(ks.shard_of(hash)), Box::new(Run(body)), &guard);
            ks.help(&guard);
        }
        cleaner.join().expect("cleaner");
        ks.help(&handle.pin());
        assert_eq!(ks.read_at(&handle.pin(), &key, 1000), Some(&b"new"[..]));
        assert_eq!((ks.len(DB), ks.expires(DB)), (1, 0));
    });
}
