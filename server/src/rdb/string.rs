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

/// Appends a length.
pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, length as u64);
}

/// Appends a number in the form of a length.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let [.., high, low] = number.to_be_bytes();
    if number < 1 << 6 {
        out.push(low);
    } else if number < 1 << 14 {
        out.extend([1 << 6 | high, low]);
    } else if let Ok(number) = u32::try_from(number) {
        out.push(LEN32);
        out.extend(number.to_be_bytes());
    } else {
        out.push(LEN64);
        out.extend(number.to_be_bytes());
    }
}

/// Appends the string `bytes` in its shortest encoding.
pub(super) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    let integer = dunlin_storage::canonical_i64(bytes).and_then(|value| i32::try_from(value).ok());
    if let Some(value) = integer {
        return put_integer(out, value);
    }
    if bytes.len() > COMPRESS_ABOVE
        && let Some(packed) = lzf::compress(bytes, bytes.len() - MIN_SAVING)
    {
        out.push(LZF);
        put_length(out, packed.len());
        put_length(out, bytes.len());
        out.extend_from_slice(&packed);
        return;
    }
    put_length(out, bytes.len());
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

/// Reads from the front of a payload.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// So many bytes as they are.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn head(&mut self) -> Option<Head> {
        let [first] = self.array()?;
        let low = first & !ENCODED;
        let number = match first {
            INT8 => return Some(Head::Integer(i8::from_le_bytes(self.array()?).into())),
            INT16 => return Some(Head::Integer(i16::from_le_bytes(self.array()?).into())),
            INT32 => return Some(Head::Integer(i32::from_le_bytes(self.array()?))),
            LZF => return Some(Head::Packed),
            LEN32 => u32::from_be_bytes(self.array()?).into(),
            LEN64 => u64::from_be_bytes(self.array()?),
            _ if first >> 6 == 0 => low.into(),
            _ if first >> 6 == 1 => u16::from_be_bytes([low, self.array::<1>()?[0]]).into(),
            _ => return None,
        };
        Some(Head::Plain(number))
    }

    /// A number in the form of a length.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.head()? {
            Head::Plain(number) => Some(number),
            Head::Integer(_) | Head::Packed => None,
        }
    }

    /// A length.
    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    /// A string of at most `max` bytes. Nothing is allocated on the word of a length alone: plain
    /// strings must be there, packed ones must have enough data to expand.
    pub(super) fn string(&mut self, max: usize) -> Option<Cow<'a, [u8]>> {
        Some(match self.head()? {
            Head::Plain(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= max)?;
                self.take(length)?.into()
            }
            Head::Integer(value) => value.to_string().into_bytes().into(),
            Head::Packed => {
                let packed = self.length()?;
                let length = self.length().filter(|length| *length <= max)?;
                lzf::decompress(self.take(packed)?, length)?.into()
            }
        })
    }
}

/// Decodes the string at the front of `payload` and returns it with what follows it; `None` if it
/// is malformed or longer than `max`.
pub(super) fn decode(payload: &[u8], max: usize) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut reader = Reader(payload);
    let string = reader.string(max)?;
    Some((string, reader.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 512 << 20;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, bytes);
        let (back, rest) = decode(&out, MAX).expect("an encoding that cannot be read");
        assert_eq!(&*back, bytes);
        assert!(rest.is_empty());
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
            (u32::MAX as usize, &[0x80, 0xff, 0xff, 0xff, 0xff]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_length(&mut out, length);
            assert_eq!(out, wanted, "{length}");
            assert_eq!(Reader(&out).length(), Some(length));
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
            assert!(decode(payload, MAX).is_none(), "{payload:?}");
        }
        assert!(decode(&[5, 1, 2, 3, 4, 5], 4).is_none(), "longer than allowed");
    }

    proptest! {
        #[test]
        fn any_string_survives(bytes in proptest::collection::vec(0_u8..6, 0..400)) {
            encoded(&bytes);
        }

        #[test]
        fn any_payload_is_judged(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some((string, rest)) = decode(&payload, 10_000) {
                prop_assert!(string.len() <= 10_000 && rest.len() < payload.len());
            }
        }
    }
}
