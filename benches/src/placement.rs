//! `placement`: ways to place 16384 slots on members, compared by what they cost.
//!
//! For each way and number of members: how much the fullest member has in proportion to its share, how
//! many slots move when one joins and when one leaves in proportion to the fewest that have to, and how
//! many runs of consecutive slots there are: every client reads as many rows.
//!
//! Nothing here is timed; the figures are the same everywhere.

use std::collections::BTreeMap;

use dunlin::cluster::node::NodeId;
use dunlin::cluster::plan;
use dunlin::cluster::runs::Runs;
use dunlin::cluster::slot::SLOTS;

use crate::Outcome;
use crate::report::{Report, Table, number};
use crate::rng::{Rng, mix};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of members.
    pub members: Vec<u32>,
    /// Seed of which members leave.
    pub seed: u64,
}

/// A member, as far as its share goes.
#[derive(Clone, Copy)]
struct Member {
    id: NodeId,
    weight: u32,
}

/// Who owns each slot.
type Owners = Vec<NodeId>;

/// A way to place slots: from what is and the members that shall be.
struct Way {
    name: &'static str,
    place: fn(&Owners, &[Member]) -> Owners,
}

const WAYS: [Way; 8] = [
    Way { name: "round robin", place: |_, members| deal(&equal(members)) },
    Way { name: "weighted round robin", place: |_, members| deal(members) },
    Way { name: "least loaded", place: least_loaded },
    Way { name: "ring, 64 points", place: |_, members| ring(members, 64) },
    Way { name: "ring, 256 points", place: |_, members| ring(members, 256) },
    Way { name: "ring, 1024 points", place: |_, members| ring(members, 1024) },
    Way { name: "rendezvous", place: |_, members| rendezvous(members) },
    Way { name: "dunlin", place: planned },
];

/// Prints the comparison, with equal weights and with 1, 2 and 4.
pub fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    for (title, weights) in [("equal weights", &[1][..]), ("weights of 1, 2 and 4", &[1, 2, 4])] {
        let columns = ["members", "way", "fullest / share", "join", "leave", "runs"];
        let mut table = Table::new(&format!("placement of slots, {title}"), &columns);
        for &count in &plan.members {
            for way in &WAYS {
                let row = measure(way, count, weights, plan.seed);
                let mut cells = vec![u64::from(count).into(), way.name.into()];
                cells.extend(row.figures.map(|figure| number(figure, 3)));
                cells.push((row.runs as u64).into());
                table.row(cells);
            }
        }
        report.table(table);
    }
    Ok(())
}

struct Row {
    /// Fullest to its share; moved by a join and by a leave, to the fewest possible.
    figures: [f64; 3],
    runs: usize,
}

fn measure(way: &Way, count: u32, weights: &[u32], seed: u64) -> Row {
    let member =
        |i: u32| Member { id: (i + 1).into(), weight: weights[i as usize % weights.len()] };
    let mut members: Vec<Member> = (0..count).map(member).collect();
    let owners = (way.place)(&Owners::new(), &members);
    let figure = fullest(&owners, &members);
    let runs = owners.chunk_by(|one, other| one == other).count();

    members.push(member(count));
    let joined = (way.place)(&owners, &members);
    let join = moved(&owners, &joined) / share(&members, members[count as usize].id);
    let gone = Rng::new(seed).below(u64::from(count)) as usize;
    let left_share = share(&members, members[gone].id);
    members.remove(gone);
    let left = (way.place)(&joined, &members);
    Row { figures: [figure, join, moved(&joined, &left) / left_share], runs }
}

fn share(members: &[Member], id: NodeId) -> f64 {
    let total: u32 = members.iter().map(|member| member.weight).sum();
    let weight = members.iter().find(|member| member.id == id).map_or(0, |member| member.weight);
    f64::from(SLOTS) * f64::from(weight) / f64::from(total)
}

fn fullest(owners: &Owners, members: &[Member]) -> f64 {
    let mut counts: BTreeMap<NodeId, f64> = BTreeMap::new();
    for owner in owners {
        *counts.entry(*owner).or_default() += 1.0;
    }
    let filled = |(id, count): (&NodeId, &f64)| count / share(members, *id);
    counts.iter().map(filled).fold(0.0, f64::max)
}

fn moved(one: &Owners, other: &Owners) -> f64 {
    one.iter().zip(other).filter(|(one, other)| one != other).count() as f64
}

// ---- the ways

fn equal(members: &[Member]) -> Vec<Member> {
    members.iter().map(|member| Member { weight: 1, ..*member }).collect()
}

