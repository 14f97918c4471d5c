//! Random arguments: keys from a small pool, so that commands meet each other's keys, and values
//! that sit on every border a string command knows.

use crate::support::Rng;
use std::time::{SystemTime, UNIX_EPOCH};

/// The generator of arguments.
pub(crate) struct Values {
    pub(crate) rng: Rng,
    payloads: Vec<Vec<u8>>,
    /// second of the start: absolute times lie far from it on both sides
    epoch: i64,
    /// a time in the past was produced
    pub(crate) past: bool,
}

const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"f",
    b"k1",
    b"k2",
    b"k3",
    b"k4",
    b"{tag}1",
    b"{tag}2",
    b"user:1",
    b"user:2",
    b"h*llo",
    b"[x]",
    b"with space",
    b"12",
    b"",
    b"\x00\xff\r\nbin",
    b"\xc3\xa4",
];

const HLL_KEYS: &[&[u8]] = &[b"hll1", b"hll2", b"hll3", b"hll4"];

const LCS_KEYS: &[&[u8]] = &[b"lcs1", b"lcs2", b"lcs3"];

const PATTERNS: &[&str] = &[
    "*", "k?", "k*", "?", "h\\*llo", "h*o", "[a-c]", "[^a]", "[c-a]", "\\[x\\]", "*a*", "*:[12]",
    "{tag}*", "", "[", "[a", "\\", "**", "a", "user:*", "*[0-9]", "nothing", "[\\a]", "?*?",
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "10",
    "-10",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "65535",
    "65536",
    "9999",
    "10000",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "-9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
];

const NOT_QUITE_INTEGERS: &[&str] = &[
    "", " 1", "1 ", "+1", "-0", "00", "01", "-01", "1.0", "1e2", "0x10", "abc", "1a", "--1", "-",
    "1\0", "\u{661}",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "1.5",
    "-1.5",
    "0.1",
    "3.0e3",
    "1e10",
    "1e-5",
    "5.0",
    "100.000",
    "1e17",
    "1e18",
    "123456789.123",
    "-0",
    "-0.0",
    "0.000001",
    ".5",
    "5.",
    "1e100",
    "-1e100",
    "1e400",
    "inf",
    "-inf",
    "+inf",
    "infinity",
    "nan",
    "-nan",
    "0x1p4",
    "1e",
    "e1",
    "",
    " 1",
    "1 ",
    "abc",
    "1.5abc",
    "3.14159265358979",
    "99999999999999999999",
    "1e308",
    "10e-20",
    "0.30000000000000004",
];

const SIZES: &[usize] = &[2, 3, 7, 8, 20, 32, 39, 40, 41, 42, 43, 44, 45, 46, 47, 63, 64, 65, 100];

const BIG_SIZES: &[usize] =
    &[1000, 4096, 16_384, 32_766, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 100_000];

const OFFSETS: &[i64] = &[
    0, 1, 2, 6, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 65, 100, 127, 128, 360, 1000, 262_143,
    262_144, 262_145, 300_000,
];

const FIELD_TYPES: &[&str] = &[
    "u1", "u2", "u7", "u8", "u16", "u31", "u32", "u62", "u63", "i1", "i2", "i5", "i8", "i16",
    "i32", "i63", "i64", "u64", "u0", "i0", "i65", "x8", "u", "", "u8x", "U8", "i-1",
];

