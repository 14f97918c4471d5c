//! Writing a payload.

use dunlin_storage::Millis;
use dunlin_storage::value::listpack::Element;

use super::{crc64, string};

/// Version of a payload that servers from Redis 7.0 on take. What they all know is written in it,
/// although newer ones would write some of it otherwise.
const VERSION: u16 = 10;
/// Version that brought the times when consumers were active: Redis 7.2's.
const ACTIVE_TIMES_VERSION: u16 = 11;
/// Version that brought fields that expire: Redis 7.4's.
const FIELD_EXPIRY_VERSION: u16 = 12;

/// How the strings of a payload are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// Compressed where that saves something, as Redis does.
    Packed,
    /// As they are: for who has no time to compress them, and for what is compressed as a whole.
    Plain,
}

/// A payload that is being written.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    version: u16,
    strings: Strings,
}

impl Payload {
    /// Begins a value of a type that Redis 7.0 knows.
    pub(super) fn new(strings: Strings, kind: u8) -> Self {
        Payload { bytes: vec![kind], version: VERSION, strings }
    }

    /// Begins a payload that holds something else than a value.
    pub(super) fn without_value() -> Self {
        Payload { bytes: Vec::new(), version: VERSION, strings: Strings::Packed }
    }

    /// Begins a value of a type that Redis 7.2 brought.
    pub(super) fn with_active_times(strings: Strings, kind: u8) -> Self {
        Payload { bytes: vec![kind], version: ACTIVE_TIMES_VERSION, strings }
    }

    /// Begins a value of a type that Redis 7.4 brought.
    pub(super) fn with_field_expiry(strings: Strings, kind: u8) -> Self {
        Payload { bytes: vec![kind], version: FIELD_EXPIRY_VERSION, strings }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A number in the encoding of lengths.
    pub(super) fn number(&mut self, number: u64) {
        string::put_number(&mut self.bytes, number);
    }

    pub(super) fn string(&mut self, bytes: &[u8]) {
        match self.strings {
            Strings::Packed => string::encode(&mut self.bytes, bytes),
            Strings::Plain => string::encode_plain(&mut self.bytes, bytes),
        }
    }

    pub(super) fn element(&mut self, element: Element<'_>) {
        element.with(|text| self.string(text));
    }

    pub(super) fn millis(&mut self, at: Millis) {
        self.raw(&at.to_le_bytes());
    }

    pub(super) fn score(&mut self, score: f64) {
        self.raw(&score.to_le_bytes());
    }

    /// Writes items after how many they are.
    pub(super) fn items<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) {
        self.counted(|payload| {
            let mut count = 0;
            for item in items {
                write(payload, item);
                count += 1;
            }
            count
        });
    }

    /// Writes what `write` does after how many items it says that these are.
    pub(super) fn counted(&mut self, write: impl FnOnce(&mut Self) -> u64) {
        let start = self.bytes.len();
        let count = write(self);
        // Only now the number is sure: a hash does not know how many of its fields have expired.
        let mut length = Vec::new();
        string::put_number(&mut length, count);
        self.bytes.splice(start..start, length);
    }

    /// The type and the value, for files that have checksums of their own.
    #[must_use]
    pub fn into_value(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds the footer.
    #[must_use]
    pub fn seal(mut self) -> Vec<u8> {
        self.bytes.extend(self.version.to_le_bytes());
        let checksum = crc64::crc64(&self.bytes);
        self.bytes.extend(checksum.to_le_bytes());
        self.bytes
    }
}
