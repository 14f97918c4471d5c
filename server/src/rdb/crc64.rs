//! CRC-64 "Jones", the checksum at the end of a DUMP payload: reflected, polynomial
//! `ad93d23594c935a9`, starting at zero, no final inversion.

/// The polynomial with its bits in the reflected order.
const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9_u64.reverse_bits();

/// `TABLES[n][b]`: what byte `b` does to the checksum once `n` zero bytes have followed it. Eight
/// of them turn eight dependent lookups into independent ones.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[zeros - 1][byte];
            tables[zeros][byte] = crc >> 8 ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

/// The checksum of `bytes`.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    update(0, bytes)
}

/// The checksum of what had the checksum `crc` and `bytes` after it.
pub(super) fn update(crc: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(crc, |crc, word| {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        mixed
            .iter()
            .zip(TABLES.iter().rev())
            .fold(0, |sum, (b, table)| sum ^ table[usize::from(*b)])
    });
    rest.iter()
        .fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        assert_eq!(crc64(b""), 0);
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn eight_bytes_at_once_are_eight_single_bytes() {
        let bytes: Vec<u8> = (0..100_u8).map(|i| i.wrapping_mul(37)).collect();
        for len in 0..bytes.len() {
            let slow = bytes[..len].iter().fold(0_u64, |crc, byte| {
                crc >> 8 ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)]
            });
            assert_eq!(crc64(&bytes[..len]), slow, "{len} bytes");
            let (first, second) = bytes[..len].split_at(len / 3);
            assert_eq!(update(crc64(first), second), slow, "{len} bytes in two pieces");
        }
    }
}
