//! Who shall own what.
//!
//! 1. **Shares.** Each member's share is its weight's part of all slots, rounded by largest remainder; but
//!    first those round up who own more already, if one slot is little to them, so that nothing moves
//!    for rounding.
//! 2. **Giving.** Who owns more than that gives the difference: whole runs, the smallest first, and then
//!    the end of the smallest run that has more than what is left to give. Who is no member gives all.
//! 3. **Taking.** What was given goes to those who own less: to its heir, who has its keys; else best to
//!    the owner of the slots beside it, so that runs grow together; else to the one it fits best.

use super::super::node::NodeId;
use super::super::runs::{Run, Runs};
use super::super::slot::SLOTS;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// A slot is little to whom has this many.
const MANY: u64 = 200;

/// How much each member takes in proportion to the others.
pub type Weights = BTreeMap<NodeId, u32>;

/// The owner of each slot; none: nobody.
type Owners = Runs<Option<NodeId>>;
type Counts = BTreeMap<NodeId, u16>;

/// The owners for these members that differ least from `previous`. What nobody owns that is a member
/// goes to its heir first. `None` if nobody can own anything.
#[must_use]
pub fn owners(previous: &Owners, heirs: &Owners, weights: &Weights) -> Option<Owners> {
    let previous = previous.map(|owner| owner.filter(|owner| weights.contains_key(owner)));
    let shares = shares(&counts(&previous), weights)?;
    let mut next = previous.clone();
    give(&mut next, &shares);
    let mut needs = needs(&next, &shares);
    inherit(&mut next, &previous, heirs, &mut needs);
    take(&mut next, needs);
    Some(next)
}

/// How many slots each owner has.
fn counts(owners: &Owners) -> Counts {
    let mut counts = Counts::new();
    for run in owners.runs() {
        if let Some(owner) = run.value {
            *counts.entry(owner).or_default() += run.count();
        }
    }
    counts
}

/// How many slots each member shall own.
fn shares(owned: &Counts, weights: &Weights) -> Option<Counts> {
    let total: u64 = weights.values().map(|weight| u64::from(*weight)).sum();
    if total == 0 {
        return None;
    }
    let mut shares = Counts::new();
    let mut remainders = Vec::new();
    let mut left = SLOTS;
    for (&id, &weight) in weights {
        let exact = u64::from(weight) * u64::from(SLOTS);
        let share = u16::try_from(exact / total).unwrap_or(SLOTS);
        left -= share;
        shares.insert(id, share);
        let has = owned.get(&id).copied().unwrap_or(0);
        let remainder = exact % total;
        let stays = has > share && (total - remainder) * MANY <= exact;
        remainders.push((stays, remainder, has.saturating_sub(share), Reverse(id)));
    }
    remainders.sort_unstable();
    for (.., Reverse(id)) in remainders.into_iter().rev().take(left.into()) {
        shares.entry(id).and_modify(|share| *share += 1);
    }
    Some(shares)
}

/// The runs of each owner; under `None` those that nobody owns.
fn by_owner(owners: &Owners) -> BTreeMap<Option<NodeId>, Vec<Run<Option<NodeId>>>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for run in owners.runs() {
        all.entry(run.value).or_default().push(*run);
    }
    all
}

/// Takes from everybody what is above the share.
fn give(next: &mut Owners, shares: &Counts) {
    for (owner, mut runs) in by_owner(next) {
        let Some(owner) = owner else { continue };
        let has: u16 = runs.iter().map(Run::count).sum();
        let mut excess = has.saturating_sub(shares.get(&owner).copied().unwrap_or(0));
        runs.sort_unstable_by_key(|run| (run.count(), run.first));
        for run in runs {
            if excess == 0 {
                break;
            }
            let count = run.count().min(excess);
            next.set(run.last - (count - 1), run.last, None);
            excess -= count;
        }
    }
}

/// How many slots each member lacks.
fn needs(next: &Owners, shares: &Counts) -> Counts {
    let counts = counts(next);
    let need = |(id, share): (&NodeId, &u16)| {
        let has = counts.get(id).copied().unwrap_or(0);
        (*id, share.saturating_sub(has))
    };
    shares.iter().map(need).filter(|(_, need)| *need > 0).collect()
}

fn lower(needs: &mut Counts, id: NodeId, count: u16) {
    if let Some(need) = needs.get_mut(&id) {
        *need -= count;
    }
    needs.retain(|_, need| *need > 0);
}

/// Hands out what nobody has owned: to its heirs, as far as they need it.
fn inherit(next: &mut Owners, previous: &Owners, heirs: &Owners, needs: &mut Counts) {
    for run in previous.zip(heirs) {
        let (None, Some(heir)) = run.value else { continue };
        if let Some(need) = needs.get(&heir).copied() {
            let count = need.min(run.count());
            next.set(run.first, run.first + (count - 1), Some(heir));
            lower(needs, heir, count);
        }
    }
}

/// Hands out what nobody owns.
fn take(next: &mut Owners, mut needs: Counts) {
    // The long ones first: what is cut off of them may still join something.
    let mut free = by_owner(next).remove(&None).unwrap_or_default();
    free.sort_unstable_by_key(|run| (Reverse(run.count()), run.first));
    let mut free = VecDeque::from(free);
    while let Some(run) = free.pop_front() {
        let Some((owner, first, last)) = taker(next, &needs, run) else { return };
        next.set(first, last, Some(owner));
        lower(&mut needs, owner, last - first + 1);
        // What is left of it, on either side.
        if last < run.last {
            free.push_front(Run { first: last + 1, ..run });
        }
        if first > run.first {
            free.push_front(Run { last: first - 1, ..run });
        }
    }
}

/// Who takes what of a run that nobody owns: from the first slot to the last.
fn taker(next: &Owners, needs: &Counts, run: Run<Option<NodeId>>) -> Option<(NodeId, u16, u16)> {
    let need_of = |slot: u16| {
        let owner = next.get(slot)?;
        needs.get(&owner).map(|need| (*need, owner))
    };
    let before = run.first.checked_sub(1).and_then(need_of).map(|(need, id)| (need, true, id));
    let after = Some(run.last + 1).filter(|slot| *slot < SLOTS).and_then(need_of);
    let after = after.map(|(need, id)| (need, false, id));
    // Of two neighbours the one that takes more.
    if let Some((need, is_before, id)) = before.max(after) {
        let count = need.min(run.count());
        let first = if is_before { run.first } else { run.last - (count - 1) };
        return Some((id, first, first + (count - 1)));
    }
    let fits =
        needs.iter().filter(|(_, need)| **need >= run.count()).min_by_key(|(_, need)| **need);
    let most = || needs.iter().max_by_key(|(id, need)| (**need, Reverse(**id)));
    let (id, need) = fits.or_else(most)?;
    Some((*id, run.first, run.first + (run.count().min(*need) - 1)))
}
