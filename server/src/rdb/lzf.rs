//! LZF, the compression of long strings in DUMP payloads.
//!
//! The format is a list of instructions, each beginning with a control byte:
//!
//! ```text
//! 000LLLLL                       L + 1 literal bytes follow
//! LLLooooo oooooooo              copy L + 2 bytes (L = 1..6) from o + 1 bytes back
//! 111ooooo LLLLLLLL oooooooo     copy L + 9 bytes from o + 1 bytes back
//! ```
//!
//! A copy may overlap what it writes: it repeats. The compressor makes the choices that Redis's
//! does (its hash, its table, where it enters positions and when it gives up), so payloads are
//! equal byte by byte as long as the reference starts from an empty table as we do.

/// Longest run of literals.
const MAX_LITERALS: usize = 32;
/// Farthest distance of a copy.
const MAX_DISTANCE: usize = 8192;
/// Longest copy.
const MAX_COPY: usize = 264;
/// Shortest copy.
const MIN_COPY: usize = 3;
const HASH_BITS: u32 = 16;

fn slot(input: &[u8], at: usize) -> usize {
    let three =
        u32::from(input[at]) << 16 | u32::from(input[at + 1]) << 8 | u32::from(input[at + 2]);
    let mixed = (three >> (24 - HASH_BITS)).wrapping_sub(three.wrapping_mul(5));
    (mixed & ((1 << HASH_BITS) - 1)) as usize
}

/// The output with the run of literals that is being collected.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
    /// Literals since the control byte that is reserved for them.
    literals: usize,
}

impl Output {
    fn new(limit: usize) -> Self {
        // One byte more than the limit: the control byte reserved for the next run.
        let mut bytes = Vec::with_capacity(limit.min(1 << 20) + 1);
        bytes.push(0);
        Output { bytes, limit, literals: 0 }
    }

    /// Ends the run of literals: fills its control byte in, or takes it back.
    fn close_run(&mut self) {
        match u8::try_from(self.literals) {
            Ok(literals @ 1..) => {
                let at = self.bytes.len() - self.literals - 1;
                self.bytes[at] = literals - 1;
            }
            _ => {
                self.bytes.pop();
            }
        }
        self.literals = 0;
    }

    fn literal(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.literals += 1;
        if self.literals == MAX_LITERALS {
            self.close_run();
            self.bytes.push(0);
        }
    }

    fn copy(&mut self, distance: usize, length: usize) {
        self.close_run();
        let [low, high, ..] = (distance - 1).to_le_bytes();
        let length = length - 2;
        match u8::try_from(length) {
            Ok(short @ ..7) => self.bytes.push(short << 5 | high),
            _ => self.bytes.extend([7 << 5 | high, (length - 7).to_le_bytes()[0]]),
        }
        self.bytes.extend([low, 0]);
    }

    /// Length without the control byte of an empty run.
    fn used(&self) -> usize {
        self.bytes.len() - usize::from(self.literals == 0)
    }
}

/// Compresses `input` into at most `limit` bytes; `None` if it does not fit.
pub(crate) fn compress(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    if input.is_empty() || limit == 0 {
        return None;
    }
    // Position of the last three bytes with this hash; 0 means none (position 0 is never used).
    let mut table = vec![0_u32; 1 << HASH_BITS];
    let mut out = Output::new(limit);
    let mut at = 0;
    while at + 2 < input.len() {
        let entry = &mut table[slot(input, at)];
        let candidate = *entry as usize;
        *entry = u32::try_from(at).ok()?;
        let usable = candidate > 0
            && at - candidate <= MAX_DISTANCE
            && input[candidate..candidate + MIN_COPY] == input[at..at + MIN_COPY];
        if !usable {
            if out.bytes.len() >= out.limit {
                return None;
            }
            out.literal(input[at]);
            at += 1;
            continue;
        }
        if out.used() + 4 >= out.limit {
            return None;
        }
        let length = common(input, candidate, at);
        out.copy(at - candidate, length);
        at += length;
        if at + 2 >= input.len() {
            break;
        }
        // Only the last two positions inside a copy are entered.
        for inside in [at - 2, at - 1] {
            table[slot(input, inside)] = u32::try_from(inside).ok()?;
        }
    }
    if out.bytes.len() + 3 > out.limit {
        return None;
    }
    for byte in &input[at..] {
        out.literal(*byte);
    }
    out.close_run();
    Some(out.bytes)
}

