//! The way of a proposal: to the leader, wherever it is, and again if nothing is heard of it.
//!
//! A proposal has a number, and is decided once however often it is sent ([`super::machine`]). So the
//! only question at the end is whether it was ever sent: if a leader may have taken it, the outcome is
//! unknown; if none has, there is none.

use super::super::change::{Change, Verdict};
use super::super::link::{Failure, Kind};
use super::Unsettled;
use super::agreement::{Agreement, locked};
use super::types::Proposal;
use super::wire::{Ask, Reply};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_millis(2000);
/// A removal has to wait for the end of a lease.
const REMOVAL_ATTEMPT: Duration = Duration::from_secs(5);
/// How long it is tried: an election passes in it.
const PATIENCE: Duration = Duration::from_secs(6);
const REMOVAL_PATIENCE: Duration = Duration::from_secs(12);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// How long this node may be behind what was decided.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The numbers of this node's proposals.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: u64,
    outstanding: BTreeSet<u64>,
}

impl Numbers {
    /// Another number, and the lowest that somebody waits for.
    fn take(&mut self) -> (u64, u64) {
        self.last += 1;
        self.outstanding.insert(self.last);
        (self.last, self.outstanding.first().copied().unwrap_or(self.last))
    }

    /// A number for a proposal that is not made again, whatever comes of it.
    pub(super) fn pass(&mut self) -> (u64, u64) {
        self.last += 1;
        (self.last, self.outstanding.first().copied().unwrap_or(self.last))
    }
}

/// Gives a number back, however its proposal ends.
struct Outstanding<'a>(&'a Agreement, u64);

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        locked(&self.0.numbers).outstanding.remove(&self.1);
    }
}

/// What was heard of an ask.
pub(super) enum Heard {
    Reply(Reply),
    /// No leader has heard of it.
    Nobody(String),
    /// A leader may have.
    Maybe(String),
}

impl Agreement {
    pub(super) async fn make_proposal(&self, change: Change) -> Result<Verdict, Unsettled> {
        let (number, floor) = locked(&self.numbers).take();
        let _outstanding = Outstanding(self, number);
        let from = self.life();
        let removes_me = matches!(&change, Change::Remove { life, .. } if *life == from);
        let is_removal = matches!(change, Change::Remove { .. });
        let patience = if is_removal { REMOVAL_PATIENCE } else { PATIENCE };
        let ask = Ask::Propose(Proposal { from, number, floor, term: None, change });
        let deadline = Instant::now() + patience;
        let mut may_be_decided = None;
        loop {
            let why = match self.ask_leader(&ask).await {
                Heard::Reply(Reply::Decided(verdict, index)) => {
                    let is_seen = tokio::time::timeout(CATCH_UP, self.applied(index));
                    if removes_me || is_seen.await.is_ok() {
                        return Ok(verdict);
                    }
                    return Err(Unsettled::Unknown("this node has not seen it yet".to_owned()));
                }
                Heard::Reply(Reply::Unknown(why)) | Heard::Maybe(why) => {
                    may_be_decided = Some(why.clone());
                    why
                }
                Heard::Reply(Reply::Later(why) | Reply::Refused(why, _)) | Heard::Nobody(why) => {
                    why
                }
                Heard::Reply(Reply::NotLeader(_)) => "no node leads".to_owned(),
                Heard::Reply(Reply::Admitted(_)) => "this is no answer".to_owned(),
            };
            if Instant::now() + PAUSE >= deadline || self.life() != from {
                return Err(match may_be_decided {
                    Some(why) => Unsettled::Unknown(why),
                    None => Unsettled::NotProposed(why),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks the leader once, or whoever is thought to know it.
    pub(super) async fn ask_leader(&self, ask: &Ask) -> Heard {
        if self.leads().is_some() {
            let me = self.node().id;
            return Heard::Reply(self.answer_ask(me, ask.clone()).await);
        }
        let Some(target) = self.leader() else {
            self.look_elsewhere(None);
            return Heard::Nobody("no leader is known".to_owned());
        };
        let Ok(body) = serde_json::to_vec(ask) else {
            return Heard::Nobody("it cannot be written".to_owned());
        };
        let is_removal =
            matches!(ask, Ask::Propose(proposal) if super::machine::is_leaders(&proposal.change));
        let attempt = if is_removal { REMOVAL_ATTEMPT } else { ATTEMPT };
        let reply = self.links.request(target, Kind::Propose, body, attempt).await;
        match reply.map(|reply| serde_json::from_slice(&reply)) {
            Ok(Ok(Reply::NotLeader(leader))) => {
                self.look_elsewhere(leader);
                Heard::Reply(Reply::NotLeader(leader))
            }
            Ok(Ok(reply)) => Heard::Reply(reply),
            Ok(Err(error)) => Heard::Maybe(error.to_string()),
            Err(Failure::NotSent(why)) => {
                self.look_elsewhere(None);
                Heard::Nobody(why)
            }
            Err(Failure::Lost(why)) => {
                self.look_elsewhere(None);
                Heard::Maybe(why)
            }
        }
    }
}
