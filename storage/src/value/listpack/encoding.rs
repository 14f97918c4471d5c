//! One entry of a listpack: data in the shortest of ten encodings, then the length of that,
//! readable from behind.
//!
//! ```text
//! 0vvvvvvv                          integer 0..=127
//! 10LLLLLL  bytes                   string of up to 63 bytes
//! 110vvvvv vvvvvvvv                 integer of 13 bits, two's complement
//! 1110LLLL LLLLLLLL  bytes          string of up to 4095 bytes
//! 11110000 LLLL (LE)  bytes         string of up to 4 GiB
//! 11110001 vv / 11110010 vvv / 11110011 vvvv / 11110100 vvvvvvvv
//!                                   integer of 16, 24, 32 or 64 bits, little-endian
//! ```
//!
//! The back length counts what is drawn above. It is in base 128, most significant digit first;
//! every digit but the first carries the bit 0x80, so that a reader coming from behind knows where
//! it begins.

use super::Element;
use crate::value::string::canonical_i64;

const STRING_6: u8 = 0x80;
const INTEGER_13: u8 = 0xc0;
const STRING_12: u8 = 0xe0;
const STRING_12_LAST: u8 = 0xef;
const STRING_32: u8 = 0xf0;
const INTEGER_16: u8 = 0xf1;
const INTEGER_24: u8 = 0xf2;
const INTEGER_32: u8 = 0xf3;
const INTEGER_64: u8 = 0xf4;

/// Longest encoding without the bytes of a string: a 64-bit integer.
const MAX_HEAD: usize = 9;
/// Most digits of a back length.
const MAX_BACK: usize = 5;
const BACK_BITS: usize = 7;
const BACK_MORE: u8 = 0x80;
/// Marks the digits of a back length.
const BACK_DIGIT: usize = 0x7f;

/// The element at the front of `entry`, with the length of the entry; `None` at the end of the
/// list, or if the entry is malformed or cut off. The back length is taken on trust.
#[inline]
pub(super) fn decode(entry: &[u8]) -> Option<(Element<'_>, usize)> {
    decode_data(entry).map(|(element, encoded)| (element, entry_len(encoded)))
}

/// The element at the front of `entry`, with the length of its data.
#[inline]
fn decode_data(entry: &[u8]) -> Option<(Element<'_>, usize)> {
    let string = |head: usize, length: usize| {
        let bytes = entry.get(head..head + length)?;
        Some((Element::Bytes(bytes), head + length))
    };
    let integer = |value: i64, encoded: usize| Some((Element::Int(value), encoded));
    match *entry {
        [value @ 0..STRING_6, ..] => integer(value.into(), 1),
        [head @ STRING_6..INTEGER_13, ..] => string(1, usize::from(head & 0x3f)),
        [head @ INTEGER_13..STRING_12, low, ..] => {
            // The sign bit of the 13 moves to the top of an i16, and back with its copies.
            let shifted = u16::from_be_bytes([head, low]) << 3;
            integer((shifted.cast_signed() >> 3).into(), 2)
        }
        [head @ STRING_12..=STRING_12_LAST, low, ..] => {
            string(2, u16::from_be_bytes([head & 0x0f, low]).into())
        }
        [STRING_32, a, b, c, d, ..] => {
            string(5, usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?)
        }
        [INTEGER_16, a, b, ..] => integer(i16::from_le_bytes([a, b]).into(), 3),
        [INTEGER_24, a, b, c, ..] => integer((i32::from_le_bytes([0, a, b, c]) >> 8).into(), 4),
        [INTEGER_32, a, b, c, d, ..] => integer(i32::from_le_bytes([a, b, c, d]).into(), 5),
        [INTEGER_64, a, b, c, d, e, f, g, h, ..] => {
            integer(i64::from_le_bytes([a, b, c, d, e, f, g, h]), 9)
        }
        _ => None,
    }
}

/// The length of the entry at the front of `entry`: [`decode`] without its element.
#[inline]
pub(super) fn skip(entry: &[u8]) -> Option<usize> {
    Some(match *entry {
        [0..STRING_6, ..] => 2,
        [head @ STRING_6..INTEGER_13, ..] => usize::from(head & 0x3f) + 2,
        [INTEGER_13..STRING_12, ..] => 3,
        [INTEGER_16, ..] => 4,
        _ => return decode(entry).map(|(_, length)| length),
    })
}

