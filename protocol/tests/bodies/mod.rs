//! Bodies of the fuzz targets: plain functions, so that the same checks run under libFuzzer
//! (`protocol/fuzz`) and as seeded random tests (`tests/random.rs`).

#![allow(dead_code, unreachable_pub, reason = "shared by several test crates")]

pub mod reply;

use dunlin_protocol::number::{self, FloatError};
use dunlin_protocol::{ArgValue, Decoder, Limits, Queue, Request};

/// Xorshift: what has to be decided at random is decided by the input's own first bytes.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 16) % bound.max(1) as u64).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// What a stream of bytes means: its commands and the error behind them.
#[derive(Debug, PartialEq, Eq)]
pub struct Meaning {
    pub commands: Vec<Vec<Vec<u8>>>,
    pub wire: Vec<usize>,
    pub error: Option<String>,
    pub unparsed: usize,
}

pub fn arguments(request: Request<'_>) -> Vec<Vec<u8>> {
    let copy = |i| match request.value(i) {
        ArgValue::Slice(bytes) => bytes.to_vec(),
        ArgValue::Chunks { len, chunks } => {
            let bytes = chunks.concat();
            assert_eq!(bytes.len(), len);
            bytes
        }
    };
    (0..request.len()).map(copy).collect()
}

/// How long each piece of a stream is: random, but so that there are a bounded number of them. The work
/// for an input is then about its length, and millions of inputs can be looked at.
fn piece(random: &mut Random, largest: usize, all: usize) -> usize {
    const MOST: usize = 128;
    (1 + random.below(largest)).max(all.div_ceil(MOST))
}

/// Decodes `bytes` in pieces of at most `piece(random)` bytes and batches of random length.
fn meaning(
    limits: Limits,
    bytes: &[u8],
    random: &mut Random,
    mut piece: impl FnMut(&mut Random) -> usize,
) -> Meaning {
    let mut decoder = Decoder::new(limits);
    let (mut commands, mut wire) = (Vec::new(), Vec::new());
    let mut kept = Queue::new();
    let mut rest = bytes;
    while !rest.is_empty() && decoder.error().is_none() {
        let buffer = decoder.read_buf();
        let room = buffer.capacity() - buffer.len();
        assert!(room > 0, "a read always has room");
        let taken = piece(random).clamp(1, rest.len());
        buffer.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        while decoder.parse(1 + random.below(4)) > 0 {
            for i in 0..decoder.len() {
                if random.chance(30) {
                    decoder.flatten(i);
                }
                commands.push(arguments(decoder.request(i)));
                wire.push(decoder.request(i).wire_len());
                kept.push(decoder.request(i));
            }
            decoder.clear();
            if random.chance(10) {
                decoder.shrink();
            }
        }
        let fed = bytes.len() - rest.len();
        assert!(decoder.capacity() <= 256 * 1024 + 16 * fed, "memory follows the input");
    }
    let error = decoder.error().map(|error| error.to_string());
    let unparsed = if error.is_some() { 0 } else { decoder.buffered() };
    drop(decoder);
    for (i, command) in commands.iter().enumerate() {
        assert_eq!(&arguments(kept.request(i)), command, "what is kept is what has come");
    }
    Meaning { commands, wire, error, unparsed }
}

/// A byte that stands for [`LONG`] ones, so that short inputs have big arguments: `$33000 \xfe`.
const FOLDED: u8 = 0xfe;
const LONG: usize = 33_000;

fn unfolded(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut left) = (Vec::with_capacity(bytes.len()), 4);
    for &byte in bytes {
        if byte == FOLDED && left > 0 {
            left -= 1;
            out.resize(out.len() + LONG, b'x');
        } else {
            out.push(byte);
        }
    }
    out
}

/// A stream means the same however it is cut into reads and batches: once in some random way, or with the
/// rest of some commands thrown away.
pub fn request(data: &[u8]) {
    if let Some((seed, bytes)) = data.split_first_chunk::<4>() {
        stream(*seed, bytes);
    }
}

