//! Goal: a reader finds a key that stays, also while removals pull it from the overflow chain into
//! its home; a removed key is seen whole or not at all and freed after its readers.
//!
//! Method: three keys of one home with two slots, so the third is in the overflow chain. One thread
//! removes the first (the third moves into the home); the other looks for the third, and for the
//! first. In the second model a fourth key takes the place in the chain and is pulled back too.
//!
//! Catches: clearing the chain's slot before the copy; lowering the count first; leaving out the
//! second look at the home; freeing entries without the grace period.

use loom_tests::{Shared, explore};

#[test]
fn a_key_is_found_while_it_is_pulled_back() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 3);
        let handle = ks.handle();
        for key in &keys {
            ks.put(&handle.pin(), key, key);
        }
        let writer = ks.spawn({
            let first = keys[0].clone();
            move |ks, handle| assert!(ks.remove(&handle.pin(), &first))
        });
        {
            let guard = handle.pin();
            assert_eq!(ks.read(&guard, &keys[2]), Some(&keys[2][..]), "it was there all the time");
            assert!(ks.read(&guard, &keys[0]).is_none_or(|value| value == keys[0]));
            assert_eq!(ks.read(&guard, &keys[1]), Some(&keys[1][..]), "it did not even move");
        }
        writer.join().expect("writer");
        let guard = handle.pin();
        assert_eq!(ks.read(&guard, &keys[0]), None);
        assert_eq!(ks.read(&guard, &keys[2]), Some(&keys[2][..]));
    });
}

#[test]
fn two_removals_and_an_insertion_between_looks() {
    explore(|| {
        let ks = Shared::new(1);
        let keys = ks.keys(0, 0, 2, 4);
        let handle = ks.handle();
        for key in &keys[..3] {
            ks.put(&handle.pin(), key, key);
        }
        let writer = ks.spawn({
            let keys = keys.clone();
            move |ks, handle| {
                let guard = handle.pin();
                // The third goes home, the fourth takes its place in the chain, and follows it.
                ks.remove(&guard, &keys[0]);
                ks.put(&guard, &keys[3], &keys[3]);
                ks.remove(&guard, &keys[1]);
            }
        });
        {
            let guard = handle.pin();
            assert_eq!(ks.read(&guard, &keys[2]), Some(&keys[2][..]), "it was there all the time");
            let fourth = ks.read(&guard, &keys[3]);
            assert!(fourth.is_none_or(|value| value == keys[3]));
            let again = ks.read(&guard, &keys[3]);
            assert!(fourth.is_none() || again.is_some(), "a key that came does not go");
        }
        writer.join().expect("writer");
    });
}
