use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const SPARSE_MAX: usize = 3000;

fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn filled(prefix: &str, elements: u32, sparse_max: usize) -> HllBuf {
    let mut hll = HllBuf::new();
    hll.invalidate();
    for i in 0..elements {
        hll.add(format!("{prefix}{i}").as_bytes(), sparse_max).expect("well formed");
    }
    hll
}

fn reread(hll: &HllBuf) -> Hll<'_> {
    let view = Hll::new(&hll.bytes).expect("what edits make is valid");
    assert_eq!(view.encoding(), hll.view().encoding());
    view
}

#[test]
fn bytes_of_redis() {
    // What redis-server 7.0 answers to PFADD, PFCOUNT, GET and PFDEBUG DECODE.
    let mut hll = HllBuf::default();
    assert_eq!(hll.bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(hll.view().cached_count(), Some(0));
    for element in [b"a", b"b", b"c"] {
        assert_eq!(hll.view().would_change(element), Ok(true));
        assert_eq!(hll.add(element, SPARSE_MAX), Ok(true));
        assert_eq!(hll.view().would_change(element), Ok(false));
        assert_eq!(hll.add(element, SPARSE_MAX), Ok(false));
    }
    let stale = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ";
    assert_eq!(hll.bytes, stale);
    assert_eq!(hll.view().cached_count(), None);
    assert_eq!(hll.view().count(), Ok(3));
    hll.cache_count(3);
    let counted = b"HYLL\x01\0\0\0\x03\0\0\0\0\0\0\0`\xf3\x80P\xb1\x84K\xfb\x80BZ";
    assert_eq!(hll.bytes, counted);
    assert_eq!(hll.view().cached_count(), Some(3));
    let decoded = "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603";
    assert_eq!(hll.view().decode().as_deref(), Some(decoded));
}

#[test]
fn many_elements_make_the_bytes_and_counts_of_redis() {
    // hll-sparse-max-bytes, elements e0, e1, .., then length and FNV-1a of redis-server 7.0's
    // string, and its count.
    let cases = [
        (3000, 1, 21, 0xfffb_6fae_ff77_f7cd, 1),
        (3000, 10, 48, 0x4afc_b65d_27f7_d346, 10),
        (3000, 100, 285, 0xb8de_76da_b4a4_065e, 100),
        (3000, 1000, 1906, 0x5935_de02_3280_6824, 1008),
        (3000, 2000, 12304, 0x1b55_76fa_1f6b_8092, 2000),
        (3000, 10_000, 12304, 0x7378_cbab_5ab5_c44b, 9973),
        (3000, 100_000, 12304, 0xafbf_1713_dc5b_a3c8, 100_853),
        (200, 100, 12304, 0x193d_1a06_50f1_c5bf, 100),
        (100_000, 2000, 3475, 0x8ec6_48af_6b32_7e04, 2000),
        (100_000, 10_000, 10572, 0xa686_dfa5_a0e3_8975, 9973),
        (100_000, 100_000, 13612, 0x675a_b8b8_6988_1d6d, 100_853),
        (0, 1, 12304, 0x063e_7d29_f70d_730a, 1),
        (0, 1000, 12304, 0xb663_d6cd_bb09_d5a6, 1008),
    ];
    for (sparse_max, elements, len, digest, count) in cases {
        let hll = filled("e", elements, sparse_max);
        let view = reread(&hll);
        assert_eq!(hll.bytes.len(), len, "{elements} elements in {sparse_max}");
        assert_eq!(fnv(&hll.bytes), digest, "{elements} elements in {sparse_max}");
        assert_eq!(view.count(), Ok(count));
        assert_eq!(view.registers().map(|registers| registers.count()), Ok(count));
        let encoding = if len == 12304 { Encoding::Dense } else { Encoding::Sparse };
        assert_eq!(view.encoding(), encoding);
        assert_eq!(view.decode().is_some(), encoding == Encoding::Sparse);
    }
}

fn union(hlls: &[&HllBuf]) -> Registers {
    let mut union = Registers::default();
    for hll in hlls {
        union.absorb(hll.view()).expect("well formed");
    }
    union
}

#[test]
fn merging_makes_the_bytes_of_redis() {
    let mut a = filled("x", 300, SPARSE_MAX);
    let mut b = filled("y", 300, SPARSE_MAX);
    let mut merged = HllBuf::new();
    merged.merge(union(&[&a, &b]), SPARSE_MAX).expect("well formed");
    assert_eq!((merged.bytes.len(), fnv(&merged.bytes)), (1221, 0x40c7_8444_b87a_f7ee));
    assert_eq!(merged.view().count(), Ok(603));
    assert_eq!(union(&[&a, &b]).count(), 603);

    // A promotion on the way gives the same as dense ones from the beginning.
    let mut small = HllBuf::new();
    small.merge(union(&[&a, &b]), 500).expect("well formed");
    assert_eq!(small.view().encoding(), Encoding::Dense);
    assert_eq!(merged.make_dense(), Ok(true));
    assert_eq!(merged.make_dense(), Ok(false));
    assert_eq!(small.bytes, merged.bytes);

    for i in 0..5000 {
        b.add(format!("z{i}").as_bytes(), SPARSE_MAX).expect("well formed");
    }
    a.merge(union(&[&b]), SPARSE_MAX).expect("well formed");
    assert_eq!((a.bytes.len(), fnv(&a.bytes)), (12304, 0x8a97_08a8_54c7_f61b));
    assert_eq!(a.view().count(), Ok(5567));
}

#[test]
fn strings_that_are_none() {
    let dense = filled("e", 3000, SPARSE_MAX).bytes;
    let sparse = filled("e", 3, SPARSE_MAX).bytes;
    assert!(Hll::new(&dense).is_some() && Hll::new(&sparse).is_some());
    assert!(Hll::new(&dense[..dense.len() - 1]).is_none(), "too short");
    assert!(Hll::new(&[&dense[..], b"\0"].concat()).is_none(), "too long");
    assert!(Hll::new(&sparse[..15]).is_none(), "no header");
    assert!(Hll::new(b"").is_none() && Hll::new(b"HYLL").is_none());
    for (at, byte) in [(0, b'h'), (3, b'l'), (4, 2), (4, 255)] {
        let mut damaged = sparse.clone();
        damaged[at] = byte;
        assert!(HllBuf::from_bytes(damaged).is_none(), "byte {at}");
    }
}

/// A sparse string of these runs.
fn sparse(runs: &[u8]) -> HllBuf {
    let mut bytes = HllBuf::new().bytes;
    bytes.truncate(HEADER);
    bytes.extend_from_slice(runs);
    let mut hll = HllBuf::from_bytes(bytes).expect("a good header");
    hll.invalidate();
    hll
}

#[test]
fn runs_that_do_not_fit_are_noticed() {
    let cases: &[&[u8]] = &[
        &[],
        &[0x7f],                   // half a run
        &[0x7f, 0xfe],             // one register too few
        &[0x7f, 0xff, 0x00],       // one too many
        &[0x7f, 0xff, 0x80],       // one too many, with a value
        &[0x7f, 0xff, 0x7f],       // half a run behind
        &[0x7f, 0xff, 0x7f, 0xff], // twice as many
    ];
    for runs in cases {
        let hll = sparse(runs);
        let view = hll.view();
        assert_eq!(view.count(), Err(Corrupt), "{runs:?}");
        assert_eq!(view.registers().map(|_| ()), Err(Corrupt), "{runs:?}");
        assert_eq!(hll.clone().make_dense(), Err(Corrupt), "{runs:?}");
        assert_eq!(hll.clone().merge(Registers::new(), SPARSE_MAX), Err(Corrupt), "{runs:?}");
        // A register that is not covered cannot be raised.
        let added = (0..100_000_u32)
            .try_for_each(|i| hll.clone().add(&i.to_le_bytes(), SPARSE_MAX).map(|_| ()));
        assert_eq!(added.is_err(), runs.len() < 3, "{runs:?}");
    }
}

#[test]
fn the_longest_pattern_is_no_sparse_one() {
    let mut hll = HllBuf::new();
    assert_eq!(hll.raise(7, 32, SPARSE_MAX), Ok(true));
    assert_eq!(hll.view().encoding(), Encoding::Sparse);
    assert_eq!(hll.raise(7, 33, SPARSE_MAX), Ok(true));
    assert_eq!(hll.view().encoding(), Encoding::Dense);
    assert_eq!(hll.raise(7, 33, SPARSE_MAX), Ok(false));
    assert_eq!(hll.view().registers().map(|r| r.values()[7]), Ok(33));
}

#[test]
fn registers_no_hash_can_fill_are_counted_as_something() {
    let mut bytes = filled("e", 3000, SPARSE_MAX).bytes;
    bytes[HEADER..].fill(0xff);
    let hll = HllBuf::from_bytes(bytes).expect("a good header");
    assert_eq!(hll.view().count(), Ok(i64::MAX as u64));
    assert_eq!(hll.view().registers().map(|registers| registers.count()), Ok(i64::MAX as u64));
}

/// One register set to a value that is no smaller than 1.
fn update() -> impl Strategy<Value = (usize, u8)> {
    // Close together, so that runs meet.
    let register = prop_oneof![0_usize..80, Just(REGISTERS - 1), 0..REGISTERS];
    (register, prop_oneof![4 => 1_u8..4, 1 => 1_u8..=51])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_encodings_agree_with_an_array(
        updates in proptest::collection::vec(update(), 0..120),
        sparse_max in 0_usize..200,
    ) {
        let mut model = [0_u8; REGISTERS];
        let mut hll = HllBuf::new();
        for (register, value) in updates {
            prop_assert_eq!(hll.raise(register, value, sparse_max), Ok(value > model[register]));
            model[register] = model[register].max(value);
        }
        let view = reread(&hll);
        let registers = view.registers().expect("well formed");
        prop_assert!(registers.values()[..] == model[..]);
        prop_assert_eq!(view.count(), Ok(registers.count()));
        prop_assert!(view.encoding() == Encoding::Dense || hll.bytes.len() <= sparse_max.max(18));
        for register in (0..100).chain([REGISTERS - 1]) {
            let value = match view.encoding() {
                Encoding::Dense => Ok(dense::get(view.body(), register)),
                Encoding::Sparse => sparse::get(view.body(), register),
            };
            prop_assert_eq!(value, Ok(model[register]));
        }
    }

    #[test]
    fn any_runs_are_judged(
        runs in proptest::collection::vec(any::<u8>(), 0..40),
        elements in proptest::collection::vec(any::<u64>(), 0..10),
    ) {
        let mut hll = sparse(&runs);
        let whole = hll.view().count().is_ok();
        prop_assert_eq!(hll.view().registers().is_ok(), whole);
        let _ = hll.view().decode();
        for element in elements {
            let added = hll.add(&element.to_le_bytes(), SPARSE_MAX);
            prop_assert!(added.is_ok() || !whole);
        }
        prop_assert_eq!(hll.view().count().is_ok(), whole);
        prop_assert_eq!(hll.merge(Registers::new(), SPARSE_MAX).is_ok(), whole);
    }

    #[test]
    fn estimates_are_close(elements in 1_usize..10_000, seed in any::<u32>()) {
        let mut hll = HllBuf::new();
        let mut distinct = HashSet::new();
        for i in 0..elements {
            let element = ((u64::from(seed) << 32) + i as u64 / 2).to_le_bytes();
            distinct.insert(element);
            hll.add(&element, SPARSE_MAX).expect("well formed");
        }
        let exact = distinct.len() as f64;
        let estimate = hll.view().count().expect("well formed") as f64;
        // Six standard errors and one.
        prop_assert!((estimate - exact).abs() <= 6.0 * 0.0081 * exact + 1.0);
    }
}
