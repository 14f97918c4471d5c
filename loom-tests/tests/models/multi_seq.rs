//! Goal: a reader that finds the sequence words of both shards even and unchanged around its reads
//! has not seen half of a write over two shards.
//!
//! Method: one thread writes a key in each of two shards under both roles, twice; the other reads
//! the words, both keys (in either order), and the words again, for `multi_seq` and `write_seq`.
//! Once with replacements, and once with insertions: these retire nothing, so no fence of the
//! epoch lies between the slots and the words.
//!
//! Catches: leaving out the odd phase; storing the words with Relaxed.

use dunlin_storage::{NewValue, ShardId, ShardSet};
use loom_tests::{DB, Shared, explore};

fn both(words: impl Fn(&Shared, ShardId) -> u64 + Copy + Send + Sync + 'static, reverse: bool) {
    explore(move || {
        let ks = Shared::new(2);
        let keys = [ks.keys(0, 0, 2, 1).remove(0), ks.keys(1, 0, 2, 1).remove(0)];
        let handle = ks.handle();
        for key in &keys {
            ks.put(&handle.pin(), key, b"0");
        }
        let writer = ks.spawn({
            let keys = keys.clone();
            move |ks, handle| {
                for value in [b"1", b"2"] {
                    let guard = handle.pin();
                    let mut writer = ks.try_enter(&ShardSet::all(ks), &guard).expect("free");
                    for key in &keys {
                        writer.put(DB, &ks.key(key), NewValue::Bytes(value), None, 0);
                    }
                }
            }
        });
        {
            let guard = handle.pin();
            let look = || [words(&ks, ShardId(0)), words(&ks, ShardId(1))];
            let before = look();
            let mut order = [0, 1];
            if reverse {
                order.reverse();
            }
            let values = order.map(|i| ks.read(&guard, &keys[i]).expect("never removed"));
            let after = look();
            if before == after && before.iter().all(|word| word % 2 == 0) {
                assert_eq!(values[0], values[1], "half of a write was seen");
            }
        }
        writer.join().expect("writer");
        assert_eq!(ks.multi_seq(ShardId(0)), 4);
    });
}

#[test]
fn multi_seq_covers_both_shards() {
    both(|ks, shard| ks.multi_seq(shard), false);
}

#[test]
fn multi_seq_covers_both_shards_read_backwards() {
    both(|ks, shard| ks.multi_seq(shard), true);
}

#[test]
fn write_seq_covers_both_shards() {
    both(|ks, shard| ks.write_seq(shard), true);
}

/// Both keys are new: both or none of them are seen.
fn inserted(words: impl Fn(&Shared, ShardId) -> u64 + Copy + Send + Sync + 'static) {
    explore(move || {
        let ks = Shared::new(2);
        let keys = [ks.keys(0, 0, 2, 1).remove(0), ks.keys(1, 0, 2, 1).remove(0)];
        let handle = ks.handle();
        let writer = ks.spawn({
            let keys = keys.clone();
            move |ks, handle| {
                let guard = handle.pin();
                let mut writer = ks.try_enter(&ShardSet::all(ks), &guard).expect("free");
                for key in &keys {
                    writer.put(DB, &ks.key(key), NewValue::Bytes(b"1"), None, 0);
                }
            }
        });
        {
            let guard = handle.pin();
            let look = || [words(&ks, ShardId(0)), words(&ks, ShardId(1))];
            let before = look();
            let seen = keys.each_ref().map(|key| ks.read(&guard, key).is_some());
            if before == look() && before.iter().all(|word| word % 2 == 0) {
                assert_eq!(seen[0], seen[1], "half of a write was seen");
            }
        }
        writer.join().expect("writer");
    });
}

#[test]
fn multi_seq_covers_insertions() {
    inserted(|ks, shard| ks.multi_seq(shard));
}

#[test]
fn write_seq_covers_insertions() {
    inserted(|ks, shard| ks.write_seq(shard));
}
