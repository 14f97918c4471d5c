//! Makes a failing sequence as short as it gets cheaply.

use crate::run::{Mismatch, Pair, Tally};
use crate::sequence::{Batch, Sequence};

/// Runs allowed for one sequence.
const BUDGET: usize = 3000;

/// The shortest sequence found that still shows a difference of the same class.
pub(crate) fn minimise(pair: &Pair, sequence: &Sequence, found: &Mismatch) -> Sequence {
    let mut runs = 0;
    let mut fails = |candidate: &Sequence| {
        runs += 1;
        let result = pair.run(candidate, &mut Tally::default());
        (result.is_err_and(|m| m.class == found.class), runs >= BUDGET)
    };
    let mut best = sequence.clone();
    let single = one_per_batch(sequence);
    if fails(&single).0 {
        best = single;
    }
    let mut chunk = best.batches.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < best.batches.len() {
            let mut candidate = best.clone();
            let end = (at + chunk).min(candidate.batches.len());
            candidate.batches.drain(at..end);
            let (still, spent) = fails(&candidate);
            if still {
                best = candidate;
            } else {
                at += chunk;
            }
            if spent {
                return best;
            }
        }
        if chunk == 1 {
            return best;
        }
        chunk = chunk.div_ceil(2);
    }
}

fn one_per_batch(sequence: &Sequence) -> Sequence {
    let batches = sequence.batches.iter().flat_map(|batch| {
        batch.steps.iter().map(|step| Batch {
            connection: batch.connection,
            steps: vec![step.clone()],
            cuts: Vec::new(),
        })
    });
    Sequence { protocols: sequence.protocols.clone(), batches: batches.collect() }
}
