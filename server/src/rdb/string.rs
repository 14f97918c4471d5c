//! Strings as an RDB file encodes them.
//!
//! A string begins with a length whose first two bits say how it goes on:
//!
//! ```text
//! 00LLLLLL                     6-bit length, then the bytes
//! 01LLLLLL LLLLLLLL            14-bit length (big-endian), then the bytes
//! 10000000 / 10000001          32- or 64-bit length (big-endian), then the bytes
//! 11000000 / 01 / 10           a signed integer of 8, 16 or 32 bits (little-endian)
//! 11000011                     compressed: packed length, length, LZF data
//! ```

use std::borrow::Cow;

use super::lzf;
use super::reader::Reader;

const ENCODED: u8 = 0b1100_0000;
const INT8: u8 = ENCODED;
const INT16: u8 = ENCODED | 1;
const INT32: u8 = ENCODED | 2;
const LZF: u8 = ENCODED | 3;
const LEN32: u8 = 0b1000_0000;
const LEN64: u8 = 0b1000_0001;

/// Strings longer than this are compressed if that saves something.
const COMPRESS_ABOVE: usize = 20;
/// Compression must save at least this much.
const MIN_SAVING: usize = 4;

/// Appends a length, or another number in the encoding of lengths.
pub(super) fn put_number(out: &mut Vec<u8>, wide: u64) {
    let [.., high, low] = wide.to_be_bytes();
    if wide < 1 << 6 {
        out.push(low);
    } else if wide < 1 << 14 {
        out.extend([1 << 6 | high, low]);
    } else if let Ok(length) = u32::try_from(wide) {
        out.push(LEN32);
        out.extend(length.to_be_bytes());
    } else {
        out.push(LEN64);
        out.extend(wide.to_be_bytes());
    }
}

/// Appends the string `bytes` as it is; only numbers become shorter.
pub(super) fn encode_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    match small_integer(bytes) {
        Some(value) => put_integer(out, value),
        None => put_plain(out, bytes),
    }
}

/// Appends the string `bytes` in its shortest encoding.
pub(super) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Some(value) = small_integer(bytes) {
        return put_integer(out, value);
    }
    if bytes.len() > COMPRESS_ABOVE
        && let Some(packed) = lzf::compress(bytes, bytes.len() - MIN_SAVING)
    {
        out.push(LZF);
        put_number(out, packed.len() as u64);
        put_number(out, bytes.len() as u64);
        out.extend_from_slice(&packed);
        return;
    }
    put_plain(out, bytes);
}

fn small_integer(bytes: &[u8]) -> Option<i32> {
    dunlin_storage::canonical_i64(bytes).and_then(|value| i32::try_from(value).ok())
}

fn put_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_integer(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.push(INT8);
        out.extend(value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(INT16);
        out.extend(value.to_le_bytes());
    } else {
        out.push(INT32);
        out.extend(value.to_le_bytes());
    }
}

/// What the first byte of a string announces.
enum Head {
    Plain(u64),
    Integer(i32),
    Packed,
}

fn head(reader: &mut Reader<'_>) -> Option<Head> {
    let [first] = reader.array()?;
    let low = first & !ENCODED;
    Some(Head::Plain(match first {
        INT8 => return Some(Head::Integer(i8::from_le_bytes(reader.array()?).into())),
        INT16 => return Some(Head::Integer(i16::from_le_bytes(reader.array()?).into())),
        INT32 => return Some(Head::Integer(i32::from_le_bytes(reader.array()?))),
        LZF => return Some(Head::Packed),
        LEN32 => u32::from_be_bytes(reader.array()?).into(),
        LEN64 => u64::from_be_bytes(reader.array()?),
        _ if first >> 6 == 0 => low.into(),
        _ if first >> 6 == 1 => u16::from_be_bytes([low, reader.array::<1>()?[0]]).into(),
        _ => return None,
    }))
}

/// How many bytes of a string's head follow its first; `None`: no head begins so.
pub(super) fn bytes_after(first: u8) -> Option<usize> {
    match first {
        INT8 => Some(1),
        INT16 => Some(2),
        INT32 | LEN32 => Some(4),
        LEN64 => Some(8),
        LZF => Some(0),
        _ => [Some(0), Some(1), None, None][usize::from(first >> 6)],
    }
}

/// Whether a string that begins so is an integer: its head is all there is of it.
pub(super) fn is_integer(first: u8) -> bool {
    matches!(first, INT8 | INT16 | INT32)
}

/// Whether a string that begins so is compressed.
pub(super) fn is_packed(first: u8) -> bool {
    first == LZF
}

