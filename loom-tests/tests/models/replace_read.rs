//! Goal: a reader beside a replacement sees the old value or the new one, whole, and what it has
//! seen stays readable until it unpins; the old value is freed, once.
//!
//! Method: one thread replaces a value twice and unpins in between, so that the epoch can advance;
//! the other reads twice under one guard, keeping the first value, then again under a new guard.
//!
//! Catches: freeing entries without the grace period; storing the slot word with Relaxed (needs
//! three switches).

use loom_tests::{Shared, explore};

#[test]
fn a_replaced_value_stays_until_its_readers_are_gone() {
    explore(|| {
        let ks = Shared::new(1);
        let key = ks.keys(0, 0, 2, 1).remove(0);
        let handle = ks.handle();
        ks.put(&handle.pin(), &key, b"0");
        let writer = ks.spawn({
            let key = key.clone();
            move |ks, handle| {
                ks.put(&handle.pin(), &key, b"1");
                ks.put(&handle.pin(), &key, b"2");
                handle.pin().flush();
            }
        });
        let last = {
            let guard = handle.pin();
            let entry = ks.entry(&guard, &key).expect("never removed");
            let second = ks.read(&guard, &key).expect("never removed");
            let first = ks.value(entry);
            assert!(first <= second, "time does not go back");
            second.to_vec()
        };
        let guard = handle.pin();
        assert!(ks.read(&guard, &key).expect("never removed") >= &last[..]);
        drop(guard);
        writer.join().expect("writer");
        assert_eq!(ks.read(&handle.pin(), &key), Some(&b"2"[..]));
    });
}
