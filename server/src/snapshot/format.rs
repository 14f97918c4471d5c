//! The format of a snapshot file: what its bytes mean, and who may believe them.
//!
//! ```text
//! file:    | header | block ... | end block |                       nothing follows the end block
//!
//! header:  | "DUNLIN\r\n" | version 4 | databases 4 | created 8 | keys 8 | checksum 8 |
//!
//! block:   | kind 1 | packing 1 | 0 2 | number 4 | stored 4 | length 4 | checksum 8 | stored bytes |
//!            kind 1   whole entries, one after the other
//!                 2   a piece of an entry that is longer than a block; more of it follows
//!                 3   its last piece
//!                 4   the end: | entries 8 | blocks before this one 8 | checksum of checksums 8 |
//!            packing  0: `stored` = `length`; 1: LZF, `length` bytes when unpacked
//!
//! entry:   | what 1 | database 1 | [expiry 8] | key length 4 | key | value length 8 | value |
//!            what     1 value, 2 part of a collection, 3 void, 4 library; + 128: with an expiry
//!            value    type and bytes as in an RDB file; of a library its text; of a void nothing
//! ```
//!
//! Numbers are little-endian. A checksum is XXH3 (64 bits) of everything before it in the header or in
//! the head of the block, and of the stored bytes; that of the end block's body is made of the
//! checksums of all blocks in their order, and so the file is whole, in order, and one file.
//!
//! A block holds at most [`BLOCK`] bytes, packed or not, so neither side needs more memory than that
//! for a block, whatever a length says. Only an entry that is longer by itself comes in pieces, and
//! grows as they arrive.
//!
//! A large collection is written as **parts**, each with some of its members: a key's parts are put
//! together in any order. The last one has no value, and says when the key expires. A **void** takes back
//! what was written of a key: it was removed or replaced before its last part.
//!
//! In version 1 every part said when the key expired at that moment, and there was no last one.

use crate::rdb::lzf;
use std::fmt;
use std::io::{self, Read, Write};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// How a snapshot file begins.
pub const MAGIC: &[u8; 8] = b"DUNLIN\r\n";
/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 2;
/// Most bytes of a block, packed or not.
pub const BLOCK: usize = 64 * 1024;

const HEADER: usize = 40;
const BLOCK_HEAD: usize = 24;
const END_BODY: usize = 24;
const CHECKSUM: usize = 8;
/// Packing must save at least a part of so many.
const MIN_SAVING: usize = 16;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole entries.
    Entries,
    /// A piece of a long entry.
    Piece,
    /// The last piece of a long entry.
    LastPiece,
    /// Nothing more.
    End,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Entries, Kind::Piece, Kind::LastPiece, Kind::End];

    fn code(self) -> u8 {
        match self {
            Kind::Entries => 1,
            Kind::Piece => 2,
            Kind::LastPiece => 3,
            Kind::End => 4,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What is known before the first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// When the snapshot began, in milliseconds.
    pub created: i64,
    /// How many databases the server had.
    pub databases: u32,
    /// How many keys there were: a hint, they come and go while the file is written.
    pub keys: u64,
}

/// Why a file is refused.
#[derive(Debug)]
pub enum Broken {
    /// It cannot be read.
    Io(io::Error),
    /// It is not a snapshot.
    Magic,
    /// It is of a later version.
    Future(u32),
    /// It ends too early.
    Short,
    /// Something in it is not as it was written.
    Damaged {
        /// Which block, counted from 0; none: the header.
        block: Option<u32>,
        /// What does not fit.
        what: &'static str,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Io(error) => write!(f, "it cannot be read: {}", crate::files::reason(error)),
            Broken::Magic => f.write_str("this is neither a snapshot nor an RDB file"),
            Broken::Future(version) => write!(
                f,
                "it is of version {version}, and this server reads versions up to {VERSION}"
            ),
            Broken::Short => f.write_str("it ends too early"),
            Broken::Damaged { block: None, what } => write!(f, "its header is damaged ({what})"),
            Broken::Damaged { block: Some(number), what } => {
                write!(f, "block {number} is damaged ({what})")
            }
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Broken::Short,
            _ => Broken::Io(error),
        }
    }
}

/// Writes the blocks of a file.
pub struct BlockWriter<W> {
    out: W,
    number: u32,
    all: Xxh3,
    /// Bytes written so far.
    written: u64,
    compress: bool,
    buffer: Vec<u8>,
}

