//! Random arguments of lists, sorted sets and positions.

use crate::values::Values;

const SCORES: &[&str] = &[
    "0",
    "1",
    "-1",
    "1.5",
    "-2.5",
    "0.1",
    "3",
    "10",
    "1e3",
    "1e20",
    "-1e20",
    "inf",
    "-inf",
    "+inf",
    "-0",
    "0.30000000000000004",
    "123456789012345678",
    "1e-7",
    "0x10",
];

const NO_SCORES: &[&str] = &["nan", "abc", "", " 1", "1 ", "1e400", "1.5x", "(1", "--1"];

const LONGITUDES: &[&str] = &["0", "180", "-180", "180.1", "abc", "inf", "13.361389", "15.087269"];
const LATITUDES: &[&str] =
    &["0", "85.05112878", "-85.05112878", "85.06", "90", "abc", "38.115556", "37.502669"];

const UNITS: &[&str] = &["m", "km", "KM", "ft", "mi", "parsec", ""];

impl Values {
    /// An element of a list: few, so that they meet, and some that fill a node.
    fn element(&mut self) -> Vec<u8> {
        match self.rng.below(100) {
            0..=84 => self.member(),
            85..=89 => vec![b'x'; 2000],
            90 => vec![b'y'; 9000],
            _ => self.value(),
        }
    }

    /// A score: few, so that they meet.
    fn score(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0..=11 => self.rng.between(-5, 15).to_string().into_bytes(),
            12..=14 => format!("{}.{}", self.rng.between(-9, 9), self.rng.below(1000)).into_bytes(),
            15..=18 => self.text(SCORES),
            _ => self.text(NO_SCORES),
        }
    }

    /// A bound of a range of scores.
    fn bound(&mut self) -> Vec<u8> {
        let mut bound = if self.rng.chance(1, 3) { b"(".to_vec() } else { Vec::new() };
        match self.rng.below(10) {
            0 | 1 => bound.extend_from_slice(b"-inf"),
            2 | 3 => bound.extend_from_slice(b"+inf"),
            _ => bound.extend(self.score()),
        }
        bound
    }

    /// A bound of a range of members.
    fn lex_bound(&mut self) -> Vec<u8> {
        let mark: &[u8] = match self.rng.below(20) {
            0..=2 => return b"-".to_vec(),
            3..=5 => return b"+".to_vec(),
            6 => return self.member(),
            7..=12 => b"(",
            _ => b"[",
        };
        [mark, &self.member()].concat()
    }

    fn degrees(&mut self, most: i64, special: &[&str]) -> Vec<u8> {
        if self.rng.chance(1, 10) {
            return self.text(special);
        }
        // Half of them near each other.
        let (low, high) = if self.rng.chance(1, 2) { (10, 16) } else { (-most, most) };
        let (whole, part) = (self.rng.between(low, high - 1), self.rng.below(1_000_000));
        format!("{whole}.{part:06}").into_bytes()
    }

    /// One argument of a kind that belongs to these commands.
    pub(crate) fn score_kind(&mut self, kind: &str) -> Option<Vec<u8>> {
        Some(match kind {
            "element" => self.element(),
            "score" => self.score(),
            "bound" => self.bound(),
            "lexkey" => format!("lex{}", self.rng.below(3)).into_bytes(),
            "lexbound" => self.lex_bound(),
            "lon" => self.degrees(180, LONGITUDES),
            "lat" => self.degrees(85, LATITUDES),
            "meters" => match self.rng.below(20) {
                0 => self.score(),
                1 => b"-1".to_vec(),
                _ => self.rng.between(0, 9000).to_string().into_bytes(),
            },
            "unit" => match self.rng.below(8) {
                0 => self.text(UNITS),
                n => {
                    if n % 2 == 0 {
                        b"km".to_vec()
                    } else {
                        b"mi".to_vec()
                    }
                }
            },
            _ => return None,
        })
    }
}
