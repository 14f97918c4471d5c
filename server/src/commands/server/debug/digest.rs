//! DEBUG DIGEST and DIGEST-VALUE: 20 bytes that are the same for the same contents, on Redis too.
//!
//! A digest is made of SHA-1 sums in two ways: what has an order is *mixed* in, the sum being taken
//! again of what was there and what comes; what has none (the members of a set, the keys of a
//! database) is *added*, an exclusive or.

use crate::commands::call::Call;
use crate::commands::collection::Reader;
use crate::commands::error::ReplyError;
use crate::commands::spec::Outcome;
use dunlin_protocol::number::format_f64_long;
use dunlin_storage::value::hash::HashRef;
use dunlin_storage::value::list::ListRef;
use dunlin_storage::value::listpack::Element;
use dunlin_storage::value::set::SetRef;
use dunlin_storage::value::sorted_set::SortedSetRef;
use dunlin_storage::value::stream::{Stream, StreamId};
use dunlin_storage::{DbId, Entry, Kind, Object, Str, Value};
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;

/// Buckets of one step of the walk through a database.
const SCAN_BUCKETS: usize = 1024;

/// Twenty bytes that a content comes to.
#[derive(Clone, Copy, Default)]
struct Digest([u8; 20]);

impl Digest {
    /// Adds bytes of which the order does not matter.
    fn add(&mut self, bytes: &[u8]) {
        self.add_sum(Sha1::digest(bytes).as_slice());
    }

    fn add_sum(&mut self, sum: &[u8]) {
        self.0.iter_mut().zip(sum).for_each(|(to, byte)| *to ^= byte);
    }

    /// Mixes in bytes that come after what was mixed in before.
    fn mix(&mut self, bytes: &[u8]) {
        self.mix_sum(Sha1::digest(bytes).as_slice());
    }

    fn mix_sum(&mut self, sum: &[u8]) {
        self.add_sum(sum);
        let mixed = Sha1::digest(self.0);
        self.0.iter_mut().zip(mixed).for_each(|(to, byte)| *to = byte);
    }

    fn mix_element(&mut self, element: Element<'_>) {
        element.with(|text| self.mix(text));
    }

    /// Mixes in what kind of value follows: the number of the type in Redis.
    fn mix_kind(&mut self, kind: Kind) {
        let number: u32 = match kind {
            Kind::String => 0,
            Kind::List => 1,
            Kind::Set => 2,
            Kind::SortedSet => 3,
            Kind::Hash => 4,
            Kind::Stream => 6,
            // Kinds to come have numbers behind those.
            _ => u32::MAX,
        };
        self.mix(&number.to_be_bytes());
    }

    fn mix_string(&mut self, string: Str<'_>) {
        let mut sum = Sha1::new();
        string.chunks().for_each(|chunk| sum.update(chunk));
        self.mix_sum(sum.finalize().as_slice());
    }

    fn mix_list(&mut self, list: ListRef<'_>) {
        list.iter().for_each(|item| item.with(|element| self.mix(element)));
    }

    fn add_set(&mut self, set: SetRef<'_>) {
        set.iter().for_each(|member| member.with(|member| self.add(member)));
    }

    fn add_hash(&mut self, hash: HashRef<'_>, now: i64) {
        for pair in hash.iter(now) {
            let mut both = Digest::default();
            both.mix_element(pair.field);
            both.mix_element(pair.value);
            self.add(&both.0);
        }
    }

    fn add_sorted_set(&mut self, set: SortedSetRef<'_>) {
        for (member, score) in set.iter() {
            let mut both = Digest::default();
            both.mix_element(member);
            both.mix(format_f64_long(score).as_bytes());
            self.add(&both.0);
        }
    }

    fn mix_stream(&mut self, stream: &Stream) {
        for entry in stream.log.range(StreamId::MIN, StreamId::MAX) {
            let id = entry.id();
            self.mix(format!("{}.{}", id.ms, id.seq).as_bytes());
            for (field, value) in entry.fields() {
                self.mix_element(field);
                self.mix_element(value);
            }
        }
    }

    fn object(&mut self, object: &Object, now: i64) {
        match object {
            Object::List(list) => self.mix_list(list.view()),
            Object::Set(set) => self.add_set(set.view()),
            Object::Hash(hash) => self.add_hash(hash.view(), now),
            Object::SortedSet(set) => self.add_sorted_set(set.view()),
            Object::Stream(stream) => self.mix_stream(stream),
        }
    }

    /// Mixes in a value, and whether it expires.
    fn value(&mut self, reader: &Reader<'_, '_>, entry: &Entry<'_>) -> Result<(), ReplyError> {
        self.mix_kind(entry.kind());
        let now = reader.now();
        match entry.value() {
            Value::Str(string) => self.mix_string(string),
            Value::Packed(packed) => {
                packed.list().into_iter().for_each(|list| self.mix_list(list));
                packed.set().into_iter().for_each(|set| self.add_set(set));
                packed.hash().into_iter().for_each(|hash| self.add_hash(hash, now));
                packed.sorted_set().into_iter().for_each(|set| self.add_sorted_set(set));
            }
            _ => self.object(reader.object(entry)?, now),
        }
        if entry.expire_at().is_some() {
            self.add(b"!!expire!!");
        }
        Ok(())
    }

    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One digest per key; zeros for no value.
pub(super) fn of_values(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let request = call.request;
    call.reply.array(request.len() - 2);
    for i in 2..request.len() {
        let entry = call.peek(&call.key(i));
        let mut digest = Digest::default();
        let (reader, reply) = call.split_to_change();
        if let Some(entry) = entry {
            digest.value(&reader, &entry)?;
        }
        reply.simple(&digest.to_hex());
    }
    Ok(Outcome::Done)
}

/// One digest of all databases, independent of the order of the keys.
pub(super) fn of_everything(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let mut all = Digest::default();
    let keyspace = call.keyspace();
    for db in 0..keyspace.databases() {
        let keys = of_database(call, DbId(db))?;
        if keys.is_empty() {
            continue;
        }
        all.mix(&u32::from(db).to_be_bytes());
        keys.values().for_each(|digest| all.add(&digest.0));
    }
    call.reply.simple(&all.to_hex());
    Ok(Outcome::Done)
}

/// The digests of all keys of a database. A scan may show a key twice while a table grows, and two
/// equal digests would cancel out.
fn of_database(call: &mut Call<'_, '_>, db: DbId) -> Result<BTreeMap<Vec<u8>, Digest>, ReplyError> {
    let (keyspace, now, guard) = (call.keyspace(), call.now, call.guard);
    let (reader, _) = call.split_to_change();
    let mut digests = BTreeMap::new();
    let mut cursor = 0;
    loop {
        let mut result = Ok(());
        let visit = &mut |entry: Entry<'_>| {
            let mut digest = Digest::default();
            digest.mix(entry.key());
            match digest.value(&reader, &entry) {
                Ok(()) => {
                    digests.insert(entry.key().to_vec(), digest);
                }
                Err(error) => result = Err(error),
            }
        };
        cursor = keyspace.scan(db, cursor, SCAN_BUCKETS, now, guard, visit);
        result?;
        if cursor == 0 {
            return Ok(digests);
        }
    }
}
