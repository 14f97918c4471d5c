//! Goal: eviction beside readers: what a reader found stays readable, its mark of use never brings
//! an evicted or replaced item back.
//!
//! Method: two keys of one home and one in the overflow chain, a budget far below; one thread
//! evicts all it may, the other reads with `Touch::Yes` (a compare-and-swap on the slot word) and
//! keeps what it found. In the second model the other thread replaces the value instead.
//!
//! Catches: freeing entries without the grace period; marking the use with a plain store.

use dunlin_storage::{ShardId, model};
use loom_tests::{DB, Shared, explore};

#[test]
fn an_evicted_item_stays_until_its_readers_are_gone_and_stays_away() {
    explore(|| {
        model::let_readers_bump();
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        for key in &keys {
            ks.put(&handle.pin(), key, key);
        }
        // Folds what is held into the common counter, which evicting looks at.
        ks.set_max_memory(1);
        ks.put(&handle.pin(), &keys[1], b"changed a little more");
        let evicter = ks.spawn(|ks, handle| {
            ks.evict_slice(ShardId(0), 3, 0, &handle.pin());
        });
        {
            let guard = handle.pin();
            for key in [&keys[2], &keys[0]] {
                let entry = ks.touch(&guard, key);
                let again = ks.touch(&guard, key);
                if let Some(entry) = entry {
                    assert_eq!(ks.value(entry), &key[..]);
                } else {
                    assert!(again.is_none(), "an evicted item came back");
                }
            }
        }
        evicter.join().expect("evicter");
        let guard = handle.pin();
        while ks.evict_slice(ShardId(0), 3, 0, &guard).more {}
        assert_eq!(ks.len(DB), 0);
        for key in &keys {
            assert_eq!(ks.read(&guard, key), None);
        }
    });
}

#[test]
fn a_mark_of_use_does_not_undo_a_replacement() {
    explore(|| {
        model::let_readers_bump();
        let ks = Shared::new(1);
        let key = ks.keys(0, 0, 2, 1).remove(0);
        let handle = ks.handle();
        ks.put(&handle.pin(), &key, b"0");
        let writer = ks.spawn({
            let key = key.clone();
            move |ks, handle| {
                ks.put(&handle.pin(), &key, b"1");
                ks.put(&handle.pin(), &key, b"2");
            }
        });
        {
            let guard = handle.pin();
            let first = ks.value(ks.touch(&guard, &key).expect("never removed"));
            let second = ks.value(ks.touch(&guard, &key).expect("never removed"));
            assert!(first <= second, "time does not go back");
        }
        writer.join().expect("writer");
        assert_eq!(ks.read(&handle.pin(), &key), Some(&b"2"[..]));
    });
}
