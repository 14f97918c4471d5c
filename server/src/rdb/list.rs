//! Lists.

use std::borrow::Cow;

use super::payload::{Payload, Strings};
use super::reader::Reader;
use super::{Items, Refused, kind, old};
use dunlin_storage::value::list::NodeRef;
use dunlin_storage::value::listpack::Listpack;

/// A node that is one long element.
const PLAIN: u64 = 1;
/// A node that is a listpack.
const PACKED: u64 = 2;

/// A list in a payload.
#[derive(Debug)]
pub enum Body<'a> {
    /// Its elements.
    Elements(Items<'a, Cow<'a, [u8]>>),
    /// Its elements, several at a time.
    Nodes(Nodes<'a>),
}

/// Consecutive elements of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A listpack with at least one element.
    Packed(Cow<'a, [u8]>),
    /// One element, too long for a listpack.
    Plain(Cow<'a, [u8]>),
}

/// The nodes of a list. As with [`Items`], an error is the last item.
#[derive(Debug)]
pub struct Nodes<'a> {
    /// Nodes without elements are nothing.
    nodes: Items<'a, Option<Node<'a>>>,
    /// Whether there was one with elements.
    found: bool,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Result<Node<'a>, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.nodes.find_map(Result::transpose);
        // A list without elements is none.
        let next = if self.found { next } else { next.or(Some(Err(Refused::Value))) };
        self.found = true;
        next
    }
}

/// Reads a list of this type.
pub(super) fn read(kind: u8, reader: Reader<'_>) -> Option<Body<'_>> {
    if kind == kind::LIST {
        return Items::new(reader, 1, Reader::string).map(Body::Elements);
    }
    let nodes = match kind {
        kind::LIST_ZIPLIST => Items::one(reader, ziplist_node),
        kind::LIST_ZIPLISTS => Items::new(reader, 1, ziplist_node)?,
        _ => Items::new(reader, 2, node)?,
    };
    Some(Body::Nodes(Nodes { nodes, found: false }))
}

fn node<'a>(reader: &mut Reader<'a>) -> Option<Option<Node<'a>>> {
    match (reader.number()?, reader.string()?) {
        (PLAIN, element) if !element.is_empty() => Some(Some(Node::Plain(element))),
        (PACKED, list) => packed_node(list),
        _ => None,
    }
}

fn ziplist_node<'a>(reader: &mut Reader<'a>) -> Option<Option<Node<'a>>> {
    packed_node(old::ziplist(&reader.string()?)?.into())
}

fn packed_node(bytes: Cow<'_, [u8]>) -> Option<Option<Node<'_>>> {
    let empty = Listpack::validate(&bytes)?.is_empty();
    Some((!empty).then_some(Node::Packed(bytes)))
}

/// The payload of a list of which `visit` shows all nodes.
pub fn dump(strings: Strings, visit: impl FnOnce(&mut dyn FnMut(NodeRef<'_>))) -> Payload {
    let mut payload = Payload::new(strings, kind::LIST_LISTPACKS);
    payload.counted(|payload| {
        let mut count = 0;
        visit(&mut |node| {
            let (container, bytes) = match node {
                NodeRef::Plain(element) => (PLAIN, element),
                NodeRef::Packed(list) => (PACKED, list),
            };
            payload.number(container);
            payload.string(bytes);
            count += 1;
        });
        count
    });
    payload
}
