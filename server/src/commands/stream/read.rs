//! XREAD and XREADGROUP: what comes after some place in several streams.
//!
//! The arguments are parsed once, and `$` is replaced by what it means at that time. What comes out,
//! a [`Reading`], can be tried ([`serve`]) as often as something happens to one of the streams: it
//! either replies or changes nothing that a reader could see.

use super::docs::{CONSUMER, COUNT, GROUP, IDS, KEY, docs};
use super::id::id_arg;
use super::{
    at_most, count_arg, edit, no_group, notify_consumer, reply_entries, reply_entry, reply_from,
    reply_id,
};
use crate::blocking::WaitKeys;
use crate::commands::blocking::{milliseconds, wait};
use crate::commands::call::Call;
use crate::commands::docs::Arg;
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, Find, KeySpec, Outcome};
use dunlin_protocol::{Proto, Reply, Request};
use dunlin_storage::value::stream::{Stream, StreamId};
use dunlin_storage::{Key, Kind, Millis};

const BLOCK: Arg = Arg::integer("milliseconds").token("BLOCK").optional();
const STREAMS: Arg = Arg::block("streams", &[KEY.multiple(), IDS]).token("STREAMS");

pub(super) const XREAD: Command = Command::new("xread", Arity::at_least(4), xread)
    .flags(flag_set!(READONLY | BLOCKING))
    .keys(&[after_streams(1)])
    .keys_by(find_keys)
    .grows_from(0)
    .grows_if(does_not_wait)
    .docs(
        docs(
            "5.0.0",
            "O(N) with N being the number of entries replied.",
            "Replies the entries of several streams after the given ones, and waits for such if \
             asked.",
        )
        .args(&[COUNT, BLOCK, STREAMS]),
    );

pub(super) const XREADGROUP: Command = Command::new("xreadgroup", Arity::at_least(7), xreadgroup)
    .flags(flag_set!(WRITE | BLOCKING))
    .keys(&[after_streams(4)])
    .keys_by(find_keys)
    .grows_from(0)
    .grows_if(does_not_wait)
    .docs(
        docs(
            "5.0.0",
            "For each stream: O(M) with M being the number of entries replied.",
            "Delivers new entries of several streams to a consumer, or its pending ones, and waits \
             for such if asked.",
        )
        .args(&[
            Arg::block("group-block", &[GROUP, CONSUMER]).token("GROUP"),
            COUNT,
            BLOCK,
            Arg::flag("noack", "NOACK").optional(),
            STREAMS,
        ]),
    );

/// Whether it answers at once, whatever there is.
fn does_not_wait(request: &Request<'_>) -> bool {
    !request.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
}

/// The first half of what follows STREAMS.
const fn after_streams(from: i32) -> KeySpec {
    let mut spec = KeySpec::keyword("STREAMS", from).read();
    spec.find = Find::Range { last: -1, step: 1, limit: 2 };
    spec
}

/// The keys as the options say; the words of the options may be keys and groups as well.
fn find_keys(request: &Request<'_>) -> Option<Vec<usize>> {
    let mut i = 1;
    while let Some(word) = request.get(i) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        i += match () {
            () if is("STREAMS") => {
                let rest = request.len() - i - 1;
                let even = rest > 0 && rest.is_multiple_of(2);
                return even.then(|| (i + 1..i + 1 + rest / 2).collect());
            }
            () if is("BLOCK") || is("COUNT") => 2,
            () if is("GROUP") => 3,
            () if is("NOACK") => 1,
            () => return None,
        };
    }
    None
}

/// Where a reader is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind the entry with this identifier, or where that would be.
    After(StreamId),
    /// At the last entry (`+`), or, if there is none, behind all.
    Last,
    /// Where its group is (`>`).
    Group,
}

/// A group and the consumer that reads.
#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// What is delivered counts as acknowledged.
    no_ack: bool,
}

/// What XREAD and XREADGROUP are asked for.
#[derive(Debug)]
struct Reading<'a> {
    reader: Option<Reader<'a>>,
    /// 0 stands for all.
    count: u64,
    /// Until when to wait, if at all; `Some(None)` is for ever.
    deadline: Option<Option<Millis>>,
    /// The argument with the first key.
    first_key: usize,
    /// A place for every key.
    places: Vec<Place>,
}

fn xread(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let reading = Reading::parse(call, false)?;
    read(call, &reading)
}

fn xreadgroup(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let reading = Reading::parse(call, true)?;
    read(call, &reading)
}

fn read(call: &mut Call<'_, '_>, reading: &Reading<'_>) -> Result<Outcome, ReplyError> {
    if serve(call, reading)? {
        return Ok(Outcome::Done);
    }
    match reading.deadline {
        Some(deadline) => Ok(wait(call, deadline, reading.wait_keys(), Reply::null_array)),
        None => {
            call.reply.null_array();
            Ok(Outcome::Done)
        }
    }
}