/// The same with long arguments, which take far longer than everything else.
pub fn long(data: &[u8]) {
    if let Some((seed, bytes)) = data.split_first_chunk::<4>() {
        stream(*seed, &unfolded(bytes));
    }
}

fn stream(seed: [u8; 4], bytes: &[u8]) {
    let mut random = Random::new(u64::from(u32::from_le_bytes(seed)));
    let limits = match random.below(4) {
        0 => Limits::UNAUTHENTICATED,
        1 => Limits { max_line: 64, ..Limits::AUTHENTICATED },
        _ => Limits::AUTHENTICATED,
    };
    let whole = meaning(limits, bytes, &mut random, |_| usize::MAX);
    let largest = [1, 2, 16, 300, 20_000, 100_000][random.below(6)];
    let all = bytes.len();
    if random.chance(70) {
        let cut = |random: &mut Random| piece(random, largest, all);
        let pieces = meaning(limits, bytes, &mut random, cut);
        assert_eq!(whole.wire, pieces.wire, "pieces of at most {largest}");
        assert_eq!((&whole.error, whole.unparsed), (&pieces.error, pieces.unparsed));
        assert!(whole == pieces, "other commands in pieces of at most {largest}");
    } else {
        skipping(limits, bytes, &whole, |_| piece(&mut random, largest, all));
    }
    assert!(whole.commands.iter().all(|command| !command.is_empty()));
    if limits.authenticated && whole.error.is_none() {
        let used: usize = whole.wire.iter().sum();
        assert!(used + whole.unparsed <= bytes.len(), "no byte is counted twice");
    }
}

/// Throws the rest of some commands away while they arrive: of these the beginning is left, the others
/// and the error are as ever.
fn skipping(limits: Limits, bytes: &[u8], whole: &Meaning, mut piece: impl FnMut(()) -> usize) {
    let mut decoder = Decoder::new(limits);
    let (mut rest, mut number) = (bytes, 0);
    while !rest.is_empty() && decoder.error().is_none() {
        let taken = piece(()).clamp(1, rest.len());
        decoder.read_buf().extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        while decoder.parse(3) > 0 {
            let skipped = decoder.skipped();
            for i in 0..decoder.len() {
                let (got, sent) = (arguments(decoder.request(i)), &whole.commands[number]);
                match skipped == Some(i) {
                    true => assert!(!got.is_empty() && sent.starts_with(&got)),
                    false => assert!(got == *sent, "command {number} is another one"),
                }
                number += 1;
            }
            decoder.clear();
        }
        let unwanted = |request: Request<'_>| match request.value(0) {
            ArgValue::Slice(name) => name.first().is_some_and(|byte| byte % 2 == 1),
            ArgValue::Chunks { .. } => true,
        };
        if decoder.arriving().is_some_and(unwanted) {
            decoder.skip_rest();
        }
    }
    assert_eq!(number, whole.commands.len());
    assert_eq!(decoder.error().map(|error| error.to_string()), whole.error);
}

/// An inline command's words are those that a naive reading of the rules gives.
pub fn inline(data: &[u8]) {
    let line: Vec<u8> = data.iter().copied().filter(|&b| b != b'\n' && b != 0).collect();
    if line.first().is_some_and(|&b| b == b'*') || line.len() > 60_000 {
        return;
    }
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    decoder.read_buf().extend_from_slice(&line);
    decoder.read_buf().extend_from_slice(b"\n");
    let count = decoder.parse(16);
    match words(line.strip_suffix(b"\r").unwrap_or(&line)) {
        None => assert_eq!(
            decoder.error().map(|error| error.to_string()).as_deref(),
            Some("ERR Protocol error: unbalanced quotes in request")
        ),
        Some(words) if words.is_empty() => assert_eq!((count, decoder.error()), (0, None)),
        Some(words) => {
            assert_eq!((count, decoder.error()), (1, None));
            assert_eq!(arguments(decoder.request(0)), words);
        }
    }
}

