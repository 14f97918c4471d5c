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

/// A payload that is being written.
pub(super) struct Payload {
    bytes: Vec<u8>,
    version: u16,
}

impl Payload {
    /// Begins a value of a type that Redis 7.0 knows.
    pub(super) fn new(kind: u8) -> Self {
        Payload { bytes: vec![kind], version: VERSION }
    }

    /// Begins a payload that holds something else than a value.
    pub(super) fn without_value() -> Self {
        Payload { bytes: Vec::new(), version: VERSION }
    }

    /// Begins a value of a type that Redis 7.2 brought.
    pub(super) fn with_active_times(kind: u8) -> Self {
        Payload { bytes: vec![kind], version: ACTIVE_TIMES_VERSION }
    }

    /// Begins a value of a type that Redis 7.4 brought.
    pub(super) fn with_field_expiry(kind: u8) -> Self {
        Payload { bytes: vec![kind], version: FIELD_EXPIRY_VERSION }
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A number in the encoding of lengths.
    pub(super) fn number(&mut self, number: u64) {
        string::put_number(&mut self.bytes, number);
    }

    pub(super) fn string(&mut self, bytes: &[u8]) {
        string::encode(&mut self.bytes, bytes);
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
        let start = self.bytes.len();
        let mut count = 0;
        for item in items {
            write(self, item);
            count += 1;
        }
        // Only now the number is sure: a hash does not know how many of its fields have expired.
        let mut length = Vec::new();
        string::put_number(&mut length, count);
        self.bytes.splice(start..start, length);
    }

    /// Adds the footer.
    pub(super) fn seal(mut self) -> Vec<u8> {
        self.bytes.extend(self.version.to_le_bytes());
        let checksum = crc64::crc64(&self.bytes);
        self.bytes.extend(checksum.to_le_bytes());
        self.bytes
    }
}
