//! What came of a load, and what is checked of its replies.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Outcome;
use crate::request::{MANY, Op, Requests};
use crate::rng::Rng;
use crate::scan::Reply;

/// A request whose reply is compared with what must be stored.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// What was asked.
    pub(crate) op: Op,
    /// The number of its key, or of its first.
    pub(crate) key: u64,
    /// What drew its other keys, as it was.
    pub(crate) rng: Rng,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Replies received.
    pub ops: u64,
    /// Reads that found nothing.
    pub misses: u64,
    /// Error replies.
    pub errors: u64,
    /// Text of the first error reply.
    pub first_error: Option<String>,
    /// Error replies whose text differs from the first one's.
    pub other_errors: u64,
    /// Values compared.
    pub checked: u64,
    /// Values that differed.
    pub wrong: u64,
    /// From the first write to the last reply.
    pub elapsed: Duration,
    /// Latencies, one per request, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Tally {
    /// An empty tally.
    ///
    /// # Panics
    ///
    /// Never: the bounds of the histogram are constants.
    #[must_use]
    pub fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds");
        Self {
            ops: 0,
            misses: 0,
            errors: 0,
            first_error: None,
            other_errors: 0,
            checked: 0,
            wrong: 0,
            elapsed: Duration::ZERO,
            latency,
        }
    }

    /// Requests per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Fails unless all replies were good ones.
    ///
    /// # Errors
    ///
    /// When there were error replies or wrong values.
    pub fn expect_clean(&self, what: &str) -> Outcome<()> {
        if self.errors == 0 && self.wrong == 0 {
            return Ok(());
        }
        let first = self.first_error.as_deref().unwrap_or("-");
        Err(format!("{what}: {} errors ({first}), {} wrong values", self.errors, self.wrong).into())
    }

    /// Counts a reply. The only aggregates there are answer MGET, so they have a place for each key.
    #[inline]
    pub(crate) fn count(&mut self, reply: Reply<'_>) {
        self.ops += 1;
        match reply {
            Reply::Error(text) => self.count_error(text),
            Reply::Miss => self.misses += 1,
            Reply::Aggregate { elements, missing } => {
                self.misses += missing as u64;
                self.wrong += u64::from(elements != MANY);
            }
            Reply::Line(_) | Reply::Value(_) => {}
        }
    }

    /// Compares a reply, whose bytes are `raw`, with what must be stored; it is counted as well.
    #[inline]
    pub(crate) fn compare(
        &mut self,
        mut sample: Sample,
        reply: Reply<'_>,
        raw: &[u8],
        requests: &Requests,
    ) {
        match (sample.op, reply) {
            (_, Reply::Error(_)) => {}
            (Op::Mget100, Reply::Aggregate { .. }) => {
                let (checked, wrong) = requests.check_many(sample.key, &mut sample.rng, raw);
                self.checked += checked;
                self.wrong += wrong;
            }
            (Op::Get, Reply::Value(value)) => {
                self.checked += 1;
                self.wrong += u64::from(!requests.check(sample.key, value));
            }
            (Op::Get, Reply::Miss) => {}
            // Another sort of reply.
            _ => self.wrong += 1,
        }
    }

    #[cold]
    fn count_error(&mut self, text: &[u8]) {
        self.errors += 1;
        match &self.first_error {
            None => self.first_error = Some(String::from_utf8_lossy(text).into_owned()),
            Some(first) if first.as_bytes() != text => self.other_errors += 1,
            Some(_) => {}
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Ttl, ValueSize};
    use crate::scan::{Scan, Wire, scan};

    const VALUE: &[u8] = b"$14\r\n000000000007mn\r\n";

    /// Misses, values compared and wrong replies when `raw` answers `op` of key 7, and others 7 too.
    fn seen(op: Op, raw: &[u8]) -> (u64, u64, u64) {
        let requests = Requests::new(Wire::Resp, ValueSize::Fixed(14), Ttl::None);
        let mut tally = Tally::new();
        let Scan::Whole(reply, used) = scan(Wire::Resp, raw) else {
            panic!("not a reply");
        };
        assert_eq!(used, raw.len());
        tally.count(reply);
        tally.compare(Sample { op, key: 7, rng: Rng::new(1) }, reply, raw, &requests);
        (tally.misses, tally.checked, tally.wrong)
    }

    /// An array of the value of key 7, of `zeros` values of key 0, and of nulls.
    fn array(zeros: usize, nulls: usize) -> Vec<u8> {
        let zero = b"$14\r\n000000000000mn\r\n".repeat(zeros);
        let head = format!("*{}\r\n", 1 + zeros + nulls).into_bytes();
        [head, VALUE.to_vec(), zero, b"$-1\r\n".repeat(nulls)].concat()
    }

    #[test]
    fn replies_to_get_are_compared() {
        assert_eq!(seen(Op::Get, VALUE), (0, 1, 0));
        assert_eq!(seen(Op::Get, b"$14\r\n000000000008mn\r\n"), (0, 1, 1));
        assert_eq!(seen(Op::Get, b"$-1\r\n"), (1, 0, 0));
        assert_eq!(seen(Op::Get, b"+OK\r\n"), (0, 0, 1));
        assert_eq!(seen(Op::Get, b"-ERR\r\n"), (0, 0, 0));
    }

    #[test]
    fn replies_to_mget_are_compared() {
        // Requests that were not told the number of keys draw key 0 for all but the first.
        assert_eq!(seen(Op::Mget100, &array(99, 0)), (0, 100, 0));
        assert_eq!(seen(Op::Mget100, &array(90, 9)), (9, 91, 0));
        // One for the number of elements, one for what could not be compared.
        assert_eq!(seen(Op::Mget100, &array(98, 0)), (0, 0, 2));
        assert_eq!(seen(Op::Mget100, b"*-1\r\n"), (1, 0, 1));
        assert_eq!(seen(Op::Mget100, b"+OK\r\n"), (0, 0, 1));
    }

    #[test]
    fn arrays_that_are_not_compared_have_their_elements_counted() {
        let mut tally = Tally::new();
        tally.count(Reply::Aggregate { elements: MANY, missing: 2 });
        tally.count(Reply::Aggregate { elements: MANY - 1, missing: 0 });
        assert_eq!((tally.ops, tally.misses, tally.wrong), (2, 2, 1));
        assert!(tally.expect_clean("test").is_err());
    }
}
