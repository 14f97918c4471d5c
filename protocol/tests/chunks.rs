//! Big arguments leave their memory to the next one. A program of its own, because the free chunks
//! belong to the whole process.

use dunlin_protocol::limits::{CHUNK, Limits};
use dunlin_protocol::{ArgValue, Decoder, chunk};

const CHUNKS: usize = 5;

/// Parses SET with a value of so many chunks, and lets `look` see where they are.
fn receive(byte: u8, look: impl FnOnce(&[bytes::Bytes])) {
    let value = vec![byte; CHUNKS * CHUNK];
    let mut wire = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len()).into_bytes();
    wire.extend_from_slice(&value);
    wire.extend_from_slice(b"\r\n");
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let room = decoder.read_buf();
        let (part, more) = rest.split_at(rest.len().min(room.capacity() - room.len()));
        room.extend_from_slice(part);
        rest = more;
        decoder.parse(1);
    }
    let ArgValue::Chunks { chunks, .. } = decoder.request(0).value(2) else {
        panic!("it is a big one")
    };
    assert!(chunks.iter().flatten().all(|got| *got == byte), "all bytes are the new value's");
    look(chunks);
}

#[test]
fn chunks_are_used_again_when_their_last_user_is_gone() {
    let places = |chunks: &[bytes::Bytes]| -> Vec<usize> {
        chunks.iter().map(|chunk| chunk.as_ptr().addr()).collect()
    };
    receive(1, |_| ());
    assert_eq!(chunk::free_bytes(), 0, "at first none are kept");

    chunk::keep(100 * CHUNK as u64);
    let (mut first, mut held) = (Vec::new(), None);
    receive(2, |chunks| {
        first = places(chunks);
        held = Some(chunks[1].slice(7..9));
    });
    assert_eq!(chunk::free_bytes(), ((CHUNKS - 1) * CHUNK) as u64, "one is in use");
    assert_eq!(held.as_deref(), Some(&[2, 2][..]));
    drop(held);
    assert_eq!(chunk::free_bytes(), (CHUNKS * CHUNK) as u64);

    let mut second = Vec::new();
    receive(3, |chunks| {
        second = places(chunks);
        assert_eq!(chunk::free_bytes(), 0);
    });
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!(first, second);

    assert_eq!(chunk::unneeded(), 0, "all were needed");
    assert_eq!(chunk::unneeded(), CHUNKS);
    chunk::release(2);
    assert_eq!(chunk::free_bytes(), ((CHUNKS - 2) * CHUNK) as u64);
    chunk::keep(CHUNK as u64);
    assert_eq!(chunk::free_bytes(), CHUNK as u64);
}
