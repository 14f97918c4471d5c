//! What is asked about all keys of a database: a walk over them, one by chance, how many there are.

use super::{DbId, Keyspace};
use crate::Millis;
use crate::entry::Entry;
use crate::epoch::Guard;
use crate::hash::POSITION_BITS;
use crate::table::Table;
use crate::table::iter::POSITION_END;

impl Keyspace {
    /// Visits the live keys of up to `buckets` buckets from `cursor` on (0 = start) and returns the
    /// cursor to go on with (0 = end). A key that is there all the time is visited at least once,
    /// also while tables grow and shrink. Cursors are below 2^52.
    pub fn scan<'g>(
        &self,
        db: DbId,
        cursor: u64,
        buckets: usize,
        now: Millis,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Entry<'g>),
    ) -> u64 {
        self.scan_all(db, cursor, buckets, guard, &mut |entry| {
            if !entry.is_expired(now) {
                visit(entry);
            }
        })
    }

    /// [`Keyspace::scan`] that visits also keys whose time is over and which were not removed yet.
    pub fn scan_all<'g>(
        &self,
        db: DbId,
        cursor: u64,
        buckets: usize,
        guard: &'g Guard,
        visit: &mut dyn FnMut(Entry<'g>),
    ) -> u64 {
        let db = self.physical(db);
        let mut shard = (cursor >> POSITION_BITS) as usize;
        let mut position = cursor & (POSITION_END - 1);
        for _ in 0..buckets.max(1) {
            if shard >= self.shards() {
                return 0;
            }
            let table = &self.tables[db * self.shards() + shard];
            position = table.visit_bucket(position, &self.hasher, guard, &mut |entry| {
                if self.shows(entry.key()) {
                    visit(entry);
                }
            });
            if position == POSITION_END {
                shard += 1;
                position = 0;
            }
        }
        if shard >= self.shards() { 0 } else { (shard as u64) << POSITION_BITS | position }
    }

    /// A live key picked by `random`, if there is one.
    pub fn random<'g>(
        &self,
        db: DbId,
        now: Millis,
        random: u64,
        guard: &'g Guard,
    ) -> Option<Entry<'g>> {
        let physical = self.physical(db);
        if self.is_empty(db) {
            return None;
        }
        let total = self.tables_of(physical).iter().map(Table::len).sum::<u64>().max(1);
        let mut rank = random % total;
        let mut shard = 0;
        for (i, table) in self.tables_of(physical).iter().enumerate() {
            shard = i;
            // Once: it may change meanwhile.
            let len = table.len();
            if rank < len {
                break;
            }
            rank -= len;
        }
        // From a random place on, around the whole database at most.
        let start = random.wrapping_mul(0x9e37_79b9_7f4a_7c15) & (POSITION_END - 1);
        let pick = (random >> 32) as usize;
        for step in 0..=self.shards() {
            let table = &self.tables_of(physical)[(shard + step) % self.shards()];
            let mut position = if step == 0 { start } else { 0 };
            while position < POSITION_END {
                let mut live: Vec<Entry<'g>> = Vec::new();
                position = table.visit_bucket(position, &self.hasher, guard, &mut |entry| {
                    if !entry.is_expired(now) && self.shows(entry.key()) {
                        live.push(entry);
                    }
                });
                if !live.is_empty() {
                    return Some(live[pick % live.len()]);
                }
            }
        }
        None
    }

    /// Keys of a database, expired ones that were not removed yet included.
    #[must_use]
    pub fn len(&self, db: DbId) -> u64 {
        let all: u64 = self.tables_of(self.physical(db)).iter().map(Table::len).sum();
        all.saturating_sub(self.hidden_keys())
    }

    /// True if a database has no keys.
    #[must_use]
    pub fn is_empty(&self, db: DbId) -> bool {
        self.len(db) == 0
    }

    /// Keys of a database that have an expiry. While some keys are hidden it is an estimate: their
    /// expiries are not counted apart.
    #[must_use]
    pub fn expires(&self, db: DbId) -> u64 {
        let tables = self.tables_of(self.physical(db));
        let expires = tables.iter().map(Table::expires).sum();
        match self.hidden_keys() {
            0 => expires,
            hidden => {
                let shown = self.len(db);
                let share = u128::from(expires) * u128::from(shown) / u128::from(shown + hidden);
                u64::try_from(share).unwrap_or(expires)
            }
        }
    }

    /// Whether there is a key or a field of a hash, in any database, that can expire.
    #[must_use]
    pub fn may_expire(&self) -> bool {
        self.tables.iter().any(Table::may_expire)
    }

    /// Mean time to live of the keys that have an expiry, in milliseconds.
    #[must_use]
    pub fn avg_ttl(&self, db: DbId, now: Millis) -> i64 {
        let tables = self.tables_of(self.physical(db));
        let count = tables.iter().map(Table::expires).sum::<u64>();
        if count == 0 {
            return 0;
        }
        let sum: i128 = tables.iter().map(|table| i128::from(table.expire_sum())).sum();
        let mean = sum * 1000 / i128::from(count) - i128::from(now);
        i64::try_from(mean).unwrap_or(i64::MAX).max(0)
    }
}
