//! RDB files, payloads of DUMP, and blocks for snapshots.

use crate::support::Rng;

/// A string as RDB files have it, and now and then a number in the place of one.
fn string(random: &mut Rng, out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        _ if random.chance(1, 10) => out.extend([0xc0, random.bytes(1)[0]]),
        length @ ..64 => out.push(length as u8),
        length @ 64..16384 => out.extend([0x40 | (length >> 8) as u8, length as u8]),
        length => {
            out.push(0x80);
            out.extend((length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

fn word(random: &mut Rng) -> Vec<u8> {
    let length = *random.pick(&[0, 1, 2, 5, 20, 63]);
    random.bytes(length)
}

/// Strings in one piece of memory, as small collections are written.
fn listpack(random: &mut Rng, items: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..items {
        let word = word(random);
        body.push(0x80 | word.len() as u8);
        body.extend_from_slice(&word);
        body.push(word.len() as u8 + 1);
    }
    body.push(0xff);
    let mut pack = (body.len() as u32 + 6).to_le_bytes().to_vec();
    pack.extend((items as u16).to_le_bytes());
    pack.extend(body);
    pack
}

/// Types of values as RDB files number them.
const KINDS: &[u8] =
    &[0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25];

/// A type of value, a key and a value.
fn key(random: &mut Rng, out: &mut Vec<u8>) {
    let kind = *random.pick(KINDS);
    out.push(kind);
    let name = word(random);
    string(random, out, &name);
    value(random, out, kind);
}

fn value(random: &mut Rng, out: &mut Vec<u8>, kind: u8) {
    let (name, count) = (word(random), random.below(6));
    match kind {
        0 => {
            let length = *random.pick(&[3, 30, 70, 20_000]);
            let value = random.bytes(length);
            string(random, out, &value);
        }
        1..=5 => {
            out.push(count as u8);
            for _ in 0..count {
                let item = word(random);
                string(random, out, &item);
                match kind {
                    3 => out.extend_from_slice(b"\x031.5"),
                    4 => string(random, out, &name),
                    5 => out.extend((count as f64).to_le_bytes()),
                    _ => {}
                }
            }
        }
        16 | 17 | 20 => {
            let pack = listpack(random, 2 * count);
            string(random, out, &pack);
        }
        18 => {
            out.push(1);
            out.push(2);
            let pack = listpack(random, count);
            string(random, out, &pack);
        }
        _ => {
            let length = random.below(60);
            let noise = random.bytes(length);
            string(random, out, &noise);
        }
    }
}

/// An RDB file with some of everything, and now and then a wrong byte.
pub(crate) fn rdb_file(random: &mut Rng) -> Vec<u8> {
    let mut out =
        random.pick(&[&b"REDIS0011"[..], b"REDIS0003", b"VALKEY080", b"REDIS0012"]).to_vec();
    for _ in 0..random.below(10) {
        match random.below(12) {
            0 => out.extend([254, random.bytes(1)[0] & 15]),
            1 => out.extend([251, 3, 1]),
            2 => {
                out.push(250);
                (0..2).for_each(|_| {
                    let remark = word(random);
                    string(random, &mut out, &remark);
                });
            }
            3 => {
                out.push(252);
                out.extend(random.bytes(8));
            }
            4 => out.extend([248, 5, 249, 7]),
            _ => key(random, &mut out),
        }
    }
    out.push(255);
    out.extend([0; 8]);
    for _ in 0..random.below(3) {
        let at = random.below(out.len());
        out[at] = random.bytes(1)[0];
    }
    if random.chance(1, 8) {
        out.truncate(random.below(out.len()));
    }
    out
}

/// Bytes that can be packed, and bytes that cannot.
pub(crate) fn blocks(random: &mut Rng) -> Vec<u8> {
    let length = *random.pick(&[0, 12, 40, 3_000, 140_000]);
    let mut out = random.bytes(12);
    let unit = 1 + random.below(length + 1);
    let unit = random.bytes(unit);
    out.extend(unit.iter().cycle().take(length));
    out
}

/// What [`crate::bodies::restore::restore`] takes, and now and then a wrong byte.
pub(crate) fn payload(random: &mut Rng) -> Vec<u8> {
    let mut out = random.bytes(1);
    let kind = *random.pick(KINDS);
    out.push(kind);
    value(random, &mut out, kind);
    if random.chance(1, 3) {
        let at = 1 + random.below(out.len() - 1);
        out[at] = random.bytes(1)[0];
    }
    out
}
