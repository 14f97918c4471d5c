//! The requests of a load, in the server's dialect.
//!
//! Requests of a fixed shape are templates built once; making one is a copy and the patching of a
//! few digits (key number, value, deadline). The value of a key begins with the key's digits, so
//! that a reply can be checked without remembering what was written.

mod many;

pub use self::many::MANY;
use crate::rng::{KEY_DIGITS, Rng, write_digits};
use crate::scan::Wire;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads a key.
    Get,
    /// Writes a key.
    Set,
    /// Increments a counter of its own name space.
    Incr,
    /// Writes ten keys.
    Mset,
    /// Reads a hundred keys.
    Mget100,
    /// Writes a hundred keys.
    Mset100,
    /// The empty request.
    Ping,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Set, Self::Incr, Self::Mset, Self::Mget100, Self::Mset100, Self::Ping];

    /// Name as in redis-benchmark's `-t`, where it has one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Incr => "incr",
            Self::Mset => "mset",
            Self::Mget100 => "mget100",
            Self::Mset100 => "mset100",
            Self::Ping => "ping",
        }
    }

    /// How many keys it has.
    #[must_use]
    pub fn keys(self) -> usize {
        match self {
            Self::Ping => 0,
            Self::Get | Self::Set | Self::Incr => 1,
            Self::Mset => MSET_KEYS as usize,
            Self::Mget100 | Self::Mset100 => MANY,
        }
    }

    /// Whether its reply holds values that a load has written.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Mget100)
    }
}

/// Lengths of the values written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueSize {
    /// All alike.
    Fixed(usize),
    /// Every length between the two (inclusive) equally likely.
    Uniform(usize, usize),
    /// Every order of magnitude between the two equally likely: many small ones, some big.
    Logarithmic(usize, usize),
}

impl ValueSize {
    fn largest(self) -> usize {
        match self {
            Self::Fixed(n) | Self::Uniform(_, n) | Self::Logarithmic(_, n) => n,
        }
    }

    /// Draws a length.
    pub fn draw(self, rng: &mut Rng) -> usize {
        match self {
            Self::Fixed(n) => n,
            Self::Uniform(a, b) => a + rng.below((b - a) as u64 + 1) as usize,
            Self::Logarithmic(a, b) => {
                let (low, high) = ((a as f64).ln(), ((b + 1) as f64).ln());
                ((low + rng.unit() * (high - low)).exp() as usize).clamp(a, b)
            }
        }
    }

    /// Mean of the distribution.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Fixed(n) => n as f64,
            Self::Uniform(a, b) => (a + b) as f64 / 2.0,
            Self::Logarithmic(a, b) if a == b => a as f64,
            Self::Logarithmic(a, b) => {
                let (low, high) = (a as f64, (b + 1) as f64);
                (high - low) / (high / low).ln()
            }
        }
    }
}

/// Time to live of the values written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// They stay.
    None,
    /// All alike, in seconds.
    Seconds(u32),
    /// Deadlines spread evenly over the interval (unix ms); not for memcached.
    Between(u64, u64),
}

/// Builds the requests of one load.
#[derive(Debug)]
pub struct Requests {
    wire: Wire,
    size: ValueSize,
    ttl: Ttl,
    /// Key numbers of which the second and later keys of a request are drawn.
    keys: u64,
    filler: Vec<u8>,
    get: Template,
    set: Template,
    incr: Template,
    /// A key of MGET, and a key with its value of MSET.
    mget_part: Template,
    mset_part: Template,
}

/// Ready bytes and the places in them that change.
#[derive(Debug, Default)]
struct Template {
    bytes: Vec<u8>,
    key: usize,
    value: Option<usize>,
    deadline: Option<usize>,
}

const DEADLINE_DIGITS: usize = 13;
const MSET_KEYS: u64 = 10;

impl Requests {
    /// Requests in the dialect `wire` with values of the given length and lifetime.
    #[must_use]
    pub fn new(wire: Wire, size: ValueSize, ttl: Ttl) -> Self {
        let filler: Vec<u8> = (0..size.largest()).map(|i| b'a' + (i % 23) as u8).collect();
        let mut requests = Self {
            wire,
            size,
            ttl,
            keys: 1,
            filler,
            get: Template::default(),
            set: Template::default(),
            incr: Template::default(),
            mget_part: Template::default(),
            mset_part: Template::default(),
        };
        requests.get = requests.get_template();
        requests.set = requests.set_template(size.largest());
        requests.incr = requests.incr_template();
        requests.mget_part = many::key_template();
        requests.mset_part = many::pair_template(&requests.filler);
        requests
    }

