//! Bitmaps: strings seen as arrays of bits. Bit 0 is the highest bit of the first byte.
//!
//! Readers walk the chunks of long strings; writers copy only the chunks they touch.

mod bitfield;
mod bits;
mod op;
mod scan;

use super::call::Call;
use super::error::ReplyError;
use super::spec::Command;
use super::string::max_len;
use dunlin_protocol::number;

pub(super) static COMMANDS: &[Command] = &[
    bits::SETBIT,
    bits::GETBIT,
    bits::BITCOUNT,
    bits::BITPOS,
    op::BITOP,
    bitfield::BITFIELD,
    bitfield::BITFIELD_RO,
];

const BAD_OFFSET: ReplyError = ReplyError::new("ERR bit offset is not an integer or out of range");

/// `proto-max-bulk-len` cannot be set lower, so shorter strings need no look at the settings.
const LEAST_MAX_BYTES: usize = 1024 * 1024;

/// The bit offset in `text`; `#n` counts units of `unit` bits if there is one.
fn bit_offset(call: &Call<'_, '_>, text: &[u8], unit: Option<u32>) -> Result<u64, ReplyError> {
    let offset = match (text, unit) {
        ([b'#', rest @ ..], Some(unit)) => {
            number::parse_u64(rest).and_then(|n| n.checked_mul(u64::from(unit)))
        }
        _ => number::parse_u64(text),
    };
    let offset = offset.filter(|offset| i64::try_from(*offset).is_ok()).ok_or(BAD_OFFSET)?;
    let byte = usize::try_from(offset / 8).map_err(|_| BAD_OFFSET)?;
    if byte >= LEAST_MAX_BYTES && byte >= max_len(call) {
        return Err(BAD_OFFSET);
    }
    Ok(offset)
}

/// The byte of a bit that [`bit_offset`] has checked.
fn byte_of(offset: u64) -> usize {
    usize::try_from(offset / 8).unwrap_or(usize::MAX)
}

/// A count as a reply.
fn int(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
