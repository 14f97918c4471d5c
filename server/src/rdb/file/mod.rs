//! RDB files, as Redis and Valkey write them, read from the front.
//!
//! ```text
//! | "REDIS" or "VALKEY" | version, digits | record ... | end 1 | CRC-64 of all before 8, little-endian |
//!
//! record:  | 254 | database |                      those that follow are in this one
//!          | 253 / 252 | expiry 4 or 8 |            of the key that follows
//!          | 249 / 248 | frequency or idle time |   of the key that follows; not kept
//!          | 245 | text |                           a library of functions
//!          | 251 / 250 / 247 / 244 / 243 | ... |    sizes, remarks, modules, slots: passed over
//!          | type of value | key | value |
//! ```
//!
//! A value has no length before it: where it ends shows when its parts have been read. So the reader
//! collects the bytes of one value, following its `shape`, and whoever takes the [`Record`] makes
//! a value of them ([`super::read_value`]), on any thread. Memory grows as bytes arrive, never on the
//! word of a length.
//!
//! Versions say when something was added, not what a file holds: one of any version is read unless it
//! holds something that is not known here.

mod shape;
mod source;
#[cfg(test)]
mod tests;

use dunlin_storage::Millis;
use source::Source;
use std::fmt;
use std::io::{self, Read};

/// From this version on a file ends with a checksum.
const CHECKSUMMED: u32 = 5;

mod opcode {
    pub(super) const SLOT_IMPORT: u8 = 243;
    pub(super) const SLOT_INFO: u8 = 244;
    pub(super) const LIBRARY: u8 = 245;
    pub(super) const MODULE: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const REMARK: u8 = 250;
    pub(super) const SIZES: u8 = 251;
    pub(super) const EXPIRY_MILLIS: u8 = 252;
    pub(super) const EXPIRY_SECONDS: u8 = 253;
    pub(super) const DATABASE: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Redis, or Valkey before 9.
    Redis,
    /// Valkey since 9. It uses some numbers of types for others than Redis does.
    Valkey,
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who wrote it.
    pub origin: Origin,
    /// The version of the format.
    pub version: u32,
}

/// One piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A key with its value.
    Key {
        /// Database.
        db: u64,
        /// The key.
        key: Vec<u8>,
        /// When it expires, which may be over.
        expire_at: Option<Millis>,
        /// Type of the value, for [`super::read_value`].
        kind: u8,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// The text of a library of functions.
    Library(Vec<u8>),
    /// A database, and how many keys the file has for it: a hint.
    Sizes {
        /// Database.
        db: u64,
        /// Keys.
        keys: u64,
    },
}

/// Why a file is refused.
#[derive(Debug)]
pub enum Refused {
    /// It cannot be read.
    Io(io::Error),
    /// It is none.
    Header,
    /// It ends too early.
    Truncated,
    /// What is at this offset has no meaning.
    Malformed {
        /// Offset in the file.
        at: u64,
        /// What was expected.
        what: &'static str,
    },
    /// It holds something that this server does not know.
    Unknown {
        /// Offset in the file.
        at: u64,
        /// The number of the type or opcode.
        number: u8,
    },
    /// The checksum is that of other bytes.
    Checksum,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Io(error) => write!(f, "{error}"),
            Refused::Header => f.write_str("this is no RDB file"),
            Refused::Truncated => f.write_str("the file is truncated"),
            Refused::Malformed { at, what } => write!(f, "malformed {what} at byte {at}"),
            Refused::Unknown { at, number: number @ 6..=7 } => {
                write!(
                    f,
                    "a value of a module (type {number}) at byte {at}: modules are not supported"
                )
            }
            Refused::Unknown { at, number } => write!(
                f,
                "type {number} at byte {at} is not known: the file is from a newer server"
            ),
            Refused::Checksum => f.write_str("the checksum does not match: the file is damaged"),
        }
    }
}

impl std::error::Error for Refused {}

/// The records of a file, one by one. The first error is the last item; what came before it is to be
/// thrown away.
#[derive(Debug)]
pub struct File<R> {
    source: Source<R>,
    header: Header,
    db: u64,
    ended: bool,
}

