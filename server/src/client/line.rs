//! A client as one line: CLIENT LIST and INFO, and the entries of ACL LOG.

use super::{ClientShared, REPLY_BUFFER};
use crate::commands::table::table;
use dunlin_storage::Millis;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

/// Letters of the flags in the order Redis prints them.
pub fn flags(client: &ClientShared) -> String {
    let mut letters = String::new();
    for (on, letter) in [
        (client.has_flag(ClientShared::MONITOR), 'O'),
        (client.has_flag(ClientShared::PUBSUB), 'P'),
        (client.in_transaction(), 'x'),
        (client.has_flag(ClientShared::BLOCKED | ClientShared::PAUSED), 'b'),
        (client.has_flag(ClientShared::TRACKING), 't'),
        (client.has_flag(ClientShared::BROKEN_REDIRECT), 'R'),
        (client.has_flag(ClientShared::BROADCAST), 'B'),
        (client.has_flag(ClientShared::DIRTY), 'd'),
        (client.has_flag(ClientShared::CLOSING), 'c'),
        (client.kill.load(Ordering::Relaxed), 'A'),
        (client.unix, 'U'),
        (client.has_flag(ClientShared::NO_EVICT), 'e'),
        (client.has_flag(ClientShared::NO_TOUCH), 'T'),
    ] {
        if on {
            letters.push(letter);
        }
    }
    if letters.is_empty() {
        letters.push('N');
    }
    letters
}

/// Number of the client that gets the invalidations, 0 if it is this one, -1 if it does not track.
pub fn redirect(client: &ClientShared) -> i64 {
    match client.has_flag(ClientShared::TRACKING) {
        true => i64::try_from(client.tracking.id()).unwrap_or(i64::MAX),
        false => -1,
    }
}

/// Whole seconds since `then`.
pub fn seconds(now: Millis, then: Millis) -> i64 {
    now.saturating_sub(then).max(0) / 1000
}

/// Name of the last command.
pub fn last_command(client: &ClientShared) -> &'static str {
    let id = client.last_command.load(Ordering::Relaxed);
    id.checked_sub(1)
        .and_then(|id| table().entries().get(id as usize))
        .map_or("NULL", |entry| entry.full_name.as_str())
}

/// Appends the line of `client`, newline included.
pub fn write(client: &ClientShared, now: Millis, out: &mut String) {
    let labels = client.labels();
    let load = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    let (query, room) = (load(&client.query_buffer), load(&client.query_room));
    let output = client.unsent();
    let buffered = output.min(REPLY_BUFFER);
    let listed = output - buffered;
    let total = client.held() + size_of::<ClientShared>() as u64;
    let subscriptions = &client.subscriptions;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} ",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        labels.name,
        seconds(now, client.created),
        seconds(now, client.last_active.load(Ordering::Relaxed)),
        flags(client),
        client.db.load(Ordering::Relaxed),
    );
    let _ = write!(
        out,
        "sub={} psub={} ssub={} multi={} watch={} qbuf={query} qbuf-free={} argv-mem=0 multi-mem={} \
         rbs={REPLY_BUFFER} rbp={buffered} obl={buffered} oll={} omem={listed} tot-mem={total} ",
        load(&subscriptions.channels),
        load(&subscriptions.patterns),
        load(&subscriptions.shard_channels),
        client.transaction.commands(),
        client.transaction.watched(),
        room.saturating_sub(query),
        client.transaction.bytes(),
        listed.div_ceil(REPLY_BUFFER),
    );
    let _ = writeln!(
        out,
        "events={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={} tot-net-in={} \
         tot-net-out={} tot-cmds={}",
        if output == 0 { "r" } else { "rw" },
        last_command(client),
        String::from_utf8_lossy(&client.user().name),
        redirect(client),
        client.resp.load(Ordering::Relaxed),
        labels.lib_name,
        labels.lib_ver,
        client.net_in.get(),
        client.net_out.get(),
        client.commands.get(),
    );
}
