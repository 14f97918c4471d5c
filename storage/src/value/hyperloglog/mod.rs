//! HyperLogLog: the approximate count of distinct elements, in a string that is byte for byte
//! Redis's, so that GET, SET and DUMP carry it between servers.
//!
//! An element is hashed; 14 bits of the hash choose one of 16,384 registers, and the register keeps
//! the longest run of zeros, plus one, that the other 50 bits of any of its elements began with.
//! Many elements make long runs likely: the registers' values tell how many there were.
//!
//! ```text
//! | "HYLL" | encoding 1 | unused 3 | count u64 LE, its top bit set: stale | registers ... |
//!
//! dense (0):  16,384 registers of 6 bits, from the lowest bit of the first byte on: 12,288 bytes
//! sparse (1): runs of equal registers (see `sparse`), at most hll-sparse-max-bytes
//! ```
//!
//! The header is looked at whenever a string is taken for a HyperLogLog ([`Hll::new`]). The runs
//! of a sparse one are judged by the operation that walks them, which says [`Corrupt`].

mod dense;
mod estimate;
mod hash;
mod self_test;
mod sparse;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use hash::Pattern;
pub use self_test::self_test;

/// How many registers there are.
pub const REGISTERS: usize = 1 << hash::INDEX_BITS;

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER: usize = 16;
/// Where the header keeps the encoding.
const ENCODING: usize = 4;
/// Where the header keeps the count.
const COUNT: usize = 8;
/// The bit of the count's last byte that says the count is stale.
const STALE: u8 = 0x80;
/// Length of a dense string.
const DENSE_LEN: usize = HEADER + dense::LEN;

/// A string begins like a HyperLogLog, but its runs do not make 16,384 registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// How the registers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Six bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// A HyperLogLog, as readers see it.
#[derive(Clone, Copy, Debug)]
pub struct Hll<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
}

impl<'a> Hll<'a> {
    /// Takes `bytes` for a HyperLogLog, if their header and length allow it.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let encoding = match *bytes.get(..HEADER)?.strip_prefix(MAGIC)? {
            [0, ..] if bytes.len() == DENSE_LEN => Encoding::Dense,
            [1, ..] => Encoding::Sparse,
            _ => return None,
        };
        Some(Hll { bytes, encoding })
    }

    /// How the registers are kept.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        self.encoding
    }

    /// The count that was computed last, unless something was added since.
    #[must_use]
    pub fn cached_count(self) -> Option<u64> {
        let count = u64::from_le_bytes(*self.bytes.get(COUNT..)?.first_chunk()?);
        (count.leading_zeros() > 0).then_some(count)
    }

    /// Estimates how many distinct elements were added.
    pub fn count(self) -> Result<u64, Corrupt> {
        let histogram = match self.encoding {
            Encoding::Dense => dense::histogram(self.body()),
            Encoding::Sparse => sparse::histogram(self.body())?,
        };
        Ok(estimate::count(&histogram))
    }

    /// True if adding `element` would change something. Most additions to a full HyperLogLog do
    /// not, and need no copy of it.
    pub fn would_change(self, element: &[u8]) -> Result<bool, Corrupt> {
        let Pattern { register, length } = Pattern::of(element);
        let value = match self.encoding {
            Encoding::Dense => dense::get(self.body(), register),
            Encoding::Sparse => sparse::get(self.body(), register)?,
        };
        Ok(length > value)
    }

    /// The values of all registers in order.
    pub fn registers(self) -> Result<Registers, Corrupt> {
        let mut registers = Registers::new();
        registers.absorb(self)?;
        Ok(registers)
    }

    /// The runs of a sparse HyperLogLog as PFDEBUG DECODE writes them: `z:64`, `Z:300` for short and
    /// long runs of zeros, `v:2,1` for a value and how often it comes. `None` if it is dense.
    #[must_use]
    pub fn decode(self) -> Option<String> {
        if self.encoding == Encoding::Dense {
            return None;
        }
        let mut text = String::new();
        for run in sparse::runs(self.body()).map_while(Result::ok) {
            let separator = if text.is_empty() { "" } else { " " };
            let sparse::Run { value, registers, bytes } = run;
            let written = match (value, bytes) {
                (0, 1) => write!(text, "{separator}z:{registers}"),
                (0, _) => write!(text, "{separator}Z:{registers}"),
                _ => write!(text, "{separator}v:{value},{registers}"),
            };
            written.expect("a string takes everything");
        }
        Some(text)
    }

    /// What follows the header.
    fn body(self) -> &'a [u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

