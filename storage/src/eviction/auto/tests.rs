//! How much of a shard's memory is for choosing, and what is sampled.

use super::*;

fn load(items: usize, bytes_each: usize) -> Load {
    let bytes = items * bytes_each;
    Load { items, bytes, used: bytes as u64, max: bytes as u64 }
}

fn spot(i: u64) -> Spot {
    Spot { position: i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24, tag: (i & 0xfff) as u16 }
}

#[test]
fn it_takes_a_small_share_whatever_the_size() {
    for bytes_each in [50, 100, 300, 1000, 10_000] {
        let (mut auto, sampler) = (Auto::default(), Sampler::default());
        for items in [0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 1000, 10] {
            let now = load(items, bytes_each);
            auto.is_full = true;
            auto.fit(now, &sampler);
            auto.sketch.settle();
            let bytes = auto.fit(now, &sampler);
            let sketch = if bytes_each >= LARGE_ITEM { 4 } else { 2 };
            let most = items.max(16) * sketch * 3 + now.bytes / 60 + 64;
            assert!(bytes <= most, "{items} items of {bytes_each}: {bytes} > {most}");
        }
    }
}

#[test]
fn the_sample_has_as_many_as_a_miniature_holds() {
    let mut seen = Vec::new();
    for items in [10, 100, 1000, 10_000, 100_000, 1_000_000] {
        let (mut auto, sampler) = (Auto::default(), Sampler::default());
        auto.fit(load(items, 1000), &sampler);
        let sampled = (0..items as u64).filter(|&i| sampler.name(spot(i)).is_some()).count();
        match &auto.duel {
            None => assert!(sampled <= 1 && items < 40, "{items} {sampled}"),
            Some(duel) => {
                let holds = duel.items();
                assert!(sampled * 2 < holds * 3 + 20 && holds * 2 < sampled * 3 + 20);
                seen.push(holds);
            }
        }
    }
    assert!(seen.len() == 5 && seen.iter().all(|&holds| holds <= SHADOW_MOST * 5 / 4), "{seen:?}");
    assert!(seen[4] > SHADOW_MOST / 2 && seen[0] < 40, "{seen:?}");
}

#[test]
fn before_it_is_full_it_is_as_large_as_it_will_be() {
    let (mut auto, sampler) = (Auto::default(), Sampler::default());
    let half = Load { max: 2_000_000, ..load(1000, 1000) };
    auto.fit(half, &sampler);
    let (bits, holds) = (auto.bits, auto.duel.as_ref().map(Duel::items));
    auto.fit(load(2000, 1000), &sampler);
    assert_eq!((auto.bits, auto.duel.as_ref().map(Duel::items)), (bits, holds));
    // A little more or less changes nothing either.
    auto.is_full = true;
    auto.fit(load(2010, 1000), &sampler);
    assert!(auto.duel.as_ref().map(Duel::items) == holds && auto.is_full);
    auto.fit(half, &sampler);
    assert!(!auto.is_full, "there is room again");
}

#[test]
fn new_keys_go_through_the_ring_when_something_had_to_go() {
    let mut auto = Auto::default();
    assert!(!auto.admit(spot(1), || panic!("the ghost is not asked while there is room")));
    auto.is_full = true;
    assert!(auto.admit(spot(2), || false));
    assert!(!auto.admit(spot(3), || true), "it came back soon");
    auto.sketch.fit(100, COUNTERS);
    for i in [3, 5] {
        (0..5).for_each(|_| auto.sketch.add(spot(i)));
    }
    auto.contest.is_won(&auto.sketch, spot(4), spot(5));
    assert!(auto.admit(spot(3), || true), "it is used no more than what the hand came to");
    auto.rule = Rule::Recency;
    assert!(auto.admit(spot(4), || true));
    let counters = AutoCounters::default();
    auto.publish(7, &counters);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&counters.ghost_hits), read(&counters.ring), read(&counters.rule)), (3, 7, 2));
}
