//! From the registers' values to a count: Otmar Ertl's estimator ("New cardinality estimation
//! algorithms for HyperLogLog sketches", arXiv:1702.01284), which needs no table of biases.

use super::REGISTERS;
use super::hash::RUN_BITS;

/// How many registers have each value. Six bits make 64 values, although no hash gives more
/// than 51.
pub(super) type Histogram = [u32; 64];
pub(super) const EMPTY: Histogram = [0; 64];

/// 0.5 / ln 2.
const ALPHA: f64 = 0.721_347_520_444_481_7;
const HIGHEST: usize = RUN_BITS as usize + 1;

/// The estimate.
pub(super) fn count(histogram: &Histogram) -> u64 {
    let all = REGISTERS as f64;
    let mut z = all * tau((all - f64::from(histogram[HIGHEST])) / all);
    for number in histogram[1..HIGHEST].iter().rev() {
        z = (z + f64::from(*number)) * 0.5;
    }
    z += all * sigma(f64::from(histogram[0]) / all);
    // Registers that no hash can have filled make z 0; what is left is a number all clients take.
    ((ALPHA * all * all / z).round() as u64).min(i64::MAX as u64)
}

/// The part of the registers without any element.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// The part of the registers with the highest value.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
