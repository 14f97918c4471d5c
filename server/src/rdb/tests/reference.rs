//! Payloads of Redis.

use super::*;
use dunlin_storage::value::listpack::ListpackBuf;

#[test]
fn string_of_redis() {
    // What redis-server 7.0 answers to SET k 10, DUMP k.
    let reference = b"\0\xc0\x0a\x0a\0\x6e\x9f\x57\x45\x0e\xae\x63\xbb";
    assert_eq!(dump_string(Strings::Packed, b"10").seal(), reference);
    assert_eq!(load_string(reference).as_deref(), Ok(&b"10"[..]));
}

// In what follows the bytes before the footer are those of redis-server 7.0's DUMP.

#[test]
fn lists_of_redis() {
    let one = b"\x12\x01\x02\x10\x10\0\0\0\x03\0\x81a\x02\x01\x01\x82bc\x03\xff";
    assert_eq!(plain(&sealed(one, 10)), list_of(&["a", "1", "bc"]));
    let first = list::Node::Packed(one[4..].into());
    assert_eq!(dump_list([first.clone()]), sealed(one, 10));

    let two = b"\x12\x02\x02\x0d\x0d\0\0\0\x02\0\x81a\x02\x81b\x02\xff\
        \x02\x0a\x0a\0\0\0\x01\0\x81c\x02\xff";
    assert_eq!(plain(&sealed(two, 10)), list_of(&["a", "b", "c"]));

    // As Redis writes elements beyond what a listpack takes.
    let long = b"\x12\x02\x02\x10\x10\0\0\0\x03\0\x81a\x02\x01\x01\x82bc\x03\xff\x01\x04long";
    assert_eq!(plain(&sealed(long, 10)), list_of(&["a", "1", "bc", "long"]));
    let plain_node = list::Node::Plain(b"long"[..].into());
    assert_eq!(dump_list([first, plain_node]), sealed(long, 10));
}

#[test]
fn sets_of_redis() {
    let table = b"\x02\x03\x01a\xc0\x07\x01b";
    assert_eq!(plain(&sealed(table, 10)), set_of(&["a", "7", "b"]));
    let members = [Element::Bytes(b"a"), Element::Int(7), Element::Bytes(b"b")];
    assert_eq!(set::dump(Strings::Packed, members).seal(), sealed(table, 10));

    let intset = b"\x0b\x0e\x02\0\0\0\x03\0\0\0\x01\0\x02\0,\x01";
    assert_eq!(plain(&sealed(intset, 10)), set_of(&["1", "2", "300"]));
    assert_eq!(set::dump_intset(Strings::Packed, &intset[2..]).seal(), sealed(intset, 10));

    // Redis 7.2 has listpacks, too.
    let listpack = b"\x14\x0f\x0f\0\0\0\x03\0\x81a\x02\x07\x01\x81b\x02\xff";
    assert_eq!(plain(&sealed(listpack, 11)), set_of(&["a", "7", "b"]));
}

#[test]
fn sorted_sets_of_redis() {
    let wanted = [("c", f64::NEG_INFINITY), ("a", 1.0), ("b", 1.0), ("d", 2.5)];
    let listpack = b"\x11\x22\x22\0\0\0\x08\0\x81c\x02\x84-inf\x05\x81a\x02\x01\x01\x81b\x02\x01\
        \x01\x81d\x02\x832.5\x04\xff";
    assert_eq!(plain(&sealed(listpack, 10)), sorted_set_of(&wanted));
    assert_eq!(
        sorted_set::dump_listpack(Strings::Packed, &listpack[2..]).seal(),
        sealed(listpack, 10)
    );

    let table = b"\x05\x04\x01d\0\0\0\0\0\0\x04@\x01b\0\0\0\0\0\0\xf0?\x01a\0\0\0\0\0\0\xf0?\x01c\
        \0\0\0\0\0\0\xf0\xff";
    let backwards: Vec<_> = wanted.into_iter().rev().collect();
    assert_eq!(plain(&sealed(table, 10)), sorted_set_of(&backwards));
    let members =
        backwards.iter().map(|(member, score)| (Element::Bytes(member.as_bytes()), *score));
    assert_eq!(sorted_set::dump(Strings::Packed, members).seal(), sealed(table, 10));
}

#[test]
fn hashes_of_redis() {
    let wanted = [("f", "v", None), ("g", "12", None)];
    let listpack = b"\x10\x12\x12\0\0\0\x04\0\x81f\x02\x81v\x02\x81g\x02\x0c\x01\xff";
    assert_eq!(plain(&sealed(listpack, 10)), hash_of(&wanted));
    assert_eq!(hash::dump_listpack(Strings::Packed, &listpack[2..]).seal(), sealed(listpack, 10));

    let table = b"\x04\x02\x01f\x01v\x01g\xc0\x0c";
    assert_eq!(plain(&sealed(table, 10)), hash_of(&wanted));
    let field = |(name, value, _): &(&'static str, &'static str, Option<Millis>)| {
        (Element::Bytes(name.as_bytes()), Element::Bytes(value.as_bytes()))
    };
    assert_eq!(hash::dump(Strings::Packed, wanted.iter().map(field)).seal(), sealed(table, 10));
}