impl<W: Write> BlockWriter<W> {
    /// Begins a file.
    pub fn begin(mut out: W, header: &Header, compress: bool) -> io::Result<Self> {
        let mut head = Vec::with_capacity(HEADER);
        head.extend(MAGIC);
        head.extend(VERSION.to_le_bytes());
        head.extend(header.databases.to_le_bytes());
        head.extend(header.created.to_le_bytes());
        head.extend(header.keys.to_le_bytes());
        let checksum = xxh3_64(&head).to_le_bytes();
        head.extend(checksum);
        out.write_all(&head)?;
        let mut all = Xxh3::new();
        all.update(&checksum);
        let buffer = Vec::with_capacity(BLOCK_HEAD + BLOCK);
        Ok(BlockWriter { out, number: 0, all, written: HEADER as u64, compress, buffer })
    }

    /// Writes a block of at most [`BLOCK`] bytes.
    pub fn block(&mut self, kind: Kind, body: &[u8]) -> io::Result<()> {
        let packed = if self.compress { pack(body) } else { None };
        let stored = packed.as_deref().unwrap_or(body);
        let (Ok(length), Ok(stored_length)) =
            (u32::try_from(body.len()), u32::try_from(stored.len()))
        else {
            return Err(io::Error::other("a block is too long"));
        };
        self.buffer.clear();
        self.buffer.extend([kind.code(), u8::from(packed.is_some()), 0, 0]);
        self.buffer.extend(self.number.to_le_bytes());
        self.buffer.extend(stored_length.to_le_bytes());
        self.buffer.extend(length.to_le_bytes());
        let checksum = checksum(&self.buffer, stored).to_le_bytes();
        self.buffer.extend(checksum);
        self.buffer.extend_from_slice(stored);
        self.out.write_all(&self.buffer)?;
        self.all.update(&checksum);
        self.written += self.buffer.len() as u64;
        self.number =
            self.number.checked_add(1).ok_or_else(|| io::Error::other("too many blocks"))?;
        Ok(())
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Where the bytes go.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the file after so many entries.
    pub fn end(mut self, entries: u64) -> io::Result<W> {
        let mut body = Vec::with_capacity(END_BODY);
        body.extend(entries.to_le_bytes());
        body.extend(u64::from(self.number).to_le_bytes());
        body.extend(self.all.digest().to_le_bytes());
        self.compress = false;
        self.block(Kind::End, &body)?;
        Ok(self.out)
    }
}

fn checksum(head: &[u8], stored: &[u8]) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(head);
    sum.update(stored);
    sum.digest()
}

fn pack(body: &[u8]) -> Option<Vec<u8>> {
    lzf::compress(body, body.len() - body.len() / MIN_SAVING)
}

/// A block that was read and is as it was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// What it holds.
    pub kind: Kind,
    /// Its bytes, perhaps packed.
    stored: Vec<u8>,
    number: u32,
    packed: bool,
    length: usize,
}

impl Block {
    /// Its bytes.
    pub fn unpack(self) -> Result<Vec<u8>, Broken> {
        if !self.packed {
            return Ok(self.stored);
        }
        let damaged = Broken::Damaged { block: Some(self.number), what: "packing" };
        lzf::decompress(&self.stored, self.length).ok_or(damaged)
    }
}

/// Reads the blocks of a file, in its order.
pub struct BlockReader<R> {
    input: R,
    header: Header,
    number: u32,
    all: Xxh3,
    read: u64,
    entries: Option<u64>,
}

impl<R: Read> BlockReader<R> {
    /// Reads the header of a file.
    pub fn begin(mut input: R) -> Result<Self, Broken> {
        let mut bytes = [0; HEADER];
        let found = read_up_to(&mut input, &mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            let begun = MAGIC.starts_with(bytes.get(..found).unwrap_or_default());
            return Err(if begun { Broken::Short } else { Broken::Magic });
        }
        let mut head = Fields(&bytes);
        let (_, version) = (head.u64(), head.u32());
        // A later header may look otherwise in any place but here.
        if version > VERSION && found >= MAGIC.len() + size_of::<u32>() {
            return Err(Broken::Future(version));
        }
        if found < HEADER {
            return Err(Broken::Short);
        }
        let databases = head.u32();
        let header = Header { databases, created: head.u64().cast_signed(), keys: head.u64() };
        let checked = bytes.get(..HEADER - CHECKSUM).unwrap_or_default();
        let checksum = head.u64();
        if version == 0 || xxh3_64(checked) != checksum {
            return Err(Broken::Damaged { block: None, what: "checksum" });
        }
        let mut all = Xxh3::new();
        all.update(&checksum.to_le_bytes());
        Ok(BlockReader { input, header, number: 0, all, read: HEADER as u64, entries: None })
    }

    /// The header.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// How many entries there were; none before the end.
    pub fn entries(&self) -> Option<u64> {
        self.entries
    }

