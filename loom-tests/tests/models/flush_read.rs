//! Goal: a reader beside a flush sees a key whole or not at all, and never after it saw the flush;
//! tables and items are freed once, after their readers, by whoever calls `free_slice`.
//!
//! Method: one thread flushes, stores a key anew and frees in slices; the other reads two keys
//! under one guard and holds what it found.
//!
//! Catches: freeing the table without the grace period.

use dunlin_storage::ShardSet;
use loom_tests::{DB, Shared, explore};

#[test]
fn a_flushed_table_stays_until_its_readers_are_gone() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        for key in &keys {
            ks.put(&handle.pin(), key, b"old");
        }
        let writer = ks.spawn({
            let key = keys[0].clone();
            move |ks, handle| {
                {
                    let guard = handle.pin();
                    let mut writer = ks.try_enter(&ShardSet::all(ks), &guard).expect("free");
                    writer.flush(DB);
                }
                ks.put(&handle.pin(), &key, b"new");
                handle.pin().flush();
                ks.free_all();
            }
        });
        {
            let guard = handle.pin();
            // The third is in the overflow chain.
            let third = ks.entry(&guard, &keys[2]);
            let first = ks.read(&guard, &keys[0]);
            if let Some(entry) = third {
                assert_eq!(ks.value(entry), b"old");
            } else {
                assert_ne!(first, Some(&b"old"[..]), "the flush was seen before");
            }
            assert!(first.is_none_or(|value| value == b"old" || value == b"new"));
        }
        writer.join().expect("writer");
        assert_eq!(ks.len(DB), 1);
        ks.free_all();
    });
}
