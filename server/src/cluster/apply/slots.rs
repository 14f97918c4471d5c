//! What changes do to the holders of single slots, and the way there from ranges.

use super::super::change::Range;
use super::super::map::{Backup, Goal, Holders};
use super::super::node::NodeId;
use super::super::runs::{Run, Runs};
use super::super::slot::SLOTS;

/// Whether these are slots, each of which is named once: what is done to a slot is done once.
pub(super) fn check(slots: &[Range]) -> Result<(), String> {
    let is_range = |(first, last): &Range| first <= last && *last < SLOTS;
    if slots.is_empty() || !slots.iter().all(is_range) || slots.len() > usize::from(SLOTS) {
        return Err("these are no slots".to_owned());
    }
    let mut sorted = slots.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|two| matches!(two, [(_, last), (first, _)] if first <= last)) {
        return Err("a slot is named twice".to_owned());
    }
    Ok(())
}

/// The parts of runs that are in a range.
fn within<T: Copy>(runs: &[Run<T>], (first, last): Range) -> impl Iterator<Item = Run<T>> + '_ {
    let from = runs.partition_point(|run| run.last < first);
    let parts = runs.get(from..).unwrap_or_default().iter();
    parts.take_while(move |run| run.first <= last).map(move |run| Run {
        first: run.first.max(first),
        last: run.last.min(last),
        value: run.value,
    })
}

/// Whether something is so for all slots of these ranges.
pub(super) fn all<T: Copy + PartialEq>(
    runs: &Runs<T>,
    slots: &[Range],
    is: impl Fn(T) -> bool,
) -> bool {
    slots.iter().all(|range| within(runs.runs(), *range).all(|run| is(run.value)))
}

/// Whether `node` shall have all these slots in one way or another.
pub(super) fn wanted(goal: &Runs<Goal>, slots: &[Range], node: NodeId) -> bool {
    all(goal, slots, |goal| goal.owner == Some(node) || goal.backups.contains(&Some(node)))
}

/// Whether `node` is a backup of all these slots.
pub(super) fn held_by(runs: &Runs<Holders>, slots: &[Range], node: NodeId) -> bool {
    all(runs, slots, |holders| holders.is_backup(node))
}

/// Changes the values of these ranges.
pub(super) fn update<T: Copy + PartialEq>(
    runs: &mut Runs<T>,
    slots: &[Range],
    mut change: impl FnMut(&mut T),
) {
    for range in slots {
        let parts: Vec<Run<T>> = within(runs.runs(), *range).collect();
        for mut part in parts {
            change(&mut part.value);
            runs.set(part.first, part.last, part.value);
        }
    }
}

/// Changes the holders in these ranges, which depends on what is wanted of them.
pub(super) fn update_with(
    runs: &mut Runs<Holders>,
    goal: &Runs<Goal>,
    slots: &[Range],
    mut change: impl FnMut(&mut Holders, Goal),
) {
    for range in slots {
        let pieces = runs.zip(goal);
        let parts: Vec<_> = within(&pieces, *range).collect();
        for part in parts {
            let (mut holders, goal) = part.value;
            change(&mut holders, goal);
            runs.set(part.first, part.last, holders);
        }
    }
}

/// All holders anew, from what they are and what is wanted of them.
pub(super) fn with(
    runs: &Runs<Holders>,
    goal: &Runs<Goal>,
    mut holders: impl FnMut(Holders, Goal) -> Holders,
) -> Runs<Holders> {
    let mut new = |run: Run<(Holders, Goal)>| {
        let (old, goal) = run.value;
        Run { first: run.first, last: run.last, value: holders(old, goal) }
    };
    Runs::of(runs.zip(goal).into_iter().map(&mut new).collect())
}

/// `node` has lost what it had. If it was the owner, the first backup in sync follows; the others have
/// to begin anew with the new owner, because they may have more or less of the last changes than it has.
pub(super) fn follow(mut holders: Holders, node: NodeId) -> Holders {
    let rest: Vec<Backup> = holders.backups().filter(|backup| backup.node != node).collect();
    if holders.owner != Some(node) {
        holders.set_backups(rest);
        return holders;
    }
    let heir = rest.iter().find(|backup| backup.in_sync).map(|backup| backup.node);
    holders.owner = heir;
    let others = rest.into_iter().filter(|backup| heir.is_some() && Some(backup.node) != heir);
    holders.set_backups(others.map(|backup| Backup { in_sync: false, ..backup }));
    holders
}

/// A slot that nobody has begins with whoever shall have it.
pub(super) fn begin_empty(mut holders: Holders, goal: Goal, epoch: u64) -> Holders {
    if holders.owner.is_none() {
        holders = Holders { owner: goal.owner, backups: Default::default(), empty_since: epoch };
    }
    holders
}

/// The owner has handed over to `to`, and keeps what it has as a backup in sync. The other backups
/// followed the former owner and begin anew.
pub(super) fn hand_over(holders: &mut Holders, to: NodeId) {
    let giver = holders.owner.map(|node| Backup { node, in_sync: true });
    let others = holders.backups().filter(|backup| backup.node != to);
    let others = others.map(|backup| Backup { in_sync: false, ..backup });
    let backups: Vec<Backup> = giver.into_iter().chain(others).collect();
    holders.owner = Some(to);
    holders.set_backups(backups);
}

/// A backup has everything, or has not any more. One that is new takes the place of one that nobody
/// wants, if there is no other.
pub(super) fn mark(holders: &mut Holders, goal: Goal, node: NodeId, in_sync: bool) {
    let mut backups: Vec<Backup> = holders.backups().collect();
    if let Some(backup) = backups.iter_mut().find(|backup| backup.node == node) {
        backup.in_sync = in_sync;
    } else if in_sync {
        let is_wanted = |backup: &Backup| goal.backups.contains(&Some(backup.node));
        backups.sort_by_key(|backup| !is_wanted(backup));
        let at = backups.iter().take_while(|backup| is_wanted(backup)).count();
        backups.insert(at, Backup { node, in_sync });
    }
    holders.set_backups(backups);
}

/// Copies that nobody needs any more are let go: those that shall not be there, as soon as those that
/// shall are in sync, and at once if they are not in sync themselves.
pub(super) fn tidy(mut holders: Holders, goal: Goal) -> Holders {
    let is_wanted = |node| goal.backups.contains(&Some(node));
    let in_sync = |node| holders.backups().any(|backup| backup.node == node && backup.in_sync);
    let complete = goal.backups.iter().flatten().all(|node| in_sync(*node));
    // Who shall own the slot gets a copy on the way to that; it is let go by the commit.
    let is_taker = |node| goal.owner == Some(node);
    let is_needed = |backup: &Backup| {
        is_wanted(backup.node) || backup.in_sync && (!complete || is_taker(backup.node))
    };
    let needed: Vec<Backup> = holders.backups().filter(is_needed).collect();
    holders.set_backups(needed);
    holders
}
