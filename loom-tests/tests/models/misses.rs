//! Goal: why a key is not there is never said of another key or with another cause; what was known
//! before stays known beside one more removal; of two removals that are noted at once, one by whoever
//! frees a flushed table, one is lost at most, and nothing else.
//!
//! Method: one set of four places, in which all keys meet. In the first model a thread removes two
//! keys beside a reader; in the second a thread removes a key while the other notes one of a flushed
//! table, which needs no role.
//!
//! Catches: making room in a word before the new fingerprint is in it; writing it in two steps. Not
//! seen is a reader that hears of a doubling before it sees the segment, because `OnceLock` is not the
//! model checker's: such a reader finds nothing there.

use dunlin_storage::{Miss, ShardId, model};
use loom_tests::{Shared, explore};

/// Bytes of two sets.
const TWO_SETS: u64 = 16;

#[test]
fn what_is_known_stays_known_beside_removals() {
    explore(|| {
        let ks = Shared::remembering(1, TWO_SETS);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        ks.put_until(&handle.pin(), &keys[0], b"value", Some(100));
        ks.expire_slice(ShardId(0), 1000, 10, &handle.pin());
        for key in &keys[1..] {
            ks.put(&handle.pin(), key, b"value");
        }
        let remover = ks.spawn({
            let keys = keys.clone();
            move |ks, handle| {
                for key in &keys[1..] {
                    assert!(ks.remove(&handle.pin(), key));
                }
            }
        });
        {
            let guard = handle.pin();
            assert_eq!(ks.why(&guard, &keys[0]), Miss::Expired, "it was known all the time");
            let last = ks.why(&guard, &keys[2]);
            let first = ks.why(&guard, &keys[1]);
            assert!(matches!(last, Miss::NeverSet | Miss::Deleted), "{last:?}");
            assert!(matches!(first, Miss::NeverSet | Miss::Deleted), "{first:?}");
            assert!(last == Miss::NeverSet || first == Miss::Deleted, "one after the other");
        }
        remover.join().expect("remover");
        let guard = handle.pin();
        let known = [0, 1, 2].map(|key: usize| ks.why(&guard, &keys[key]));
        assert_eq!(known, [Miss::Expired, Miss::Deleted, Miss::Deleted]);
    });
}

#[test]
fn of_two_removals_at_once_one_is_lost_at_most() {
    explore(|| {
        let ks = Shared::remembering(1, TWO_SETS);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        ks.put_until(&handle.pin(), &keys[0], b"value", Some(100));
        ks.expire_slice(ShardId(0), 1000, 10, &handle.pin());
        ks.put(&handle.pin(), &keys[1], b"value");
        let remover = ks.spawn({
            let key = keys[1].clone();
            move |ks, handle| assert!(ks.remove(&handle.pin(), &key))
        });
        model::note_flushed(&ks, &keys[2]);
        remover.join().expect("remover");
        let guard = handle.pin();
        assert_eq!(ks.why(&guard, &keys[0]), Miss::Expired, "it was known before");
        let others = [ks.why(&guard, &keys[1]), ks.why(&guard, &keys[2])];
        assert!(others.iter().all(|why| matches!(why, Miss::NeverSet | Miss::Deleted)));
        assert!(others.contains(&Miss::Deleted), "both are lost");
    });
}
