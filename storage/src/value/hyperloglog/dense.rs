//! Registers of six bits. Four of them fill three bytes:
//!
//! ```text
//! |11000000|22221111|33333322|     each byte with its highest bit on the left
//! ```

use super::REGISTERS;
use super::estimate::{EMPTY, Histogram};

const BITS: usize = 6;
const MASK: u32 = (1 << BITS) - 1;
/// Bytes of all registers.
pub(super) const LEN: usize = REGISTERS * BITS / 8;

/// The values of four registers.
fn unpack(three: [u8; 3]) -> [u8; 4] {
    let [a, b, c] = three;
    let bits = u32::from_le_bytes([a, b, c, 0]);
    [0, 6, 12, 18].map(|shift| (bits >> shift & MASK) as u8)
}

/// The bytes of four registers.
fn pack(four: [u8; 4]) -> [u8; 3] {
    let bits = four.iter().rev().fold(0, |bits, value| bits << BITS | u32::from(*value) & MASK);
    let [a, b, c, _] = bits.to_le_bytes();
    [a, b, c]
}

/// The value of a register.
pub(super) fn get(registers: &[u8], register: usize) -> u8 {
    let (groups, _) = registers.as_chunks();
    groups.get(register / 4).map_or(0, |group| unpack(*group)[register % 4])
}

/// Sets a register to `value` if it is smaller; true if it was.
pub(super) fn raise(registers: &mut [u8], register: usize, value: u8) -> bool {
    let (groups, _) = registers.as_chunks_mut();
    let Some(group) = groups.get_mut(register / 4) else { return false };
    let mut four = unpack(*group);
    let old = &mut four[register % 4];
    if *old >= value {
        return false;
    }
    *old = value;
    *group = pack(four);
    true
}

/// How many registers have each value.
pub(super) fn histogram(registers: &[u8]) -> Histogram {
    let mut histogram = EMPTY;
    for group in registers.as_chunks().0 {
        for value in unpack(*group) {
            histogram[usize::from(value)] += 1;
        }
    }
    histogram
}

/// Raises `values` to those of the registers.
pub(super) fn absorb(registers: &[u8], values: &mut [u8; REGISTERS]) {
    for (group, four) in registers.as_chunks().0.iter().zip(values.as_chunks_mut::<4>().0) {
        for (value, other) in four.iter_mut().zip(unpack(*group)) {
            *value = other.max(*value);
        }
    }
}

/// Appends all registers.
pub(super) fn encode(out: &mut Vec<u8>, values: &[u8; REGISTERS]) {
    for four in values.as_chunks().0 {
        out.extend_from_slice(&pack(*four));
    }
}
