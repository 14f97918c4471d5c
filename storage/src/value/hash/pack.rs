//! Changes to the packed forms.
//!
//! ```text
//! listpack    | field | value | field | value | ...
//! listpackex  | field | value | expiry | field | value | expiry | ...
//! ```
//!
//! An expiry of 0 is none. The fields of a listpackex are in the order of their expiries, those
//! without one at the end, so what has expired is at the front.

use super::Ttl;
use crate::Millis;
use crate::value::listpack::{Listpack, ListpackBuf};

/// Elements per field of a listpack.
pub(super) const PAIR: usize = 2;
/// Elements per field of a listpackex.
pub(super) const TRIPLET: usize = 3;
/// The expiry that is none.
const NONE: Millis = 0;

/// Position of a field among groups of `size` elements.
pub(super) fn find(list: Listpack<'_>, field: &[u8], size: usize) -> Option<usize> {
    list.find(list.first()?, field, size - 1)
}

/// Sets the value of a field in a listpack; whether it is new.
pub(super) fn set_pair(list: &mut ListpackBuf, field: &[u8], value: &[u8]) -> bool {
    let view = list.view();
    match find(view, field, PAIR).and_then(|at| view.next(at)) {
        Some(at) => {
            list.replace(at, value);
            false
        }
        None => {
            list.push(field);
            list.push(value);
            true
        }
    }
}

/// Sets the value of a field in a listpackex without expired fields; whether it is new.
pub(super) fn set_triplet(list: &mut ListpackBuf, field: &[u8], value: &[u8], ttl: Ttl) -> bool {
    let Some(at) = find(list.view(), field, TRIPLET) else {
        insert_triplet(list, field, value, ttl.resolve(None));
        return true;
    };
    let old = expiry(list.view(), at);
    let new = ttl.resolve(old);
    if new != old {
        list.remove(at, TRIPLET);
        insert_triplet(list, field, value, new);
    } else if let Some(at) = list.view().next(at) {
        list.replace(at, value);
    }
    false
}

/// Changes the expiry of the field at `at` in a listpackex.
pub(super) fn set_expiry(list: &mut ListpackBuf, at: usize, new: Option<Millis>) {
    let view = list.view();
    if expiry(view, at) == new {
        return;
    }
    let Some(value_at) = view.next(at) else { return };
    let (field, value) = (view.element(at).to_vec(), view.element(value_at).to_vec());
    list.remove(at, TRIPLET);
    insert_triplet(list, &field, &value, new);
}

/// Removes a field; false if there was none.
pub(super) fn remove(list: &mut ListpackBuf, field: &[u8], size: usize) -> bool {
    match find(list.view(), field, size) {
        Some(at) => list.remove(at, size) > 0,
        None => false,
    }
}

/// Removes up to `max` expired fields from a listpackex; how many.
pub(super) fn expire(list: &mut ListpackBuf, now: Millis, max: usize) -> usize {
    let view = list.view();
    let Some(first) = view.first() else { return 0 };
    let expired = std::iter::successors(Some(first), |at| following(view, *at))
        .take(max)
        .take_while(|at| expiry(view, *at).is_some_and(|at| at < now))
        .count();
    if expired > 0 {
        list.remove(first, expired * TRIPLET);
    }
    expired
}

/// A listpack as a listpackex.
pub(super) fn with_expiries(list: Listpack<'_>) -> ListpackBuf {
    let mut elements = list.iter();
    let mut triplets = ListpackBuf::new();
    while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
        field.with(|bytes| triplets.push(bytes));
        value.with(|bytes| triplets.push(bytes));
        triplets.push(b"0");
    }
    triplets
}

/// The expiry of the field at `at` in a listpackex.
pub(super) fn expiry(list: Listpack<'_>, at: usize) -> Option<Millis> {
    let at = list.next(list.next(at)?)?;
    as_expiry(list.element(at).as_i64()?)
}

/// Whether the third of every triplet is an expiry.
pub(super) fn has_expiries(list: Listpack<'_>) -> bool {
    list.iter().skip(TRIPLET - 1).step_by(TRIPLET).all(|at| at.as_i64().is_some_and(|at| at >= 0))
}

/// What an expiry in a listpackex says.
pub(super) fn as_expiry(number: i64) -> Option<Millis> {
    (number != NONE).then_some(number)
}

/// Position of the field after the one at `at` in a listpackex.
fn following(list: Listpack<'_>, at: usize) -> Option<usize> {
    (0..TRIPLET).try_fold(at, |at, _| list.next(at))
}

/// Inserts a field that is not there before the first that expires later.
fn insert_triplet(list: &mut ListpackBuf, field: &[u8], value: &[u8], expire_at: Option<Millis>) {
    let view = list.view();
    let at = expire_at.and_then(|new| {
        std::iter::successors(view.first(), |at| following(view, *at))
            .find(|at| expiry(view, *at).is_none_or(|old| old > new))
    });
    let at = at.unwrap_or(view.end());
    let mut text = itoa::Buffer::new();
    list.insert(at, text.format(expire_at.unwrap_or(NONE)).as_bytes());
    list.insert(at, value);
    list.insert(at, field);
}
