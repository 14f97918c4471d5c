//! Random inputs that look like what the targets are about.

pub(crate) mod files;
pub(crate) mod script;

use crate::support::Rng;
use dunlin::config::DIRECTIVES;

/// Some of the pieces in a row, and now and then a byte that is none.
fn pieces(random: &mut Rng, most: usize, from: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.below(most) {
        out.extend_from_slice(random.pick(from).as_bytes());
        if random.chance(1, 40) {
            out.extend(random.bytes(1));
        }
    }
    out
}

/// Rules of a user.
pub(crate) fn rules(random: &mut Rng) -> Vec<u8> {
    const RULES: &[&str] = &[
        "on",
        "off",
        "nopass",
        "resetpass",
        ">secret",
        "<secret",
        "#0",
        "~*",
        "~a*",
        "%R~b*",
        "%W~*",
        "%RW~c",
        "allkeys",
        "resetkeys",
        "&c*",
        "&*",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "+get",
        "-set",
        "+config|get",
        "-config|set",
        "+@read",
        "-@write",
        "+@dangerous",
        "allcommands",
        "nocommands",
        "reset",
        "(",
        ")",
        "(+get ~x)",
        "(%R~y",
        "+set)",
        "clearselectors",
        "+select|1",
        "sanitize-payload",
        "+nothing",
        "",
    ];
    let mut out = random.bytes(1);
    out.extend_from_slice(random.pick(&["u", "default", "", "u v"]).as_bytes());
    // Most are good: the first that is not ends all.
    let bad = random.chance(1, 4);
    for _ in 0..random.below(12) {
        out.push(b'\n');
        let rule = *random.pick(RULES);
        if bad
            || !matches!(rule, "<secret" | "#0" | "(" | ")" | "(%R~y" | "+set)" | "+nothing" | "")
        {
            out.extend_from_slice(rule.as_bytes());
        } else {
            out.extend_from_slice(b"(+@read ~k* &d)");
        }
        if random.chance(1, 60) {
            out.extend(random.bytes(1));
        }
    }
    out
}

/// Lines of a configuration file.
pub(crate) fn directives(random: &mut Rng) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "yes",
        "no",
        "0",
        "1",
        "-1",
        "100",
        "64mb",
        "10%",
        "auto",
        "\"\"",
        "\"a b\"",
        "'x'",
        "allkeys-lru",
        "512",
        "everysec",
        "notice",
        "3600 1 300 100",
        "normal 0 0 0",
        "pubsub 32mb 8mb 60",
        "KEA",
        "127.0.0.1 -::1",
        "18446744073709551616",
        "9223372036854775807",
        "1gb",
        "\"\\x00\"",
        "\"unclosed",
        "\u{e9}",
        "on nopass ~* +@all",
    ];
    let mut out = Vec::new();
    for _ in 0..random.below(10) {
        let row = random.pick(DIRECTIVES);
        let name = match random.below(30) {
            0 => "user u",
            1 => "no-such-directive",
            2 => "# a remark",
            _ => row.name,
        };
        out.extend_from_slice(name.as_bytes());
        // What it is anyway is always good.
        if random.chance(1, 2) {
            out.push(b' ');
            out.extend_from_slice(row.default.as_bytes());
        } else {
            for _ in 0..random.below(3) {
                out.push(b' ');
                out.extend_from_slice(random.pick(VALUES).as_bytes());
            }
        }
        out.push(b'\n');
        if random.chance(1, 40) {
            let at = random.below(out.len());
            out[at] = random.bytes(1)[0];
        }
    }
    out
}

/// A pattern and a text.
pub(crate) fn patterns(random: &mut Rng) -> Vec<u8> {
    const PATTERN: &[&str] =
        &["a", "b", "A", "*", "**", "?", "[", "]", "[^", "a-c", "-", "\\", "\\]", "^", "\u{ff}"];
    const TEXT: &[&str] = &["a", "b", "c", "A", "]", "[", "\\", "^", "-", "*", "ab", "\u{ff}"];
    let mut out = pieces(random, 12, PATTERN);
    out.push(b'\n');
    out.extend(pieces(random, 14, TEXT));
    out
}

/// A HyperLogLog.
pub(crate) fn registers(random: &mut Rng) -> Vec<u8> {
    // Flags, a count and two elements.
    let mut out = random.bytes(13);
    if random.chance(1, 3) {
        let length = *random.pick(&[0, 2, 9, 20, 200, 12_288]);
        out.extend(random.bytes(length));
        return out;
    }
    // Runs as long as all registers together, but for one time in many.
    out[0] &= !1;
    let mut left = 16_384_usize;
    while left > 0 && !random.chance(1, 1000) {
        let run = match random.below(50) {
            0 => {
                let run = left - 1;
                out.extend([0x40 | (run >> 8) as u8, run as u8]);
                left
            }
            1..25 => {
                let run = (1 + random.below(64)).min(left);
                out.push((run - 1) as u8);
                run
            }
            _ => {
                let run = (1 + random.below(4)).min(left);
                out.push(0x80 | random.bytes(1)[0] & 0x7c | (run - 1) as u8);
                run
            }
        };
        left -= run;
    }
    out
}

fn slots(random: &mut Rng, count: usize) -> Vec<u8> {
    let mut out = (count as u16).to_le_bytes().to_vec();
    let mut next = 0;
    for _ in 0..count {
        let first = next + random.below(100) as u16;
        let last = first + random.below(100) as u16;
        next = last + 2;
        out.extend([first, last].into_iter().flat_map(u16::to_le_bytes));
    }
    out
}

/// What stands in a frame of data behind its kind.
fn body(random: &mut Rng, kind: u8) -> Vec<u8> {
    let count = random.below(5);
    match kind {
        1 => [vec![2, 0], random.bytes(64)].concat(),
        2 | 3 => [random.bytes(4), slots(random, count)].concat(),
        7 | 33 | 35 | 36 => random.bytes(4),
        9 | 34 => random.bytes(10),
        10 => {
            let mut out = random.bytes(4);
            for _ in 0..count {
                out.extend((random.below(16_384) as u16).to_le_bytes());
                out.extend(random.bytes(4));
            }
            out
        }
        8 | 11 => slots(random, count),
        32 => Vec::new(),
        37 => [vec![1 + random.below(5) as u8], random.bytes(4)].concat(),
        _ => random.bytes(12 * count),
    }
}

/// Frames of both kinds, and now and then a wrong byte.
pub(crate) fn stream(random: &mut Rng) -> Vec<u8> {
    const KINDS: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 32, 33, 34, 35, 36, 37];
    let mut out = random.bytes(2);
    for _ in 0..random.below(6) {
        let kind = *random.pick(KINDS);
        let body = body(random, kind);
        if out[0].is_multiple_of(2) {
            out.extend((body.len() as u32 + 1).to_le_bytes());
            out.push(kind);
        } else {
            out.extend_from_slice(b"Dn\x01");
            out.push(kind & 1);
            out.extend(random.bytes(4));
            out.extend((body.len() as u32).to_be_bytes());
        }
        out.extend(body);
        if random.chance(1, 20) {
            let at = 1 + random.below(out.len() - 1);
            out[at] = random.bytes(1)[0];
        }
    }
    out
}

/// Bytes that decide something.
pub(crate) fn any(random: &mut Rng) -> Vec<u8> {
    let length = random.below(500);
    random.bytes(length)
}
