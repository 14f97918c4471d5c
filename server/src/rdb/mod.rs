//! The parts of Redis's RDB format that DUMP and RESTORE carry between servers.
//!
//! A payload is one value with a footer:
//!
//! ```text
//! | type 1 | value ... | RDB version 2, little-endian | CRC-64 of all before 8, little-endian |
//! ```

mod crc64;
mod lzf;
mod string;

use std::borrow::Cow;

/// Version that DUMP writes. Redis 7.0's: strings have not changed since, and both it and later
/// servers take the payload.
const VERSION: u16 = 10;
/// Newest version that RESTORE takes: Redis 7.2's.
const NEWEST_VERSION: u16 = 11;
/// Longest string that is decoded.
const MAX_STRING: usize = 512 << 20;

const TYPE_STRING: u8 = 0;
/// Announces a library of functions, and one of the format from before Redis 7.0.
const LIBRARY: u8 = 245;
const OLD_LIBRARY: u8 = 246;
const CHECKSUM: usize = 8;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too short, too new, or damaged.
    Footer,
    /// The value is malformed or of a type that is not supported.
    Value,
}

/// The payload of a string.
pub fn dump_string(bytes: &[u8]) -> Vec<u8> {
    let mut payload = vec![TYPE_STRING];
    string::encode(&mut payload, bytes);
    seal(payload)
}

/// Adds the footer.
fn seal(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend(VERSION.to_le_bytes());
    let checksum = crc64::crc64(&payload);
    payload.extend(checksum.to_le_bytes());
    payload
}

/// The payload of FUNCTION DUMP: the text of each library, one after the other.
pub fn dump_libraries<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    for text in texts {
        payload.push(LIBRARY);
        string::encode(&mut payload, text);
    }
    seal(payload)
}

/// The libraries in a payload of FUNCTION DUMP.
///
/// # Errors
/// What FUNCTION RESTORE answers, without a code.
pub fn load_libraries(payload: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, &'static str> {
    let mut rest = verify(payload).map_err(|_| "DUMP payload version or checksum are wrong")?;
    let mut texts = Vec::new();
    while let Some((kind, value)) = rest.split_first() {
        match *kind {
            LIBRARY => {}
            OLD_LIBRARY => return Err("Pre-GA function format not supported"),
            _ => return Err("given type is not a function"),
        }
        let (text, left) =
            string::decode(value, MAX_STRING).ok_or("Failed loading library code")?;
        texts.push(text);
        rest = left;
    }
    Ok(texts)
}

/// Checks the footer of a payload and returns what is before it.
pub fn verify(payload: &[u8]) -> Result<&[u8], Refused> {
    let (checked, checksum) = payload.split_last_chunk::<CHECKSUM>().ok_or(Refused::Footer)?;
    let (value, version) = checked.split_last_chunk::<2>().ok_or(Refused::Footer)?;
    let good = u16::from_le_bytes(*version) <= NEWEST_VERSION
        && crc64::crc64(checked) == u64::from_le_bytes(*checksum);
    if good { Ok(value) } else { Err(Refused::Footer) }
}

/// The string in a payload. Bytes between the value and the footer are ignored, as Redis does.
pub fn load_string(payload: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    match verify(payload)? {
        [TYPE_STRING, value @ ..] => match string::decode(value, MAX_STRING) {
            Some((string, _)) => Ok(string),
            None => Err(Refused::Value),
        },
        _ => Err(Refused::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `value` with a footer of `version`.
    fn sealed(value: &[u8], version: u16) -> Vec<u8> {
        let mut payload = value.to_vec();
        payload.extend(version.to_le_bytes());
        let checksum = crc64::crc64(&payload);
        payload.extend(checksum.to_le_bytes());
        payload
    }

    #[test]
    fn payload_of_redis() {
        // What redis-server 7.0 answers to SET k 10, DUMP k.
        let reference = b"\0\xc0\x0a\x0a\0\x6e\x9f\x57\x45\x0e\xae\x63\xbb";
        assert_eq!(dump_string(b"10"), reference);
        assert_eq!(load_string(reference).as_deref(), Ok(&b"10"[..]));
    }

    #[test]
    fn libraries_come_back() {
        let long = b"#!lua name=b\n".repeat(100);
        let texts = [b"#!lua name=a\nx".as_slice(), &long, b"10"];
        let payload = dump_libraries(texts.iter().copied());
        assert!(payload.len() < 500, "it is compressed");
        let back = load_libraries(&payload).expect("it is whole");
        assert!(back.iter().map(|text| &**text).eq(texts));
        assert_eq!(load_libraries(&dump_libraries(std::iter::empty())).map(|l| l.len()), Ok(0));
        let wrong = "DUMP payload version or checksum are wrong";
        assert_eq!(load_libraries(&payload[..payload.len() - 1]), Err(wrong));
        assert_eq!(load_libraries(b""), Err(wrong));
        let of = |value: &[u8]| load_libraries(&sealed(value, 10)).map(|list| list.len());
        assert_eq!(of(&[245, 200, 1, 2]), Err("Failed loading library code"));
        assert_eq!(of(&[246, 1, b'x']), Err("Pre-GA function format not supported"));
        assert_eq!(of(&[0, 1, b'x']), Err("given type is not a function"));
        assert_eq!(of(&[245, 1, b'x', 245]), Err("Failed loading library code"));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let payload = dump_string(b"some value");
        for at in 0..payload.len() {
            for bit in 0..8 {
                let mut damaged = payload.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(load_string(&damaged), Err(Refused::Footer), "byte {at} bit {bit}");
            }
        }
        for len in 0..payload.len() {
            assert_eq!(load_string(&payload[..len]), Err(Refused::Footer), "{len} bytes");
        }
    }

    #[test]
    fn versions_and_types() {
        for version in [1, 6, 9, 10, 11] {
            assert_eq!(load_string(&sealed(&[0, 1, b'v'], version)).as_deref(), Ok(&b"v"[..]));
        }
        assert_eq!(load_string(&sealed(&[0, 1, b'v'], 12)), Err(Refused::Footer));
        for kind in 1..=255 {
            assert_eq!(load_string(&sealed(&[kind, 1, b'v'], 10)), Err(Refused::Value));
        }
        assert_eq!(load_string(&sealed(&[], 10)), Err(Refused::Value));
        // The footer is no part of the value, although Redis reads on into it.
        assert_eq!(load_string(&sealed(&[0, 2, b'v'], 10)), Err(Refused::Value));
        assert_eq!(load_string(&sealed(&[0, 1, b'v', b'x'], 10)).as_deref(), Ok(&b"v"[..]));
    }
}
