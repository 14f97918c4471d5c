//! The bytes of a file, with where they are and their checksum.

use super::Refused;
use super::shape::Part;
use crate::rdb::reader::Reader;
use crate::rdb::{MAX_STRING, crc64, string};
use std::io::{self, BufReader, Read};

/// Read from the system at once, and most that is allocated before its bytes have come.
const PIECE: usize = 64 * 1024;
/// In place of the number of a score's digits: what has none.
const SCORE_WORDS: std::ops::RangeInclusive<u8> = 253..=255;

mod module {
    //! What parts of a module's data are.
    pub(super) const END: u64 = 0;
    pub(super) const SIGNED: u64 = 1;
    pub(super) const UNSIGNED: u64 = 2;
    pub(super) const FLOAT: u64 = 3;
    pub(super) const DOUBLE: u64 = 4;
    pub(super) const STRING: u64 = 5;
}

#[derive(Debug)]
pub(super) struct Source<R> {
    input: BufReader<R>,
    position: u64,
    checksum: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Source { input: BufReader::with_capacity(PIECE, input), position: 0, checksum: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Of all bytes read.
    pub(super) fn checksum(&self) -> u64 {
        self.checksum
    }

    fn malformed(&self, what: &'static str) -> Refused {
        Refused::Malformed { at: self.position, what }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Refused::Truncated,
            _ => Refused::Io(error),
        })?;
        self.position += bytes.len() as u64;
        self.checksum = crc64::update(self.checksum, bytes);
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether nothing is left.
    pub(super) fn expect_end(&mut self) -> Result<(), Refused> {
        match self.byte() {
            Err(Refused::Truncated) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(self.malformed("end of the file")),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Refused> {
        self.array().map(|[byte]| byte)
    }

    /// A number in the encoding of lengths.
    pub(super) fn number(&mut self) -> Result<u64, Refused> {
        self.append_number(&mut Vec::new())
    }

    /// A string, decoded.
    pub(super) fn string(&mut self) -> Result<Vec<u8>, Refused> {
        let mut encoded = Vec::new();
        self.append_string(&mut encoded)?;
        match string::decode(&mut Reader::new(&encoded), MAX_STRING) {
            Some(decoded) => Ok(decoded.into_owned()),
            None => Err(self.malformed("string")),
        }
    }

    /// The bytes of a value of these parts, as they are.
    pub(super) fn collect(&mut self, shape: &[Part]) -> Result<Vec<u8>, Refused> {
        let mut body = Vec::new();
        self.append_parts(shape, &mut body)?;
        Ok(body)
    }

    /// Shapes are constants, so this recursion is three deep at most.
    fn append_parts(&mut self, parts: &[Part], body: &mut Vec<u8>) -> Result<(), Refused> {
        for part in parts {
            match part {
                Part::Text => self.append_string(body)?,
                Part::Number => drop(self.append_number(body)?),
                Part::Bytes(count) => self.append(*count, body)?,
                Part::Score => self.append_score(body)?,
                Part::Many(parts) => {
                    for _ in 0..self.append_number(body)? {
                        self.append_parts(parts, body)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, count: usize, body: &mut Vec<u8>) -> Result<(), Refused> {
        let mut left = count;
        while left > 0 {
            let start = body.len();
            let piece = left.min(PIECE);
            body.resize(start + piece, 0);
            self.fill(&mut body[start..])?;
            left -= piece;
        }
        Ok(())
    }

    fn append_number(&mut self, body: &mut Vec<u8>) -> Result<u64, Refused> {
        let start = body.len();
        self.append(1, body)?;
        let more = string::bytes_after(body[start]).ok_or_else(|| self.malformed("number"))?;
        self.append(more, body)?;
        let number = string::number(&mut Reader::new(&body[start..]));
        number.ok_or_else(|| self.malformed("number"))
    }

    fn append_string(&mut self, body: &mut Vec<u8>) -> Result<(), Refused> {
        let start = body.len();
        self.append(1, body)?;
        let first = body[start];
        let more = string::bytes_after(first).ok_or_else(|| self.malformed("string"))?;
        self.append(more, body)?;
        if string::is_integer(first) {
            return Ok(());
        }
        let length = if string::is_packed(first) {
            let packed = self.append_number(body)?;
            self.append_number(body)?;
            packed
        } else {
            let head = string::number(&mut Reader::new(&body[start..]));
            head.ok_or_else(|| self.malformed("string"))?
        };
        match usize::try_from(length).ok().filter(|length| *length <= MAX_STRING) {
            Some(length) => self.append(length, body),
            None => Err(self.malformed("string")),
        }
    }

    fn append_score(&mut self, body: &mut Vec<u8>) -> Result<(), Refused> {
        let start = body.len();
        self.append(1, body)?;
        match body[start] {
            word if SCORE_WORDS.contains(&word) => Ok(()),
            length => self.append(length.into(), body),
        }
    }

    /// Data of a module that does not belong to a key.
    pub(super) fn pass_over_module(&mut self) -> Result<(), Refused> {
        loop {
            match self.number()? {
                module::END => return Ok(()),
                module::SIGNED | module::UNSIGNED => drop(self.number()?),
                module::FLOAT => drop(self.array::<4>()?),
                module::DOUBLE => drop(self.array::<8>()?),
                module::STRING => drop(self.string()?),
                _ => return Err(self.malformed("data of a module")),
            }
        }
    }
}