/// A HyperLogLog of one's own.
#[derive(Clone, Debug)]
pub struct HllBuf {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Default for HllBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl HllBuf {
    /// One without elements: sparse, its count known to be 0.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(HEADER + 2);
        bytes.extend_from_slice(MAGIC);
        bytes.resize(HEADER, 0);
        bytes[ENCODING] = 1;
        sparse::push_empty(&mut bytes);
        HllBuf { bytes, encoding: Encoding::Sparse }
    }

    /// Takes `bytes` for a HyperLogLog, if their header and length allow it.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let encoding = Hll::new(&bytes)?.encoding;
        Some(HllBuf { bytes, encoding })
    }

    /// The string.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The view to read it through.
    #[must_use]
    pub fn view(&self) -> Hll<'_> {
        Hll { bytes: &self.bytes, encoding: self.encoding }
    }

    /// Adds an element; true if that changed a register (the count is stale then). A sparse string
    /// that would become longer than `sparse_max` becomes dense.
    pub fn add(&mut self, element: &[u8], sparse_max: usize) -> Result<bool, Corrupt> {
        let Pattern { register, length } = Pattern::of(element);
        let changed = self.raise(register, length, sparse_max)?;
        if changed {
            self.invalidate();
        }
        Ok(changed)
    }

    /// Says that the count is stale. PFADD and PFMERGE do so even when they change no register.
    pub fn invalidate(&mut self) {
        self.bytes[COUNT + 7] |= STALE;
    }

    /// Keeps `count` for the next reader.
    pub fn cache_count(&mut self, count: u64) {
        self.bytes[COUNT..HEADER].copy_from_slice(&count.to_le_bytes());
    }

    /// Makes a sparse HyperLogLog dense; false if it was.
    pub fn make_dense(&mut self) -> Result<bool, Corrupt> {
        if self.encoding == Encoding::Dense {
            return Ok(false);
        }
        let registers = self.view().registers()?;
        self.write_dense(&registers);
        Ok(true)
    }

    /// Raises every register to its value in `union`. The result is dense if this HyperLogLog or one
    /// of those in the union was, or if it does not fit `sparse_max`.
    pub fn merge(&mut self, mut union: Registers, sparse_max: usize) -> Result<(), Corrupt> {
        union.absorb(self.view())?;
        for (register, value) in union.values.iter().enumerate().filter(|(_, value)| **value > 0) {
            if union.dense || self.encoding == Encoding::Dense {
                break;
            }
            self.raise(register, *value, sparse_max)?;
        }
        // The rest of a promotion on the way is done in one go.
        if union.dense || self.encoding == Encoding::Dense {
            self.write_dense(&union);
        }
        self.invalidate();
        Ok(())
    }

    /// Sets a register to `value` if it is smaller.
    fn raise(&mut self, register: usize, value: u8, sparse_max: usize) -> Result<bool, Corrupt> {
        if self.encoding == Encoding::Sparse {
            match sparse::raise(&mut self.bytes, HEADER, register, value, sparse_max)? {
                sparse::Raised::No => return Ok(false),
                sparse::Raised::Yes => return Ok(true),
                sparse::Raised::DoesNotFit => self.make_dense()?,
            };
        }
        Ok(dense::raise(&mut self.bytes[HEADER..], register, value))
    }

    /// Replaces the registers by `registers` in the dense encoding.
    fn write_dense(&mut self, registers: &Registers) {
        self.encoding = Encoding::Dense;
        self.bytes[ENCODING] = 0;
        self.bytes.truncate(HEADER);
        self.bytes.reserve_exact(dense::LEN);
        dense::encode(&mut self.bytes, &registers.values);
    }
}

/// The values of all registers, one byte each: the union of several HyperLogLogs.
#[derive(Clone, Debug)]
pub struct Registers {
    values: Box<[u8; REGISTERS]>,
    /// One of those in the union was dense.
    dense: bool,
}

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

impl Registers {
    /// The union of none.
    #[must_use]
    pub fn new() -> Self {
        Registers { values: Box::new([0; REGISTERS]), dense: false }
    }

    /// Adds a HyperLogLog to the union. After an error the union is of no use.
    pub fn absorb(&mut self, other: Hll<'_>) -> Result<(), Corrupt> {
        match other.encoding {
            Encoding::Dense => {
                self.dense = true;
                dense::absorb(other.body(), &mut self.values);
                Ok(())
            }
            Encoding::Sparse => sparse::absorb(other.body(), &mut self.values),
        }
    }

    /// Estimates how many distinct elements the union has.
    #[must_use]
    pub fn count(&self) -> u64 {
        let mut histogram = estimate::EMPTY;
        for value in self.values.iter() {
            histogram[usize::from(*value) % histogram.len()] += 1;
        }
        estimate::count(&histogram)
    }

    /// The values in order.
    #[must_use]
    pub fn values(&self) -> &[u8; REGISTERS] {
        &self.values
    }
}
