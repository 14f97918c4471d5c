//! Broadcasting: prefixes of names, and the keys of a turn that have one of them.
//!
//! Prefixes are kept by their length, so a key is looked up once for each length there is, however
//! many prefixes there are.

use super::message;
use crate::client::ClientShared;
use ahash::RandomState;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

type Members = BTreeMap<u64, Arc<ClientShared>>;

/// The prefixes that somebody has registered, and who has.
#[derive(Debug, Default)]
pub(super) struct Prefixes(BTreeMap<usize, HashMap<Bytes, Members, RandomState>>);

impl Prefixes {
    pub(super) fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    pub(super) fn join(&mut self, prefix: &Bytes, client: &Arc<ClientShared>) {
        let members = self.0.entry(prefix.len()).or_default().entry(prefix.clone()).or_default();
        members.insert(client.id, Arc::clone(client));
    }

    pub(super) fn leave(&mut self, prefix: &[u8], client: u64) {
        let Some(prefixes) = self.0.get_mut(&prefix.len()) else { return };
        let Some(members) = prefixes.get_mut(prefix) else { return };
        members.remove(&client);
        if members.is_empty() {
            prefixes.remove(prefix);
        }
        if prefixes.is_empty() {
            self.0.remove(&prefix.len());
        }
    }

    /// The prefixes of a key.
    fn of<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = (&'a Bytes, &'a Members)> {
        let lengths = self.0.range(..=key.len());
        lengths.filter_map(|(length, prefixes)| prefixes.get_key_value(key.get(..*length)?))
    }
}

/// Keys that were changed in a turn and have a prefix, each with the client that has changed it last
/// if it does not want to hear of that.
#[derive(Debug, Default)]
pub(super) struct Batch(BTreeMap<Bytes, u64>);

/// Keys, each with the client that is not to hear of it.
type Keys<'a> = Vec<(&'a Bytes, u64)>;

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn note(&mut self, prefixes: &Prefixes, key: &[u8], origin: u64) {
        if let Some(known) = self.0.get_mut(key) {
            *known = origin;
        } else if prefixes.of(key).next().is_some() {
            self.0.insert(Bytes::copy_from_slice(key), origin);
        }
    }

    /// What is to be sent: by prefix, the keys in their order; to a client that has changed keys
    /// itself only the others.
    pub(super) fn messages(&self, prefixes: &Prefixes) -> Vec<(Arc<ClientShared>, Bytes)> {
        let mut by_prefix: BTreeMap<&Bytes, (&Members, Keys<'_>)> = BTreeMap::new();
        for (key, origin) in &self.0 {
            for (prefix, members) in prefixes.of(key) {
                by_prefix.entry(prefix).or_insert((members, Vec::new())).1.push((key, *origin));
            }
        }
        let mut messages = Vec::new();
        for (members, keys) in by_prefix.values() {
            let origins: BTreeSet<u64> = keys.iter().map(|(_, origin)| *origin).collect();
            let all = message::keys(&keys.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>());
            for (id, client) in *members {
                if !origins.contains(id) {
                    messages.push((Arc::clone(client), all.clone()));
                    continue;
                }
                let others = keys.iter().filter(|(_, origin)| origin != id);
                let others: Vec<&[u8]> = others.map(|(key, _)| &key[..]).collect();
                if !others.is_empty() {
                    messages.push((Arc::clone(client), message::keys(&others)));
                }
            }
        }
        messages
    }
}

/// Two prefixes of one client of which one begins with the other: every key with the longer one
/// would be told twice.
#[derive(Debug, PartialEq, Eq)]
pub enum Collision<'a> {
    /// A new prefix with one that the client has.
    Old(&'a [u8], &'a Bytes),
    /// Two new prefixes.
    New(&'a [u8], &'a [u8]),
}

/// The collision that Redis would report, if there is any.
pub fn collision<'a>(old: &'a BTreeSet<Bytes>, new: &[&'a [u8]]) -> Option<Collision<'a>> {
    let among_new = first_overlapping(new);
    for (i, prefix) in new.iter().copied().enumerate() {
        if let Some(other) = overlapping_old(old, prefix) {
            return Some(Collision::Old(prefix, other));
        }
        if among_new == Some(i) {
            let mut others = new[i + 1..].iter().copied();
            return others.find(|other| overlap(prefix, other)).map(|o| Collision::New(prefix, o));
        }
    }
    None
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The first of the client's prefixes that overlaps with a new one. None of them begins with another,
/// but for the empty one, with which all begin.
fn overlapping_old<'a>(old: &'a BTreeSet<Bytes>, prefix: &[u8]) -> Option<&'a Bytes> {
    use std::ops::Bound::{Included, Unbounded};
    let empty = old.first().filter(|first| first.is_empty());
    let below = old.range::<[u8], _>((Unbounded, Included(prefix))).next_back();
    let above = old.range::<[u8], _>((Included(prefix), Unbounded)).next();
    [empty, below, above].into_iter().flatten().find(|other| overlap(prefix, other))
}

/// The place of the first prefix that overlaps with another one. In their order as texts, each one
/// stands behind those that it begins with, and between them are only others that begin with them.
fn first_overlapping(new: &[&[u8]]) -> Option<usize> {
    let mut sorted: Vec<usize> = (0..new.len()).collect();
    sorted.sort_by_key(|i| new[*i]);
    // Those that the next one may begin with, each with the least place up to it.
    let mut beginnings: Vec<(usize, usize)> = Vec::new();
    let mut first = None;
    for i in sorted {
        while beginnings.last().is_some_and(|(last, _)| !new[i].starts_with(new[*last])) {
            beginnings.pop();
        }
        let least = beginnings.last().map(|(_, least)| i.min(*least));
        first = [first, least].into_iter().flatten().min();
        beginnings.push((i, least.unwrap_or(i)));
    }
    first
}
