//! Payloads of other servers, of our own, and damaged ones.

mod expiries;
mod malformed;
mod random;
mod reference;
mod streams;

use super::*;
use dunlin_storage::Millis;
use dunlin_storage::value::intset::Intset;
use dunlin_storage::value::list::NodeRef;
use dunlin_storage::value::listpack::{Element, Listpack};

/// The string in a payload, if it is one.
fn load_string(payload: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    match load(payload)? {
        Value::String(string) => Ok(string),
        _ => Err(Refused::Value),
    }
}

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
    /// As it is dumped.
    Stream(Vec<u8>),
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
        Value::Stream(stream) => Plain::Stream(
            stream::dump(Strings::Packed, &stream, stream::Form::Redis72).into_value(),
        ),
    })
}

/// The payload of a list of these nodes.
fn dump_list<'n>(nodes: impl IntoIterator<Item = list::Node<'n>>) -> Vec<u8> {
    let nodes: Vec<_> = nodes.into_iter().collect();
    let size = (nodes.len(), 0);
    let visit = |visit: &mut dyn FnMut(NodeRef<'_>)| {
        for node in nodes {
            match node {
                list::Node::Plain(element) => visit(NodeRef::Plain(&element)),
                list::Node::Packed(list) => visit(NodeRef::Packed(&list)),
            }
        }
    };
    list::dump(Strings::Packed, size, visit).seal()
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
