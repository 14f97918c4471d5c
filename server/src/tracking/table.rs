//! The names that were read in one shard, and by whom.
//!
//! ```text
//! places: hash -> place        keys: | k1: a b | k2: b | k3: a c | ...   in no order
//!                 `------------------------^
//! ```
//!
//! Names stand in a row, so that one of them can be taken by chance and a walk needs no more than a
//! number to go on. Who is taken out leaves its place to the last one.

use crate::client::ClientShared;
use dunlin_storage::{Key, KeyHash};
use hashbrown::HashTable;
use std::sync::Arc;

/// Bytes of a name besides the name: an estimate.
const KEY_OVERHEAD: usize = 96;
/// Bytes of a client in the list of a name.
const ITEM: usize = size_of::<Arc<ClientShared>>();
/// Room of at least this many names is given back in part when an eighth of it is used.
const SHRINK_FROM: usize = 64;

/// A name and the clients that have read it.
#[derive(Debug)]
pub(super) struct Tracked {
    name: Box<[u8]>,
    hash: KeyHash,
    /// In ascending order of their numbers.
    clients: Vec<Arc<ClientShared>>,
}

impl Tracked {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) fn clients(&self) -> &[Arc<ClientShared>] {
        &self.clients
    }

    /// Removes clients that are gone; how many.
    fn purge(&mut self) -> usize {
        let before = self.clients.len();
        self.clients.retain(|client| !client.has_flag(ClientShared::GONE));
        if self.clients.len() < self.clients.capacity() / 4 {
            self.clients.shrink_to_fit();
        }
        before - self.clients.len()
    }
}

/// How much there is, or how much more there is than before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) keys: isize,
    pub(super) items: isize,
    pub(super) bytes: isize,
}

impl Figures {
    #[expect(clippy::cast_possible_wrap, reason = "sizes of what is in memory")]
    fn add_key(&mut self, name: &[u8], sign: isize) {
        self.keys += sign;
        self.bytes += sign * (name.len() + KEY_OVERHEAD) as isize;
    }

    #[expect(clippy::cast_possible_wrap, reason = "sizes of what is in memory")]
    fn add_items(&mut self, items: usize, sign: isize) {
        self.items += sign * items as isize;
        self.bytes += sign * (items * ITEM) as isize;
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    keys: Vec<Tracked>,
    places: HashTable<usize>,
    total: Figures,
    /// What of it [`Table::take_change`] has told.
    told: Figures,
    /// State of the generator that says what is forgotten.
    chance: u64,
    /// What was forgotten at once and is freed in slices.
    cleared: Vec<Vec<Tracked>>,
    /// The walk that looks for clients that are gone: names from here on have been looked at.
    walked_to: usize,
    /// Writers of the shard were told to tell of changes, for this table or for prefixes.
    observed: bool,
    /// How many clients had gone when the walk began, or the last one has ended.
    walked_for: u64,
    walking: bool,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Notes whether writers of the shard were told to tell of changes.
    pub(super) fn set_observed(&mut self, observed: bool) {
        self.observed = observed;
    }

    /// Whether writers tell of changes only because nobody has told them to stop.
    pub(super) fn is_deserted(&self) -> bool {
        self.observed && self.is_empty()
    }

    /// What has changed since the last call.
    pub(super) fn take_change(&mut self) -> Figures {
        let (now, told) = (self.total, std::mem::replace(&mut self.told, self.total));
        Figures {
            keys: now.keys - told.keys,
            items: now.items - told.items,
            bytes: now.bytes - told.bytes,
        }
    }

    fn find(&self, key: &Key<'_>) -> Option<usize> {
        let is = |place: &usize| *self.keys[*place].name == *key.bytes;
        self.places.find(key.hash.mixed(), is).copied()
    }

    pub(super) fn remember(&mut self, key: &Key<'_>, client: &Arc<ClientShared>) {
        let place = self.find(key).unwrap_or_else(|| self.add(key));
        let tracked = &mut self.keys[place];
        let Err(at) = tracked.clients.binary_search_by_key(&client.id, |one| one.id) else {
            return;
        };
        let mut gone = 0;
        if tracked.clients.len() == tracked.clients.capacity() {
            gone = tracked.purge();
        }
        let at = if gone == 0 { at } else { tracked.clients.partition_point(|c| c.id < client.id) };
        tracked.clients.insert(at, Arc::clone(client));
        self.total.add_items(gone, -1);
        self.total.add_items(1, 1);
    }

    fn add(&mut self, key: &Key<'_>) -> usize {
        let place = self.keys.len();
        let name = key.bytes.into();
        self.keys.push(Tracked { name, hash: key.hash, clients: Vec::new() });
        let keys = &self.keys;
        self.places.insert_unique(key.hash.mixed(), place, |place| keys[*place].hash.mixed());
        self.total.add_key(key.bytes, 1);
        place
    }

    pub(super) fn forget(&mut self, key: &Key<'_>) -> Option<Tracked> {
        let place = self.find(key)?;
        Some(self.take(place))
    }

    /// Forgets a name that chance has chosen.
    pub(super) fn forget_any(&mut self) -> Option<Tracked> {
        // splitmix64: the least that is good enough.
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 16;
        let place = usize::try_from(mixed.checked_rem(self.keys.len() as u64)?).ok()?;
        Some(self.take(place))
    }

    fn take(&mut self, place: usize) -> Tracked {
        let last = self.keys.len() - 1;
        let hash = self.keys[place].hash.mixed();
        if let Ok(entry) = self.places.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        if last != place
            && let Some(moved) =
                self.places.find_mut(self.keys[last].hash.mixed(), |other| *other == last)
        {
            *moved = place;
        }
        let tracked = self.keys.swap_remove(place);
        self.total.add_key(&tracked.name, -1);
        self.total.add_items(tracked.clients.len(), -1);
        if self.keys.capacity() >= SHRINK_FROM && self.keys.len() < self.keys.capacity() / 8 {
            let room = self.keys.len() * 2;
            self.keys.shrink_to(room);
            let keys = &self.keys;
            self.places.shrink_to(room, |place| keys[*place].hash.mixed());
        }
        tracked
    }

    /// Forgets all names and tells nobody. They are freed later.
    pub(super) fn clear(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        self.places = HashTable::new();
        self.total = Figures::default();
        if !keys.is_empty() {
            self.cleared.push(keys);
        }
    }

    /// Whether there is something to free, or clients have gone since the names were looked at.
    pub(super) fn wants_tending(&self, gone: u64) -> bool {
        !self.cleared.is_empty() || self.walking || self.walked_for != gone && !self.is_empty()
    }

    /// Frees, and looks for clients that are gone: up to `most` names.
    pub(super) fn tend(&mut self, gone: u64, most: usize) {
        if let Some(keys) = self.cleared.last_mut() {
            keys.truncate(keys.len().saturating_sub(most));
            if keys.is_empty() {
                self.cleared.pop();
            }
            return;
        }
        if !self.walking && self.walked_for != gone {
            (self.walking, self.walked_for, self.walked_to) = (true, gone, self.keys.len());
        }
        // From the end on: whoever gets a place that has become free was looked at before.
        for _ in 0..most {
            self.walked_to = self.walked_to.min(self.keys.len());
            let Some(place) = self.walked_to.checked_sub(1) else {
                self.walking = false;
                return;
            };
            self.walked_to = place;
            let purged = self.keys[place].purge();
            self.total.add_items(purged, -1);
            if self.keys[place].clients.is_empty() {
                self.take(place);
            }
        }
    }
}
