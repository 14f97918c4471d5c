//! The next batch: parsed, looked up, hashed and prefetched.

use super::{Prepared, Session, WINDOW};
use crate::commands::table::{Entry, KeyShape, table};
use crate::dispatch::Context;
use dunlin_protocol::{ArgValue, Limits, Request};
use dunlin_storage::KeyHash;

impl Session {
    /// Parses and prefetches the next batch of at most so many commands; false if there is no
    /// complete one.
    pub(super) fn next_batch(&mut self, ctx: &Context<'_, '_>, budget: usize) -> bool {
        self.decoder.clear();
        self.next = 0;
        self.prepared.clear();
        // Limits change with authentication: what follows AUTH is parsed after it has run.
        let max = if self.client.authenticated { WINDOW.min(budget) } else { 1 };
        let max_bulk = match self.client.authenticated {
            true => ctx.server.max_bulk(),
            false => Limits::UNAUTHENTICATED.max_bulk,
        };
        if self.max_bulk != max_bulk {
            self.change_limits(max_bulk);
        }
        let count = self.decoder.parse(max);
        if count < max && self.client.is_restricted() {
            self.skip_denied();
        }
        if self.decoder.has_big() {
            (0..count).for_each(|index| self.settle(index));
        }
        let skipped = self.decoder.skipped();
        let keyspace = &ctx.server.keyspace;
        let mut last: Option<(&[u8], &'static Entry)> = None;
        let prepared = &mut self.prepared;
        let decoder = &self.decoder;
        let hashes = (0..count).filter_map(|index| {
            let request = decoder.request(index);
            let name = request.arg(0);
            let entry = match last {
                Some((known, entry)) if known == name => Some(entry),
                _ => table().get(name),
            };
            last = entry.map(|entry| (name, entry));
            let entry = entry.filter(|_| skipped != Some(index));
            let entry = entry.map(|entry| table().leaf(entry, request));
            let mut hash = KeyHash(0);
            if let Some(KeyShape::One(at)) = entry.map(|entry| entry.shape)
                && let Some(key) = request.get(at)
            {
                hash = keyspace.key(key).hash;
            }
            prepared.push(Prepared { entry, hash });
            (hash.0 != 0).then_some(hash)
        });
        match count {
            1 => hashes.for_each(drop),
            _ => keyspace.prefetch(self.client.db, hashes, ctx.guard),
        }
        count > 0
    }

    /// A command is arriving that needs more than one read. If its name tells that the user may not
    /// run it, its arguments are not kept: what is refused anyway must cost no memory.
    #[cold]
    fn skip_denied(&mut self) {
        let Some(request) = self.decoder.arriving() else { return };
        let word = |i: usize| match (i < request.len()).then(|| request.value(i)) {
            Some(ArgValue::Slice(word)) => Some(word),
            Some(ArgValue::Chunks { .. }) | None => None,
        };
        let Some(entry) = word(0).and_then(|name| table().get(name)) else { return };
        let entry = match entry.subcommands.is_empty() {
            true => Some(entry),
            false => word(1).and_then(|name| table().sub(entry, name)),
        };
        if entry.is_some_and(|entry| !self.client.user().may_begin(entry, &request)) {
            self.decoder.skip_rest();
        }
    }

    /// The limits follow AUTH, RESET and CONFIG SET.
    #[cold]
    fn change_limits(&mut self, max_bulk: usize) {
        self.max_bulk = max_bulk;
        self.decoder.set_limits(match self.client.authenticated {
            true => Limits { max_bulk, ..Limits::AUTHENTICATED },
            false => Limits::UNAUTHENTICATED,
        });
    }

    /// Makes the big arguments of a command contiguous, unless they all are values of a command
    /// that takes those in chunks. Names, keys and options are always contiguous from here on.
    #[cold]
    fn settle(&mut self, index: usize) {
        let request = self.decoder.request(index);
        if request.has_chunks() && !takes_chunks(request) {
            self.decoder.flatten(index);
        }
    }
}

/// Whether every chunked argument of the command stands where its handler takes a value in chunks.
#[cold]
fn takes_chunks(request: Request<'_>) -> bool {
    let chunked = |i: &usize| matches!(request.value(*i), ArgValue::Chunks { .. });
    if chunked(&0) {
        return false;
    }
    let takes = table().get(request.arg(0)).and_then(|entry| entry.command.takes_chunks);
    takes.is_some_and(|takes| (1..request.len()).filter(chunked).all(takes))
}
