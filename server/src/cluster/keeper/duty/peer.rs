//! What the duty knows of one peer.

use super::{CUT, FIRST, Moment, NEAR};
use crate::cluster::change::Life;
use crate::cluster::stream::ranges::Ranges;
use std::collections::BTreeMap;
use std::time::Duration;

/// A peer that was not heard of for so long is not near, whatever its lag.
const SILENCE: Duration = Duration::from_millis(200);

/// Whether replies wait for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    No,
    /// They do; what was written before it may not have.
    Since,
    /// It has that, too.
    Fully,
}

/// What is known of a peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) life: Life,
    pub(super) up: bool,
    /// It has never been up: to connect takes some round trips.
    pub(super) is_new: bool,
    /// Since when it is up, or not.
    pub(super) since: Moment,
    /// It has these slots, and is told of changes.
    pub(super) live: Ranges,
    /// It has yet to say that it has kept what is live.
    pub(super) resuming: Vec<(u32, Ranges)>,
    pub(super) basing: BTreeMap<u32, Ranges>,
    /// What changes is remembered for it, in case these become this node's.
    pub(super) kept: Ranges,
    /// It may have confirmed these, they are not handed over, and it has yet to hear that.
    pub(super) recalled: Ranges,
    pub(super) lag: usize,
    /// Since when it acknowledges nothing although it should.
    pub(super) silent: Option<Moment>,
    pub(super) rests: Moment,
    /// Whether it is in sync was proposed under this number, and there is no verdict.
    pub(super) syncing: Option<u32>,
    pub(super) replies: Waiting,
    /// It was proposed that it is in sync with these, and nobody knows what has become of it.
    pub(super) unsure: Ranges,
}

impl Peer {
    pub(super) fn new(life: Life, now: Moment) -> Self {
        Peer {
            life,
            up: false,
            is_new: true,
            since: now,
            live: Ranges::default(),
            resuming: Vec::new(),
            basing: BTreeMap::new(),
            kept: Ranges::default(),
            recalled: Ranges::default(),
            lag: 0,
            silent: None,
            rests: Moment::ZERO,
            syncing: None,
            replies: Waiting::No,
            unsure: Ranges::default(),
        }
    }

    pub(super) fn all_basing(&self) -> Ranges {
        self.basing.values().fold(Ranges::default(), |all, slots| all.with(slots))
    }

    /// `heard`: when this node has asked the leader for what it was given last.
    pub(super) fn is_cut_off(&self, now: Moment, heard: Moment) -> bool {
        let since = if self.up { self.silent } else { Some(self.since) };
        let limit = if self.is_new { FIRST } else { CUT };
        since.is_some_and(|since| now.saturating_sub(since) >= limit && heard >= since)
    }

    pub(super) fn is_near(&self, now: Moment) -> bool {
        let is_silent = self.silent.is_some_and(|since| now.saturating_sub(since) >= SILENCE);
        self.up && self.resuming.is_empty() && !is_silent && self.lag <= NEAR
    }

    /// It does not have these. Half a base is nothing, so bases that they are in are lost as a whole; all
    /// that it does not have then.
    pub(super) fn lose(&mut self, slots: &Ranges) -> Ranges {
        let broken = self.basing.extract_if(.., |_, group| !group.both(slots).is_empty());
        let lost = broken.fold(slots.clone(), |lost, (_, group)| lost.with(&group));
        self.live = self.live.without(&lost);
        self.resuming.iter_mut().for_each(|(_, group)| *group = group.without(&lost));
        self.resuming.retain(|(_, group)| !group.is_empty());
        lost
    }
}