/// The words of a line; `None` if its quotes are unbalanced.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let space = |byte: u8| byte == b' ' || (9..=13).contains(&byte);
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|&&b| space(b)).count();
        rest = &rest[blank..];
        if rest.is_empty() {
            return Some(words);
        }
        let plain = rest.iter().position(|b| b" \t\r\n\"'".contains(b)).unwrap_or(rest.len());
        let mut word = rest[..plain].to_vec();
        rest = &rest[plain..];
        if let Some(&quote @ (b'"' | b'\'')) = rest.first() {
            rest = &rest[1..];
            loop {
                let (&byte, tail) = rest.split_first()?;
                rest = tail;
                if byte == quote {
                    break;
                }
                let escapes = byte == b'\\' && (quote == b'"' || tail.first() == Some(&quote));
                match (escapes, tail) {
                    (true, [b'x', digits @ ..]) if hex(digits).is_some() => {
                        word.extend(hex(digits));
                        rest = &tail[3..];
                    }
                    (true, [escaped, tail @ ..]) => {
                        let place = b"nrtba".iter().position(|b| b == escaped);
                        word.push(match place {
                            Some(place) if quote == b'"' => b"\n\r\t\x08\x07"[place],
                            _ => *escaped,
                        });
                        rest = tail;
                    }
                    _ => word.push(byte),
                }
            }
            if rest.first().is_some_and(|&b| !space(b)) {
                return None;
            }
        }
        words.push(word);
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    if digits.starts_with('+') {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Numbers agree with the standard library's reading and printing.
pub fn number(data: &[u8]) {
    integer(data);
    float_text(data);
    if let Some((bits, rest)) = data.split_first_chunk::<8>() {
        float_value(f64::from_bits(u64::from_le_bytes(*bits)));
        integer(i64::from_le_bytes(*bits).to_string().as_bytes());
        let cut = rest.len() / 2;
        match number::incr_by_float(&rest[..cut], &rest[cut..]) {
            Err(FloatError::NotFloat | FloatError::NotFinite) => {}
            Ok(sum) => {
                assert!(number::parse_f64(&sum).is_some() || sum.len() > 308);
                let again = number::incr_by_float(&sum, b"0").unwrap();
                let zeros = sum.iter().filter(|b| b.is_ascii_digit()).count() > 19;
                assert!(zeros || again == sum, "a short result is stable");
            }
        }
    }
}

fn integer(text: &[u8]) {
    let std = std::str::from_utf8(text).ok();
    let signed = std.and_then(|text| text.parse::<i64>().ok().filter(|v| v.to_string() == text));
    assert_eq!(number::parse_i64(text), signed);
    let unsigned = std.and_then(|text| text.parse::<u64>().ok().filter(|v| v.to_string() == text));
    assert_eq!(number::parse_u64(text), unsigned);
}

fn float_text(text: &[u8]) {
    let value = number::parse_f64(text);
    if text.iter().any(|b| matches!(b, b'x' | b'X')) {
        return;
    }
    let std = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match (value, std) {
        (Some(value), std) => assert_eq!(Some(value), std),
        (None, Some(std)) => {
            assert!(std.is_nan() || std.is_infinite() || std == 0.0 || text.len() > 5000);
        }
        (None, None) => {}
    }
}

fn float_value(value: f64) {
    let text = number::format_f64(value);
    let text = std::str::from_utf8(text.as_bytes()).unwrap();
    if value.is_nan() {
        assert_eq!(text, "nan");
        return;
    }
    let back: f64 = text.parse().unwrap();
    assert_eq!(back.to_bits(), value.to_bits(), "{text}");
    assert_eq!(number::parse_f64(text.as_bytes()), Some(value), "{text}");
    if value.is_infinite() {
        return;
    }
    let human = String::from_utf8(number::format_f64_human(value)).unwrap();
    let exact = format!("{value:.17}");
    let cut = exact.trim_end_matches('0').trim_end_matches('.');
    assert_eq!(human, if cut == "-0" { "0" } else { cut });
}