/// The length of the entry that ends where `entries` ends.
#[inline]
pub(super) fn skip_back(entries: &[u8]) -> Option<usize> {
    let mut encoded = 0;
    for (digit, byte) in entries.iter().rev().take(MAX_BACK).enumerate() {
        encoded |= (usize::from(*byte) & BACK_DIGIT) << (digit * BACK_BITS);
        if byte & BACK_MORE == 0 {
            return Some(entry_len(encoded));
        }
    }
    None
}

/// The length of the entry at the front of `entry`, if it is whole and ends with the back length
/// that belongs to it.
pub(super) fn validate(entry: &[u8]) -> Option<usize> {
    let (_, encoded) = decode_data(entry)?;
    let (digits, count) = back_digits(encoded);
    let back = entry.get(encoded..encoded + count)?;
    (*back == digits[MAX_BACK - count..]).then_some(encoded + count)
}

/// How many digits the back length of `encoded` bytes takes. The limits are Redis's, which leaves
/// the last value of two, three and four digits unused.
#[inline]
fn back_len(encoded: usize) -> usize {
    match encoded {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// The length of an entry whose data take `encoded` bytes.
#[inline]
fn entry_len(encoded: usize) -> usize {
    encoded + back_len(encoded)
}

/// The back length of `encoded` bytes in the last `count` bytes of an array.
fn back_digits(encoded: usize) -> ([u8; MAX_BACK], usize) {
    let count = back_len(encoded);
    let mut digits = [0; MAX_BACK];
    let mut rest = encoded;
    for digit in digits.iter_mut().rev().take(count) {
        *digit = (rest & BACK_DIGIT).to_le_bytes()[0] | BACK_MORE;
        rest >>= BACK_BITS;
    }
    digits[MAX_BACK - count] &= !BACK_MORE;
    (digits, count)
}

/// An element ready to be written.
pub(super) struct Encoded<'a> {
    head: [u8; MAX_HEAD],
    head_len: usize,
    /// The bytes of a string; an integer is all head.
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// Chooses the encoding of `bytes`: an integer's if they are the canonical form of one.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        match canonical_i64(bytes) {
            Some(value) => Self::integer(value),
            None => Self::string(bytes),
        }
    }

    /// The encoding of an integer.
    pub(super) fn integer(value: i64) -> Self {
        let [a, b, c, d, ..] = value.to_le_bytes();
        match value {
            0..=127 => Self::new(&[a], b""),
            -4096..=4095 => Self::new(&[INTEGER_13 | b & 0x1f, a], b""),
            -32_768..=32_767 => Self::new(&[INTEGER_16, a, b], b""),
            -8_388_608..=8_388_607 => Self::new(&[INTEGER_24, a, b, c], b""),
            -2_147_483_648..=2_147_483_647 => Self::new(&[INTEGER_32, a, b, c, d], b""),
            _ => {
                let mut encoded = Self::new(&[INTEGER_64], b"");
                encoded.head[1..].copy_from_slice(&value.to_le_bytes());
                encoded.head_len = MAX_HEAD;
                encoded
            }
        }
    }

    fn string(bytes: &'a [u8]) -> Self {
        let [a, b, c, d, ..] = bytes.len().to_le_bytes();
        match bytes.len() {
            ..64 => Self::new(&[STRING_6 | a], bytes),
            64..4096 => Self::new(&[STRING_12 | b, a], bytes),
            _ => Self::new(&[STRING_32, a, b, c, d], bytes),
        }
    }

    fn new(start: &[u8], data: &'a [u8]) -> Self {
        let mut head = [0; MAX_HEAD];
        head[..start.len()].copy_from_slice(start);
        Encoded { head, head_len: start.len(), data }
    }

    /// Length of the whole entry.
    pub(super) fn len(&self) -> usize {
        entry_len(self.head_len + self.data.len())
    }

    /// Writes the entry behind `out`.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head[..self.head_len]);
        out.extend_from_slice(self.data);
        let (digits, count) = back_digits(self.head_len + self.data.len());
        out.extend_from_slice(&digits[MAX_BACK - count..]);
    }

    /// Fills `entry`, which has exactly [`Encoded::len`] bytes.
    pub(super) fn write(&self, entry: &mut [u8]) {
        let encoded = self.head_len + self.data.len();
        entry[..self.head_len].copy_from_slice(&self.head[..self.head_len]);
        entry[self.head_len..encoded].copy_from_slice(self.data);
        let (digits, count) = back_digits(encoded);
        entry[encoded..].copy_from_slice(&digits[MAX_BACK - count..]);
    }
}
