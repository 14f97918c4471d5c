//! Hashes with fields that expire, on their way from one store to another.

use super::*;
use crate::commands::collection::Limits;
use crate::runtime::clock::Skew;
use dunlin_storage::value::hash::{Hash, Ttl};
use dunlin_storage::{Object, value};

const NOW: Millis = 1_700_000_000_000;
const HOUR: Millis = 3_600_000;

/// The limits of Redis.
fn limits() -> Limits {
    Limits {
        list: value::list::Limits::default(),
        set: value::set::Limits::new(1),
        hash: value::hash::Limits::new(1),
        sorted_set: value::sorted_set::Limits::new(1),
        stream: value::stream::Limits { node_max_bytes: 4096, node_max_entries: 100 },
    }
}

/// A hash with two fields that expire, and others that do not.
fn expiring(others: usize) -> Hash {
    let (mut hash, limits) = (Hash::new(), limits().hash);
    hash.set(b"first", b"v", Ttl::At(NOW + 1000), NOW, &limits);
    hash.set(b"second", b"v", Ttl::At(NOW + 5000), NOW, &limits);
    for other in 0..others {
        hash.set(other.to_string().as_bytes(), b"v", Ttl::Clear, NOW, &limits);
    }
    hash
}

fn dumped(hash: Hash, skew: Skew) -> Vec<u8> {
    let (object, form) = (Object::Hash(hash), stream::Form::Redis72);
    object::dump_object(Strings::Packed, &object, form, &limits().list, NOW, skew).seal()
}

/// When the two fields expire.
fn times(object: &Object, now: Millis) -> [Option<Millis>; 2] {
    let hash = object.as_hash().expect("a hash").view();
    [&b"first"[..], b"second"].map(|field| hash.find(field, now)?.expire_at)
}

#[test]
fn expiries_stay_the_same_by_the_wall_clock() {
    for others in [0, 600] {
        for (there, here) in [(0, 0), (HOUR, 0), (0, HOUR), (-HOUR, HOUR), (HOUR, HOUR)] {
            let payload = dumped(expiring(others), Skew(there));
            let value = load(&payload).expect("our own payload");
            // The same moment, by the clock of who loads it.
            let now = NOW + there - here;
            let loaded = object::load(value, &limits(), now, Skew(here)).expect("it is sound");
            let Some(object::Loaded::Object(object)) = loaded else { panic!("a collection") };
            let wanted = [Some(now + 1000), Some(now + 5000)];
            assert_eq!(times(&object, now), wanted, "{others}: from {there} to {here}");
            assert_eq!(object.encoding(), expiring(others).encoding());
        }
    }
}

#[test]
fn expiries_of_parts_stay_the_same_by_the_wall_clock() {
    let payload = dumped(expiring(600), Skew(HOUR));
    let value = load(&payload).expect("our own payload");
    let (mut whole, now) = (Object::Hash(Hash::new()), NOW + HOUR);
    assert_eq!(object::merge(&mut whole, value, &limits(), now, Skew(0)), Ok(()));
    assert_eq!(times(&whole, now), [Some(now + 1000), Some(now + 5000)]);
}

#[test]
fn a_clock_that_is_set_to_1970_makes_no_payload_that_is_refused() {
    let mut hash = expiring(600);
    hash.set(b"over", b"v", Ttl::At(NOW - 1), NOW - 1, &limits().hash);
    let payload = dumped(hash, Skew(-NOW));
    assert!(load(&payload).is_ok());
}

#[test]
fn a_hash_of_which_no_field_is_left_is_gone() {
    let value = read_value(kind::HASH_EXPIRY, b"\x01\0\0\0\0\0\0\0\0").expect("it is sound");
    assert!(matches!(object::load(value, &limits(), NOW, Skew(0)), Ok(None)));
}
