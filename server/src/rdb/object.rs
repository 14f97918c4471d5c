//! Values of the store as payloads, and payloads as values of the store.
//!
//! The modules beside this one read and write the format; here what they find becomes a value. Bytes
//! that are packed in a payload are stored as they are, unless they hold more than this server packs.
//! Items go in one by one, and what comes twice is refused.
//!
//! Expiries of fields are in server time in the store and in wall time in a payload, which another
//! server may read, or this one after it has started again.

use super::list::Node;
use super::{Payload, Refused, Strings};
use crate::commands::collection::Limits;
use crate::rdb;
use crate::runtime::clock::Skew;
use dunlin_storage::value::hash::{self, Hash, HashRef, Ttl};
use dunlin_storage::value::list::{self, End, List, ListRef, NodeRef};
use dunlin_storage::value::set::{self, Set, SetRef};
use dunlin_storage::value::sorted_set::{self, AddOptions, Added, SortedSet, SortedSetRef};
use dunlin_storage::{Kind, Millis, Object, Packed};
use std::borrow::Cow;

/// Most bytes that are stored packed although each of their items may be longer than this server
/// packs.
const PACKED_MAX: usize = 1 << 20;

/// The payload of a small collection.
#[must_use]
pub fn dump_packed(
    strings: Strings,
    packed: Packed<'_>,
    limits: &list::Limits,
    now: Millis,
    skew: Skew,
) -> Payload {
    let dumped = match packed.kind() {
        Kind::Set => packed.set().map(|set| dump_set(strings, set)),
        Kind::Hash => packed.hash().map(|hash| dump_hash(strings, hash, now, skew)),
        Kind::SortedSet => packed.sorted_set().map(|set| dump_sorted_set(strings, set)),
        Kind::List => {
            packed.list().map(|list| dump_list(strings, list, packed.as_bytes().len(), limits))
        }
        _ => None,
    };
    match dumped {
        Some(payload) => payload,
        None => unreachable!("no other kind has a packed form"),
    }
}

/// The payload of a collection; `form`: of a stream.
#[must_use]
pub fn dump_object(
    strings: Strings,
    object: &Object,
    form: rdb::stream::Form,
    limits: &list::Limits,
    now: Millis,
    skew: Skew,
) -> Payload {
    match object {
        Object::Set(set) => dump_set(strings, set.view()),
        Object::Hash(hash) => dump_hash(strings, hash.view(), now, skew),
        Object::SortedSet(set) => dump_sorted_set(strings, set.view()),
        Object::List(list) => dump_list(strings, list.view(), list.memory_usage(), limits),
        Object::Stream(stream) => rdb::stream::dump(strings, stream, form),
    }
}

fn dump_set(strings: Strings, set: SetRef<'_>) -> Payload {
    match set {
        SetRef::Intset(integers) => rdb::set::dump_intset(strings, integers.as_bytes()),
        _ => rdb::set::dump(strings, set.iter()),
    }
}

fn dump_hash(strings: Strings, hash: HashRef<'_>, now: Millis, skew: Skew) -> Payload {
    match (hash, hash.next_expiry()) {
        (HashRef::Listpack(list), _) => rdb::hash::dump_listpack(strings, list.as_bytes()),
        // The times in its bytes are in server time.
        (HashRef::Listpackex(list), _) if skew.is_zero() => {
            rdb::hash::dump_listpackex(strings, list.as_bytes())
        }
        (_, None) => rdb::hash::dump(strings, hash.iter(now).map(|pair| (pair.field, pair.value))),
        (_, Some(soonest)) => {
            let to_wall = |at| skew.to_wall(at);
            // It may be that of a field that has expired, before 1970 by the clock as it is now.
            let soonest = to_wall(soonest).max(0);
            let fields =
                hash.iter(now).map(|pair| (pair.field, pair.value, pair.expire_at.map(to_wall)));
            rdb::hash::dump_expiring(strings, soonest, fields)
        }
    }
}

fn dump_sorted_set(strings: Strings, set: SortedSetRef<'_>) -> Payload {
    match set {
        SortedSetRef::Listpack(list) => rdb::sorted_set::dump_listpack(strings, list.as_bytes()),
        SortedSetRef::Table(_) => rdb::sorted_set::dump(strings, set.iter().rev()),
    }
}

