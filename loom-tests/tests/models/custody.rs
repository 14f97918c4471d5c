//! The hand-over of blocks to an arena of the slab that somebody else works on.
//!
//! Checked: whatever was left is done by the time that all have gone, whoever does it, and nobody waits.
//! Not tried yet: which change of the code it catches (a release that is a plain store should strand
//! what was left).

use dunlin_storage::model::Kept;
use loom::sync::Arc;
use loom::thread;

fn all_add(threads: u64) {
    loom::model(move || {
        let kept = Arc::new(Kept::new());
        let others: Vec<_> = (1..threads)
            .map(|number| {
                let kept = Arc::clone(&kept);
                thread::spawn(move || kept.add(1 << number))
            })
            .collect();
        kept.add(1);
        others.into_iter().for_each(|other| other.join().expect("no panic"));
        assert_eq!(kept.sum(), Some((1 << threads) - 1));
    });
}

#[test]
fn what_two_leave_is_done() {
    all_add(2);
}

#[test]
fn what_three_leave_is_done() {
    all_add(3);
}