    /// The same for a load whose key numbers are below `keys`; until then those that the requests
    /// draw themselves are all 0.
    #[must_use]
    pub fn among(self, keys: u64) -> Self {
        Self { keys: keys.max(1), ..self }
    }

    /// Appends one request on key number `n` to `buf`.
    #[inline]
    pub fn append(&self, buf: &mut Vec<u8>, op: Op, n: u64, rng: &mut Rng) {
        match op {
            Op::Get => self.get.append(buf, n, 0),
            Op::Incr => self.incr.append(buf, n, 0),
            Op::Set => {
                let deadline = match self.ttl {
                    Ttl::Between(from, to) => from + rng.below(to - from),
                    _ => 0,
                };
                if let ValueSize::Fixed(_) = self.size {
                    self.set.append(buf, n, deadline);
                } else {
                    // Another header each time: built anew, the copy of the body dominates.
                    self.set_template(self.size.draw(rng)).append(buf, n, deadline);
                }
            }
            Op::Ping => match self.wire {
                Wire::Resp => buf.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
                Wire::Memcached => buf.extend_from_slice(b"version\r\n"),
            },
            Op::Mset => self.mset(buf, n),
            Op::Mget100 | Op::Mset100 => self.append_many(buf, op, n, rng),
        }
    }

    /// Whether `value` is what [`Requests::append`] writes under key number `n`.
    #[must_use]
    pub fn check(&self, n: u64, value: &[u8]) -> bool {
        if let ValueSize::Fixed(len) = self.size
            && len != value.len()
        {
            return false;
        }
        if value.len() < KEY_DIGITS {
            return self.filler.starts_with(value);
        }
        let mut digits = [0; KEY_DIGITS];
        write_digits(&mut digits, n);
        value.starts_with(&digits) && value[KEY_DIGITS..] == self.filler[KEY_DIGITS..value.len()]
    }

    fn get_template(&self) -> Template {
        let bytes = match self.wire {
            Wire::Resp => b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n".to_vec(),
            Wire::Memcached => b"get key:000000000000\r\n".to_vec(),
        };
        Template { key: find(&bytes, b"key:") + 4, bytes, ..Template::default() }
    }

    fn incr_template(&self) -> Template {
        let bytes = match self.wire {
            Wire::Resp => b"*2\r\n$4\r\nINCR\r\n$16\r\nctr:000000000000\r\n".to_vec(),
            Wire::Memcached => b"incr ctr:000000000000 1\r\n".to_vec(),
        };
        Template { key: find(&bytes, b"ctr:") + 4, bytes, ..Template::default() }
    }

