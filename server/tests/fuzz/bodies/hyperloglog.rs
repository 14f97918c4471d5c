//! Strings that are taken for HyperLogLogs.

use dunlin_storage::value::hyperloglog::{HllBuf, Registers};

use super::Source;

/// Takes the data for the registers of a HyperLogLog, sparse or dense. Whatever they are, each operation
/// ends or says that they are corrupt; a good one counts the same in both encodings, and after
/// elements were added it has a union's registers.
pub fn hyperloglog(data: &[u8]) {
    let mut source = Source(data);
    let (flags, count) = (source.byte(), source.word());
    let sparse_max = [0, 100, 3000, 20_000][usize::from(flags >> 1 & 3)];
    let elements = [source.take(1), source.take(3), b"element"];
    let mut bytes = b"HYLL".to_vec();
    bytes.push(flags & 1 ^ 1);
    bytes.extend([0; 3]);
    bytes.extend(count.to_le_bytes());
    bytes.extend_from_slice(source.0);
    if flags & 1 == 1 {
        // A dense one has one length only.
        let registers = source.0.iter().copied().cycle().take(12_288);
        bytes.truncate(16);
        bytes.extend(registers.chain(std::iter::repeat(0)).take(12_288));
    }
    let Some(mut buf) = HllBuf::from_bytes(bytes) else { return };
    let view = buf.view();
    let (counted, registers) = (view.count(), view.registers());
    let _ = (view.cached_count(), view.decode());
    assert_eq!(counted.is_ok(), registers.is_ok(), "both look at everything");
    let mut whole = Registers::new();
    let absorbed = whole.absorb(view);
    assert_eq!(absorbed.is_ok(), registers.is_ok());
    for element in elements {
        let would = buf.view().would_change(element);
        let added = buf.add(element, sparse_max);
        if counted.is_ok() {
            assert_eq!(would, added);
            assert_eq!(buf.view().would_change(element), Ok(false));
        }
    }
    let Ok(counted) = counted else { return };
    assert_eq!(whole.count(), counted);
    let before = buf.view().count();
    assert!(before.is_ok(), "what is good stays good");
    let mut dense = buf.clone();
    dense.make_dense().expect("it is good");
    assert_eq!(dense.view().count(), before);
    let mut merged = HllBuf::new();
    merged.merge(dense.view().registers().expect("it is good"), sparse_max).expect("both are good");
    assert_eq!(merged.view().count(), before);
    let again = HllBuf::from_bytes(buf.clone().into_bytes()).expect("it is one");
    assert_eq!(again.view().count(), before);
}
