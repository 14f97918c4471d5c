//! Files of Redis, and snapshots.

use dunlin::rdb;
use dunlin::rdb::file::{File, Record};
use dunlin::snapshot::format::{BLOCK, BlockReader, BlockWriter, Header, Kind};

/// Reads an RDB file, whatever it is, to its end or to the first thing that is wrong, and makes values
/// of what it holds. Nothing may be made of more bytes than there are.
pub fn rdb(data: &[u8]) {
    let Ok(mut file) = File::open(data) else { return };
    let mut last = file.position();
    while let Some(record) = file.next() {
        let Ok(record) = record else { break };
        let position = file.position();
        assert!(last < position && position <= data.len() as u64, "{last}, {position}");
        last = position;
        if let Record::Key { kind, body, .. } = record {
            assert!(body.len() <= data.len(), "the bytes of a value are those of the file");
            // It may be none: what is looked for is a panic.
            let _ = rdb::read_value(kind, &body);
        }
    }
}

/// What a snapshot consists of.
type Blocks = Vec<(Kind, Vec<u8>)>;

fn read(bytes: &[u8]) -> Option<(Header, Blocks, Option<u64>)> {
    let mut reader = BlockReader::begin(bytes).ok()?;
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block().ok()? {
        let kind = block.kind;
        let body = block.unpack().ok()?;
        assert!(body.len() <= BLOCK, "{}", body.len());
        blocks.push((kind, body));
    }
    Some((reader.header(), blocks, reader.entries()))
}

/// Reads the data as a snapshot; then writes a snapshot with the data in its blocks, which comes back
/// as it was, and is refused with any byte of it changed, and cut off anywhere.
pub fn snapshot(data: &[u8]) {
    let _ = read(data);
    let Some((front, rest)) = data.split_first_chunk::<12>() else { return };
    let [flags, piece @ ..] = *front;
    let number = piece.iter().fold(0_u64, |number, &byte| number << 5 ^ u64::from(byte));
    let header = Header { created: number.cast_signed(), databases: 16, keys: number >> 7 };
    let kinds = [Kind::Entries, Kind::Piece, Kind::LastPiece];
    let length = 1 + usize::try_from(number % BLOCK as u64).unwrap_or(0);
    let pieces = rest.chunks(length).enumerate();
    let blocks: Blocks = pieces.map(|(i, body)| (kinds[i % kinds.len()], body.to_vec())).collect();
    let written = || -> std::io::Result<Vec<u8>> {
        let mut writer = BlockWriter::begin(Vec::new(), &header, flags & 1 == 1)?;
        for (kind, body) in &blocks {
            writer.block(*kind, body)?;
        }
        writer.end(number)
    };
    let whole = written().expect("memory does not fail");
    assert_eq!(read(&whole), Some((header, blocks, Some(number))));
    let at = usize::try_from(number).unwrap_or(usize::MAX) % whole.len();
    let mut damaged = whole.clone();
    damaged[at] ^= flags | 1;
    assert_eq!(read(&damaged), None, "byte {at}");
    assert_eq!(read(&whole[..at]), None, "cut off after {at}");
}
