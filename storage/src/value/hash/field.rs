//! A field of a table: one allocation.
//!
//! ```text
//! | length of the field * 2 + has an expiry, LEB128 | expiry i64 LE, if any | field | value |
//! ```

use crate::Millis;
use crate::memory::usable;
use crate::value::dict::Slot;

/// Bytes of an expiry.
const EXPIRY: usize = size_of::<Millis>();
/// Bytes of the longest header.
const HEADER_MAX: usize = 10;

/// A field with its value, and when it expires.
#[derive(Clone)]
pub(super) struct Field(Box<[u8]>);

/// Where the parts are.
struct Layout {
    /// Of the expiry; the field follows.
    expiry: std::ops::Range<usize>,
    /// Of the value; what comes before it is the field.
    value: usize,
}

impl Field {
    pub(super) fn new(field: &[u8], value: &[u8], expire_at: Option<Millis>) -> Self {
        let mut bytes = Vec::with_capacity(
            header_len(field.len())
                + EXPIRY * usize::from(expire_at.is_some())
                + field.len()
                + value.len(),
        );
        push_header(&mut bytes, field.len(), expire_at.is_some());
        bytes.extend(expire_at.map(Millis::to_le_bytes).into_iter().flatten());
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(value);
        Field(bytes.into_boxed_slice())
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.0[self.layout().value..]
    }

    pub(super) fn expire_at(&self) -> Option<Millis> {
        self.0[self.layout().expiry].try_into().ok().map(Millis::from_le_bytes)
    }

    /// Changes the value and the expiry, in place if the sizes stay.
    pub(super) fn set(&mut self, value: &[u8], expire_at: Option<Millis>) {
        let layout = self.layout();
        let same_size = self.0.len() - layout.value == value.len();
        if !same_size || layout.expiry.is_empty() != expire_at.is_none() {
            *self = Field::new(self.key(), value, expire_at);
            return;
        }
        self.0[layout.value..].copy_from_slice(value);
        if let Some(at) = expire_at {
            self.0[layout.expiry].copy_from_slice(&at.to_le_bytes());
        }
    }

    /// Changes the expiry.
    pub(super) fn set_expiry(&mut self, expire_at: Option<Millis>) {
        let layout = self.layout();
        match expire_at {
            Some(at) if !layout.expiry.is_empty() => {
                self.0[layout.expiry].copy_from_slice(&at.to_le_bytes());
            }
            None if layout.expiry.is_empty() => {}
            _ => *self = Field::new(self.key(), self.value(), expire_at),
        }
    }

    fn layout(&self) -> Layout {
        let mut header = 0_usize;
        let mut expiry = 0;
        for (at, byte) in self.0.iter().enumerate().take(HEADER_MAX) {
            header |= usize::from(byte & 0x7f) << (7 * at);
            expiry = at + 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let field = expiry + EXPIRY * (header & 1);
        Layout { expiry: expiry..field, value: field + header / 2 }
    }
}

impl Slot for Field {
    fn key(&self) -> &[u8] {
        let layout = self.layout();
        &self.0[layout.expiry.end..layout.value]
    }

    fn heap_bytes(&self) -> usize {
        usable(self.0.len())
    }
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let parts = (text(self.key()), text(self.value()), self.expire_at());
        f.debug_tuple("Field").field(&parts).finish()
    }
}

/// Bytes of the header for a field of `len` bytes.
fn header_len(len: usize) -> usize {
    let mut header = Vec::with_capacity(HEADER_MAX);
    push_header(&mut header, len, false);
    header.len()
}

fn push_header(bytes: &mut Vec<u8>, len: usize, expires: bool) {
    let mut rest = len * 2 + usize::from(expires);
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_every_size_come_back() {
        for field_len in [0, 1, 63, 64, 8_191, 8_192, 100_000] {
            for value_len in [0, 1, 5_000] {
                for expire_at in [None, Some(0), Some(i64::MAX), Some(-1)] {
                    let (field, value) = (vec![b'f'; field_len], vec![b'v'; value_len]);
                    let slot = Field::new(&field, &value, expire_at);
                    assert_eq!((slot.key(), slot.value()), (&field[..], &value[..]));
                    assert_eq!(slot.expire_at(), expire_at);
                    assert_eq!(slot.heap_bytes(), usable(slot.0.len()));
                }
            }
        }
    }

    #[test]
    fn changes_keep_the_other_parts() {
        let mut slot = Field::new(b"field", b"12", None);
        for (value, expire_at) in
            [("13", None), ("14", Some(5)), ("15", Some(6)), ("1000", Some(7)), ("1", None)]
        {
            slot.set(value.as_bytes(), expire_at);
            assert_eq!((slot.key(), slot.value()), (&b"field"[..], value.as_bytes()));
            assert_eq!(slot.expire_at(), expire_at);
        }
        for expire_at in [None, Some(1), Some(2), None] {
            slot.set_expiry(expire_at);
            assert_eq!((slot.key(), slot.value()), (&b"field"[..], &b"1"[..]));
            assert_eq!(slot.expire_at(), expire_at);
        }
    }
}
