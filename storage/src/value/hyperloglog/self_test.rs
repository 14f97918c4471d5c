//! A test of the registers and of the estimate that can run where the server runs: PFSELFTEST.

use super::hash::RUN_BITS;
use super::{Encoding, HllBuf, REGISTERS, dense};

/// How often all registers are filled with other values.
const CYCLES: usize = 20;
/// How many elements are added; the estimate is looked at each power of ten.
const ELEMENTS: u64 = 100_000;
/// The standard error of an estimate.
const STANDARD_ERROR: f64 = 1.04 / 128.0;
/// An estimate that is off by more standard errors is taken for a mistake.
const TOLERANCE: f64 = 6.0;

/// Checks that registers keep their values, that both encodings estimate the same, and that the
/// estimate is near the truth; an error says what is wrong. Takes some milliseconds.
pub fn self_test(seed: u64, sparse_max: usize) -> Result<(), String> {
    registers_keep_their_values(seed)?;
    estimates_are_near(seed, sparse_max)
}

/// A sequence that looks random (splitmix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn registers_keep_their_values(mut seed: u64) -> Result<(), String> {
    let mut wanted = [0_u8; REGISTERS];
    for _ in 0..CYCLES {
        let mut packed = vec![0; dense::LEN];
        for (register, value) in wanted.iter_mut().enumerate() {
            *value = (draw(&mut seed) % u64::from(RUN_BITS + 2)) as u8;
            dense::raise(&mut packed, register, *value);
        }
        for (register, value) in wanted.iter().enumerate() {
            let found = dense::get(&packed, register);
            if found != *value {
                return Err(format!("Register {register} should be {value} but is {found}"));
            }
        }
    }
    Ok(())
}

fn estimates_are_near(seed: u64, sparse_max: usize) -> Result<(), String> {
    let corrupt = |_| "corrupted by an addition".to_owned();
    let mut sparse = HllBuf::new();
    let mut dense = HllBuf::new();
    dense.make_dense().map_err(corrupt)?;
    let mut checkpoint = 1;
    for number in 1..=ELEMENTS {
        let element = (number ^ seed).to_le_bytes();
        sparse.add(&element, sparse_max).map_err(corrupt)?;
        dense.add(&element, sparse_max).map_err(corrupt)?;
        if number != checkpoint {
            continue;
        }
        if (number as usize) < sparse_max / 2 && sparse.view().encoding() != Encoding::Sparse {
            return Err("sparse encoding not used".to_owned());
        }
        let count = dense.view().count().map_err(corrupt)?;
        if sparse.view().count() != Ok(count) {
            return Err("dense/sparse disagree".to_owned());
        }
        // Of ten elements two may share a register.
        let most =
            if number == 10 { 1.0 } else { (STANDARD_ERROR * TOLERANCE * number as f64).ceil() };
        let error = number.abs_diff(count);
        if error as f64 > most {
            return Err(format!("Too big error. card:{number} abserr:{error}"));
        }
        checkpoint *= 10;
    }
    Ok(())
}
