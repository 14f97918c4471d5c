//! How things are stored: DEBUG LISTPACK, QUICKLIST, HTSTATS-KEY, HTSTATS. What Redis prints to its
//! standard output goes to the log.

use crate::commands::call::Call;
use crate::commands::error::{NO_KEY, ReplyError};
use crate::commands::spec::Outcome;
use dunlin_storage::{DbId, Entry, Object, Value};

fn entry<'g>(call: &Call<'_, 'g>) -> Result<Entry<'g>, ReplyError> {
    call.peek(&call.key(2)).ok_or(NO_KEY)
}

pub(super) fn listpack(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entry = entry(call)?;
    match entry.value() {
        Value::Packed(packed) if packed.encoding() == "listpack" => {
            let (kind, bytes) = (packed.kind().name(), packed.as_bytes().len());
            tracing::warn!(kind, bytes, "DEBUG LISTPACK");
        }
        _ => return Err("ERR Not a listpack encoded object.".into()),
    }
    call.reply.simple("Listpack structure printed on stdout");
    Ok(Outcome::Done)
}

pub(super) fn quicklist(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entry = entry(call)?;
    if call.encoding_of(&entry)? != "quicklist" {
        return Err("ERR Not a quicklist encoded object.".into());
    }
    let (reader, reply) = call.split_to_change();
    if let Object::List(list) = reader.object(&entry)? {
        let (nodes, elements, bytes) = (list.view().node_count(), list.len(), list.memory_usage());
        tracing::warn!(nodes, elements, bytes, "DEBUG QUICKLIST");
    }
    reply.simple("Quicklist structure printed on stdout");
    Ok(Outcome::Done)
}

pub(super) fn hash_table(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let entry = entry(call)?;
    let now = call.now;
    let (reader, reply) = call.split_to_change();
    let elements = match entry.value() {
        Value::Large(_) => match reader.object(&entry)? {
            Object::Set(set) => Some(set.len()),
            Object::Hash(hash) => Some(hash.view().len(now)),
            Object::SortedSet(set) => Some(set.len()),
            Object::List(_) | Object::Stream(_) => None,
        },
        _ => None,
    };
    let elements = elements.ok_or(
        "ERR The value stored at the specified key is not represented using an hash table",
    )?;
    reply.verbatim("txt", figures(elements as u64).as_bytes());
    Ok(Outcome::Done)
}

/// Redis's tables have sizes and chains; of ours there is one figure that tests look at.
fn figures(elements: u64) -> String {
    match elements {
        0 => "No stats available for empty dictionaries\n".to_owned(),
        _ => format!("Hash table 0 stats (main hash table):\n number of elements: {elements}\n"),
    }
}

/// HTSTATS: keys, and those which expire.
pub(super) fn database(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let keyspace = call.keyspace();
    let db = u8::try_from(call.int(2)?).ok().filter(|db| *db < keyspace.databases());
    let db = DbId(db.ok_or("ERR Out of range database")?);
    let (keys, expires) = (figures(keyspace.len(db)), figures(keyspace.expires(db)));
    let text = format!("[Dictionary HT]\n{keys}[Expires HT]\n{expires}");
    call.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}