#[test]
fn hashes_with_expiries() {
    // In the types of Redis 7.4.
    let wanted = [("f", "v", Some(1000)), ("g", "12", Some(1005)), ("h", "", None)];
    let mut list = ListpackBuf::new();
    for (field, value, at) in wanted {
        list.push(field.as_bytes());
        list.push(value.as_bytes());
        list.push(at.unwrap_or(0).to_string().as_bytes());
    }
    let list = list.into_bytes();
    let listpackex = hash::dump_listpackex(Strings::Packed, &list).seal();
    assert_eq!(listpackex[..9], *b"\x19\xe8\x03\0\0\0\0\0\0");
    assert_eq!(plain(&listpackex), hash_of(&wanted));

    let table = b"\x18\xe8\x03\0\0\0\0\0\0\x03\x01\x01f\x01v\x06\x01g\xc0\x0c\0\x01h\0";
    assert_eq!(plain(&sealed(table, 12)), hash_of(&wanted));
    let fields =
        wanted.map(|(f, v, at)| (Element::Bytes(f.as_bytes()), Element::Bytes(v.as_bytes()), at));
    assert_eq!(hash::dump_expiring(Strings::Packed, 1000, fields).seal(), sealed(table, 12));

    // When none is left the older servers take it.
    let mut list = ListpackBuf::new();
    for text in ["f", "v", "0"] {
        list.push(text.as_bytes());
    }
    assert_eq!(
        hash::dump_listpackex(Strings::Packed, &list.into_bytes()).seal(),
        sealed(b"\x04\x01\x01f\x01v", 10)
    );
}

#[test]
fn values_of_older_servers() {
    // Made by hand; redis-server 7.0 restores them to the same.
    let mut ziplist = b"\x0a@tt\0\0\0\x30\0\0\0\x0a\0\0\x01a\x03\xf1\x02\xfd\x02\xfe\x0d\x03\xfe\
        \x80\x03\xc0,\x01\x04\xf0\x90\xee\xfe\x05\xd0\xff\xff\xff\x7f\x06\xe0\0\0\0\0\0\0\0\x80\
        \x0a@@"
        .to_vec();
    let long = "x".repeat(64);
    ziplist.extend_from_slice(long.as_bytes());
    ziplist.push(0xff);
    let numbers = ["a", "0", "12", "13", "-128", "300", "-70000", "2147483647"];
    let wanted = [&numbers[..], &["-9223372036854775808", &long]].concat();
    assert_eq!(plain(&sealed(&ziplist, 6)), list_of(&wanted));

    let ziplists = b"\x0e\x02\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf2\xff\
        \x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x01b\xff";
    assert_eq!(plain(&sealed(ziplists, 9)), list_of(&["a", "1", "b"]));
    let list = b"\x01\x03\x01a\xc0\x05\x02bc";
    assert_eq!(plain(&sealed(list, 6)), list_of(&["a", "5", "bc"]));

    let sorted_set = b"\x0c\x18\x18\0\0\0\x12\0\0\0\x04\0\0\x01a\x03\xf2\x02\x01b\x03\x032.5\xff";
    assert_eq!(plain(&sealed(sorted_set, 6)), sorted_set_of(&[("a", 1.0), ("b", 2.5)]));
    let sorted_set = b"\x03\x04\x01a\x011\x01b\x042.25\x01c\xfe\x01d\xff";
    let (high, low) = (f64::INFINITY, f64::NEG_INFINITY);
    let wanted = [("a", 1.0), ("b", 2.25), ("c", high), ("d", low)];
    assert_eq!(plain(&sealed(sorted_set, 6)), sorted_set_of(&wanted));

    let wanted = [("f", "v", None), ("g", "12", None)];
    let hash = b"\x0d\x16\x16\0\0\0\x13\0\0\0\x04\0\0\x01f\x03\x01v\x03\x01g\x03\xfd\xff";
    assert_eq!(plain(&sealed(hash, 6)), hash_of(&wanted));
    let zipmap = b"\x09\x10\x02\x01f\x01\0v\x01g\x02\x0312xxx\xff";
    assert_eq!(plain(&sealed(zipmap, 3)), hash_of(&wanted));

    // Lengths of more than one byte: of a string, of the entry before, of a value.
    let big = "q".repeat(300);
    let ziplist = [
        &b"\x41\x01\0\0\x39\x01\0\0\x02\0\0\x41\x2c"[..],
        big.as_bytes(),
        b"\xfe\x2f\x01\0\0\x01a\xff",
    ];
    let value = [&b"\x0a\x41\x41"[..], &ziplist.concat()].concat();
    assert_eq!(plain(&sealed(&value, 6)), list_of(&[&big, "a"]));
    let zipmap = [&b"\x01\x01f\xfe\x2c\x01\0\0\0"[..], big.as_bytes(), b"\xff"];
    let value = [&b"\x09\x41\x36"[..], &zipmap.concat()].concat();
    assert_eq!(plain(&sealed(&value, 3)), hash_of(&[("f", &big, None)]));
}
