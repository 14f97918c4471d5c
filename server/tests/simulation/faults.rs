//! What goes wrong.

use super::rng::Rng;
use std::time::Duration;
use turmoil::Sim;

/// What happens to the simulation.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A node hears nobody and is heard by nobody.
    Isolate(usize),
    /// Those in the set do not reach the others, nor the others them.
    Split(Vec<usize>),
    /// What one sends does not reach the other, but what the other sends does.
    OneWay(usize, usize),
    /// What the two send each other is held back until the next repair.
    Hold(usize, usize),
    /// What the two send each other takes up to so long.
    Slow(usize, usize, Duration),
    /// The process ends, and starts again after so long.
    Crash(usize, Duration),
    /// The process stands still for so long, and goes on with what it knew.
    Stop(usize, Duration),
    /// Everything reaches everybody again.
    Repair,
}

/// A random fault.
pub(crate) fn draw(rng: &mut Rng, nodes: usize) -> Fault {
    let one = rng.below(nodes);
    let other = (one + 1 + rng.below(nodes - 1)) % nodes;
    match rng.below(14) {
        0 | 1 => Fault::Isolate(one),
        2 => Fault::Split((0..nodes).filter(|_| rng.below(2) == 0).collect()),
        3 => Fault::OneWay(one, other),
        4 => Fault::Hold(one, other),
        5 | 6 => Fault::Crash(one, Duration::from_millis(rng.below(8000) as u64)),
        7..=8 => Fault::Stop(one, Duration::from_millis(rng.below(5000) as u64)),
        9 => Fault::Stop(one, Duration::from_millis(5000 + rng.below(25_000) as u64)),
        10 => Fault::Slow(one, other, Duration::from_millis(50 + rng.below(450) as u64)),
        _ => Fault::Repair,
    }
}

/// How long until the next one.
pub(crate) fn pause(rng: &mut Rng) -> Duration {
    Duration::from_millis(500 + rng.below(5500) as u64)
}

/// Lets it happen to the network, in which messages take up to `latency` when all is well.
pub(crate) fn apply(sim: &Sim<'_>, fault: &Fault, names: &[String], latency: Duration) {
    let name = |node: usize| names[node].as_str();
    let all = 0..names.len();
    match fault {
        Fault::Isolate(one) => {
            all.filter(|other| other != one)
                .for_each(|other| sim.partition(name(*one), name(other)));
        }
        Fault::Split(side) => {
            for one in side {
                let others = all.clone().filter(|other| !side.contains(other));
                others.for_each(|other| sim.partition(name(*one), name(other)));
            }
        }
        Fault::OneWay(from, to) => sim.partition_oneway(name(*from), name(*to)),
        Fault::Hold(one, other) => sim.hold(name(*one), name(*other)),
        Fault::Slow(one, other, latency) => {
            sim.set_link_max_message_latency(name(*one), name(*other), *latency);
        }
        Fault::Repair => {
            for one in all.clone() {
                for other in all.clone().filter(|other| *other > one) {
                    sim.release(name(one), name(other));
                    sim.repair(name(one), name(other));
                    sim.set_link_max_message_latency(name(one), name(other), latency);
                }
            }
        }
        Fault::Crash(..) | Fault::Stop(..) => {}
    }
}