impl Values {
    /// A generator that draws RESTORE payloads from the given ones.
    pub(crate) fn new(rng: Rng, payloads: Vec<Vec<u8>>) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        // Rounded, so that a run's absolute times do not change while it lasts.
        let epoch = i64::try_from(epoch).expect("seconds fit") / 100_000 * 100_000;
        Values { rng, payloads, epoch, past: false }
    }

    pub(crate) fn text(&mut self, items: &[&str]) -> Vec<u8> {
        self.rng.pick(items).as_bytes().to_vec()
    }

    /// A word of the grammar, sometimes in another case.
    pub(crate) fn word(&mut self, word: &str) -> Vec<u8> {
        match self.rng.below(8) {
            0 => word.to_lowercase().into_bytes(),
            1 => word
                .chars()
                .map(|c| if self.rng.chance(1, 2) { c.to_ascii_lowercase() } else { c })
                .collect::<String>()
                .into_bytes(),
            _ => word.as_bytes().to_vec(),
        }
    }

    /// A key of the pool.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        match self.rng.below(100) {
            0 => vec![b'L'; 300],
            1 => vec![b'M'; 20_000],
            2..=60 => self.rng.pick(&KEYS[..8]).to_vec(),
            _ => self.rng.pick(KEYS).to_vec(),
        }
    }

    fn integer(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0..=9 => self.rng.between(-20, 120).to_string().into_bytes(),
            10..=17 => self.text(INTEGERS),
            _ => self.text(NOT_QUITE_INTEGERS),
        }
    }

    pub(crate) fn value(&mut self) -> Vec<u8> {
        match self.rng.below(100) {
            0..=24 => self.rng.between(-1000, 1_000_000).to_string().into_bytes(),
            25..=39 => self.text(INTEGERS),
            40..=44 => self.text(NOT_QUITE_INTEGERS),
            45..=56 => self.text(FLOATS),
            57..=59 => Vec::new(),
            60..=84 => {
                let n = *self.rng.pick(SIZES);
                self.letters(n)
            }
            85..=97 => {
                let n = self.rng.below(70);
                self.rng.bytes(n)
            }
            98 => {
                let n = *self.rng.pick(BIG_SIZES);
                vec![self.rng.pick(b"zy\0\xff").to_owned(); n]
            }
            _ => {
                let n = *self.rng.pick(BIG_SIZES);
                self.letters(n)
            }
        }
    }

    /// A member of a set or a field of a hash: few, so that they meet, on both sides of the limits
    /// of packed collections.
    pub(crate) fn member(&mut self) -> Vec<u8> {
        match self.rng.below(100) {
            0..=34 => self.rng.between(-5, 20).to_string().into_bytes(),
            35..=84 => format!("m{}", self.rng.below(30)).into_bytes(),
            85..=89 => vec![b'x'; 63 + self.rng.below(3)],
            _ => self.value(),
        }
    }

    fn letters(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| *self.rng.pick(b"abcdefgh")).collect()
    }

    /// A relative lifetime in units of `unit` per second. It is either over when the next command
    /// runs or far longer than the test; long ones hardly ever meet, so that the order of two
    /// deadlines does not hang on a millisecond.
    fn lifetime(&mut self, unit: i64) -> Vec<u8> {
        let number = match self.rng.below(40) {
            0 => 0,
            1 => -1,
            2 => -self.rng.between(1, 100_000),
            3 => return self.text(INTEGERS),
            4 => return self.text(NOT_QUITE_INTEGERS),
            5 if unit == 1000 => {
                // The sequence lets it pass.
                self.rng.between(1, 3)
            }
            _ => self.rng.between(1000, 10_000_000) * unit + self.rng.between(0, unit - 1),
        };
        self.past |= number <= 0;
        number.to_string().into_bytes()
    }

    /// An absolute deadline: past, or one of a few in the far future, so that equal ones meet.
    fn deadline(&mut self, unit: i64) -> Vec<u8> {
        let years = 31_536_000 * unit;
        let number = match self.rng.below(20) {
            0 => return self.text(INTEGERS),
            1 => return self.text(NOT_QUITE_INTEGERS),
            2 => 1,
            3 => 0,
            4 => -self.rng.between(1, 1000),
            5 => (self.epoch - 1_000_000) * unit,
            _ => self.epoch * unit + self.rng.between(1, 5) * years,
        };
        self.past |= number < self.epoch * unit;
        number.to_string().into_bytes()
    }

    fn offset(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0..=8 => self.rng.between(0, 100).to_string().into_bytes(),
            9..=17 => self.rng.pick(OFFSETS).to_string().into_bytes(),
            18 => self.text(INTEGERS),
            _ => self.text(NOT_QUITE_INTEGERS),
        }
    }

    /// One argument of the named kind.
    pub(crate) fn kind(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "key" => self.key(),
            "value" => self.value(),
            "member" => self.member(),
            "int" => self.integer(),
            // The reference takes the least ones of all for too large where it saturates.
            "fieldint" => match self.integer() {
                least if least.starts_with(b"-92233720368547758") => b"-4294967296".to_vec(),
                other => other,
            },
            "float" if self.rng.chance(1, 2) => {
                let whole = self.rng.between(-100, 100);
                let part = self.rng.between(0, 999);
                format!("{whole}.{part}").into_bytes()
            }
            "float" => self.text(FLOATS),
            "ttl" => self.lifetime(1),
            "pttl" => self.lifetime(1000),
            "at" => self.deadline(1),
            "pat" => self.deadline(1000),
            "bit" => match self.rng.below(12) {
                0 => self.integer(),
                n => (n % 2).to_string().into_bytes(),
            },
            "offset" => self.offset(),
            "fieldoffset" => {
                let mut out = if self.rng.chance(1, 3) { b"#".to_vec() } else { Vec::new() };
                out.extend(self.offset());
                out
            }
            "field" => self.text(FIELD_TYPES),
            "range" => match self.rng.below(3) {
                0 => self.rng.between(-10, 10).to_string().into_bytes(),
                1 => self.rng.between(-120, 120).to_string().into_bytes(),
                _ => self.integer(),
            },
            "pattern" => self.text(PATTERNS),
            "db" => match self.rng.below(12) {
                0 => self.integer(),
                1 => b"15".to_vec(),
                n => (n % 3).to_string().into_bytes(),
            },
            "lcskey" => self.rng.pick(LCS_KEYS).to_vec(),
            "lcsvalue" => {
                let n = self.rng.below(40);
                self.letters(n)
            }
            "hllkey" => self.rng.pick(HLL_KEYS).to_vec(),
            "hllelement" if self.rng.chance(1, 30) => self.value(),
            "hllelement" => format!("e{}", self.rng.below(1000)).into_bytes(),
            "hllvalue" => self.hyperloglog(),
            "payload" => self.payload(),
            "name" => {
                let names: &[&str] = &["conn", "a b", "", "x\n", "n\u{e4}me", "~", "a", "\x7f"];
                self.text(names)
            }
            "junk" => self.junk(),
            "zero" => b"0".to_vec(),
            other => match crate::streams::kind(self, other)
                .or_else(|| self.score_kind(other))
                .or_else(|| crate::sorting::kind(self, other))
                .or_else(|| crate::scripts::kind(self, other))
            {
                Some(argument) => argument,
                None => panic!("the grammar names an unknown kind: {other}"),
            },
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        if self.payloads.is_empty() || self.rng.chance(1, 20) {
            return self.value();
        }
        let mut payload = self.rng.pick(&self.payloads).clone();
        if self.rng.chance(1, 4) && !payload.is_empty() {
            let at = self.rng.below(payload.len());
            payload[at] ^= 1 << self.rng.below(8);
        }
        if self.rng.chance(1, 12) {
            payload.truncate(self.rng.below(payload.len()));
        }
        payload
    }

    /// A string that is a HyperLogLog or nearly one.
    fn hyperloglog(&mut self) -> Vec<u8> {
        let mut text = b"HYLL\x01\0\0\0\x03\0\0\0\0\0\0\0`\xf3\x80P\xb1\x84K\xfb\x80BZ".to_vec();
        match self.rng.below(4) {
            // The count is stale.
            0 => text[15] = 0x80,
            // Of another encoding, or no HyperLogLog.
            1 => {
                let at = self.rng.below(5);
                text[at] = self.rng.below(4) as u8;
            }
            2 => text.truncate(self.rng.below(17)),
            _ => {}
        }
        text
    }

    /// An argument of any kind at all.
    pub(crate) fn junk(&mut self) -> Vec<u8> {
        let words: &[&str] = &[
            "NX", "XX", "GET", "EX", "PX", "KEEPTTL", "COUNT", "MATCH", "TYPE", "REPLACE", "DB",
            "BYTE", "BIT", "LIMIT", "ASYNC", "SYNC", "string", "help", "HELP", "PERSIST",
        ];
        match self.rng.below(5) {
            0 => self.key(),
            1 => self.value(),
            2 => self.text(words),
            3 => self.text(NOT_QUITE_INTEGERS),
            _ => self.integer(),
        }
    }
}
