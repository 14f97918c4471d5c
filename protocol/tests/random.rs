//! The fuzz targets' checks on seeded random input.
//!
//! `DUNLIN_FUZZ_SECONDS` sets how long each runs, `DUNLIN_FUZZ_SEED` where it starts; a failure
//! prints the seed of its input.

mod bodies;

use std::time::{Duration, Instant};

use bodies::Random;

/// Runs `body` on inputs made by `generate`: a fixed number, or for the time asked for.
fn run(generate: fn(&mut Random) -> Vec<u8>, body: fn(&[u8])) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("DUNLIN_FUZZ_SECONDS");
    let first = number("DUNLIN_FUZZ_SEED").unwrap_or(1);
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    for seed in first.. {
        let more = end.map_or(seed < first + 1500, |end| Instant::now() < end);
        if !more {
            println!("seeds {first}..{seed}");
            return;
        }
        let input = generate(&mut Random::new(seed));
        if std::panic::catch_unwind(|| body(&input)).is_err() {
            let start = &input[..input.len().min(300)];
            panic!("DUNLIN_FUZZ_SEED={seed}, input {}", start.escape_ascii());
        }
    }
}

fn noise(random: &mut Random, len: usize) -> Vec<u8> {
    const BYTES: &[u8] = b"*$\r\n0123456789-+ \"'\\xnab\0PING\xff:";
    (0..len)
        .map(|_| match random.chance(80) {
            true => BYTES[random.below(BYTES.len())],
            false => random.next().to_le_bytes()[0],
        })
        .collect()
}

fn multibulk(random: &mut Random, out: &mut Vec<u8>) {
    let argc = 1 + random.below(6);
    out.extend_from_slice(format!("*{argc}\r\n").as_bytes());
    for _ in 0..argc {
        let len = match random.below(40) {
            0 => 32_700 + random.below(140),
            1 => random.below(140_000),
            2..8 => random.below(2000),
            _ => random.below(20),
        };
        out.extend_from_slice(format!("${len}\r\n").as_bytes());
        let filler = random.next().to_le_bytes();
        out.extend(filler.iter().cycle().take(len));
        out.extend_from_slice(b"\r\n");
    }
}

/// A pipeline of good commands with some oddities, and now and then a wrong byte.
fn pipeline(random: &mut Random) -> Vec<u8> {
    let mut out = u32::try_from(random.below(1 << 30)).unwrap().to_le_bytes().to_vec();
    for _ in 0..random.below(12) {
        match random.below(12) {
            0 => {
                let empty = random.pick(&["*0\r\n", "*-1\r\n", "\r\n", "\n"]);
                out.extend_from_slice(empty.as_bytes());
            }
            1 => out.extend_from_slice(b"set \"a b\" '\\'x' c\\d\r\n"),
            2 => out.extend_from_slice(b"PING\n"),
            3 if random.chance(20) => {
                let len = random.below(100);
                out.extend(noise(random, len));
            }
            4 if random.chance(10) => out.extend(vec![b'7'; 65_400 + random.below(300)]),
            5 if random.chance(20) => out.extend_from_slice(
                random
                    .pick(&["*11\r\n", "*1\r\n$16385\r\n", "*01\r\n", "*1\r\n$-1\r\n", "*1\r\n:"])
                    .as_bytes(),
            ),
            _ => multibulk(random, &mut out),
        }
    }
    if random.chance(15) && out.len() > 4 {
        let at = 4 + random.below(out.len() - 4);
        out[at] = random.next().to_le_bytes()[0];
    }
    if random.chance(15) {
        out.truncate(4 + random.below(out.len()));
    }
    out
}

fn line(random: &mut Random) -> Vec<u8> {
    let len = random.below(40);
    (0..len)
        .flat_map(|_| {
            random
                .pick(&[
                    " ", "\t", "\x0b", "a", "word", "\"", "\"", "'", "'", "\\", "\\x4", "\\x41",
                    "\\n", "\\'", "\\\"", "x", "\r", "\u{e9}", "\\xzz", "+1",
                ])
                .bytes()
        })
        .collect()
}

fn digits(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    if random.chance(50) {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    for _ in 0..random.below(5) {
        let text = match random.below(8) {
            0 => random.next().cast_signed().to_string(),
            1 => (random.next() % 1000).to_string(),
            2 => format!("{:e}", f64::from_bits(random.next())),
            3 => format!("{}.{}", random.next() % 1000, random.next() % 100_000),
            _ => random
                .pick(&[
                    "0",
                    "-",
                    "+",
                    ".",
                    "e",
                    "E-5",
                    "inf",
                    "nan",
                    "0x",
                    "p3",
                    " ",
                    "1e400",
                    "1e-400",
                    "9223372036854775807",
                    "9223372036854775808",
                    "18446744073709551615",
                    "00",
                ])
                .to_owned(),
        };
        out.extend_from_slice(text.as_bytes());
    }
    out
}

#[test]
fn request() {
    run(pipeline, bodies::request);
}

#[test]
fn request_noise() {
    run(
        |random| {
            let len = random.below(400);
            noise(random, len)
        },
        bodies::request,
    );
}

#[test]
fn long() {
    run(
        |random| {
            let mut out = u32::try_from(random.below(1 << 30)).unwrap().to_le_bytes().to_vec();
            for _ in 0..1 + random.below(3) {
                let (folds, more) = (random.below(3), random.below(12));
                let claimed = 33_000 * folds + more - usize::from(more > 1 && random.chance(10));
                out.extend_from_slice(format!("*2\r\n$1\r\na\r\n${claimed}\r\n").as_bytes());
                out.extend(std::iter::repeat_n(0xfe, folds));
                out.extend(std::iter::repeat_n(b'7', more));
                out.extend_from_slice(b"\r\n");
            }
            out
        },
        bodies::long,
    );
}

#[test]
fn inline() {
    run(line, bodies::inline);
}

#[test]
fn number() {
    run(digits, bodies::number);
}

/// Replies with some oddities, and now and then a wrong byte.
fn answers(random: &mut Random) -> Vec<u8> {
    const PARTS: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR x\r\n",
        b":12\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*2\r\n",
        b"*0\r\n",
        b"$3\r\nabc\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b",inf\r\n",
        b"(123\r\n",
        b"%1\r\n",
        b"~1\r\n",
        b">2\r\n",
        b"|1\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"!5\r\nERR x\r\n",
        b"*1\r\n",
        b"$?\r\n",
        b"*?\r\n",
        b".\r\n",
        b";4\r\nabcd\r\n",
        b"%0\r\n",
        b"~-1\r\n",
        b"HELLO 3\r\n",
    ];
    let mut out = vec![random.next().to_le_bytes()[0]];
    for _ in 0..random.below(30) {
        out.extend_from_slice(random.pick(PARTS));
    }
    if random.chance(30) {
        let at = random.below(out.len());
        out[at] = random.next().to_le_bytes()[0];
    }
    out
}

fn any(random: &mut Random) -> Vec<u8> {
    (0..random.below(200)).map(|_| random.next().to_le_bytes()[0]).collect()
}

#[test]
fn replies_written() {
    run(any, bodies::reply::written);
}

#[test]
fn replies_received() {
    run(answers, bodies::reply::received);
}
