//! Payloads of other servers, of our own, and damaged ones.

mod malformed;
mod random;
mod reference;

use super::*;
use dunlin_storage::Millis;
use dunlin_storage::value::intset::Intset;
use dunlin_storage::value::listpack::{Element, Listpack};

/// `value` with a footer of `version`.
fn sealed(value: &[u8], version: u16) -> Vec<u8> {
    let mut payload = value.to_vec();
    payload.extend(version.to_le_bytes());
    let checksum = crc64::crc64(&payload);
    payload.extend(checksum.to_le_bytes());
    payload
}

type Text = Vec<u8>;

/// A value without its form.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    String(Text),
    List(Vec<Text>),
    Set(Vec<Text>),
    SortedSet(Vec<(Text, f64)>),
    Hash(Vec<(Text, Text, Option<Millis>)>),
    Stream(stream::Body<'static>),
}

fn elements(bytes: &[u8]) -> Vec<Text> {
    Listpack::new(bytes).iter().map(Element::to_vec).collect()
}

/// What a payload holds, read to the end.
fn plain(payload: &[u8]) -> Result<Plain, Refused> {
    Ok(match load(payload)? {
        Value::String(string) => Plain::String(string.into_owned()),
        Value::List(list::Body::Elements(items)) => {
            Plain::List(items.map(|item| item.map(Cow::into_owned)).collect::<Result<_, _>>()?)
        }
        Value::List(list::Body::Nodes(nodes)) => {
            let mut list = Vec::new();
            for node in nodes {
                match node? {
                    list::Node::Plain(element) => list.push(element.into_owned()),
                    list::Node::Packed(bytes) => list.extend(elements(&bytes)),
                }
            }
            Plain::List(list)
        }
        Value::Set(set::Body::Intset(bytes)) => {
            Plain::Set(Intset::new(&bytes).iter().map(|n| n.to_string().into_bytes()).collect())
        }
        Value::Set(set::Body::Listpack(bytes)) => Plain::Set(elements(&bytes)),
        Value::Set(set::Body::Members(items)) => {
            Plain::Set(items.map(|item| item.map(Cow::into_owned)).collect::<Result<_, _>>()?)
        }
        Value::SortedSet(body) => Plain::SortedSet(sorted_set(body)?),
        Value::Hash(body) => Plain::Hash(hash(body)?),
        Value::Stream(body) => Plain::Stream(owned(&body)),
    })
}

fn sorted_set(body: sorted_set::Body<'_>) -> Result<Vec<(Text, f64)>, Refused> {
    match body {
        sorted_set::Body::Members(items) => {
            items.map(|item| item.map(|(member, score)| (member.into_owned(), score))).collect()
        }
        sorted_set::Body::Listpack(bytes) => {
            let elements = elements(&bytes);
            let score = |text: &Text| reader::parse_score(text).ok_or(Refused::Value);
            elements.chunks(2).map(|pair| Ok((pair[0].clone(), score(&pair[1])?))).collect()
        }
    }
}

fn hash(body: hash::Body<'_>) -> Result<Vec<(Text, Text, Option<Millis>)>, Refused> {
    let mut fields = Vec::new();
    match body {
        hash::Body::Listpack(bytes) => {
            let elements = elements(&bytes);
            fields.extend(elements.chunks(2).map(|f| (f[0].clone(), f[1].clone(), None)));
        }
        hash::Body::Listpackex(bytes) => {
            let elements: Vec<Element> = Listpack::new(&bytes).iter().collect();
            for field in elements.chunks(3) {
                let expire_at = field[2].as_i64().filter(|at| *at > 0);
                fields.push((field[0].to_vec(), field[1].to_vec(), expire_at));
            }
        }
        hash::Body::Fields(items) => {
            for item in items {
                let hash::Field { name, value, expire_at } = item?;
                fields.push((name.into_owned(), value.into_owned(), expire_at));
            }
        }
    }
    Ok(fields)
}

