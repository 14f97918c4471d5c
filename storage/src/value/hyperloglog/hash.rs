//! From an element to a register and a value for it.

/// Bits of the hash that choose the register.
pub(super) const INDEX_BITS: u32 = 14;
/// Bits of the hash whose zeros are counted.
pub(super) const RUN_BITS: u32 = u64::BITS - INDEX_BITS;
const SEED: u64 = 0xadc8_3b19;

/// What an element does.
pub(super) struct Pattern {
    /// The register it belongs to.
    pub(super) register: usize,
    /// Zeros at the low end of the rest of the hash, plus one: 1 to 51.
    pub(super) length: u8,
}

impl Pattern {
    pub(super) fn of(element: &[u8]) -> Self {
        let hash = murmur64a(element, SEED);
        let register = hash & ((1 << INDEX_BITS) - 1);
        // A bit above the run ends it at the latest.
        let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros();
        Pattern { register: register as usize, length: run as u8 + 1 }
    }
}

/// Murmur hash 2, the 64-bit version for 64-bit machines.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}