fn dump_list(strings: Strings, list: ListRef<'_>, bytes: usize, limits: &list::Limits) -> Payload {
    let size = (list.node_count(), bytes);
    rdb::list::dump(strings, size, |visit| list.for_each_node(limits, visit))
}

/// What a value that was read becomes; `None` if all of it has expired.
pub fn load<'p>(
    value: rdb::Value<'p>,
    limits: &Limits,
    now: Millis,
    skew: Skew,
) -> Result<Option<Loaded<'p>>, Refused> {
    let object = match value {
        rdb::Value::String(string) => return Ok(Some(Loaded::String(string))),
        rdb::Value::Set(body) => Object::Set(load_set(body, &limits.set)?),
        rdb::Value::Hash(body) => {
            let hash = load_hash(body, now, skew, &limits.hash)?;
            if hash.view().is_empty(now) {
                return Ok(None);
            }
            Object::Hash(hash)
        }
        rdb::Value::SortedSet(body) => {
            Object::SortedSet(load_sorted_set(body, &limits.sorted_set)?)
        }
        rdb::Value::Stream(stream) => Object::Stream(stream),
        rdb::Value::List(body) => Object::List(load_list(body, &limits.list)?),
    };
    Ok(Some(Loaded::Object(Box::new(object))))
}

/// What a payload holds.
#[derive(Debug)]
pub enum Loaded<'p> {
    /// A string.
    String(Cow<'p, [u8]>),
    /// A collection.
    Object(Box<Object>),
}

/// Adds the items of a value to a collection of the same kind; of what is in both, the value's count.
pub fn merge(
    object: &mut Object,
    value: rdb::Value<'_>,
    limits: &Limits,
    now: Millis,
    skew: Skew,
) -> Result<(), Refused> {
    match (object, value) {
        (Object::Set(set), rdb::Value::Set(rdb::set::Body::Members(members))) => {
            set.prepare(b"", set.len() + members.expected(), &limits.set);
            for member in members {
                set.add(&member?, &limits.set);
            }
        }
        (
            Object::SortedSet(set),
            rdb::Value::SortedSet(rdb::sorted_set::Body::Members(members)),
        ) => {
            set.prepare(b"", set.len() + members.expected(), &limits.sorted_set);
            for pair in members {
                let (member, score) = pair?;
                set.add(&member, score, AddOptions::default(), &limits.sorted_set);
            }
        }
        (Object::Hash(hash), rdb::Value::Hash(rdb::hash::Body::Fields(fields))) => {
            hash.prepare(hash.view().len(now) + fields.expected(), 0, &limits.hash);
            for field in fields {
                let field = field?;
                if let Some(ttl) = ttl_of(field.expire_at, now, skew) {
                    hash.set(&field.name, &field.value, ttl, now, &limits.hash);
                }
            }
        }
        _ => return Err(Refused::Value),
    }
    Ok(())
}

/// Whether packed bytes are stored as they are. Every change copies them, so what nobody has packed
/// who keeps to reasonable limits goes to a table.
fn stays_packed(bytes: &[u8], items: usize, limit: usize) -> bool {
    items <= limit && bytes.len() <= PACKED_MAX
}

fn load_set(body: rdb::set::Body<'_>, limits: &set::Limits) -> Result<Set, Refused> {
    let (form, bytes, most) = match body {
        rdb::set::Body::Intset(bytes) => (set::Packed::Intset, bytes, limits.intset_entries),
        rdb::set::Body::Listpack(bytes) => (set::Packed::Listpack, bytes, limits.listpack_entries),
        rdb::set::Body::Members(members) => {
            let mut set = Set::new();
            if members.expected() > limits.intset_entries {
                set = set_table(limits);
            }
            for member in members {
                if !set.add(&member?, limits) {
                    return Err(Refused::Value);
                }
            }
            return Ok(set);
        }
    };
    let packed = SetRef::from_packed(form, &bytes);
    if stays_packed(&bytes, packed.len(), most) {
        return Ok(Set::from_packed(form, &bytes));
    }
    let mut table = set_table(limits);
    for member in packed.iter() {
        member.with(|member| table.add(member, limits));
    }
    Ok(table)
}

