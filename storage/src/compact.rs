//! Moving entries together, so that pages become empty.
//!
//! When items of one size go and others of another size come, the pages of the first are partly empty
//! ([`crate::slab`]). A *compaction* has two parts, both in slices:
//!
//! 1. **Choice**: pages that are emptier than others of their class, and whose entries fit there, are
//!    marked as leaving. One thread at a time, a few hundred pages per step, no role.
//! 2. **Walk**: through all tables, a few buckets at a time under the shard's role. An entry on a leaving
//!    page is copied to another block, its slot gets the new address, and the old one is retired: to
//!    readers it is a replacement by the same. Nothing is told to anybody, and no figure changes, as the
//!    block has the same size.
//!
//! Blocks that come to a leaving page's place in a thread's spares may serve again for a while; what is
//! on it then is moved by the next compaction, for which the choice begins anew.

use crate::entry::{self, Dead};
use crate::epoch::Guard;
use crate::eviction::SliceReport;
use crate::hash::ShardId;
use crate::keyspace::Keyspace;
use crate::shard::{Shard, ShardSet};
use crate::slab::{self, custody::Custody};
use crate::sync::{AtomicU64, Ordering};
use crate::table::iter::POSITION_END;
use crate::writer::Writer;

/// A compaction begins when so much of the pages in use is slack, as a share, and in bytes.
const SLACK_SHARE: u64 = 8;
const SLACK_LEAST: u64 = 2 << 20;
/// A compaction that has moved less than this part of the slack, while the slack has not become less by
/// as much either, was in vain.
const IN_VAIN: u64 = 64;
/// As long as more than this part of the slack waits to be freed.
const WAITING: u64 = 16;

/// Nothing is moved while more bytes than this wait to be freed: where a thread stands still and keeps
/// everything, moving would only take more memory.
const LIMBO_MOST: u64 = 8 << 20;

/// Where the compactions of a keyspace stand.
pub(crate) struct Compaction {
    choice: Custody<slab::Compaction>,
    /// Compactions whose walk has begun. Written by who has made the choice (Relaxed, as everything
    /// here: what is late is done a slice later).
    begun: AtomicU64,
    /// Shards that the walk has not been through.
    left: AtomicU64,
    /// Bytes that the last walk has moved.
    moved: AtomicU64,
    /// Slack when it began.
    slack: AtomicU64,
    /// Slack that the last one could do little about; 0 if it was not in vain.
    residue: AtomicU64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            choice: Custody::new(slab::Compaction::default()),
            begun: AtomicU64::new(0),
            left: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            slack: AtomicU64::new(0),
            residue: AtomicU64::new(0),
        }
    }
}

/// Where the walk stands in a shard. Only under its role.
#[derive(Default)]
pub(crate) struct Hand {
    compaction: u64,
    db: usize,
    position: u64,
}

impl Keyspace {
    /// Goes a step on with choosing what is to be moved, if there is need; true if there is more to
    /// choose now. When it is over the walk begins: see [`Keyspace::compact_slice`].
    pub fn choose_slice(&self) -> bool {
        let state = &self.compaction;
        if state.left.load(Ordering::Relaxed) > 0 || !self.wants_compaction() {
            return false;
        }
        let over = state.choice.try_with(
            |choice| {
                let over = choice.step();
                if over {
                    *choice = slab::Compaction::default();
                }
                over
            },
            |_| {},
        );
        if over == Some(true) {
            state.moved.store(0, Ordering::Relaxed);
            state.slack.store(slab::stats().slack(), Ordering::Relaxed);
            state.begun.fetch_add(1, Ordering::Relaxed);
            state.left.store(self.shards() as u64, Ordering::Relaxed);
        }
        over == Some(false)
    }

    fn wants_compaction(&self) -> bool {
        let stats = slab::stats();
        let slack = stats.slack();
        // What one could do nothing about, such as what threads keep, is no reason for the next.
        let residue = self.compaction.residue.load(Ordering::Relaxed);
        // What waits to be freed may yet empty pages by itself.
        let least = SLACK_LEAST.max(stats.pages / SLACK_SHARE).max(self.limbo() * 2);
        slack > least && slack.abs_diff(residue) > residue / SLACK_SHARE
    }

    /// Whether entries are being moved together.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.compaction.left.load(Ordering::Relaxed) > 0
    }

    /// Looks at up to `max_items` places of a shard's tables for entries to be moved. Skips a busy shard, and
    /// does nothing while much waits to be freed.
    pub fn compact_slice(&self, id: ShardId, max_items: usize, guard: &Guard) -> SliceReport {
        let begun = self.compaction.begun.load(Ordering::Relaxed);
        let done = &self.shard(id).counters.compaction;
        let over = !self.is_compacting() || done.load(Ordering::Relaxed) == begun;
        if over || self.limbo() > LIMBO_MOST {
            return SliceReport::default();
        }
        let Some(mut writer) = self.try_enter(&ShardSet::one(id), guard) else {
            return SliceReport { busy: true, more: true, removed: 0 };
        };
        let more = writer.compact(id, begun, max_items);
        // Again, under the role: two workers may think that the shard is theirs.
        if !more && done.swap(begun, Ordering::Relaxed) != begun {
            self.shard_compacted();
        }
        SliceReport { removed: 0, more, busy: false }
    }

    fn shard_compacted(&self) {
        let state = &self.compaction;
        if state.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let slack = slab::stats().slack();
            // What was moved gives its pages back a moment later: after a walk that had much to do comes
            // one that finds little, but many pages gone. While much waits to be freed, it is too early
            // to say.
            let gone = state.slack.load(Ordering::Relaxed).saturating_sub(slack);
            let done = state.moved.load(Ordering::Relaxed).max(gone);
            let in_vain = done < slack / IN_VAIN && self.limbo() < slack / WAITING;
            state.residue.store(if in_vain { slack } else { 0 }, Ordering::Relaxed);
        }
    }
}

impl Writer<'_, '_> {
    /// Goes on with the walk through a shard; true if it is not over.
    fn compact(&mut self, id: ShardId, compaction: u64, max_items: usize) -> bool {
        let (keyspace, guard) = (self.keyspace, self.guard);
        let (mut db, mut position) = self.with_core(id, |core| {
            let hand = &mut core.compaction;
            if hand.compaction != compaction {
                *hand = Hand { compaction, db: 0, position: 0 };
            }
            (hand.db, hand.position)
        });
        let (mut looked, mut moved, mut bytes, mut deferred) = (0, 0, 0, false);
        while db < usize::from(keyspace.databases()) && looked < max_items {
            let mut place = |old, entry: entry::Entry<'_>| {
                let class = entry.class();
                let fresh = entry::copy(&entry, guard.fresh_block(class));
                deferred |= guard.retire_for_good(Dead::without_object(old, &entry), class);
                moved += 1;
                bytes += class as u64;
                fresh
            };
            let (next, slots) = keyspace.table(db, id).relocate(position, guard, &mut place);
            looked += slots;
            (db, position) = if next == POSITION_END { (db + 1, 0) } else { (db, next) };
        }
        self.has_deferred(deferred);
        self.with_core(id, |core| {
            (core.compaction.db, core.compaction.position) = (db, position);
        });
        Shard::count(&keyspace.shard(id).counters.moved, moved);
        keyspace.compaction.moved.fetch_add(bytes, Ordering::Relaxed);
        db < usize::from(keyspace.databases())
    }
}
