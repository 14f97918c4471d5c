//! Libraries of functions, as FUNCTION DUMP and RESTORE carry them: any number of them, one after the
//! other, before the footer.

use super::payload::Payload;
use super::reader::Reader;
use std::borrow::Cow;

/// Announces a library of functions, and one of the format from before Redis 7.0.
const LIBRARY: u8 = 245;
const OLD_LIBRARY: u8 = 246;

/// The payload of FUNCTION DUMP: the text of each library.
pub fn dump<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut payload = Payload::without_value();
    for text in texts {
        payload.raw(&[LIBRARY]);
        payload.string(text);
    }
    payload.seal()
}

/// The libraries in a payload of FUNCTION DUMP.
///
/// # Errors
/// What FUNCTION RESTORE answers, without a code.
pub fn load(payload: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, &'static str> {
    let bytes = super::verify(payload).map_err(|_| "DUMP payload version or checksum are wrong")?;
    let mut reader = Reader::new(bytes);
    let mut texts = Vec::new();
    while let Some([kind]) = reader.array() {
        match kind {
            LIBRARY => {}
            OLD_LIBRARY => return Err("Pre-GA function format not supported"),
            _ => return Err("given type is not a function"),
        }
        texts.push(reader.string().ok_or("Failed loading library code")?);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::crc64;

    /// `value` with a footer of `version`.
    fn sealed(value: &[u8], version: u16) -> Vec<u8> {
        let mut payload = value.to_vec();
        payload.extend(version.to_le_bytes());
        let checksum = crc64::crc64(&payload);
        payload.extend(checksum.to_le_bytes());
        payload
    }

    #[test]
    fn libraries_come_back() {
        let long = b"#!lua name=b\n".repeat(100);
        let texts = [b"#!lua name=a\nx".as_slice(), &long, b"10"];
        let payload = dump(texts.iter().copied());
        assert!(payload.len() < 500, "it is compressed");
        let back = load(&payload).expect("it is whole");
        assert!(back.iter().map(|text| &**text).eq(texts));
        assert_eq!(load(&dump(std::iter::empty())).map(|l| l.len()), Ok(0));
        let wrong = "DUMP payload version or checksum are wrong";
        assert_eq!(load(&payload[..payload.len() - 1]), Err(wrong));
        assert_eq!(load(b""), Err(wrong));
        let of = |value: &[u8]| load(&sealed(value, 10)).map(|list| list.len());
        assert_eq!(of(&[245, 200, 1, 2]), Err("Failed loading library code"));
        assert_eq!(of(&[246, 1, b'x']), Err("Pre-GA function format not supported"));
        assert_eq!(of(&[0, 1, b'x']), Err("given type is not a function"));
        assert_eq!(of(&[245, 1, b'x', 245]), Err("Failed loading library code"));
    }
}
