//! Which clients CLIENT LIST and KILL are about.

use crate::client::{ClientShared, ClientType, Registry, line};
use crate::commands::call::Call;
use crate::commands::error::{ReplyError, SYNTAX, quoting};
use dunlin_protocol::number;
use dunlin_storage::Millis;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Filters; a client must pass all. One that is given twice counts as given last.
#[derive(Debug, Default)]
pub(super) struct Filters<'a> {
    ids: Option<Vec<i64>>,
    /// `Some(None)`: a type that no client has.
    kind: Option<Option<ClientType>>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    user: Option<u64>,
    lib_name: Option<&'a [u8]>,
    lib_ver: Option<&'a [u8]>,
    flags: Option<&'a [u8]>,
    max_age: Option<i64>,
    idle: Option<i64>,
    db: Option<i64>,
    /// SKIPME, if given.
    pub(super) skip_me: Option<bool>,
}

/// Names of all filters.
const NAMES: &[&str] = &[
    "ID", "TYPE", "USER", "ADDR", "LADDR", "IP", "NAME", "LIB-NAME", "LIB-VER", "FLAGS", "MAXAGE",
    "IDLE", "DB", "SKIPME",
];

impl<'a> Filters<'a> {
    /// Reads the filters of CLIENT LIST: `ID` may be followed by several numbers.
    pub(super) fn of_list(call: &Call<'a, '_>) -> Result<Self, ReplyError> {
        let mut filters = Filters::default();
        let mut i = 2;
        while i < call.argc() {
            if i + 1 == call.argc() {
                return Err(SYNTAX);
            }
            if call.is(i, "ID") {
                let (ids, next) = ids(call, i + 1)?;
                filters.ids = Some(ids);
                i = next;
            } else {
                filters.take(call, i)?;
                i += 2;
            }
        }
        Ok(filters)
    }

    /// Reads the filters of CLIENT KILL: pairs, and positive numbers.
    pub(super) fn of_kill(call: &Call<'a, '_>) -> Result<Self, ReplyError> {
        let mut filters = Filters::default();
        for i in (2..call.argc()).step_by(2) {
            if i + 1 == call.argc() {
                return Err(SYNTAX);
            }
            if call.is(i, "ID") {
                let id = number::parse_i64(call.arg(i + 1)).filter(|id| *id > 0);
                filters.ids = Some(vec![id.ok_or("ERR client-id should be greater than 0")?]);
            } else {
                filters.take(call, i)?;
            }
        }
        Ok(filters)
    }

    /// Takes the filter at argument `i` with its value.
    fn take(&mut self, call: &Call<'a, '_>, i: usize) -> Result<(), ReplyError> {
        let value = call.arg(i + 1);
        let name = NAMES.iter().find(|name| call.is(i, name)).ok_or(SYNTAX)?;
        match *name {
            "TYPE" => self.kind = Some(type_of(value)?),
            "USER" => {
                let users = call.server.acl.users();
                let user = users.get(value);
                let user = user.ok_or_else(|| quoting("ERR No such user '", value, "'"))?;
                self.user = Some(user.id());
            }
            "ADDR" => self.addr = Some(value),
            "LADDR" => self.laddr = Some(value),
            "IP" => self.ip = Some(value),
            "NAME" => self.name = Some(value),
            "LIB-NAME" => self.lib_name = Some(value),
            "LIB-VER" => self.lib_ver = Some(value),
            "FLAGS" => self.flags = Some(value),
            "MAXAGE" => self.max_age = Some(positive(value, "maxage")?),
            "IDLE" => self.idle = Some(positive(value, "idle")?),
            "DB" => {
                let max = i64::from(call.server.keyspace.databases());
                let db = number::parse_i64(value).filter(|db| (0..max).contains(db));
                self.db = Some(db.ok_or_else(|| {
                    ReplyError::from(format!("ERR DB number should be between 0 and {}", max - 1))
                })?);
            }
            "SKIPME" if value.eq_ignore_ascii_case(b"yes") => self.skip_me = Some(true),
            "SKIPME" if value.eq_ignore_ascii_case(b"no") => self.skip_me = Some(false),
            _ => return Err(SYNTAX),
        }
        Ok(())
    }

