//! What servers before listpacks packed small values into: ziplists (2.4 to 6.2) and zipmaps (up to
//! 2.4). They are read into listpacks.
//!
//! ```text
//! ziplist: | bytes u32 LE | offset of the last entry u32 LE | entries u16 LE | entry ... | 0xFF |
//! entry:   | length of the entry before: 1 byte, or 0xFE and u32 LE | encoding | data |
//!
//!   00LLLLLL / 01LLLLLL LLLLLLLL / 10000000 LLLLLLLL LLLLLLLL LLLLLLLL LLLLLLLL (BE)   string
//!   C0 / D0 / E0 / F0 / FE        integer of 16, 32, 64, 24, 8 bits, little-endian
//!   F1 .. FD                      integer 0 .. 12
//!
//! zipmap:  | fields 1 | length, field | length, unused 1, value, unused bytes | ... | 0xFF |
//! length:  1 byte, or 0xFE and u32 LE
//! ```

use super::reader::Reader;
use dunlin_storage::value::listpack::ListpackBuf;

const END: u8 = 0xff;
/// A length of four more bytes.
const LONG: u8 = 0xfe;
const ZIPLIST_HEADER: usize = 10;
/// The count of a ziplist's header that says there are at least so many.
const ZIPLIST_UNKNOWN: u16 = u16::MAX;
/// The count of a zipmap that says there are at least so many.
const ZIPMAP_UNKNOWN: u8 = 254;

/// The elements of a ziplist as a listpack, if it is sound.
pub(super) fn ziplist(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    let length = u32::from_le_bytes(reader.array()?);
    let last = u32::from_le_bytes(reader.array()?);
    let count = u16::from_le_bytes(reader.array()?);
    let (end, entries) = bytes.get(ZIPLIST_HEADER..)?.split_last()?;
    if usize::try_from(length).ok()? != bytes.len() || *end != END {
        return None;
    }
    let mut reader = Reader::new(entries);
    let mut list = ListpackBuf::new();
    let (mut found, mut before, mut start) = (0_usize, 0, ZIPLIST_HEADER);
    while reader.len() > 0 {
        start = bytes.len() - 1 - reader.len();
        if long_length(&mut reader)? != before {
            return None;
        }
        ziplist_element(&mut reader, &mut list)?;
        before = bytes.len() - 1 - reader.len() - start;
        found += 1;
    }
    let counted = count == ZIPLIST_UNKNOWN || usize::from(count) == found;
    (counted && usize::try_from(last).ok()? == start).then(|| list.into_bytes())
}

/// Moves the data of an entry over to `list`.
fn ziplist_element(reader: &mut Reader<'_>, list: &mut ListpackBuf) -> Option<()> {
    let [encoding] = reader.array()?;
    let low = encoding & 0x3f;
    let string_length = match encoding {
        0..0x40 => usize::from(low),
        0x40..0x80 => u16::from_be_bytes([low, reader.array::<1>()?[0]]).into(),
        0x80 => usize::try_from(u32::from_be_bytes(reader.array()?)).ok()?,
        _ => {
            let integer: i64 = match encoding {
                0xc0 => i16::from_le_bytes(reader.array()?).into(),
                0xd0 => i32::from_le_bytes(reader.array()?).into(),
                0xe0 => i64::from_le_bytes(reader.array()?),
                0xf0 => {
                    let [a, b, c] = reader.array()?;
                    (i32::from_le_bytes([0, a, b, c]) >> 8).into()
                }
                0xfe => i8::from_le_bytes(reader.array()?).into(),
                0xf1..=0xfd => (encoding - 0xf1).into(),
                _ => return None,
            };
            return push(list, integer.to_string().as_bytes());
        }
    };
    push(list, reader.take(string_length)?)
}

/// The fields and values of a zipmap as a listpack, if it is sound.
pub(super) fn zipmap(bytes: &[u8]) -> Option<Vec<u8>> {
    let (end, pairs) = bytes.split_last()?;
    let mut reader = Reader::new(pairs);
    let [count] = reader.array()?;
    let mut list = ListpackBuf::new();
    let mut found = 0_usize;
    while reader.len() > 0 {
        let length = long_length(&mut reader)?;
        push(&mut list, reader.take(length)?)?;
        let length = long_length(&mut reader)?;
        let [unused] = reader.array()?;
        push(&mut list, reader.take(length)?)?;
        reader.take(unused.into())?;
        found += 1;
    }
    let counted = count >= ZIPMAP_UNKNOWN || usize::from(count) == found;
    (counted && *end == END).then(|| list.into_bytes())
}

/// A length of one byte or five.
fn long_length(reader: &mut Reader<'_>) -> Option<usize> {
    match reader.array()? {
        [LONG] => usize::try_from(u32::from_le_bytes(reader.array()?)).ok(),
        [END] => None,
        [length] => Some(length.into()),
    }
}

fn push(list: &mut ListpackBuf, bytes: &[u8]) -> Option<()> {
    if !list.fits(ListpackBuf::encoded_len(bytes)) {
        return None;
    }
    list.push(bytes);
    Some(())
}
