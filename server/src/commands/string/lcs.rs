//! LCS: the longest common subsequence of two strings.
//!
//! The textbook table holds, for every pair of prefixes, the length of their longest common
//! subsequence. Neighbours in a row differ by 0 or 1, so a row is kept as one bit per column and
//! computed 64 columns at a time with an addition (Hyyrö's bit-parallel algorithm). The walk back
//! through the table needs only those bits: where two characters differ, the length came from
//! the row above if the bit is set, else from the column before.
//!
//! Limits are those of the table with 4 bytes per cell, as Redis has them, although this one
//! takes a 32nd of that memory.

use super::max_len;
use crate::commands::call::{Call, string_of};
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Flags, KeySpec, Outcome};
use dunlin_protocol::Reply;
use std::borrow::Cow;
use std::ops::Range;

const NOT_STRINGS: ReplyError =
    ReplyError::new("ERR The specified keys must contain string values");
const LEN_AND_IDX: ReplyError =
    ReplyError::new("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LONG: ReplyError = ReplyError::new("ERR String too long for LCS");
const TABLE_TOO_LARGE: ReplyError =
    ReplyError::new("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

pub(super) const LCS: Command = Command::new("lcs", Arity::at_least(3), lcs)
    .flags(Flags::READONLY)
    .keys(&[KeySpec::span(1, 1, 1).read()])
    .docs(
        Docs::new(
            Group::String,
            "7.0.0",
            "O(N*M) where N and M are the lengths of the two strings",
            "Replies the longest common subsequence of two strings.",
        )
        .args(&[
            Arg::key("key1", 0),
            Arg::key("key2", 0),
            Arg::flag("len", "LEN").optional(),
            Arg::flag("idx", "IDX").optional(),
            Arg::integer("min-match-len").token("MINMATCHLEN").optional(),
            Arg::flag("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
    );

#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    min_match: u64,
    with_match_len: bool,
}

impl Options {
    fn parse(call: &Call<'_, '_>) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut i = 3;
        while i < call.argc() {
            match () {
                () if call.is(i, "IDX") => options.idx = true,
                () if call.is(i, "LEN") => options.len = true,
                () if call.is(i, "WITHMATCHLEN") => options.with_match_len = true,
                () if call.is(i, "MINMATCHLEN") && i + 1 < call.argc() => {
                    i += 1;
                    options.min_match = u64::try_from(call.int(i)?).unwrap_or(0);
                }
                () => return Err(SYNTAX),
            }
            i += 1;
        }
        if options.len && options.idx {
            return Err(LEN_AND_IDX);
        }
        Ok(options)
    }
}

fn lcs(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut strings: [Cow<'_, [u8]>; 2] = Default::default();
    let mut entries = [None; 2];
    for (i, entry) in entries.iter_mut().enumerate() {
        let key = call.key(i + 1);
        *entry = call.lookup(&key);
    }
    let mut lens = [0_u64; 2];
    for (entry, len) in entries.iter().zip(&mut lens) {
        if let Some(entry) = entry {
            *len = string_of(entry).map_err(|_| NOT_STRINGS)?.len() as u64;
        }
    }
    let options = Options::parse(call)?;
    check_table(lens, max_len(call) as u64)?;
    for (entry, string) in entries.iter().zip(&mut strings) {
        if let Some(entry) = entry {
            *string = string_of(entry)?.to_cow();
        }
    }
    let [a, b] = &strings;
    if options.len {
        let len = length(a, b);
        call.reply.int(i64::try_from(len).unwrap_or(i64::MAX));
        return Ok(Outcome::Done);
    }
    let matches = Table::new(a, b).matches(a, b);
    if options.idx {
        reply_matches(call.reply, &matches, &options);
    } else {
        let mut common = Vec::new();
        for run in matches.iter().rev() {
            common.extend_from_slice(&a[run.a.clone()]);
        }
        call.reply.bulk(&common);
    }
    Ok(Outcome::Done)
}

/// Refuses tables that would not fit, before anything is allocated.
fn check_table([a, b]: [u64; 2], max: u64) -> Result<(), ReplyError> {
    let longest = u64::from(u32::MAX) - 1;
    if a >= longest || b >= longest {
        return Err(TOO_LONG);
    }
    let cells = (a + 1).checked_mul(b + 1);
    match cells.and_then(|cells| cells.checked_mul(4)) {
        Some(bytes) if bytes <= max => Ok(()),
        _ => Err(TABLE_TOO_LARGE),
    }
}

fn reply_matches(reply: &mut Reply, matches: &[Match], options: &Options) {
    let shown: Vec<&Match> =
        matches.iter().filter(|run| run.len() as u64 >= options.min_match).collect();
    let int = |reply: &mut Reply, n: usize| reply.int(i64::try_from(n).unwrap_or(i64::MAX));
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(shown.len());
    for run in shown {
        reply.array(if options.with_match_len { 3 } else { 2 });
        for range in [&run.a, &run.b] {
            reply.array(2);
            int(reply, range.start);
            int(reply, range.end - 1);
        }
        if options.with_match_len {
            int(reply, run.len());
        }
    }
    reply.bulk(b"len");
    int(reply, matches.iter().map(Match::len).sum());
}

/// A run of characters that both strings have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Match {
    a: Range<usize>,
    b: Range<usize>,
}

impl Match {
    fn len(&self) -> usize {
        self.a.len()
    }
}

/// For every byte that occurs in `a`, the columns of `b` that have it.
struct Columns {
    words: usize,
    /// Mask number of a byte.
    number: [Option<u16>; 256],
    masks: Vec<u64>,
}

impl Columns {
    fn new(a: &[u8], b: &[u8]) -> Columns {
        let words = b.len().div_ceil(64);
        let mut number = [None; 256];
        let mut distinct = 0_u16;
        for byte in a {
            number[usize::from(*byte)].get_or_insert_with(|| {
                distinct += 1;
                distinct - 1
            });
        }
        let mut masks = vec![0; words * usize::from(distinct)];
        for (column, byte) in b.iter().enumerate() {
            if let Some(n) = number[usize::from(*byte)] {
                masks[usize::from(n) * words + column / 64] |= 1 << (column % 64);
            }
        }
        Columns { words, number, masks }
    }

    fn of(&self, byte: u8) -> &[u64] {
        let at = usize::from(self.number[usize::from(byte)].unwrap_or(0)) * self.words;
        &self.masks[at..at + self.words]
    }
}

/// One row from the row above: a zero bit is a column where the length grows by one.
fn step(row: &mut [u64], columns: &[u64]) {
    let mut carry = false;
    for (word, mask) in row.iter_mut().zip(columns) {
        let (sum, first) = word.overflowing_add(*word & mask);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        *word = sum | (*word & !mask);
    }
}

/// The length alone: no table is kept.
fn length(a: &[u8], b: &[u8]) -> usize {
    let columns = Columns::new(a, b);
    let mut row = vec![u64::MAX; columns.words];
    for byte in a {
        step(&mut row, columns.of(*byte));
    }
    let tail = b.len() % 64;
    if let Some(last) = row.last_mut().filter(|_| tail > 0) {
        *last |= u64::MAX << tail;
    }
    row.iter().map(|word| word.count_zeros() as usize).sum()
}

/// All rows, the empty one excluded.
struct Table {
    words: usize,
    rows: Vec<u64>,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let columns = Columns::new(a, b);
        let words = columns.words;
        let mut row = vec![u64::MAX; words];
        let mut rows = Vec::with_capacity(words * a.len());
        for byte in a {
            step(&mut row, columns.of(*byte));
            rows.extend_from_slice(&row);
        }
        Table { words, rows }
    }

    /// Whether row `i` grows at column `j`, both counted from 0.
    fn grows(&self, i: usize, j: usize) -> bool {
        self.rows[i * self.words + j / 64] & (1 << (j % 64)) == 0
    }

    /// The runs of one longest common subsequence, the last one first.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                match matches.last_mut().filter(|run| run.a.start == i && run.b.start == j) {
                    Some(run) => (run.a.start, run.b.start) = (i - 1, j - 1),
                    None => matches.push(Match { a: i - 1..i, b: j - 1..j }),
                }
                i -= 1;
                j -= 1;
            } else if self.grows(i - 1, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The walk through the textbook table, cell by cell.
    fn naive(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
        let mut table = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut pairs = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                pairs.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        pairs
    }

    #[test]
    fn the_documented_example() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        assert_eq!(
            Table::new(a, b).matches(a, b),
            [Match { a: 4..8, b: 5..9 }, Match { a: 2..4, b: 0..2 }]
        );
        assert_eq!(length(a, b), 6);
        assert_eq!(length(b"", b), 0);
        assert_eq!(length(a, b""), 0);
        assert!(Table::new(b"", b"").matches(b"", b"").is_empty());
    }

    #[test]
    fn large_tables_are_refused() {
        let max = 512 * 1024 * 1024;
        assert_eq!(check_table([100_000_000, 100_000_000], max), Err(TABLE_TOO_LARGE));
        assert_eq!(check_table([11_585, 11_584], max), Err(TABLE_TOO_LARGE));
        assert_eq!(check_table([11_584, 11_584], max), Ok(()));
        assert_eq!(check_table([u64::from(u32::MAX), 0], max), Err(TOO_LONG));
    }

    proptest! {
        #[test]
        fn agrees_with_the_textbook(
            a in proptest::collection::vec(b'a'..b'e', 0..200),
            b in proptest::collection::vec(b'a'..b'e', 0..200),
        ) {
            let expected = naive(&a, &b);
            let matches = Table::new(&a, &b).matches(&a, &b);
            let pairs: Vec<(usize, usize)> = matches
                .iter()
                .flat_map(|run| run.a.clone().rev().zip(run.b.clone().rev()))
                .collect();
            prop_assert_eq!(&pairs, &expected);
            prop_assert_eq!(length(&a, &b), expected.len());
        }
    }
}
