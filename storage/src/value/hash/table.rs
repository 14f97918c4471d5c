//! A hash with many or long fields: a [`Dict`], and the expiries of its fields in order.

use std::collections::BTreeSet;

use super::Ttl;
use super::field::Field;
use crate::Millis;
use crate::memory::usable;
use crate::value::dict::Dict;

/// What an expiry takes in the ordered set, about: nodes of eleven are two thirds full.
const DUE_BYTES: usize = 32;

/// Fields by name.
///
/// A field that expires is in `due` as well, under the hash of its name. Should two names have the
/// same hash and the same expiry, one of them is in `due` for both; then the other is not removed
/// in time, but it is not seen after its time either.
#[derive(Clone, Debug)]
pub struct FieldTable {
    fields: Dict<Field>,
    due: BTreeSet<(Millis, u64)>,
}

impl FieldTable {
    pub(super) fn new(seed: u64) -> Self {
        Self { fields: Dict::new(seed), due: BTreeSet::new() }
    }

    pub(super) fn fields(&self) -> &Dict<Field> {
        &self.fields
    }

    /// How many fields have expired, but are still there.
    pub(super) fn expired(&self, now: Millis) -> usize {
        self.due.range(..(now, 0)).count()
    }

    /// The earliest expiry.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The last expiry, if every field has one.
    pub(super) fn gone_at(&self) -> Option<Millis> {
        let all_expire = self.due.len() >= self.fields.len();
        self.due.last().filter(|_| all_expire).map(|(at, _)| *at)
    }

    /// Sets the value of a field; whether it is new.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8], ttl: Ttl, now: Millis) -> bool {
        let Some(mut slot) = self.fields.get_mut(field) else {
            let expire_at = ttl.resolve(None);
            self.fields.insert(Field::new(field, value, expire_at));
            self.reindex(field, None, expire_at);
            return true;
        };
        let old = slot.expire_at();
        let live = old.filter(|at| *at >= now);
        let expire_at = ttl.resolve(live);
        slot.set(value, expire_at);
        drop(slot);
        self.reindex(field, old, expire_at);
        old != live
    }

    /// Sets or takes away the expiry of a field; false if there is no such field.
    pub(super) fn set_expiry(&mut self, field: &[u8], at: Option<Millis>, now: Millis) -> bool {
        let Some(mut slot) = self.fields.get_mut(field) else { return false };
        let old = slot.expire_at();
        if old.is_some_and(|old| old < now) {
            return false;
        }
        slot.set_expiry(at);
        drop(slot);
        self.reindex(field, old, at);
        true
    }

    /// Removes a field; false if there was none, or one that had expired.
    pub(super) fn remove(&mut self, field: &[u8], now: Millis) -> bool {
        let Some(slot) = self.fields.remove(field) else { return false };
        self.reindex(field, slot.expire_at(), None);
        slot.expire_at().is_none_or(|at| at >= now)
    }

    /// Removes up to `max` expired fields; how many.
    pub(super) fn expire(&mut self, now: Millis, max: usize) -> usize {
        let mut removed = 0;
        while removed < max
            && let Some((at, hash)) = self.due.first().copied().filter(|(at, _)| *at < now)
        {
            self.due.pop_first();
            self.fields.remove_hashed(hash, &|slot| slot.expire_at() == Some(at));
            removed += 1;
        }
        removed
    }

    pub(super) fn memory_usage(&self) -> usize {
        usable(size_of::<Self>()) + self.fields.memory_usage() + self.due.len() * DUE_BYTES
    }

    /// Frees about `max` fields; whether some are left.
    pub(super) fn shed(&mut self, max: usize) -> bool {
        for _ in 0..max {
            self.due.pop_first();
        }
        self.fields.shed(max) || !self.due.is_empty()
    }

    fn reindex(&mut self, field: &[u8], old: Option<Millis>, new: Option<Millis>) {
        if old == new {
            return;
        }
        let hash = self.fields.hash_of(field);
        if let Some(at) = old {
            self.due.remove(&(at, hash));
        }
        if let Some(at) = new {
            self.due.insert((at, hash));
        }
    }

    /// The ordered set holds what the fields say.
    #[cfg(test)]
    pub(super) fn check(&self) {
        use crate::value::dict::Slot;
        let due = self
            .fields
            .iter()
            .filter_map(|slot| slot.expire_at().map(|at| (at, self.fields.hash_of(slot.key()))));
        assert_eq!(due.collect::<BTreeSet<_>>(), self.due);
    }
}