/// Slot after slot to the next member; smooth weighted round robin, so that turns are spread.
fn deal(members: &[Member]) -> Owners {
    let total: i64 = members.iter().map(|member| i64::from(member.weight)).sum();
    let mut credit = vec![0_i64; members.len()];
    let next = |_| {
        for (credit, member) in credit.iter_mut().zip(members) {
            *credit += i64::from(member.weight);
        }
        let best = (0..credit.len()).max_by_key(|i| (credit[*i], std::cmp::Reverse(*i)));
        let best = best.unwrap_or_default();
        credit[best] -= total;
        members[best].id
    };
    (0..SLOTS).map(next).collect()
}

/// Each slot stays while its owner is a member and not too full; otherwise it goes to who has the
/// least in proportion to its weight.
fn least_loaded(previous: &Owners, members: &[Member]) -> Owners {
    let mut counts: BTreeMap<NodeId, u64> = members.iter().map(|m| (m.id, 0)).collect();
    let total: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
    let weight: BTreeMap<NodeId, u64> =
        members.iter().map(|member| (member.id, member.weight.into())).collect();
    let limit = |id: &NodeId| (u64::from(SLOTS) * weight[id]).div_ceil(total);
    let stays = |slot: usize, counts: &mut BTreeMap<NodeId, u64>| {
        let owner = *previous.get(slot)?;
        let count = counts.get_mut(&owner)?;
        *count += u64::from(*count < limit(&owner) + 1);
        (*count <= limit(&owner)).then_some(owner)
    };
    let kept: Vec<Option<NodeId>> =
        (0..usize::from(SLOTS)).map(|slot| stays(slot, &mut counts)).collect();
    for (id, count) in &mut counts {
        *count = (*count).min(limit(id));
    }
    let place = |kept: Option<NodeId>| {
        kept.unwrap_or_else(|| {
            let least =
                counts.iter_mut().min_by_key(|(id, count)| (**count + 1) * total / weight[id]);
            least.map_or_else(NodeId::default, |(id, count)| {
                *count += 1;
                *id
            })
        })
    };
    kept.into_iter().map(place).collect()
}

/// What of an identity goes into hashes.
fn word(id: NodeId) -> u64 {
    id.0.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Points of each member on a ring, as many as its weight says; a slot belongs to the next one.
fn ring(members: &[Member], points: u64) -> Owners {
    let point = |member: &Member, i: u64| mix(mix(word(member.id)) ^ mix(!i));
    let ring: BTreeMap<u64, NodeId> = members
        .iter()
        .flat_map(|m| (0..points * u64::from(m.weight)).map(move |i| (point(m, i), m.id)))
        .collect();
    let next = |slot: u16| {
        let at = mix(u64::from(slot) ^ 0x5107);
        let next = ring.range(at..).next().or_else(|| ring.iter().next());
        next.map_or_else(NodeId::default, |(_, id)| *id)
    };
    (0..SLOTS).map(next).collect()
}

/// Every member draws for every slot, and the highest draw has it (Thaler and Ravishankar, 1998; with
/// weights as in Schindelhauer and Schomaker, 2005).
fn rendezvous(members: &[Member]) -> Owners {
    let draw = |member: &Member, slot: u16| {
        let word = mix(mix(word(member.id)) ^ mix(u64::from(slot) << 20));
        let unit = ((word >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(member.weight) / unit.ln()
    };
    let best = |slot: u16| {
        members
            .iter()
            .max_by(|a, b| draw(a, slot).total_cmp(&draw(b, slot)))
            .map_or_else(NodeId::default, |member| member.id)
    };
    (0..SLOTS).map(best).collect()
}

fn planned(previous: &Owners, members: &[Member]) -> Owners {
    let mut runs = Runs::default();
    for (slot, owner) in (0..SLOTS).zip(previous) {
        runs.set(slot, slot, Some(*owner));
    }
    let weights = members.iter().map(|member| (member.id, member.weight)).collect();
    let next = plan::owners(&runs, &runs, &weights).unwrap_or_default();
    (0..SLOTS).map(|slot| next.get(slot).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_places_every_slot_on_a_member() {
        for way in &WAYS {
            let row = measure(way, 5, &[1, 2, 4], 1);
            assert!((1.0..3.0).contains(&row.figures[0]), "{}: {:?}", way.name, row.figures);
            assert!((1..=usize::from(SLOTS)).contains(&row.runs), "{}", way.name);
        }
    }

    #[test]
    fn ours_is_even_and_moves_the_least() {
        for weights in [&[1][..], &[1, 2, 4]] {
            for count in [3, 10, 30, 100] {
                let row = measure(&WAYS[7], count, weights, 1);
                assert!(
                    row.figures.iter().all(|figure| *figure <= 1.01),
                    "{count}: {:?}",
                    row.figures
                );
                assert_eq!(row.runs, count as usize);
            }
        }
    }
}
