use proptest::prelude::*;

use super::*;

fn list(elements: &[&[u8]]) -> ListpackBuf {
    let mut list = ListpackBuf::new();
    for element in elements {
        list.push(element);
    }
    list
}

/// Everything a reader can ask agrees with the model.
fn check(list: &ListpackBuf, model: &[Vec<u8>]) {
    let view = list.view();
    assert!(Listpack::validate(view.as_bytes()).is_some(), "what edits make is valid");
    assert_eq!(view.len(), model.len());
    assert_eq!(view.is_empty(), model.is_empty());
    let forth: Vec<Vec<u8>> = view.iter().map(Element::to_vec).collect();
    assert_eq!(forth, model);
    let mut back: Vec<Vec<u8>> = view.iter().rev().map(Element::to_vec).collect();
    back.reverse();
    assert_eq!(back, model);

    let mut at = view.first();
    let mut previous = None;
    for (index, wanted) in model.iter().enumerate() {
        let position = at.expect("as many positions as elements");
        assert_eq!(view.prev(position), previous);
        assert_eq!(view.seek(index as i64), at);
        assert_eq!(view.seek(index as i64 - model.len() as i64), at);
        let element = view.element(position);
        assert!(element.eq_bytes(wanted) && !element.eq_bytes(b"not in here"));
        assert_eq!(element.len(), wanted.len());
        assert_eq!(element.is_empty(), wanted.is_empty());
        assert_eq!(element.as_i64(), canonical_i64(wanted));
        assert_eq!(matches!(element, Element::Int(_)), canonical_i64(wanted).is_some());
        let rest: Vec<Vec<u8>> = view.iter_from(position).map(Element::to_vec).collect();
        assert_eq!(rest, model[index..]);
        previous = at;
        at = view.next(position);
    }
    assert_eq!(at, None);
    assert_eq!(view.last(), previous);
    assert_eq!(view.prev(view.end()), previous);
    assert_eq!(view.seek(model.len() as i64), None);
    assert_eq!(view.seek(-1 - model.len() as i64), None);
    assert_eq!(view.seek(i64::MIN), None);
    assert_eq!(view.seek(i64::MAX), None);
}