fn owned(body: &stream::Body<'_>) -> stream::Body<'static> {
    let text = |text: &Cow<'_, [u8]>| Cow::Owned(text.to_vec());
    let blocks = body.blocks.iter().map(|(id, list)| (*id, text(list))).collect();
    let consumer = |consumer: &stream::Consumer<'_>| stream::Consumer {
        name: text(&consumer.name),
        seen_at: consumer.seen_at,
        active_at: consumer.active_at,
        pending: consumer.pending.clone(),
    };
    let groups = body.groups.iter().map(|group| stream::Group {
        name: text(&group.name),
        last_id: group.last_id,
        entries_read: group.entries_read,
        consumers: group.consumers.iter().map(consumer).collect(),
    });
    let stream::Body { len, last_id, counters, .. } = *body;
    stream::Body { blocks, len, last_id, counters, groups: groups.collect() }
}

fn texts(texts: &[&str]) -> Vec<Text> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn list_of(list: &[&str]) -> Result<Plain, Refused> {
    Ok(Plain::List(texts(list)))
}

fn set_of(members: &[&str]) -> Result<Plain, Refused> {
    Ok(Plain::Set(texts(members)))
}

fn sorted_set_of(members: &[(&str, f64)]) -> Result<Plain, Refused> {
    let members = members.iter().map(|(member, score)| (member.as_bytes().to_vec(), *score));
    Ok(Plain::SortedSet(members.collect()))
}

fn hash_of(fields: &[(&str, &str, Option<Millis>)]) -> Result<Plain, Refused> {
    let text = |text: &str| text.as_bytes().to_vec();
    Ok(Plain::Hash(fields.iter().map(|(f, v, at)| (text(f), text(v), *at)).collect()))
}

/// A stream of redis-server 7.0: entries 1-1 and 3-0, a deleted one between them, a group with
/// one pending entry for each of two consumers and nothing for a third, and a group at the end.
const STREAM: &[u8] = b"\x13\x01\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0177\0\0\0\x16\0\x02\x01\x01\
    \x01\x01\x01\x81a\x02\0\x01\x02\x01\0\x01\0\x01\x01\x01\x04\x01\x03\x01\x01\x01\xdf\xff\x02\
    \x02\x01\x04\x01\0\x01\x02\x01\xdf\xff\x02\x01\x01\x81b\x02\x03\x01\x06\x01\xff\x02\x03\0\x01\
    \x01\x02\0\x03\x02\x02g1\x03\0\x03\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\xe4*>\x14\xa2\x01\0\
    \0\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\xe4*>\x14\xa2\x01\0\0\x01\x03\x02c1\xe4*>\x14\xa2\x01\
    \0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x02c2\xe4*>\x14\xa2\x01\0\0\x01\0\0\0\0\0\0\0\x03\
    \0\0\0\0\0\0\0\0\x04idle\xe4*>\x14\xa2\x01\0\0\0\x02g2\x03\0\x81\xff\xff\xff\xff\xff\xff\xff\
    \xff\0\0";
const STREAM_TIME: Millis = 1_795_635_948_260;

fn id(ms: u64, seq: u64) -> stream::Id {
    stream::Id { ms, seq }
}

fn wanted_stream() -> stream::Body<'static> {
    let consumer = |name: &'static [u8], pending: &[stream::Id]| stream::Consumer {
        name: name.into(),
        seen_at: STREAM_TIME,
        active_at: Some(STREAM_TIME),
        pending: pending
            .iter()
            .map(|id| stream::Pending { id: *id, delivered_at: STREAM_TIME, deliveries: 1 })
            .collect(),
    };
    let consumers =
        vec![consumer(b"c1", &[id(1, 1)]), consumer(b"c2", &[id(3, 0)]), consumer(b"idle", &[])];
    let group = |name: &'static [u8], entries_read, consumers| stream::Group {
        name: name.into(),
        last_id: id(3, 0),
        entries_read,
        consumers,
    };
    stream::Body {
        blocks: vec![(id(1, 1), STREAM[20..][..55].into())],
        len: 2,
        last_id: id(3, 0),
        counters: Some(stream::Counters {
            first_id: id(1, 1),
            max_deleted_id: id(2, 0),
            entries_added: 3,
        }),
        groups: vec![group(b"g1", Some(3), consumers), group(b"g2", None, vec![])],
    }
}