    /// The next block; none if the file has ended as it should.
    pub fn next_block(&mut self) -> Result<Option<Block>, Broken> {
        let mut head = [0; BLOCK_HEAD];
        self.input.read_exact(&mut head)?;
        let number = self.number;
        let damaged = |what| Broken::Damaged { block: Some(number), what };
        let [code, packing, zero @ ..] = head;
        let mut fields = Fields(&zero);
        let (zero, found, stored, length) =
            (fields.u16(), fields.u32(), fields.u32() as usize, fields.u32() as usize);
        let checksum = fields.u64();
        if zero != 0 || stored > BLOCK || length > BLOCK {
            return Err(damaged("head"));
        }
        let mut body = vec![0; stored];
        self.input.read_exact(&mut body)?;
        if self::checksum(head.get(..BLOCK_HEAD - CHECKSUM).unwrap_or_default(), &body) != checksum
        {
            return Err(damaged("checksum"));
        }
        self.read += (BLOCK_HEAD + stored) as u64;
        if found != number {
            return Err(damaged("number"));
        }
        let kind = Kind::from_code(code).ok_or(damaged("kind"))?;
        if packing > 1 || packing == 0 && stored != length {
            return Err(damaged("packing"));
        }
        if kind == Kind::End {
            return self.finish(&body).map(|()| None);
        }
        self.all.update(&checksum.to_le_bytes());
        self.number = number.checked_add(1).ok_or(damaged("number"))?;
        Ok(Some(Block { kind, stored: body, number, packed: packing == 1, length }))
    }

    fn finish(&mut self, body: &[u8]) -> Result<(), Broken> {
        let damaged = |what| Err(Broken::Damaged { block: Some(self.number), what });
        if body.len() != END_BODY {
            return damaged("end");
        }
        let mut fields = Fields(body);
        let (entries, blocks, all) = (fields.u64(), fields.u64(), fields.u64());
        if blocks != u64::from(self.number) || all != self.all.digest() {
            return damaged("end");
        }
        if read_up_to(&mut self.input, &mut [0])? > 0 {
            return damaged("bytes behind the end");
        }
        self.entries = Some(entries);
        Ok(())
    }
}

/// Reads until the buffer is full or nothing more comes.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => found += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Numbers from the front of bytes of which the length is known; 0 behind their end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Header = Header { created: 1_700_000_000_000, databases: 16, keys: 2 };

    fn file(compress: bool) -> Vec<u8> {
        let mut writer = BlockWriter::begin(Vec::new(), &HEAD, compress).expect("memory");
        writer.block(Kind::Entries, b"some entries").expect("memory");
        writer.block(Kind::Piece, &[b'a'; BLOCK]).expect("memory");
        writer.block(Kind::LastPiece, b"").expect("memory");
        writer.end(2).expect("memory")
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Kind, Vec<u8>)>, Broken> {
        let mut reader = BlockReader::begin(bytes)?;
        let mut blocks = Vec::new();
        while let Some(block) = reader.next_block()? {
            blocks.push((block.kind, block.unpack()?));
        }
        assert_eq!((reader.header(), reader.entries()), (HEAD, Some(2)));
        assert_eq!(reader.bytes_read(), bytes.len() as u64);
        Ok(blocks)
    }

    #[test]
    fn blocks_come_back() {
        let (plain, packed) = (file(false), file(true));
        assert!(packed.len() < 2_000 && plain.len() > BLOCK, "{} {}", packed.len(), plain.len());
        for file in [plain, packed] {
            let blocks = read(&file).expect("it is whole");
            let shown: Vec<_> = blocks.iter().map(|(kind, body)| (*kind, body.len())).collect();
            assert_eq!(shown, [(Kind::Entries, 12), (Kind::Piece, BLOCK), (Kind::LastPiece, 0)]);
        }
    }

    #[test]
    fn every_flip_and_truncation_is_refused() {
        let file = file(true);
        for at in 0..file.len() {
            assert!(read(&file[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut file = file.clone();
                file[at] ^= 1 << bit;
                assert!(read(&file).is_err(), "bit {bit} of byte {at}");
            }
        }
        let longer = [&file[..], b"x"].concat();
        assert!(matches!(read(&longer), Err(Broken::Damaged { block: Some(3), .. })));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let says = |bytes: &[u8]| read(bytes).expect_err("it is refused").to_string();
        assert_eq!(says(b""), "it ends too early");
        assert_eq!(says(b"DUNLIN\r"), "it ends too early");
        assert_eq!(says(b"GIF89a"), "this is neither a snapshot nor an RDB file");
        let mut future = file(false);
        future[8] = 7;
        let text = "it is of version 7, and this server reads versions up to 2";
        assert_eq!(says(&future), text);
        let mut huge = file(false);
        huge[HEADER + 8..HEADER + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(says(&huge), "block 0 is damaged (head)");
    }
}
