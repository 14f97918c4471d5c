//! Goal: a table that was flushed is freed once, and the entries in it, while another thread removes a
//! key that was stored since; of what the two note of their keys at the same moment one is lost at
//! most, and what was known before stays known.
//!
//! Method: a key has expired and two are flushed. One thread frees them in slices, the other removes
//! the key and hands on what it has unlinked, so that both push to the queue of what is to be freed
//! and both take from it. All keys meet in one set of what was removed.
//!
//! Catches: freeing without the right to it (`freeing` looked at and not taken).

use dunlin_storage::{Miss, ShardId, ShardSet};
use loom_tests::{DB, Shared, explore};

/// Bytes of two sets.
const TWO_SETS: u64 = 16;

#[test]
fn a_flushed_table_is_freed_beside_a_removal() {
    explore(|| {
        let ks = Shared::remembering(1, TWO_SETS);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        ks.put_until(&handle.pin(), &keys[0], b"value", Some(100));
        ks.expire_slice(ShardId(0), 1000, 10, &handle.pin());
        ks.put(&handle.pin(), &keys[1], b"old");
        {
            let guard = handle.pin();
            let mut writer = ks.try_enter(&ShardSet::all(&ks), &guard).expect("free");
            writer.flush(DB);
        }
        ks.put(&handle.pin(), &keys[2], b"new");
        let remover = ks.spawn({
            let key = keys[2].clone();
            move |ks, handle| {
                assert!(ks.remove(&handle.pin(), &key));
                handle.pin().flush();
                ks.free_all();
            }
        });
        handle.pin().flush();
        ks.free_all();
        remover.join().expect("remover");
        // What neither could free yet, because the other one was pinned.
        for _ in 0..4 {
            handle.pin().flush();
        }
        ks.free_all();
        let guard = handle.pin();
        assert_eq!(ks.len(DB), 0);
        let known = [0, 1, 2].map(|key: usize| ks.why(&guard, &keys[key]));
        assert_eq!(known[0], Miss::Expired, "it was known before");
        assert!(known[1..].contains(&Miss::Deleted), "both are lost: {known:?}");
    });
}
