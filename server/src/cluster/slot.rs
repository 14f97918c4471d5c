//! The slot of a key, as in Redis Cluster: CRC-16 of the key, or of its hash tag, modulo 16384.

/// How many slots there are.
pub use dunlin_storage::SLOTS;

/// The polynomial of CRC-16/XMODEM (also called CCITT).
const POLYNOMIAL: u16 = 0x1021;

/// `TABLES[n][byte]`: what becomes of a byte that `n` others follow. With them many bytes are taken at a
/// time, without one waiting for the other.
static TABLES: [[u16; 256]; TABLE_COUNT] = tables();

/// Bytes taken at a time, at most.
const TABLE_COUNT: usize = 16;

const fn tables() -> [[u16; 256]; TABLE_COUNT] {
    let mut tables = [[0; 256]; TABLE_COUNT];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ POLYNOMIAL };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < TABLE_COUNT {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[n - 1][byte];
            tables[n][byte] = crc << 8 ^ tables[0][(crc >> 8) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

/// A part of [`of`], which is called through a pointer for each key.
#[inline(always)]
fn crc16(bytes: &[u8]) -> u16 {
    let (sixteens, rest) = bytes.as_chunks::<TABLE_COUNT>();
    let crc = sixteens.iter().fold(0, |crc, sixteen| take(crc, *sixteen));
    let (eights, rest) = rest.as_chunks::<8>();
    let crc = eights.iter().fold(crc, |crc, eight| take(crc, *eight));
    let (fours, rest) = rest.as_chunks::<4>();
    let crc = fours.iter().fold(crc, |crc, four| take(crc, *four));
    let (twos, rest) = rest.as_chunks::<2>();
    let crc = twos.iter().fold(crc, |crc, two| take(crc, *two));
    rest.iter().fold(crc, |crc, byte| take_one(crc, *byte))
}

/// Two bytes or more: those that the old sum is mixed into are among them.
#[inline(always)]
fn take<const N: usize>(crc: u16, mut bytes: [u8; N]) -> u16 {
    let [high, low] = crc.to_be_bytes();
    bytes[0] ^= high;
    bytes[1] ^= low;
    let part = |(at, byte): (usize, &u8)| TABLES[N - 1 - at][usize::from(*byte)];
    bytes.iter().enumerate().map(part).fold(0, |sum, part| sum ^ part)
}

#[inline(always)]
fn take_one(crc: u16, byte: u8) -> u16 {
    let [high, _] = crc.to_be_bytes();
    crc << 8 ^ TABLES[0][usize::from(high ^ byte)]
}

/// What of a key decides its slot: the bytes between the first `{` and the next `}`, if there are
/// any, and otherwise all of it. So keys with the same tag are together.
#[inline(always)]
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    if has_brace(key) { tag_of(key) } else { key }
}

#[inline(never)]
fn tag_of(key: &[u8]) -> &[u8] {
    let tag = memchr::memchr(b'{', key).and_then(|open| {
        let rest = &key[open + 1..];
        memchr::memchr(b'}', rest).map(|close| &rest[..close])
    });
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// Whether there is a `{`. Most keys are too short for the search that is quick in long texts.
#[inline]
fn has_brace(key: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const BRACES: u64 = u64::from_ne_bytes([b'{'; 8]);
    // The highest bit of each byte that is a brace, and maybe of one above it.
    let braces = |word: u64| {
        let others = word ^ BRACES;
        others.wrapping_sub(ONES) & !others & ONES << 7
    };
    let (eights, rest) = key.as_chunks::<8>();
    let found = eights.iter().fold(0, |found, eight| found | braces(u64::from_ne_bytes(*eight)));
    rest.iter().fold(found != 0, |found, byte| found | (*byte == b'{'))
}

/// The slot of a key.
#[inline]
#[must_use]
pub fn of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// The slots of a command's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slots {
    /// There is no key.
    #[default]
    None,
    /// All keys are in this slot.
    One(u16),
    /// They are not; the first is in this one.
    Several(u16),
}

impl Slots {
    /// These and one more.
    #[must_use]
    pub fn and(self, slot: u16) -> Slots {
        match self {
            Slots::None => Slots::One(slot),
            Slots::One(first) if first != slot => Slots::Several(first),
            same => same,
        }
    }

    /// These, and then others.
    #[must_use]
    pub fn then(self, others: Slots) -> Slots {
        match others {
            Slots::None => self,
            Slots::One(slot) => self.and(slot),
            Slots::Several(_) => match self {
                Slots::None => others,
                Slots::One(own) | Slots::Several(own) => Slots::Several(own),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
        // CLUSTER KEYSLOT of redis-server.
        for (key, slot) in [
            ("foo", 12_182),
            ("bar", 5_061),
            ("hello", 866),
            ("somekey", 11_058),
            ("foo{hash_tag}", 2_515),
            ("bar{hash_tag}", 2_515),
            ("", 0),
        ] {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn many_bytes_at_once_are_as_one_after_the_other() {
        let bytes: Vec<u8> = (0..100_u8).map(|i| i.wrapping_mul(113) ^ 0x5a).collect();
        for len in 0..bytes.len() {
            let slowly = bytes[..len].iter().fold(0, |crc, byte| take_one(crc, *byte));
            assert_eq!(crc16(&bytes[..len]), slowly, "{len} bytes");
        }
    }

    #[test]
    fn tags() {
        for (key, tag) in [
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("}{x}", "x"),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
            // Wherever it is.
            for before in 1..20 {
                let key = format!("{:|>before$}{key}", "");
                let whole = if tag == &key[before..] { key.as_str() } else { tag };
                assert_eq!(hash_tag(key.as_bytes()), whole.as_bytes(), "{key}");
            }
        }
    }
}
