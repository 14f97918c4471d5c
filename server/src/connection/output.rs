//! What leaves a connection: sending, accounting for it, room for messages.

use super::Stream;
use crate::client::ClientShared;
use crate::inbox::COLLECT;
use crate::runtime::worker::Worker;
use dunlin_protocol::Reply;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// Bytes that the system is given in one call: about 20 us.
pub(super) const SENT_AT_ONCE: usize = 64 * 1024;
/// Bytes that a connection sends before others get their turn, while no other is active.
const SENT_ALONE: usize = 4 * SENT_AT_ONCE;

/// Bytes that a connection may send before others get their turn.
pub(super) fn room(worker: &Worker) -> usize {
    if worker.has_company() { SENT_AT_ONCE } else { SENT_ALONE }
}

/// Sends pending replies until the socket is full, or until others are to have their turn: only then
/// is the task registered to be woken for more. Whether anything was sent.
pub(super) fn poll_send(
    cx: &mut Context<'_>,
    stream: &Stream,
    reply: &mut Reply,
    shared: &ClientShared,
    worker: &Worker,
) -> io::Result<bool> {
    let (mut any, mut room) = (false, room(worker));
    while !reply.is_empty() || stream.has_unsent() {
        if room == 0 {
            // The first poll leaves the task to be woken when the others have run.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
            break;
        }
        match stream.poll_write(cx, reply) {
            Poll::Ready(Ok(sent)) => {
                any = true;
                room = room.saturating_sub(sent);
                count_sent(sent, shared, worker);
                shared.set_output(reply);
                // What was sent is less than there was.
                let _ = worker.server.overload.bytes.note(shared);
                catch_up(shared, worker);
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    if any {
        // Who takes its replies is not idle, however long that lasts.
        shared.last_active.store(worker.server.clock.now(), Ordering::Relaxed);
    }
    Ok(any)
}

/// Accounts for bytes that the socket has taken.
#[inline]
pub(super) fn count_sent(sent: usize, shared: &ClientShared, worker: &Worker) {
    let stats = worker.stats();
    stats.net_out.add(sent as u64);
    stats.writes.add(1);
    shared.net_out.add(sent as u64);
}

/// After something was sent. The sweep looks now and then only: a client that catches up in between has
/// caught up.
#[inline]
pub(super) fn catch_up(shared: &ClientShared, worker: &Worker) {
    if shared.over_soft_since.load(Ordering::Relaxed) != 0 {
        let soft = shared.kind().limit(&worker.server.settings().output_limits).soft;
        if shared.unsent() <= soft {
            shared.over_soft_since.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether messages wait for a place in the replies and there is one.
pub(super) fn has_room(reply: &Reply, shared: &ClientShared) -> bool {
    shared.inbox.waiting() > 0 && reply.pending() < COLLECT
}