/// Replies what there is to read; false if there is nothing, and then nothing is replied.
fn serve(call: &mut Call<'_, '_>, reading: &Reading<'_>) -> Result<bool, ReplyError> {
    let start = call.reply.mark();
    let resp2 = call.reply.proto() == Proto::Resp2;
    let streams = if resp2 { call.reply.deferred_array() } else { call.reply.deferred_map() };
    let mut served = 0;
    for (i, place) in reading.places.iter().enumerate() {
        let key = call.key(reading.first_key + i);
        if !call.reaches(&key) {
            continue;
        }
        let found = match reading.reader {
            None => read_plainly(call, &key, *place, reading.count),
            Some(reader) => read_as(call, &key, reader, *place, reading.count),
        };
        match found {
            Ok(found) => served += usize::from(found),
            Err(error) => {
                call.reply.rollback(start);
                return Err(error);
            }
        }
    }
    if served == 0 {
        call.reply.rollback(start);
        return Ok(false);
    }
    call.reply.finish_deferred(streams, served);
    Ok(true)
}

/// Begins the reply of one stream.
fn reply_key(reply: &mut Reply, key: &Key<'_>) {
    if reply.proto() == Proto::Resp2 {
        reply.array(2);
    }
    reply.bulk(key.bytes);
}

/// Replies the entries of one stream from a place on; whether there are any.
fn read_plainly(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    place: Place,
    count: u64,
) -> Result<bool, ReplyError> {
    let found = reply_from(call, key, |stream, reply| {
        let Some(top) = stream.log.top_id() else { return false };
        let start = match place {
            Place::After(id) if id < top => id.next().unwrap_or(top),
            Place::Last => top,
            Place::After(_) | Place::Group => return false,
        };
        reply_key(reply, key);
        reply_entries(reply, stream.log.range(start, StreamId::MAX).take(at_most(count)));
        true
    })?;
    Ok(found.unwrap_or(false))
}

/// What was delivered to a consumer.
enum Delivered {
    /// The new entries between two identifiers.
    New(StreamId, StreamId),
    /// Pending entries, some of which may be deleted.
    Again(Vec<StreamId>),
}

/// Delivers entries of one stream and replies them; whether there are any.
fn read_as(
    call: &mut Call<'_, '_>,
    key: &Key<'_>,
    reader: Reader<'_>,
    place: Place,
    count: u64,
) -> Result<bool, ReplyError> {
    let (Reader { consumer, no_ack, .. }, now) = (reader, call.now);
    let delivered = edit(call, key, |Stream { log, groups }, _| {
        groups.edit(reader.group, |group| {
            let is_new = group.see_consumer(consumer, now);
            let delivered = match place {
                Place::After(id) => {
                    Some(Delivered::Again(group.deliver_again(log, consumer, id, count, now)))
                }
                Place::Group | Place::Last => group
                    .deliver(log, consumer, count, no_ack, now)
                    .map(|(first, last)| Delivered::New(first, last)),
            };
            (delivered, is_new)
        })
    })?;
    let (delivered, is_new) = delivered.flatten().ok_or_else(|| reader.missing_group(key))?;
    notify_consumer(call, key, is_new);
    let Some(delivered) = delivered else { return Ok(false) };
    reply_from(call, key, |stream, reply| {
        reply_key(reply, key);
        match delivered {
            Delivered::New(first, last) => reply_entries(reply, stream.log.range(first, last)),
            Delivered::Again(ids) => reply_pending(reply, stream, &ids),
        }
    })?;
    Ok(true)
}

/// Replies pending entries; of those that are deleted the identifier is left.
fn reply_pending(reply: &mut Reply, stream: &Stream, ids: &[StreamId]) {
    reply.array(ids.len());
    for id in ids {
        match stream.log.get(*id) {
            Some(entry) => reply_entry(reply, entry),
            None => {
                reply.array(2);
                reply_id(reply, *id);
                reply.null_array();
            }
        }
    }
}

impl Reader<'_> {
    fn missing_group(&self, key: &Key<'_>) -> ReplyError {
        no_group(key.bytes, self.group, "' in XREADGROUP with GROUP option")
    }
}