/// Reads a length, or another number in the encoding of lengths.
pub(super) fn number(reader: &mut Reader<'_>) -> Option<u64> {
    match head(reader)? {
        Head::Plain(number) => Some(number),
        Head::Integer(_) | Head::Packed => None,
    }
}

/// Reads a string; `None` if it is malformed or longer than `max`. Nothing is allocated on the
/// word of a length alone: plain strings must be there, packed ones must have enough data to
/// expand.
pub(super) fn decode<'a>(reader: &mut Reader<'a>, max: usize) -> Option<Cow<'a, [u8]>> {
    Some(match head(reader)? {
        Head::Plain(length) => {
            reader.take(usize::try_from(length).ok().filter(|length| *length <= max)?)?.into()
        }
        Head::Integer(value) => value.to_string().into_bytes().into(),
        Head::Packed => {
            let packed = reader.length()?;
            let length = reader.length().filter(|length| *length <= max)?;
            lzf::decompress(reader.take(packed)?, length)?.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 512 << 20;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, bytes);
        let mut reader = Reader::new(&out);
        let back = decode(&mut reader, MAX).expect("an encoding that can be read");
        assert_eq!(&*back, bytes);
        assert_eq!(reader.len(), 0);
        out
    }

    #[test]
    fn integers() {
        for (text, wanted) in [
            ("0", &[0xc0, 0][..]),
            ("-1", &[0xc0, 0xff]),
            ("127", &[0xc0, 127]),
            ("-128", &[0xc0, 0x80]),
            ("128", &[0xc1, 128, 0]),
            ("-32768", &[0xc1, 0, 0x80]),
            ("32768", &[0xc2, 0, 0x80, 0, 0]),
            ("2147483647", &[0xc2, 0xff, 0xff, 0xff, 0x7f]),
            ("-2147483648", &[0xc2, 0, 0, 0, 0x80]),
        ] {
            assert_eq!(encoded(text.as_bytes()), wanted, "{text}");
        }
        for text in ["2147483648", "-2147483649", "01", "+1", "-0", "", " 1", "1 "] {
            let mut wanted = vec![u8::try_from(text.len()).unwrap_or(0)];
            wanted.extend_from_slice(text.as_bytes());
            assert_eq!(encoded(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn lengths() {
        for (length, wanted) in [
            (0, &[0][..]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16_383, &[0x7f, 0xff]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (u32::MAX.into(), &[0x80, 0xff, 0xff, 0xff, 0xff]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
            (u64::MAX, &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ] {
            let mut out = Vec::new();
            put_number(&mut out, length);
            assert_eq!(out, wanted, "{length}");
            assert_eq!(number(&mut Reader::new(&out)), Some(length));
        }
    }

    #[test]
    fn compression_starts_above_twenty_bytes() {
        assert_eq!(encoded(&[b'a'; 20])[0], 20);
        assert_eq!(encoded(&[b'a'; 21])[0], LZF);
        assert_eq!(encoded(&[b'a'; 100_000])[0], LZF);
    }

    #[test]
    fn malformed_strings_are_refused() {
        let cases: &[&[u8]] = &[
            &[],
            &[1],                                                    // no bytes
            &[0x40],                                                 // half a length
            &[0x80, 0, 0, 0],                                        // three of four bytes
            &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // 2^64-1
            &[0x82],                                                 // no such length
            &[0xc1, 0],                                              // half an integer
            &[0xc4],                                                 // no such encoding
            &[0xc3, 2, 0xc0, 1, 0, 7],                               // a length that is an integer
            &[0xc3, 2, 3, 0, 7],                                     // unpacks to less than stated
            &[0xc3, 200, 3, 0, 7],                                   // packed data cut off
            &[0xc3, 2, 0x80, 0x1f, 0xff, 0xff, 0xff, 0, 7],          // 512 MB out of two bytes
        ];
        for payload in cases {
            assert!(decode(&mut Reader::new(payload), MAX).is_none(), "{payload:?}");
        }
        let long = &mut Reader::new(&[5, 1, 2, 3, 4, 5]);
        assert!(decode(long, 4).is_none(), "longer than allowed");
    }

    proptest! {
        #[test]
        fn any_string_survives(bytes in proptest::collection::vec(0_u8..6, 0..400)) {
            encoded(&bytes);
        }

        #[test]
        fn any_payload_is_judged(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&payload);
            if let Some(string) = decode(&mut reader, 10_000) {
                prop_assert!(string.len() <= 10_000 && reader.len() < payload.len());
            }
        }
    }
}
