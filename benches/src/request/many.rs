//! Requests of a hundred keys, and the comparison of what MGET answers.
//!
//! The first key is the load's, the others are drawn evenly from its random numbers. A reply is
//! compared by drawing them again from the generator as it was, so a load need not remember keys.

use super::{Op, Requests, Template, find};
use crate::rng::{KEY_DIGITS, Rng};
use crate::scan::{Reply, Scan, Wire, scan};

/// Keys of one request.
pub const MANY: usize = 100;

const MGET: &[u8] = b"*101\r\n$4\r\nMGET\r\n";
const MSET: &[u8] = b"*201\r\n$4\r\nMSET\r\n";
/// What an answer to [`MGET`] begins with.
const ANSWER: &[u8] = b"*100\r\n";

/// A key as an argument.
pub(super) fn key_template() -> Template {
    let bytes = b"$16\r\nkey:000000000000\r\n".to_vec();
    Template { key: find(&bytes, b"key:") + 4, bytes, ..Template::default() }
}

/// A key and its value as two arguments; the value begins with the key's digits if it is long enough.
pub(super) fn pair_template(value: &[u8]) -> Template {
    let mut template = key_template();
    let bytes = &mut template.bytes;
    bytes.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    template.value = (value.len() >= KEY_DIGITS).then_some(bytes.len());
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
    template
}

impl Requests {
    /// Appends MGET or MSET of [`MANY`] keys, of which `first` is the first.
    pub(super) fn append_many(&self, buf: &mut Vec<u8>, op: Op, first: u64, rng: &mut Rng) {
        let (head, part) = match op {
            Op::Mget100 => (MGET, &self.mget_part),
            _ => (MSET, &self.mset_part),
        };
        buf.extend_from_slice(head);
        for key in self.numbers(first, rng) {
            part.append(buf, key, 0);
        }
    }

    /// Compares the reply `raw` to MGET of `first` and the keys that `rng` draws: how many values
    /// there are, and how many elements are neither right nor null. Nulls are for the caller to count.
    #[must_use]
    pub fn check_many(&self, first: u64, rng: &mut Rng, raw: &[u8]) -> (u64, u64) {
        let Some(mut rest) = raw.strip_prefix(ANSWER) else {
            return (0, 1);
        };
        let (mut values, mut wrong) = (0, 0);
        for key in self.numbers(first, rng) {
            let Scan::Whole(reply, used) = scan(Wire::Resp, rest) else {
                return (values, wrong + 1);
            };
            rest = &rest[used..];
            match reply {
                Reply::Value(value) => {
                    values += 1;
                    wrong += u64::from(!self.check(key, value));
                }
                Reply::Miss => {}
                _ => wrong += 1,
            }
        }
        (values, wrong + u64::from(!rest.is_empty()))
    }

    fn numbers<'a>(&self, first: u64, rng: &'a mut Rng) -> impl Iterator<Item = u64> + use<'a> {
        let keys = self.keys;
        std::iter::once(first).chain((1..MANY).map(move |_| rng.below(keys)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ttl, ValueSize};
    use super::*;

    const KEYS: u64 = 1_000_000;

    fn requests(len: usize) -> Requests {
        Requests::new(Wire::Resp, ValueSize::Fixed(len), Ttl::None).among(KEYS)
    }

    /// The arguments of the one request that `append` makes.
    fn arguments(requests: &Requests, op: Op) -> Vec<String> {
        let mut buf = Vec::new();
        requests.append(&mut buf, op, 7, &mut Rng::new(3));
        let scanned = scan(Wire::Resp, &buf);
        let n = if op == Op::Mget100 { MANY + 1 } else { 2 * MANY + 1 };
        assert_eq!(scanned, Scan::Whole(Reply::Aggregate { elements: n, missing: 0 }, buf.len()));
        let text = String::from_utf8(buf).unwrap_or_default();
        let lines: Vec<&str> = text.trim_end().split("\r\n").collect();
        let pairs = lines[1..].chunks(2);
        pairs
            .map(|pair| {
                assert_eq!(pair[0], format!("${}", pair[1].len()));
                pair[1].to_owned()
            })
            .collect()
    }

    /// What a server answers that holds the value of every key.
    fn answer(requests: &Requests, len: usize) -> Vec<Vec<u8>> {
        let keys = arguments(requests, Op::Mget100);
        let value = |key: &String| {
            let filler: String = (0..len).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
            let text = if len < KEY_DIGITS {
                filler
            } else {
                format!("{}{}", &key[4..], &filler[KEY_DIGITS..])
            };
            format!("${len}\r\n{text}\r\n").into_bytes()
        };
        keys[1..].iter().map(value).collect()
    }

    fn check(requests: &Requests, elements: &[Vec<u8>]) -> (u64, u64) {
        let mut raw = format!("*{}\r\n", elements.len()).into_bytes();
        raw.extend(elements.iter().flatten());
        requests.check_many(7, &mut Rng::new(3), &raw)
    }

    #[test]
    fn mget_has_a_hundred_keys() {
        let words = arguments(&requests(64), Op::Mget100);
        assert_eq!(words[..2], ["MGET", "key:000000000007"]);
        let mut keys = words[1..].to_vec();
        assert!(keys.iter().all(|key| key.len() == 16 && key.starts_with("key:")));
        keys.sort();
        keys.dedup();
        assert!(keys.len() > 90, "{} different keys", keys.len());
    }

    #[test]
    fn mset_writes_what_get_is_compared_with() {
        for len in [5, 12, 64] {
            let requests = requests(len);
            let words = arguments(&requests, Op::Mset100);
            assert_eq!(words[0], "MSET");
            for pair in words[1..].chunks(2) {
                let n = pair[0][4..].parse().unwrap_or(u64::MAX);
                assert!(n < KEYS && requests.check(n, pair[1].as_bytes()), "{pair:?}");
            }
            // The same keys, whichever of the two it is.
            let keys: Vec<String> = words[1..].iter().step_by(2).cloned().collect();
            assert_eq!(keys, arguments(&requests, Op::Mget100)[1..]);
        }
    }

    #[test]
    fn a_right_answer_is_right() {
        for len in [5, 64] {
            let requests = requests(len);
            assert_eq!(check(&requests, &answer(&requests, len)), (100, 0));
        }
    }

    #[test]
    fn wrong_answers_are_noticed() {
        let requests = requests(64);
        let right = answer(&requests, 64);
        let with = |i: usize, element: &[u8]| {
            let mut elements = right.clone();
            elements[i] = element.to_vec();
            check(&requests, &elements)
        };
        assert_eq!(with(99, b"$-1\r\n"), (99, 0));
        assert_eq!(with(99, b":1\r\n"), (99, 1));
        assert_eq!(with(50, b"$3\r\nabc\r\n"), (100, 1));
        let mut swapped = right.clone();
        swapped.swap(0, 1);
        assert_eq!(check(&requests, &swapped), (100, 2));
        assert_eq!(check(&requests, &right[..99]), (0, 1));
        assert_eq!(requests.check_many(7, &mut Rng::new(3), ANSWER), (0, 1));
        let mut longer = b"*100\r\n".to_vec();
        longer.extend(right.iter().flatten().chain(b":1\r\n"));
        assert_eq!(requests.check_many(7, &mut Rng::new(3), &longer), (100, 1));
    }
}
