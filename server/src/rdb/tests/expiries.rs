//! Hashes with fields that expire, as they become values of the store.

use super::*;
use crate::commands::collection::Limits;
use dunlin_storage::value;

const NOW: Millis = 1_700_000_000_000;

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

#[test]
fn a_hash_of_which_no_field_is_left_is_gone() {
    let value = read_value(kind::HASH_EXPIRY, b"\x01\0\0\0\0\0\0\0\0").expect("it is sound");
    assert!(matches!(object::load(value, &limits(), NOW), Ok(None)));
}
