//! The hottest and the biggest keys, and what prefixes cost and bring ([`crate::insight`]).

use super::text::shown;
use crate::config::Settings;
use crate::insight::{BigKey, HotKey, Prefix};
use crate::server::Server;
use serde::Serialize;

/// Rows of each table.
const ROWS: usize = 16;
/// Characters of a name.
const MAX_NAME: usize = 80;

/// What is known of keys; nothing if names of keys are not to be shown.
#[derive(Serialize)]
pub(super) struct Keys {
    /// Commands per second and worker that are looked at; 0: none, so no key is known to be hot.
    sampling: u32,
    hot: Vec<Hot>,
    big: Vec<Big>,
    prefixes: Vec<Group>,
}

#[derive(Serialize)]
struct Hot {
    db: u8,
    name: String,
    per_second: f64,
}

#[derive(Serialize)]
struct Big {
    db: u8,
    name: String,
    kind: &'static str,
    bytes: usize,
    len: usize,
}

/// A prefix; without a name: all those that have no row.
#[derive(Serialize)]
struct Group {
    name: Option<String>,
    keys: u64,
    bytes: u64,
    accesses: f64,
    hits: f64,
    misses: f64,
    net_bytes: f64,
}

impl From<HotKey> for Hot {
    fn from(key: HotKey) -> Self {
        Hot { db: key.db.0, name: shown(&key.key, MAX_NAME), per_second: key.per_second }
    }
}

impl From<BigKey> for Big {
    fn from(key: BigKey) -> Self {
        let BigKey { db, key, kind, bytes, len } = key;
        Big { db: db.0, name: shown(&key, MAX_NAME), kind: kind.name(), bytes, len }
    }
}

impl Group {
    fn of(prefix: &Prefix, name: Option<String>) -> Self {
        let Prefix { used, size, .. } = prefix;
        Group {
            name,
            keys: size.keys,
            bytes: size.bytes,
            accesses: used.accesses,
            hits: used.hits,
            misses: used.missed(),
            net_bytes: used.net_bytes,
        }
    }
}

impl Keys {
    pub(super) fn read(server: &Server, settings: &Settings) -> Self {
        let sampling = settings.hot_key_sampling;
        if !settings.admin_show_keys {
            return Keys { sampling, hot: Vec::new(), big: Vec::new(), prefixes: Vec::new() };
        }
        let insight = &server.insight;
        let (named, other) = insight.prefixes(server, ROWS);
        let named = named.iter().map(|p| Group::of(p, Some(shown(&p.name, MAX_NAME))));
        let other = std::iter::once(Group::of(&other, None));
        let is_used = |group: &Group| group.accesses > 0.0 || group.keys > 0;
        Keys {
            sampling,
            hot: insight.hot_keys(server, ROWS).into_iter().map(Hot::from).collect(),
            big: insight.big_keys(ROWS).into_iter().map(Big::from).collect(),
            prefixes: named.chain(other).filter(is_used).collect(),
        }
    }
}
