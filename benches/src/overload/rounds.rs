//! Rounds: every server is measured many times, in turn with the others.
//!
//! A shared machine is now fast and now slow, by a factor of a hundred in a light load's 99th
//! percentile. What is compared therefore has to be measured within a second or two of each other:
//! figures are ratios **within** a round (beside the neighbours to alone, ten times the load to a
//! third of it, one server to another one), and what is shown is their median and quartiles over the
//! rounds. A bad moment spoils one ratio, not the result.

use super::{Plan, plot};
use crate::Outcome;
use crate::peer::{Peer, Stage};
use crate::report::{Cell, median, number};

/// Measures every server that many times; the result is by server, then by round. `begin` is called
/// once for each, in the beginning.
pub(super) fn rounds<S, T>(
    stage: &Stage,
    plan: &Plan,
    (what, count): (&str, usize),
    begin: impl Fn(&Peer) -> Outcome<S>,
    mut one: impl FnMut(&Peer, &S, u64) -> Outcome<T>,
) -> Outcome<Vec<Vec<T>>> {
    let begun = stage.peers.iter().map(begin).collect::<Outcome<Vec<S>>>()?;
    let mut results: Vec<Vec<T>> = stage.peers.iter().map(|_| Vec::new()).collect();
    for round in 0..count {
        for k in 0..stage.peers.len() {
            let i = (k + round) % stage.peers.len();
            let peer = &stage.peers[i];
            eprintln!("{what}: round {} of {count}, {}", round + 1, peer.name);
            results[i].push(one(peer, &begun[i], plan.seed + round as u64)?);
        }
    }
    Ok(results)
}

/// Median over the rounds.
pub(super) fn mid<T>(rounds: &[T], field: impl Fn(&T) -> f64) -> f64 {
    median(&rounds.iter().map(field).collect::<Vec<f64>>())
}

/// Lower and upper quartile over the rounds; NaN of nothing.
pub(super) fn quartiles<T>(rounds: &[T], field: impl Fn(&T) -> f64) -> (f64, f64) {
    let mut values: Vec<f64> = rounds.iter().map(field).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return (f64::NAN, f64::NAN) };
    let at = |share: f64| values[(share * last as f64).round() as usize];
    (at(0.25), at(0.75))
}

/// Quartiles as a cell.
pub(super) fn between<T>(rounds: &[T], field: impl Fn(&T) -> f64, decimals: usize) -> Cell {
    match quartiles(rounds, field) {
        (low, high) if low.is_finite() => Cell::Text(format!("{low:.decimals$}-{high:.decimals$}")),
        _ => Cell::Empty,
    }
}

/// (most − least) / median over the rounds, in percent.
pub(super) fn spread<T>(rounds: &[T], field: impl Fn(&T) -> f64) -> f64 {
    let values: Vec<f64> = rounds.iter().map(field).filter(|v| v.is_finite()).collect();
    let (low, high) = range(&values);
    100.0 * (high - low) / median(&values)
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

/// The point of a plot: median and range over the rounds.
pub(super) fn point<T>(x: f64, rounds: &[T], field: impl Fn(&T) -> f64) -> plot::Point {
    let values: Vec<f64> = rounds.iter().map(field).filter(|v| v.is_finite()).collect();
    let (low, high) = range(&values);
    plot::Point { x, y: median(&values), low, high }
}

/// Median over the rounds of a figure as a multiple of the same one of the server named `other` in the
/// same round.
pub(super) fn against<T>(
    stage: &Stage,
    results: &[Vec<T>],
    rounds: &[T],
    other: &str,
    field: impl Fn(&T) -> f64,
) -> Cell {
    let Some(i) = stage.peers.iter().position(|peer| peer.name == other) else {
        return Cell::Empty;
    };
    let ratios = rounds.iter().zip(&results[i]).map(|(a, b)| field(a) / field(b));
    number(median(&ratios.collect::<Vec<f64>>()), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_spreads_and_quartiles() {
        let rounds = [1.0, 4.0, 2.0];
        assert_eq!(mid(&rounds, |&x| x), 2.0);
        assert_eq!(spread(&rounds, |&x| x), 150.0);
        let point = point(5.0, &rounds, |&x| x);
        assert_eq!((point.low, point.y, point.high), (1.0, 2.0, 4.0));
        let many = [9.0, f64::NAN, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(quartiles(&many, |&x| x), (2.0, 4.0));
        assert_eq!(between(&many, |&x| x, 1), Cell::Text("2.0-4.0".to_owned()));
        assert_eq!(between(&[f64::NAN], |&x| x, 1), Cell::Empty);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let peers = ["a", "b"].map(|name| Peer::new(name, crate::scan::Wire::Resp, "true"));
        let stage = Stage::new(peers.to_vec(), None, None, 0);
        let results = vec![vec![1.0, 20.0, 3.0], vec![2.0, 10.0, 3.0]];
        let ratio = |other| against(&stage, &results, &results[0], other, |&x: &f64| x);
        assert_eq!(ratio("b"), number(1.0, 2));
        assert_eq!(ratio("c"), Cell::Empty);
    }
}