/// An element of each encoding and on both sides of each limit.
fn boundaries() -> Vec<Vec<u8>> {
    let edges = [7, 12, 15, 23, 31, 63].map(|bits| 1_i128 << bits);
    let numbers = edges.into_iter().flat_map(|edge| {
        [edge - 1, edge, edge + 1, 1 - edge, -edge, -edge - 1].map(|n| n.to_string().into_bytes())
    });
    let lengths = [0, 1, 63, 64, 125, 126, 127, 4095, 4096, 16_377, 16_378, 16_379, 2_097_150];
    let strings = lengths.into_iter().map(|length| vec![b'x'; length]);
    let odd = ["-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "0", "-1"];
    numbers.chain(strings).chain(odd.map(|text| text.as_bytes().to_vec())).collect()
}

#[test]
fn every_encoding_at_its_limits() {
    let all = boundaries();
    for element in &all {
        let single = list(&[element]);
        check(&single, std::slice::from_ref(element));
        let size = single.view().as_bytes().len() - HEADER - 1;
        assert_eq!(ListpackBuf::encoded_len(element), size);
    }
    let mut together = ListpackBuf::new();
    for element in &all {
        together.push(element);
    }
    check(&together, &all);
    for (index, element) in all.iter().enumerate() {
        let view = together.view();
        let at = view.find(HEADER, element, 0);
        let first = all.iter().position(|other| other == element);
        assert_eq!(at, first.and_then(|first| view.seek(first as i64)), "element {index}");
    }
}

#[test]
fn many_at_once() {
    let all = boundaries();
    let mut single = list(&[b"first"]);
    let mut together = single.clone();
    all.iter().for_each(|element| single.push(element));
    together.extend(all.iter().map(|text| match canonical_i64(text) {
        Some(value) if text.len() % 2 == 0 => Element::Int(value),
        _ => Element::Bytes(text),
    }));
    assert_eq!(together.view().as_bytes(), single.view().as_bytes());
    together.shrink_to_fit();
    assert_eq!(together.view().as_bytes(), single.view().as_bytes());
    assert_eq!(together.memory_usage(), crate::memory::usable(single.view().as_bytes().len()));

    let mut long = ListpackBuf::new();
    for len in [65_534, 65_535, 65_536] {
        long.extend((long.view().len()..len).map(|_| Element::Int(1)));
        assert!(Listpack::validate(long.view().as_bytes()).is_some(), "{len} elements");
        assert_eq!(long.view().len(), len);
    }
}

#[test]
fn bytes_of_redis() {
    // What redis-server 7.0 dumps for RPUSH, HSET, ZADD of these elements, without the envelope.
    let numbers = [
        "0",
        "127",
        "128",
        "-1",
        "4095",
        "-4096",
        "4096",
        "32767",
        "-32768",
        "32768",
        "8388607",
        "-8388609",
        "2147483647",
        "-2147483648",
        "2147483648",
        "9223372036854775807",
        "-9223372036854775808",
        "hello",
        "",
        "-0",
        "01",
    ];
    let wanted: &[u8] = b"n\0\0\0\x15\0\0\x01\x7f\x01\xc0\x80\x02\xdf\xff\x02\xcf\xff\x02\xd0\
        \0\x02\xf1\0\x10\x03\xf1\xff\x7f\x03\xf1\0\x80\x03\xf2\0\x80\0\x04\xf2\xff\xff\x7f\x04\
        \xf3\xff\xff\x7f\xff\x05\xf3\xff\xff\xff\x7f\x05\xf3\0\0\0\x80\x05\xf4\0\0\0\x80\0\0\0\0\
        \x09\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09\xf4\0\0\0\0\0\0\0\x80\x09\x85hello\x06\x80\
        \x01\x82-0\x03\x8201\x03\xff";
    assert_eq!(list(&numbers.map(str::as_bytes)).view().as_bytes(), wanted);

    let hash = b"\x19\0\0\0\x04\0\x84name\x05\x83ada\x04\x83age\x04$\x01\xff";
    assert_eq!(list(&[b"name", b"ada", b"age", b"36"]).view().as_bytes(), hash);

    let zset = b"$\0\0\0\x08\0\x81c\x02\xdf\xfd\x02\x81a\x02\x01\x01\x81b\x02\x832.5\x04\x81d\x02\
        \x851e+20\x06\xff";
    let members: [&[u8]; 8] = [b"c", b"-3", b"a", b"1", b"b", b"2.5", b"d", b"1e+20"];
    assert_eq!(list(&members).view().as_bytes(), zset);

    let long = list(&[&[b'a'; 63], &[b'b'; 64]]);
    let bytes = long.view().as_bytes();
    assert_eq!(bytes[..7], *b"\x8b\0\0\0\x02\0\xbf");
    assert_eq!(bytes[70..73], *b"\x40\xe0\x40");
    assert_eq!(bytes[137..], *b"\x42\xff");

    // The last value of two digits is left unused: this length takes three.
    let long = list(&[&[b'a'; 16_377], &[b'b'; 16_378]]).into_bytes();
    assert_eq!(long[HEADER + 16_382..][..3], *b"\x7f\xfe\xf0");
    assert_eq!(long[long.len() - 5..], *b"b\0\xff\xff\xff");
}

#[test]
fn counting_beyond_the_header() {
    let mut long = ListpackBuf::new();
    for i in 0..65_534 {
        long.push(if i % 2 == 0 { b"0" } else { b"text" });
    }
    assert_eq!(long.view().as_bytes()[4..6], [0xfe, 0xff]);
    assert_eq!(long.view().seek(65_533), long.view().last());
    long.push(b"last");
    long.push(b"very last");
    assert_eq!(long.view().as_bytes()[4..6], [0xff, 0xff]);
    assert!(Listpack::validate(long.view().as_bytes()).is_some());
    assert_eq!(long.view().len(), 65_536);
    assert_eq!(long.view().seek(65_535), long.view().last());
    assert_eq!(long.view().seek(-65_536), long.view().first());
    assert_eq!(long.view().seek(65_536), None);
    assert_eq!(long.view().seek(-65_537), None);
    let at = long.view().seek(10).expect("there are more");
    long.remove(at, 65_000);
    assert_eq!(long.view().len(), 536);
    assert!(Listpack::validate(long.view().as_bytes()).is_some());
}

#[test]
fn searching_skips() {
    let hash = list(&[b"a", b"b", b"b", b"7", b"7", b"a"]);
    let view = hash.view();
    let at = |index| view.seek(index);
    assert_eq!(view.find(HEADER, b"b", 0), at(1));
    assert_eq!(view.find(HEADER, b"b", 1), at(2));
    assert_eq!(view.find(HEADER, b"7", 1), at(4));
    assert_eq!(view.find(HEADER, b"7", 2), at(3));
    assert_eq!(view.find(HEADER, b"7", 100), None);
    assert_eq!(view.find(at(1).unwrap_or(0), b"7", 1), at(3));
    assert_eq!(view.find(HEADER, b"07", 0), None);
    assert_eq!(view.find(view.end(), b"a", 0), None);
    assert_eq!(ListpackBuf::default().view().find(HEADER, b"", 0), None);
}

#[test]
fn an_integer_kept_as_a_string_is_found() {
    // Redis reads such payloads, although it does not make them.
    let bytes = b"\x0b\0\0\0\x01\0\x8212\x03\xff";
    let list = Listpack::validate(bytes).expect("well formed");
    assert_eq!(list.find(HEADER, b"12", 0), Some(HEADER));
    assert_eq!(list.element(HEADER).as_i64(), Some(12));
    assert!(list.element(HEADER).eq_bytes(b"12"));
}

#[test]
fn room() {
    assert!(ListpackBuf::new().fits((1 << 30) - 7));
    assert!(!ListpackBuf::new().fits((1 << 30) - 6));
    assert!(!ListpackBuf::new().fits(usize::MAX));
    let mut copy = list(&[b"a"]).view().to_buf(100);
    let before = copy.view().as_bytes().as_ptr();
    copy.push(&[b'b'; 90]);
    assert_eq!(copy.view().as_bytes().as_ptr(), before, "no second allocation");
    check(&copy, &[vec![b'a'], vec![b'b'; 90]]);
}

#[test]
fn malformed_bytes_are_refused() {
    let good = b"\x0c\0\0\0\x02\0\x81a\x02\x05\x01\xff";
    assert!(Listpack::validate(good).is_some());
    let cases: &[&[u8]] = &[
        b"",
        b"\x06\0\0\0\0\0",                           // no end
        b"\x06\0\0\0\0\xff",                         // the end inside the header
        b"\x07\0\0\0\x01\0\xff",                     // one element too few
        b"\x08\0\0\0\0\0\xff\xff",                   // ends twice
        b"\x0d\0\0\0\x02\0\x81a\x02\x05\x01\xff",    // wrong length
        b"\x0c\0\0\0\x03\0\x81a\x02\x05\x01\xff",    // wrong count
        b"\x0c\0\0\0\x02\0\x81a\x02\x05\x01\xfe",    // wrong end
        b"\x0c\0\0\0\x02\0\x81a\x01\x05\x01\xff",    // wrong back length
        b"\x0c\0\0\0\x02\0\x81a\x02\x05\x81\xff",    // a back length without a beginning
        b"\x0c\0\0\0\x02\0\x85a\x02\x05\x01\xff",    // reaches over the end
        b"\x0c\0\0\0\x02\0\x81a\x02\xf5\x01\xff",    // no such encoding
        b"\x0c\0\0\0\x01\0\xf0\xff\xff\xff\xff\xff", // four gigabytes
    ];
    for bytes in cases {
        assert!(Listpack::validate(bytes).is_none(), "{bytes:?}");
    }
}

/// Whatever `validate` lets through can be read in every way.
fn judge(bytes: &[u8]) {
    let Some(list) = Listpack::validate(bytes) else { return };
    let forth: Vec<Element> = list.iter().collect();
    let mut back: Vec<Element> = list.iter().rev().collect();
    back.reverse();
    assert_eq!(forth, back);
    assert_eq!(list.len(), forth.len());
    let mut copy = list.to_buf(0);
    if let Some(first) = list.first() {
        copy.remove(first, 1);
        assert!(Listpack::validate(copy.view().as_bytes()).is_some());
    }
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => any::<i8>().prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i16>().prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        4 => proptest::collection::vec(any::<u8>(), 0..8),
        1 => proptest::collection::vec(any::<u8>(), 50..140),
        1 => (4080_usize..4100).prop_map(|length| vec![b'y'; length]),
    ]
}

