//! Cells: what is left of the world after some halvings.
//!
//! ```text
//! bits, step 2:   x1 y1 x2 y2        x: east half or not, y: north half or not
//!
//!   0101 0111 1101 1111    y
//!   0100 0110 1100 1110    ^
//!   0001 0011 1001 1011    |
//!   0000 0010 1000 1010    +--> x
//! ```

use std::ops::Range;

use super::Point;

/// Halvings of each axis in a score.
pub(super) const MAX_STEP: u32 = 26;

/// The bits of the latitude; those of the longitude lie between them.
const LATITUDE: u64 = 0x5555_5555_5555_5555;

/// Lowest and highest degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) longitude: (f64, f64),
    pub(super) latitude: (f64, f64),
}

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    bits: u64,
    /// Halvings of each axis, 1 to [`MAX_STEP`].
    step: u32,
}

impl Cell {
    pub(super) fn new(bits: u64, step: u32) -> Self {
        Cell { bits, step }
    }

    /// The cell that `point` is in, after `step` halvings of `world`.
    pub(super) fn around(point: Point, step: u32, world: Extent) -> Self {
        let index = |degrees: f64, (low, high): (f64, f64)| {
            ((degrees - low) / (high - low) * f64::from(1_u32 << step)) as u32
        };
        let x = index(point.longitude, world.longitude);
        let y = index(point.latitude, world.latitude);
        Cell { bits: spread(x) << 1 | spread(y), step }
    }

    pub(super) fn step(self) -> u32 {
        self.step
    }

    pub(super) fn bits(self) -> u64 {
        self.bits
    }

    /// The degrees that the cell takes of `world`.
    pub(super) fn extent(self, world: Extent) -> Extent {
        let cells = f64::from(1_u32 << self.step);
        let part = |index: u32, (low, high): (f64, f64)| {
            let at = |index: u32| low + f64::from(index) / cells * (high - low);
            (at(index), at(index.wrapping_add(1)))
        };
        Extent {
            longitude: part(gather(self.bits >> 1), world.longitude),
            latitude: part(gather(self.bits), world.latitude),
        }
    }

    /// The cell of the same size that lies `east` and `north` steps of -1, 0 or 1 away, around the
    /// world if need be.
    pub(super) fn neighbour(self, east: i32, north: i32) -> Self {
        let all = u64::MAX >> (u64::BITS - 2 * self.step);
        let x = step_in(self.bits, !LATITUDE, all, east);
        let y = step_in(self.bits, LATITUDE, all, north);
        Cell { bits: x | y, step: self.step }
    }

    /// The scores of the positions in the cell.
    pub(super) fn scores(self) -> Range<u64> {
        let shift = 2 * (MAX_STEP - self.step);
        self.bits << shift..(self.bits + 1) << shift
    }
}

/// The bits of `axis` counted up or down by one, modulo what `all` bits hold. Standing still keeps
/// even the bit beyond them that the last line of degrees has.
fn step_in(bits: u64, axis: u64, all: u64, by: i32) -> u64 {
    let own = bits & axis;
    match by {
        0 => own,
        // The other axis, filled with ones, only hands the carry on.
        1.. => (own | !axis).wrapping_add(1) & axis & all,
        _ => own.wrapping_sub(1) & axis & all,
    }
}

/// Puts a zero before every bit.
fn spread(value: u32) -> u64 {
    let mut bits = u64::from(value);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// Takes every other bit, from the lowest on: undoes [`spread`].
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spreading_is_undone_by_gathering(value in any::<u32>()) {
            prop_assert_eq!(gather(spread(value)), value);
            prop_assert_eq!(gather(spread(value) << 1), 0);
            let slow = (0..32).fold(0_u64, |bits, i| bits | u64::from(value >> i & 1) << (2 * i));
            prop_assert_eq!(spread(value), slow);
        }

        #[test]
        fn neighbours_are_one_apart(x in any::<u32>(), y in any::<u32>(), step in 1_u32..=MAX_STEP) {
            let size = 1_u32 << step;
            let (x, y) = (x % size, y % size);
            let cell = Cell::new(spread(x) << 1 | spread(y), step);
            for east in -1..=1 {
                for north in -1..=1 {
                    let near = cell.neighbour(east, north);
                    prop_assert_eq!(gather(near.bits >> 1), x.wrapping_add_signed(east) % size);
                    prop_assert_eq!(gather(near.bits), y.wrapping_add_signed(north) % size);
                    prop_assert_eq!(near.step, step);
                }
            }
        }
    }
}