impl<'a> Reading<'a> {
    fn parse(call: &mut Call<'a, '_>, as_group: bool) -> Result<Self, ReplyError> {
        let mut reading =
            Reading { reader: None, count: 0, deadline: None, first_key: 0, places: Vec::new() };
        let mut no_ack = false;
        let mut streams = 0;
        let mut i = 1;
        while i < call.argc() {
            let more = call.argc() - 1 - i;
            if call.is(i, "BLOCK") && more > 0 {
                reading.deadline = Some(milliseconds(call, i + 1)?);
                i += 2;
            } else if call.is(i, "COUNT") && more > 0 {
                reading.count = count_arg(call, i + 1)?;
                i += 2;
            } else if call.is(i, "STREAMS") && more > 0 {
                if !more.is_multiple_of(2) {
                    return Err(unbalanced(as_group));
                }
                reading.first_key = i + 1;
                streams = more / 2;
                break;
            } else if call.is(i, "GROUP") && more > 1 {
                if !as_group {
                    return Err(only_xreadgroup("GROUP"));
                }
                let (group, consumer) = (call.arg(i + 1), call.arg(i + 2));
                reading.reader = Some(Reader { group, consumer, no_ack: false });
                i += 3;
            } else if call.is(i, "NOACK") {
                if !as_group {
                    return Err(only_xreadgroup("NOACK"));
                }
                no_ack = true;
                i += 1;
            } else {
                return Err(SYNTAX);
            }
        }
        if streams == 0 {
            return Err(SYNTAX);
        }
        match &mut reading.reader {
            Some(reader) => reader.no_ack = no_ack,
            None if as_group => return Err("ERR Missing GROUP option for XREADGROUP".into()),
            None => {}
        }
        for stream in 0..streams {
            let key_at = reading.first_key + stream;
            reading.places.push(reading.place(call, key_at, key_at + streams)?);
        }
        Ok(reading)
    }

    /// The place that argument `at` names in the stream at the key of argument `key_at`.
    fn place(
        &self,
        call: &mut Call<'_, '_>,
        key_at: usize,
        at: usize,
    ) -> Result<Place, ReplyError> {
        let key = call.key(key_at);
        if !call.reaches(&key) {
            return self.place_out_of_reach(call, &key, key_at - self.first_key);
        }
        let group = self.reader.map(|reader| reader.group);
        let found = reply_from(call, &key, |stream, _| {
            let has_group = group.is_none_or(|group| stream.groups.get(group).is_some());
            (stream.log.last_id(), has_group)
        })?;
        if let Some(reader) = self.reader
            && !found.is_some_and(|(_, has_group)| has_group)
        {
            return Err(reader.missing_group(&key));
        }
        if let Some(id) = self.waited_after(call, key_at - self.first_key) {
            return Ok(Place::After(id));
        }
        match (call.arg(at), self.reader) {
            (b"$", None) => Ok(Place::After(found.map_or(StreamId::MIN, |(last_id, _)| last_id))),
            (b"+", None) => Ok(Place::Last),
            (b">", Some(_)) => Ok(Place::Group),
            (b"$" | b"+", Some(_)) => Err(meaningless(call.arg(at))),
            (b">", None) => {
                Err("ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                 <group> <consumer> option."
                    .into())
            }
            (_, Some(_)) if id_arg(call, at)? == StreamId::MAX => Ok(Place::Group),
            _ => id_arg(call, at).map(Place::After),
        }
    }

    /// The place in a stream that is not looked at now.
    fn place_out_of_reach(
        &self,
        call: &Call<'_, '_>,
        key: &Key<'_>,
        stream: usize,
    ) -> Result<Place, ReplyError> {
        call.has::<Stream>(key)?;
        Ok(self.waited_after(call, stream).map_or(Place::Group, Place::After))
    }

    /// Where XREAD was in a stream when it began to wait, if it did.
    fn waited_after(&self, call: &Call<'_, '_>, stream: usize) -> Option<StreamId> {
        let on = call.client.wait.as_ref()?.on.as_ref()?;
        on.after.get(stream).copied().flatten()
    }

    /// What to wait for. XREADGROUP ends when its group does.
    fn wait_keys(&self) -> WaitKeys {
        let after = |place: &Place| match place {
            Place::After(id) => Some(*id),
            Place::Last | Place::Group => None,
        };
        let keys = self.first_key..self.first_key + self.places.len();
        WaitKeys {
            any_change: self.reader.is_some(),
            after: self.places.iter().map(after).collect(),
            ..WaitKeys::of(Kind::Stream, keys)
        }
    }
}

fn unbalanced(as_group: bool) -> ReplyError {
    let (name, symbol) = if as_group { ("xreadgroup", '>') } else { ("xread", '$') };
    format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be \
         specified."
    )
    .into()
}

fn only_xreadgroup(option: &str) -> ReplyError {
    format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.")
        .into()
}

fn meaningless(id: &[u8]) -> ReplyError {
    let id = String::from_utf8_lossy(id);
    format!(
        "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history \
         of this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} \
         ID would just return an empty result set."
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_protocol::{Decoder, Limits};

    fn keys(line: &str) -> Option<Vec<usize>> {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(format!("{line}\r\n").as_bytes());
        assert_eq!(decoder.parse(1), 1);
        find_keys(&decoder.request(0))
    }

    #[test]
    fn keys_are_found_behind_the_options() {
        assert_eq!(keys("xread streams a b 0 0"), Some(vec![2, 3]));
        assert_eq!(keys("xread count 1 block 0 STREAMS streams 0"), Some(vec![6]));
        let line = "xreadgroup group streams streams noack count 1 streams a b > >";
        assert_eq!(keys(line), Some(vec![8, 9]));
        for line in ["xread streams", "xread streams a", "xread a streams b 0", "xread count 1"] {
            assert_eq!(keys(line), None, "{line}");
        }
    }
}