impl<R: Read> File<R> {
    /// Whether a file that begins so is one.
    #[must_use]
    pub fn is_one(start: &[u8]) -> bool {
        start.starts_with(b"REDIS") || start.starts_with(b"VALKEY")
    }

    /// Reads the header. `input` need not be buffered.
    ///
    /// # Errors
    /// If it is no RDB file.
    pub fn open(input: R) -> Result<Self, Refused> {
        let mut source = Source::new(input);
        let header = header(&mut source)?;
        Ok(File { source, header, db: 0, ended: false })
    }

    /// What the file says of itself.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    fn record(&mut self) -> Result<Option<Record>, Refused> {
        let mut expire_at = None;
        loop {
            let at = self.source.position();
            let code = self.source.byte()?;
            match code {
                opcode::END => return self.end().map(|()| None),
                opcode::DATABASE => self.db = self.source.number()?,
                opcode::SIZES => {
                    let keys = self.source.number()?;
                    self.source.number()?;
                    return Ok(Some(Record::Sizes { db: self.db, keys }));
                }
                opcode::EXPIRY_MILLIS => {
                    expire_at = Some(i64::from_le_bytes(self.source.array()?));
                }
                opcode::EXPIRY_SECONDS => {
                    let seconds = i32::from_le_bytes(self.source.array()?);
                    expire_at = Some(Millis::from(seconds) * 1_000);
                }
                opcode::LIBRARY => return Ok(Some(Record::Library(self.source.string()?))),
                opcode::FREQUENCY
                | opcode::IDLE
                | opcode::REMARK
                | opcode::MODULE
                | opcode::SLOT_INFO
                | opcode::SLOT_IMPORT => self.pass_over(code, at)?,
                kind => return self.key(kind, at, expire_at).map(Some),
            }
        }
    }

    /// What means nothing here.
    fn pass_over(&mut self, code: u8, at: u64) -> Result<(), Refused> {
        let source = &mut self.source;
        match code {
            opcode::FREQUENCY => drop(source.byte()?),
            opcode::IDLE => drop(source.number()?),
            opcode::REMARK => {
                source.string()?;
                source.string()?;
            }
            opcode::MODULE => {
                for _ in 0..3 {
                    source.number()?;
                }
                return source.pass_over_module();
            }
            opcode::SLOT_INFO => {
                for _ in 0..3 {
                    source.number()?;
                }
            }
            // What Redis 8 means by this number belongs to modules.
            _ if self.header.origin == Origin::Redis => {
                return Err(Refused::Unknown { at, number: code });
            }
            _ => {
                source.string()?;
                for _ in 0..source.number()? {
                    source.number()?;
                    source.number()?;
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, kind: u8, at: u64, expire_at: Option<Millis>) -> Result<Record, Refused> {
        let shape =
            shape::of(kind, self.header.origin).ok_or(Refused::Unknown { at, number: kind })?;
        let key = self.source.string()?;
        let body = self.source.collect(shape)?;
        Ok(Record::Key { db: self.db, key, expire_at, kind, body })
    }

    fn end(&mut self) -> Result<(), Refused> {
        self.ended = true;
        if self.header.version >= CHECKSUMMED {
            let sum = self.source.checksum();
            let stored = u64::from_le_bytes(self.source.array()?);
            // 0: written without one.
            if stored != 0 && stored != sum {
                return Err(Refused::Checksum);
            }
        }
        self.source.expect_end()
    }
}

impl<R: Read> Iterator for File<R> {
    type Item = Result<Record, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.record();
        self.ended |= record.is_err();
        record.transpose()
    }
}

fn header<R: Read>(source: &mut Source<R>) -> Result<Header, Refused> {
    let (origin, digits) = match &source.array::<5>()? {
        b"REDIS" => (Origin::Redis, source.array::<4>()?.to_vec()),
        b"VALKE" if source.byte()? == b'Y' => (Origin::Valkey, source.array::<3>()?.to_vec()),
        _ => return Err(Refused::Header),
    };
    let version = digits.iter().try_fold(0, |number: u32, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    });
    match version {
        None | Some(0) => Err(Refused::Header),
        Some(version) => Ok(Header { origin, version }),
    }
}
