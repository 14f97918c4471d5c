//! `/api/stats`: everything that the dashboard shows, as one JSON object.
//!
//! The types here are its schema. The page asks once a second, with the number of the sample that it
//! needs next; the rest is as it is now. All lists are bounded, and all text that comes from clients
//! goes through [`text::shown`].

mod clients;
mod commands;
mod keys;
mod limits;
mod overview;
mod shards;
mod text;

use super::Site;
use super::clients::Totals;
use super::history::{CAUSES, KINDS, Sample};
use super::memory::CLASSES;
use serde::Serialize;

/// The answer.
#[derive(Serialize)]
struct Report<'a> {
    server: overview::Overview,
    /// Names of what `ops` of a sample has a figure of.
    kinds: [&'static str; KINDS.len()],
    /// Names of what `memory` of a sample has a figure of.
    classes: [&'static str; CLASSES.len()],
    /// Names of what `misses` of a sample has a figure of.
    causes: [&'static str; CAUSES.len()],
    /// Number of the sample after the last one here.
    next: u64,
    samples: Vec<&'a Sample>,
    databases: Vec<overview::Database>,
    workers: Vec<overview::Worker>,
    shards: Vec<shards::Range>,
    keys: keys::Keys,
    limits: Vec<limits::Limit>,
    commands: Vec<commands::Command>,
    slowlog: commands::Slowlog,
    clients: Vec<clients::Client>,
}

/// The answer to somebody who has the samples before number `since`.
///
/// # Errors
/// When a figure cannot be written as JSON.
pub(super) fn report(site: &Site, since: u64) -> serde_json::Result<Vec<u8>> {
    let server = site.server;
    let history = site.history.borrow();
    let settings = server.settings();
    let clients = Totals::read(&server.clients, server.workers);
    serde_json::to_vec(&Report {
        server: overview::Overview::read(server, &settings),
        kinds: KINDS,
        classes: CLASSES,
        causes: CAUSES,
        next: history.next(),
        samples: history.since(since),
        databases: overview::databases(server),
        workers: overview::workers(server, &clients),
        shards: shards::ranges(server),
        keys: keys::Keys::read(server, &settings),
        limits: limits::all(server, &settings, &clients),
        commands: commands::all(server),
        slowlog: commands::Slowlog::read(server, &settings),
        clients: clients::top(server),
    })
}