/// How many bytes (at least [`MIN_COPY`], which are known to be equal) a copy may take.
fn common(input: &[u8], from: usize, at: usize) -> usize {
    // The last two bytes stay literals, except that the reference compares the first 16 bytes
    // beyond the known ones without asking when there are that many and one to spare.
    let most = match MAX_COPY.min(input.len() - at - 2) {
        many @ 17.. => many.max(MIN_COPY + 16),
        few => few.max(MIN_COPY),
    };
    let equal = |length: &usize| input[from + length] == input[at + length];
    (MIN_COPY..most).take_while(equal).last().map_or(MIN_COPY, |last| last + 1)
}

/// Expands `input` to exactly `length` bytes; `None` if that is not what it holds. Never takes
/// more memory than `length`.
pub(crate) fn decompress(input: &[u8], length: usize) -> Option<Vec<u8>> {
    // An instruction of three bytes yields 264 at most: refuse before allocating.
    if length.div_ceil(MAX_COPY) > input.len() {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    let mut rest = input;
    while let [control, tail @ ..] = rest {
        let control = usize::from(*control);
        if control < MAX_LITERALS {
            let (literals, tail) = tail.split_at_checked(control + 1)?;
            if literals.len() > length - out.len() {
                return None;
            }
            out.extend_from_slice(literals);
            rest = tail;
            continue;
        }
        let (count, tail) = match (control >> 5, tail) {
            (7, [more, tail @ ..]) => (usize::from(*more) + 9, tail),
            (7, []) => return None,
            (short, tail) => (short + 2, tail),
        };
        let [low, tail @ ..] = tail else { return None };
        let distance = ((control & 31) << 8 | usize::from(*low)) + 1;
        if count > length - out.len() {
            return None;
        }
        let start = out.len().checked_sub(distance)?;
        repeat(&mut out, start, count);
        rest = tail;
    }
    (out.len() == length).then_some(out)
}

/// Appends `count` bytes from `start` on, which may reach into what is being appended.
fn repeat(out: &mut Vec<u8>, start: usize, mut count: usize) {
    while count > 0 {
        let part = count.min(out.len() - start);
        out.extend_from_within(start..start + part);
        count -= part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(input: &[u8]) -> Option<usize> {
        let packed = compress(input, input.len().saturating_sub(4))?;
        assert!(packed.len() <= input.len() - 4);
        assert_eq!(decompress(&packed, input.len()).as_deref(), Some(input));
        Some(packed.len())
    }

    #[test]
    fn repetitions_shrink_and_come_back() {
        for len in [21, 22, 31, 32, 33, 34, 263, 264, 265, 266, 300, 10_000, 100_000] {
            assert!(round(&vec![b'a'; len]).is_some(), "{len}");
            let text: Vec<u8> = b"hello world, ".iter().copied().cycle().take(len).collect();
            assert!(len < 40 || round(&text).is_some(), "{len}");
        }
    }

    #[test]
    fn what_does_not_shrink_is_refused() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(5000)
        .collect();
        assert_eq!(round(&noise), None);
        assert_eq!(compress(b"", 10), None);
        assert_eq!(compress(b"aaaaaaaaaaaa", 0), None);
    }

    #[test]
    fn known_encoding() {
        // Redis's DUMP of 100 times "a".
        let packed = compress(&[b'a'; 100], 96);
        assert_eq!(packed.as_deref(), Some(&[1, 97, 97, 0xe0, 87, 0, 1, 97, 97][..]));
    }

    #[test]
    fn malformed_input_is_refused() {
        let cases: &[(&[u8], usize)] = &[
            (&[], 1),
            (&[0], 1),              // literal cut off
            (&[5, 1, 2], 6),        // literals cut off
            (&[0, 7, 0x20], 4),     // copy without its low byte
            (&[0, 7, 0xe0], 10),    // long copy cut off
            (&[0, 7, 0xe0, 1], 11), // long copy without its low byte
            (&[0, 7, 0x20, 1], 4),  // reaches before the beginning
            (&[0x20, 0], 3),        // the same, with nothing before
            (&[0, 7], 2),           // too short
            (&[1, 7, 8], 1),        // too long by literals
            (&[0, 7, 0x20, 0], 3),  // too long by a copy
            (&[0, 7, 0x20, 0], usize::MAX),
        ];
        for (input, length) in cases {
            assert_eq!(decompress(input, *length), None, "{input:?} to {length}");
        }
        assert_eq!(decompress(&[0, 7, 0x20, 0], 4).as_deref(), Some(&[7, 7, 7, 7][..]));
    }

    proptest! {
        #[test]
        fn any_string_survives(input in proptest::collection::vec(0_u8..4, 0..600)) {
            round(&input);
        }

        #[test]
        fn any_input_is_judged(
            input in proptest::collection::vec(any::<u8>(), 0..200),
            length in 0_usize..2000,
        ) {
            if let Some(out) = decompress(&input, length) {
                prop_assert_eq!(out.len(), length);
            }
        }
    }
}
