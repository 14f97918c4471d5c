//! Registers as runs of equal ones. A run is one or two bytes:
//!
//! ```text
//! 00LLLLLL              L + 1 registers that are 0
//! 01LLLLLL LLLLLLLL     L + 1 registers that are 0 (written for more than 64)
//! 1vvvvvLL              L + 1 registers that are v + 1
//! ```
//!
//! An update replaces the run it falls into by up to three and then joins neighbours, in the very
//! steps Redis takes: the same elements in the same order make the same bytes.

use super::estimate::{EMPTY, Histogram};
use super::{Corrupt, REGISTERS};

const LONG_ZEROS: u8 = 0x40;
const VALUE: u8 = 0x80;
/// Longest run of zeros in one byte.
const MAX_ZEROS: usize = 64;
/// Longest run of a value.
const MAX_RUN: usize = 4;
/// Largest value of a register that a run can state.
const MAX_VALUE: u8 = 32;
/// How many runs are looked at for neighbours to join.
const JOIN_STEPS: usize = 5;

/// One run.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The value of its registers.
    pub(super) value: u8,
    /// How many registers it covers.
    pub(super) registers: usize,
    /// How many bytes it takes.
    pub(super) bytes: usize,
}

/// What an update came to.
pub(super) enum Raised {
    /// The register was no smaller.
    No,
    /// It is raised.
    Yes,
    /// The value or the length is beyond what is kept sparse; nothing was changed.
    DoesNotFit,
}

/// The run at the front of `bytes`.
fn run(bytes: &[u8]) -> Result<Run, Corrupt> {
    let low = |byte: u8, mask: u8| usize::from(byte & mask) + 1;
    match *bytes {
        [first @ ..LONG_ZEROS, ..] => Ok(Run { value: 0, registers: low(first, 0x3f), bytes: 1 }),
        [first @ LONG_ZEROS..VALUE, second, ..] => {
            let registers = usize::from(u16::from_be_bytes([first & 0x3f, second])) + 1;
            Ok(Run { value: 0, registers, bytes: 2 })
        }
        [first @ VALUE..=u8::MAX, ..] => {
            Ok(Run { value: (first >> 2 & 0x1f) + 1, registers: low(first, 3), bytes: 1 })
        }
        [] | [_] => Err(Corrupt),
    }
}

/// All runs; the last item is an error if the bytes end inside one.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = Result<Run, Corrupt>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = run(rest);
        rest = next.map_or(&[], |run| &rest[run.bytes..]);
        Some(next)
    })
}

/// A run that covers a certain register.
struct Found {
    /// Where it begins in the string.
    at: usize,
    /// Where the run before it begins.
    before: Option<usize>,
    /// Its first register.
    first: usize,
    run: Run,
}

/// Looks from offset `start` of the string on for the run that covers `register`.
fn find(string: &[u8], start: usize, register: usize) -> Result<Found, Corrupt> {
    let (mut at, mut before, mut first) = (start, None, 0);
    loop {
        let run = run(string.get(at..).unwrap_or_default())?;
        if register < first + run.registers {
            return Ok(Found { at, before, first, run });
        }
        before = Some(at);
        at += run.bytes;
        first += run.registers;
    }
}

/// The value of a register.
pub(super) fn get(bytes: &[u8], register: usize) -> Result<u8, Corrupt> {
    find(bytes, 0, register).map(|found| found.run.value)
}

/// How many registers have each value.
pub(super) fn histogram(bytes: &[u8]) -> Result<Histogram, Corrupt> {
    let mut histogram = EMPTY;
    let mut covered = 0;
    for run in runs(bytes) {
        let Run { value, registers, .. } = run?;
        covered += registers;
        // Before it adds up: runs of a long corrupt string could overflow the count.
        if covered > REGISTERS {
            return Err(Corrupt);
        }
        histogram[usize::from(value)] += registers as u32;
    }
    if covered == REGISTERS { Ok(histogram) } else { Err(Corrupt) }
}

/// Raises `values` to those of the registers.
pub(super) fn absorb(bytes: &[u8], values: &mut [u8; REGISTERS]) -> Result<(), Corrupt> {
    let mut rest = &mut values[..];
    for run in runs(bytes) {
        let run = run?;
        let (covered, behind) =
            std::mem::take(&mut rest).split_at_mut_checked(run.registers).ok_or(Corrupt)?;
        rest = behind;
        // Most registers are in long runs of zeros.
        if run.value > 0 {
            for value in covered {
                *value = run.value.max(*value);
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Corrupt) }
}

/// Appends the runs of registers that are all 0.
pub(super) fn push_empty(out: &mut Vec<u8>) {
    let mut runs = Runs::default();
    runs.push(0, REGISTERS);
    out.extend_from_slice(runs.as_bytes());
}

/// The runs that replace one.
#[derive(Default)]
struct Runs {
    bytes: [u8; 5],
    len: usize,
}

impl Runs {
    /// Adds a run, unless it is empty.
    fn push(&mut self, value: u8, registers: usize) {
        let Some(length) = registers.checked_sub(1) else { return };
        let [low, high, ..] = length.to_le_bytes();
        if value == 0 && registers > MAX_ZEROS {
            self.byte(LONG_ZEROS | high);
            self.byte(low);
        } else if value == 0 {
            self.byte(low);
        } else {
            self.byte(VALUE | (value - 1) << 2 | low);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Sets a register to `value` if it is smaller. The runs begin at offset `start` of the string,
/// which is not made longer than `max`.
pub(super) fn raise(
    string: &mut Vec<u8>,
    start: usize,
    register: usize,
    value: u8,
    max: usize,
) -> Result<Raised, Corrupt> {
    if value > MAX_VALUE {
        return Ok(Raised::DoesNotFit);
    }
    let Found { at, before, first, run: old } = find(string, start, register)?;
    if old.value >= value {
        return Ok(Raised::No);
    }
    let mut new = Runs::default();
    new.push(old.value, register - first);
    new.push(value, 1);
    new.push(old.value, first + old.registers - register - 1);
    let len = string.len() - old.bytes + new.len;
    if new.len > old.bytes && len > max {
        return Ok(Raised::DoesNotFit);
    }
    string.splice(at..at + old.bytes, new.as_bytes().iter().copied());
    join(string, before.unwrap_or(start));
    Ok(Raised::Yes)
}

/// Joins neighbouring runs of the same value, from offset `at` on.
fn join(string: &mut Vec<u8>, at: usize) {
    let mut at = at;
    for _ in 0..JOIN_STEPS {
        let Ok(this) = run(string.get(at..).unwrap_or_default()) else { return };
        let next = run(string.get(at + this.bytes..).unwrap_or_default());
        match next {
            Ok(next)
                if this.value > 0
                    && this.value == next.value
                    && this.registers + next.registers <= MAX_RUN =>
            {
                let mut joined = Runs::default();
                joined.push(this.value, this.registers + next.registers);
                string.splice(at..at + 2, joined.as_bytes().iter().copied());
            }
            _ => at += this.bytes,
        }
    }
}
