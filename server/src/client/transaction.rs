//! MULTI: the commands that wait for EXEC.
//!
//! Between MULTI and EXEC dispatch admits commands as ever (their rights, memory, a pause), but then
//! queues them: a copy goes into the client's [`Transaction`], which also collects what EXEC has to
//! know of all of them before the first one runs: the shards that they read or write, and their
//! flags. A command that is refused fails the transaction: EXEC will only say so.
//!
//! EXEC is dispatched like one command whose keys are those of all the queued ones, so it takes
//! their roles in ascending order, or leaves the session with the thread that holds one of them;
//! transactions on different shards run at the same time. Under these roles nobody else reads or
//! writes the keys, and readers without a role see all of it or nothing
//! ([`make_atomic`](dunlin_storage::Writer::make_atomic)).
//!
//! The shards of watched keys ([`crate::interest`]) belong to it: EXEC has to know that no watched key
//! has changed, and that none does before its last command has run. Under the roles both is one look.

use super::{Client, ClientShared};
use crate::cluster::slot::Slots;
use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::session::Prepared;
use dunlin_protocol::{Queue, Request};
use dunlin_storage::{ShardId, ShardSet};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What others see of a client's transaction and watches.
#[derive(Debug)]
pub struct Figures {
    /// Commands that wait for EXEC; -1: there was no MULTI.
    commands: AtomicI64,
    /// Bytes that they take.
    bytes: AtomicU64,
    /// Keys that are watched.
    watched: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            commands: AtomicI64::new(-1),
            bytes: AtomicU64::new(0),
            watched: AtomicU64::new(0),
        }
    }
}

impl Figures {
    /// Commands that wait for EXEC, or run in it; -1: there was no MULTI.
    pub fn commands(&self) -> i64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Keys that are watched.
    pub fn watched(&self) -> u64 {
        self.watched.load(Ordering::Relaxed)
    }

    fn show(&self, transaction: Option<&Transaction>) {
        let commands = transaction.map(|t| i64::try_from(t.len()).unwrap_or(i64::MAX));
        self.commands.store(commands.unwrap_or(-1), Ordering::Relaxed);
        self.bytes.store(transaction.map_or(0, Transaction::bytes) as u64, Ordering::Relaxed);
    }
}

/// The commands between MULTI and EXEC.
#[derive(Debug, Default)]
pub struct Transaction {
    queue: Queue,
    /// What is known of the commands in the queue.
    prepared: Vec<Prepared>,
    shards: BTreeSet<ShardId>,
    /// The slots of the keys, on a node of a cluster.
    slots: Slots,
    flags: Flags,
    failed: bool,
}

impl Transaction {
    /// Number of commands.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.queue.capacity() + self.prepared.capacity() * size_of::<Prepared>()
    }

    /// Whether a command was refused, so that none will run.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    fn push(
        &mut self,
        prepared: Prepared,
        request: Request<'_>,
        flags: Flags,
        shards: &ShardSet,
        slots: Slots,
    ) {
        self.queue.push(request);
        self.slots = self.slots.then(slots);
        self.prepared.push(prepared);
        self.shards.extend(shards.iter());
        self.flags = self.flags.with(flags);
    }

    /// The slots of all keys, on a node of a cluster.
    pub(crate) fn slots(&self) -> Slots {
        self.slots
    }

    /// The flags of all commands together.
    pub(crate) fn flags(&self) -> Flags {
        self.flags
    }

    /// The commands, in their order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (Prepared, Request<'_>)> {
        self.prepared.iter().enumerate().map(|(i, prepared)| (*prepared, self.queue.request(i)))
    }
}

impl Client {
    /// MULTI; false: there has been one before.
    pub fn begin_transaction(&mut self) -> bool {
        if self.transaction.is_some() {
            return false;
        }
        self.transaction = Some(Box::default());
        self.show_transaction();
        true
    }

    /// What waits for EXEC, if there was a MULTI.
    #[inline]
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_deref()
    }

    /// Keeps a command for EXEC, which needs the roles of `shards` for it. `flags`: those of the command
    /// as it is called. What will not run anyway is not kept.
    pub(crate) fn queue(
        &mut self,
        prepared: Prepared,
        request: Request<'_>,
        flags: Flags,
        shards: &ShardSet,
        slots: Slots,
    ) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.failed || self.shared.has_flag(ClientShared::DIRTY) {
            return;
        }
        transaction.push(prepared, request, flags, shards, slots);
        self.show_transaction();
    }

    /// A command was refused: EXEC will run nothing.
    #[inline]
    pub fn fail_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            **transaction = Transaction { failed: true, ..Transaction::default() };
            self.show_transaction();
        }
    }

    /// The transaction, for EXEC to run. CLIENT LIST goes on to show it until
    /// [`Client::end_transaction`].
    pub(crate) fn take_transaction(&mut self) -> Option<Box<Transaction>> {
        self.transaction.take()
    }

    /// EXEC is over, or the transaction is given up.
    pub fn end_transaction(&mut self) {
        self.transaction = None;
        self.show_transaction();
    }

    /// The shards of the keys that the client watches and, if `entry` is EXEC, of what waits for it.
    pub(crate) fn own_shards(&self, entry: &Entry) -> ShardSet {
        let queued = self.transaction.iter().filter(|_| entry.has(Flags::EXEC));
        let queued = queued.flat_map(|transaction| transaction.shards.iter().copied());
        let watched = self.watched.shards();
        queued.chain(watched.iter()).collect()
    }

    /// Whether it watches keys.
    pub(crate) fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Shows others how many keys the client watches.
    pub fn show_watched(&self) {
        self.shared.transaction.watched.store(self.watched.len() as u64, Ordering::Relaxed);
    }

    fn show_transaction(&self) {
        self.shared.transaction.show(self.transaction());
    }
}

impl ClientShared {
    /// Whether it is between MULTI and the end of EXEC.
    pub fn in_transaction(&self) -> bool {
        self.transaction.commands() >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::table;
    use crate::flag_set;
    use dunlin_protocol::{Decoder, Limits};
    use dunlin_storage::KeyHash;

    #[test]
    fn commands_are_kept_in_order_with_what_all_of_them_need() {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(b"GET a\r\nSET b 1\r\nPING\r\n");
        assert_eq!(decoder.parse(3), 3);
        let mut transaction = Transaction::default();
        let shards = [vec![ShardId(5)], vec![ShardId(2), ShardId(5)], vec![]];
        for (i, shards) in shards.into_iter().enumerate() {
            let request = decoder.request(i);
            let prepared = Prepared { entry: table().get(request.arg(0)), hash: KeyHash(i as u64) };
            let flags = prepared.entry.expect("a command").command.flags;
            let shards = shards.into_iter().collect();
            transaction.push(prepared, request, flags, &shards, Slots::One(i as u16 % 2));
        }
        drop(decoder);
        let names: Vec<&[u8]> = transaction.commands().map(|(_, request)| request.arg(0)).collect();
        assert_eq!(names, [b"GET".as_slice(), b"SET", b"PING"]);
        assert!(transaction.commands().zip(0..).all(|((prepared, _), i)| prepared.hash.0 == i));
        assert_eq!(transaction.shards.iter().map(|shard| shard.0).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(transaction.slots(), Slots::Several(0));
        assert!(transaction.flags().has(flag_set!(WRITE | READONLY | DENYOOM)));
        assert!(transaction.bytes() > 0 && !transaction.has_failed());
    }
}