    fn set_template(&self, len: usize) -> Template {
        let mut bytes = Vec::with_capacity(len + 128);
        let mut deadline = None;
        let at;
        match self.wire {
            Wire::Resp => {
                let args = if self.ttl == Ttl::None { 3 } else { 5 };
                let head = format!("*{args}\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n${len}\r\n");
                bytes.extend_from_slice(head.as_bytes());
                at = bytes.len();
                bytes.extend_from_slice(&self.filler[..len]);
                bytes.extend_from_slice(b"\r\n");
                match self.ttl {
                    Ttl::None => {}
                    Ttl::Seconds(s) => {
                        let digits = s.to_string();
                        let tail = format!("$2\r\nEX\r\n${}\r\n{digits}\r\n", digits.len());
                        bytes.extend_from_slice(tail.as_bytes());
                    }
                    Ttl::Between(..) => {
                        bytes.extend_from_slice(b"$4\r\nPXAT\r\n$13\r\n");
                        deadline = Some(bytes.len());
                        bytes.extend_from_slice(b"0000000000000\r\n");
                    }
                }
            }
            Wire::Memcached => {
                let ttl = if let Ttl::Seconds(s) = self.ttl { s } else { 0 };
                let head = format!("set key:000000000000 0 {ttl} {len}\r\n");
                bytes.extend_from_slice(head.as_bytes());
                at = bytes.len();
                bytes.extend_from_slice(&self.filler[..len]);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        let value = (len >= KEY_DIGITS).then_some(at);
        Template { key: find(&bytes, b"key:") + 4, value, deadline, bytes }
    }

    fn mset(&self, buf: &mut Vec<u8>, n: u64) {
        buf.extend_from_slice(b"*21\r\n$4\r\nMSET\r\n");
        let len = self.size.largest();
        for i in 0..MSET_KEYS {
            let number = n + i;
            let mut digits = [0; KEY_DIGITS];
            write_digits(&mut digits, number);
            buf.extend_from_slice(b"$16\r\nmst:");
            buf.extend_from_slice(&digits);
            buf.extend_from_slice(format!("\r\n${len}\r\n").as_bytes());
            buf.extend_from_slice(&self.filler[..len]);
            buf.extend_from_slice(b"\r\n");
        }
    }
}

impl Template {
    #[inline]
    fn append(&self, buf: &mut Vec<u8>, n: u64, deadline: u64) {
        let start = buf.len();
        buf.extend_from_slice(&self.bytes);
        let key = start + self.key;
        write_digits(&mut buf[key..key + KEY_DIGITS], n);
        if let Some(value) = self.value {
            buf.copy_within(key..key + KEY_DIGITS, start + value);
        }
        if let Some(at) = self.deadline {
            write_digits(&mut buf[start + at..start + at + DEADLINE_DIGITS], deadline);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|w| w == needle).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(requests: &Requests, op: Op, n: u64) -> String {
        let mut buf = Vec::new();
        requests.append(&mut buf, op, n, &mut Rng::new(1));
        String::from_utf8(buf).unwrap_or_default()
    }

    #[test]
    fn resp_requests() {
        let requests = Requests::new(Wire::Resp, ValueSize::Fixed(14), Ttl::Seconds(60));
        assert_eq!(one(&requests, Op::Get, 7), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
        assert_eq!(
            one(&requests, Op::Set, 42),
            "*5\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$14\r\n000000000042mn\r\n\
             $2\r\nEX\r\n$2\r\n60\r\n"
        );
    }

    #[test]
    fn memcached_requests() {
        let requests = Requests::new(Wire::Memcached, ValueSize::Fixed(3), Ttl::None);
        assert_eq!(one(&requests, Op::Get, 7), "get key:000000000007\r\n");
        assert_eq!(one(&requests, Op::Set, 7), "set key:000000000007 0 0 3\r\nabc\r\n");
    }

    #[test]
    fn deadlines_lie_in_the_interval() {
        let (from, to) = (1_700_000_000_000, 1_700_000_060_000);
        let requests = Requests::new(Wire::Resp, ValueSize::Fixed(1), Ttl::Between(from, to));
        let text = one(&requests, Op::Set, 1);
        let digits = text.trim_end().rsplit("\r\n").next().unwrap_or_default();
        let deadline: u64 = digits.parse().unwrap_or_default();
        assert!((from..to).contains(&deadline), "{deadline}");
    }

    #[test]
    fn values_are_recognised() {
        let requests = Requests::new(Wire::Resp, ValueSize::Uniform(1, 100), Ttl::None);
        assert!(requests.check(5, b"000000000005mnop"));
        assert!(!requests.check(6, b"000000000005mnop"));
        assert!(!requests.check(5, b"000000000005mnoq"));
        assert!(requests.check(5, b"abc"));
        let fixed = Requests::new(Wire::Resp, ValueSize::Fixed(16), Ttl::None);
        assert!(!fixed.check(5, b"000000000005"));
    }

    #[test]
    fn sizes_keep_their_bounds_and_mean() {
        let mut rng = Rng::new(9);
        for size in [ValueSize::Uniform(1, 1000), ValueSize::Logarithmic(1, 1000)] {
            let draws: Vec<usize> = (0..50_000).map(|_| size.draw(&mut rng)).collect();
            assert!(draws.iter().all(|n| (1..=1000).contains(n)));
            let mean = draws.iter().sum::<usize>() as f64 / draws.len() as f64;
            assert!((mean / size.mean() - 1.0).abs() < 0.05, "{mean} {}", size.mean());
        }
    }
}
