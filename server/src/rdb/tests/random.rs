//! Any value, and any damage.

use proptest::prelude::*;

use super::*;
use dunlin_storage::value::intset::IntsetBuf;
use dunlin_storage::value::listpack::ListpackBuf;

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        2 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (any::<u8>(), 20_usize..80).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

/// Different texts.
fn names() -> impl Strategy<Value = Vec<Text>> {
    proptest::collection::btree_set(text(), 1..30).prop_map(|names| names.into_iter().collect())
}

fn listpack(texts: &[Text]) -> Vec<u8> {
    let mut list = ListpackBuf::new();
    for text in texts {
        list.push(text);
    }
    list.into_bytes()
}

/// A value with a payload of it.
fn dumped() -> impl Strategy<Value = (Plain, Vec<u8>)> {
    fn element(text: &Text) -> Element<'_> {
        Element::Bytes(text)
    }
    prop_oneof![
        text().prop_map(|text| (
            Plain::String(text.clone()),
            dump_string(Strings::Packed, &text).seal()
        )),
        proptest::collection::vec(text(), 1..30).prop_map(|texts| {
            let nodes = texts.chunks(4).map(|chunk| match chunk {
                [one] if !one.is_empty() => list::Node::Plain(one.into()),
                several => list::Node::Packed(listpack(several).into()),
            });
            (Plain::List(texts.clone()), dump_list(nodes))
        }),
        names().prop_map(|names| (
            Plain::Set(names.clone()),
            set::dump(Strings::Packed, names.iter().map(element)).seal()
        )),
        proptest::collection::btree_set(any::<i64>(), 1..30).prop_map(|numbers| {
            let mut set = IntsetBuf::new();
            for number in &numbers {
                set.add(*number);
            }
            let names = numbers.iter().map(|number| number.to_string().into_bytes()).collect();
            (Plain::Set(names), set::dump_intset(Strings::Packed, &set.into_bytes()).seal())
        }),
        (names(), any::<u16>()).prop_map(|(names, factor)| {
            let score = |i: usize| i as f64 * f64::from(factor);
            let pairs: Vec<_> = names.into_iter().enumerate().map(|(i, m)| (m, score(i))).collect();
            let payload = sorted_set::dump(
                Strings::Packed,
                pairs.iter().map(|(m, score)| (element(m), *score)),
            )
            .seal();
            (Plain::SortedSet(pairs), payload)
        }),
        names().prop_map(|names| {
            let texts: Vec<Text> = names
                .iter()
                .enumerate()
                .flat_map(|(i, name)| [name.clone(), (i / 2).to_string().into_bytes()])
                .collect();
            let pairs = texts.chunks(2).enumerate().map(|(i, p)| (p[0].clone(), (i / 2) as f64));
            (
                Plain::SortedSet(pairs.collect()),
                sorted_set::dump_listpack(Strings::Packed, &listpack(&texts)).seal(),
            )
        }),
        (names(), any::<Option<u32>>()).prop_map(|(names, expiry)| {
            let at = |i: usize| {
                expiry.map(|at| i64::from(at) + i as i64 + 1).filter(|_| !i.is_multiple_of(3))
            };
            let fields =
                names.iter().enumerate().map(|(i, name)| (name.clone(), vec![b'v'; i], at(i)));
            let fields: Vec<_> = fields.collect();
            let soonest = fields.iter().filter_map(|(.., at)| *at).min();
            let payload = match soonest {
                None => hash::dump(
                    Strings::Packed,
                    fields.iter().map(|(f, v, _)| (element(f), element(v))),
                ),
                Some(soonest) => hash::dump_expiring(
                    Strings::Packed,
                    soonest,
                    fields.iter().map(|(f, v, at)| (element(f), element(v), *at)),
                ),
            };
            (Plain::Hash(fields), payload.seal())
        }),
        Just({
            let stream = streams::example();
            let dump = || stream::dump(Strings::Packed, &stream, stream::Form::Redis72);
            (Plain::Stream(dump().into_value()), dump().seal())
        }),
    ]
}

proptest! {
    #[test]
    fn values_survive((value, payload) in dumped()) {
        prop_assert_eq!(plain(&payload), Ok(value));
    }

    #[test]
    fn damaged_values_are_judged(
        (_, payload) in dumped(),
        kind in any::<Option<u8>>(),
        flips in proptest::collection::vec(any::<usize>(), 1..5),
    ) {
        let (value, _) = payload.split_at(payload.len() - CHECKSUM - 2);
        let mut value = value.to_vec();
        value[0] = kind.map_or(value[0], |kind| kind % 26);
        for flip in flips {
            let bit = flip % (value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            let _ = plain(&sealed(&value, 10));
            let _ = plain(&sealed(&value[..bit / 8], 10));
        }
    }

    #[test]
    fn random_values_are_judged(
        kind in 0_u8..26,
        value in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..60),
    ) {
        let value = [&[kind][..], &value].concat();
        let _ = plain(&sealed(&value, 10));
    }
}