/// An empty set that is a table already.
fn set_table(limits: &set::Limits) -> Set {
    let mut set = Set::new();
    set.prepare(b"", usize::MAX, limits);
    set
}

/// The expiry, which is in wall time, as a field gets it; `None`: its time is over.
fn ttl_of(expire_at: Option<Millis>, now: Millis, skew: Skew) -> Option<Ttl> {
    match expire_at.map(|at| skew.from_wall(at)) {
        None => Some(Ttl::Clear),
        Some(at) => (at >= now).then_some(Ttl::At(at)),
    }
}

fn load_hash(
    body: rdb::hash::Body<'_>,
    now: Millis,
    skew: Skew,
    limits: &hash::Limits,
) -> Result<Hash, Refused> {
    let (form, bytes) = match body {
        rdb::hash::Body::Listpack(bytes) => (hash::Packed::Listpack, bytes),
        rdb::hash::Body::Listpackex(bytes) => (hash::Packed::Listpackex, bytes),
        rdb::hash::Body::Fields(fields) => {
            let mut hash = Hash::new();
            hash.prepare(fields.expected(), 0, limits);
            for field in fields {
                let field = field?;
                // Its like has perhaps expired since it was dumped.
                let Some(ttl) = ttl_of(field.expire_at, now, skew) else { continue };
                if !hash.set(&field.name, &field.value, ttl, now, limits) {
                    return Err(Refused::Value);
                }
            }
            return Ok(hash);
        }
    };
    let packed = HashRef::from_packed(form, &bytes);
    let is_small = stays_packed(&bytes, packed.len(skew.to_wall(now)), limits.listpack_entries);
    // The times in its bytes are in wall time.
    if is_small && (form == hash::Packed::Listpack || skew.is_zero()) {
        return Ok(Hash::from_packed(form, &bytes));
    }
    let mut hash = Hash::new();
    if !is_small {
        hash.prepare(usize::MAX, 0, limits);
    }
    for pair in packed.iter(Millis::MIN) {
        let Some(ttl) = ttl_of(pair.expire_at, now, skew) else { continue };
        pair.field.with(|field| pair.value.with(|value| hash.set(field, value, ttl, now, limits)));
    }
    Ok(hash)
}

fn load_sorted_set(
    body: rdb::sorted_set::Body<'_>,
    limits: &sorted_set::Limits,
) -> Result<SortedSet, Refused> {
    let mut set = SortedSet::new();
    match body {
        rdb::sorted_set::Body::Listpack(bytes) => {
            let packed = SortedSetRef::from_packed(&bytes);
            if stays_packed(&bytes, packed.len(), limits.listpack_entries) {
                return Ok(SortedSet::from_packed(&bytes));
            }
            set.prepare(b"", usize::MAX, limits);
            for (member, score) in packed.iter() {
                member.with(|member| set.add(member, score, AddOptions::default(), limits));
            }
        }
        rdb::sorted_set::Body::Members(members) => {
            set.prepare(b"", members.expected(), limits);
            for pair in members {
                let (member, score) = pair?;
                let added = set.add(&member, score, AddOptions::default(), limits);
                if !matches!(added, Added::New(_)) {
                    return Err(Refused::Value);
                }
            }
        }
    }
    Ok(set)
}

fn load_list(body: rdb::list::Body<'_>, limits: &list::Limits) -> Result<List, Refused> {
    match body {
        rdb::list::Body::Elements(elements) => {
            let mut list = List::new();
            for element in elements {
                let element = element?;
                list.prepare(1, element.len(), limits);
                list.push(End::Tail, &element, limits);
            }
            Ok(list)
        }
        rdb::list::Body::Nodes(nodes) => {
            // Each is let go of before the next one is read: compressed, they are a hundredth.
            let mut list = list::Builder::new(limits);
            for node in nodes {
                list.push(match &node? {
                    Node::Packed(list) => NodeRef::Packed(list),
                    Node::Plain(element) => NodeRef::Plain(element),
                });
            }
            Ok(list.finish())
        }
    }
}