#[test]
fn integers_without_their_text() {
    let numbers = boundaries().into_iter().filter_map(|text| canonical_i64(&text));
    for (index, number) in numbers.enumerate() {
        let text = number.to_string();
        let mut straight = list(&[b"before", b"after"]);
        straight.replace_int(HEADER, number);
        let same = list(&[text.as_bytes(), b"after"]);
        assert_eq!(straight.view().as_bytes(), same.view().as_bytes(), "number {index}");
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Push(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => element().prop_map(Edit::Push),
        2 => element().prop_map(Edit::PushFront),
        3 => (any::<usize>(), element()).prop_map(|(at, e)| Edit::Insert(at, e)),
        3 => (any::<usize>(), element()).prop_map(|(at, e)| Edit::Replace(at, e)),
        2 => (any::<usize>(), 0_usize..4).prop_map(|(at, count)| Edit::Remove(at, count)),
    ]
}

fn apply(list: &mut ListpackBuf, model: &mut Vec<Vec<u8>>, edit: Edit) {
    let position = |list: &ListpackBuf, index: usize| {
        list.view().seek(index as i64).unwrap_or(list.view().end())
    };
    match edit {
        Edit::Push(e) => {
            list.push(&e);
            model.push(e);
        }
        Edit::PushFront(e) => {
            list.push_front(&e);
            model.insert(0, e);
        }
        Edit::Insert(at, e) => {
            let index = at % (model.len() + 1);
            list.insert(position(list, index), &e);
            model.insert(index, e);
        }
        Edit::Replace(at, e) if !model.is_empty() => {
            let index = at % model.len();
            let at = position(list, index);
            assert_eq!(list.replace(at, &e), at);
            model[index] = e;
        }
        Edit::Remove(at, count) => {
            let index = at % (model.len() + 1);
            let before = list.view().as_bytes().len();
            let removed = list.remove(position(list, index), count);
            assert_eq!(list.view().as_bytes().len(), before - removed);
            model.drain(index..(index + count).min(model.len()));
        }
        Edit::Replace(..) => {}
    }
}

proptest! {
    #[test]
    fn edits_agree_with_a_vector(edits in proptest::collection::vec(edit(), 0..60)) {
        let mut list = ListpackBuf::new();
        let mut model = Vec::new();
        for edit in edits {
            apply(&mut list, &mut model, edit);
            check(&list, &model);
        }
        // However a list came about, its bytes depend on its elements alone.
        let mut straight = ListpackBuf::new();
        for element in &model {
            straight.push(element);
        }
        prop_assert_eq!(straight.into_bytes(), list.into_bytes());
    }

    #[test]
    fn random_bytes_are_judged(entries in proptest::collection::vec(any::<u8>(), 0..40)) {
        judge(&entries);
        // With a header and an end that fit, so that the entries are looked at.
        let mut bytes = u32::try_from(entries.len() + 7)?.to_le_bytes().to_vec();
        bytes.extend([0xff, 0xff]);
        bytes.extend(&entries);
        bytes.push(END);
        judge(&bytes);
    }

    #[test]
    fn damaged_bytes_are_judged(
        elements in proptest::collection::vec(element(), 1..12),
        flips in proptest::collection::vec(any::<usize>(), 1..4),
    ) {
        let mut list = ListpackBuf::new();
        for element in &elements {
            list.push(element);
        }
        let mut bytes = list.into_bytes();
        let bits = bytes.len() * 8;
        for flip in flips {
            let bit = flip % bits;
            bytes[bit / 8] ^= 1 << (bit % 8);
            judge(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn lists_come_apart_and_together(
        elements in proptest::collection::vec("[a-z]{0,9}|[0-9]{1,9}", 0..40),
        at in 0_usize..40,
    ) {
        let model: Vec<Vec<u8>> = elements.into_iter().map(String::into_bytes).collect();
        let at = at.min(model.len());
        let mut left = ListpackBuf::new();
        model.iter().for_each(|element| left.push(element));
        let position = left.view().seek(at as i64).unwrap_or(left.view().end());
        let right = left.split_off(position);
        check(&left, &model[..at]);
        check(&right, &model[at..]);
        left.append(right.view());
        check(&left, &model);
    }
}