    /// The clients to choose from: those with the numbers that are asked for, in their order and as often,
    /// or all.
    pub(super) fn candidates(&self, clients: &Registry) -> Vec<Arc<ClientShared>> {
        let Some(ids) = &self.ids else { return clients.all() };
        ids.iter().filter_map(|id| clients.get(u64::try_from(*id).ok()?)).collect()
    }

    /// Whether `client`, one of the candidates, passes; `me` is the client that asks.
    pub(super) fn pass(&self, client: &ClientShared, me: u64, now: Millis) -> bool {
        if self.skip_me == Some(true) && client.id == me {
            return false;
        }
        let labels = client.labels();
        let is = |wanted: Option<&[u8]>, text: &str| wanted.is_none_or(|w| w == text.as_bytes());
        let at_least = |wanted: Option<i64>, since: Millis| {
            wanted.is_none_or(|seconds| line::seconds(now, since) >= seconds)
        };
        let ip = client.addr.rsplit_once(':').map_or(client.addr.as_str(), |(ip, _)| ip);
        self.kind.is_none_or(|kind| kind == Some(client.kind()))
            && is(self.addr, &client.addr)
            && is(self.laddr, &client.laddr)
            && is(self.ip, ip.trim_start_matches('[').trim_end_matches(']'))
            && is(self.name, &labels.name)
            && self.user.is_none_or(|id| id == client.user().id)
            && is(self.lib_name, &labels.lib_name)
            && is(self.lib_ver, &labels.lib_ver)
            && self.flags.is_none_or(|wanted| {
                let flags = line::flags(client);
                wanted.iter().all(|letter| flags.as_bytes().contains(letter))
            })
            && at_least(self.max_age, client.created)
            && at_least(self.idle, client.last_active.load(Ordering::Relaxed))
            && self.db.is_none_or(|db| db == i64::from(client.db.load(Ordering::Relaxed)))
    }
}

/// The numbers from argument `from` on, and where they end.
fn ids(call: &Call<'_, '_>, from: usize) -> Result<(Vec<i64>, usize), ReplyError> {
    let mut ids = Vec::new();
    let mut i = from;
    while i < call.argc() {
        match number::parse_i64(call.arg(i)) {
            Some(id) => ids.push(id),
            None if i > from && NAMES.iter().any(|name| call.is(i, name)) => break,
            None => return Err("ERR Invalid client ID".into()),
        }
        i += 1;
    }
    Ok((ids, i))
}

/// A type of clients; `None`: one that there are none of.
fn type_of(value: &[u8]) -> Result<Option<ClientType>, ReplyError> {
    match value.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Some(ClientType::Normal)),
        b"pubsub" => Ok(Some(ClientType::PubSub)),
        b"master" | b"replica" | b"slave" => Ok(None),
        _ => Err(quoting("ERR Unknown client type '", value, "'")),
    }
}

fn positive(value: &[u8], what: &str) -> Result<i64, ReplyError> {
    let Some(number) = number::parse_i64(value) else {
        return Err(format!("ERR {what} is not an integer or out of range").into());
    };
    if number <= 0 {
        return Err(format!("ERR {what} should be greater than 0").into());
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_cannot_exist_match_nobody() {
        assert_eq!(type_of(b"NORMAL"), Ok(Some(ClientType::Normal)));
        assert_eq!(type_of(b"PubSub"), Ok(Some(ClientType::PubSub)));
        assert_eq!(type_of(b"slave"), Ok(None));
        assert_eq!(type_of(b"x"), Err("ERR Unknown client type 'x'".into()));
    }

    #[test]
    fn ages_are_positive_numbers() {
        assert_eq!(positive(b"5", "maxage"), Ok(5));
        assert_eq!(positive(b"0", "maxage"), Err("ERR maxage should be greater than 0".into()));
        let error = "ERR idle is not an integer or out of range";
        assert_eq!(positive(b"x", "idle"), Err(error.into()));
    }
}
