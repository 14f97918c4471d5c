//! What reaches a connection from outside its own commands: messages of channels, MONITOR lines,
//! names of keys that are not what the client has read.
//!
//! A connection is one task on one worker, and only that task touches its replies. Whoever has
//! something for it runs on any worker, so every client has an *inbox*, a bounded queue:
//!
//! ```text
//!  any worker                                  the connection's worker
//!  Feed::push ---> [ inbox: m m m ] ---------> Inbox::drain ---> replies ---> socket
//!                     |                            ^
//!                     `--- was it empty? signal ---'
//! ```
//!
//! A [`Feed`] is the right of one subscription to put messages into one inbox. The inbox's lock is
//! held for a few instructions at either end: messages are encoded and shared before, and written
//! after. Nobody waits for a connection, and a connection waits for nobody.
//!
//! # What is promised
//!
//! - **Order.** Messages leave in the order of their [`Feed::push`], so those of one thread arrive
//!   in the order in which it sent them.
//! - **Nothing after the end.** [`Feed::end`] takes the same lock as `push`. When it returns, what
//!   came through this feed is in the inbox and nothing will follow: a connection that drains its
//!   inbox then, and confirms the end after that, sends no message after the confirmation.
//! - **No reply overtakes a message.** A turn drains the inbox before its first command and after
//!   each one, so a message that was pushed before a command began is sent before the reply of it,
//!   and one that a command sends to its own client directly after. So does a command that waited,
//!   whoever runs it: while the session is away from its waiter, the connection leaves the inbox alone.
//! - **A limit.** What waits here and in the replies together may not pass the hard limit of
//!   `client-output-buffer-limit`: a push that would empties the inbox and closes the connection.
//!   While the socket does not take what is written, messages stay here, where they are shared
//!   with the inboxes of others, and only [`COLLECT`] bytes at a time become replies.

use crate::client::ClientShared;
use bytes::Bytes;
use dunlin_protocol::{Proto, Reply};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Replies up to which an idle connection moves messages out of its inbox: what one system call
/// takes.
pub const COLLECT: usize = 256 * 1024;

/// One message, encoded but for what depends on the protocol of the receiver.
#[derive(Clone, Debug)]
pub enum Message {
    /// Whole as it is: a line of MONITOR.
    Line(Bytes),
    /// A push message: its header, then two encoded parts, of which each may be shared with other
    /// messages.
    Push {
        /// Elements.
        elements: usize,
        /// The first elements.
        head: Bytes,
        /// The other elements.
        tail: Bytes,
    },
    /// A push message of two elements that only RESP3 knows: whoever speaks RESP2 when it arrives
    /// does not get it.
    Push3 {
        /// The first element.
        head: Bytes,
        /// The second one.
        tail: Bytes,
    },
}

impl Message {
    /// Bytes that the message keeps waiting, the place in the queue included.
    fn size(&self) -> u64 {
        let text = match self {
            Message::Line(line) => line.len(),
            Message::Push { head, tail, .. } | Message::Push3 { head, tail } => {
                head.len() + tail.len()
            }
        };
        (text + size_of::<Message>()) as u64
    }

    fn write(self, reply: &mut Reply) {
        match self {
            Message::Line(line) => reply.raw_shared(line),
            Message::Push { elements, head, tail } => {
                reply.push(elements);
                reply.raw(&head);
                reply.raw_shared(tail);
            }
            Message::Push3 { head, tail } => {
                if reply.proto() == Proto::Resp3 {
                    Message::Push { elements: 2, head, tail }.write(reply);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: u64,
    /// Outgrown: the connection is being closed, nothing more comes in.
    overflown: bool,
}

impl Queue {
    /// Takes messages of about `room` bytes from the front.
    fn take(&mut self, room: u64) -> VecDeque<Message> {
        if self.bytes <= room {
            self.bytes = 0;
            return std::mem::take(&mut self.messages);
        }
        let (mut count, mut bytes) = (0, 0);
        while bytes < room
            && let Some(message) = self.messages.get(count)
        {
            bytes += message.size();
            count += 1;
        }
        self.bytes -= bytes;
        self.messages.drain(..count).collect()
    }
}

/// The messages that wait for one connection.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Queue>,
    /// The queue's bytes, for whoever does not hold the lock. Stored under it (Release), so that
    /// who learns of a message by any other way finds it here (Acquire).
    waiting: AtomicU64,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait; 0: nothing does.
    #[inline]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Acquire)
    }

    /// Moves messages into `reply` until it holds `until` bytes; whether there were any. For the
    /// connection itself only.
    #[inline]
    pub fn drain(&self, reply: &mut Reply, until: usize) -> bool {
        self.waiting() > 0 && self.move_into(reply, until)
    }

    /// Messages that wait.
    pub fn count(&self) -> usize {
        match self.waiting() {
            0 => 0,
            _ => self.lock().messages.len(),
        }
    }

    /// Moves the first `count` messages into `reply`.
    pub fn drain_first(&self, count: usize, reply: &mut Reply) {
        let messages: VecDeque<Message> = {
            let mut queue = self.lock();
            let count = count.min(queue.messages.len());
            let messages: VecDeque<Message> = queue.messages.drain(..count).collect();
            queue.bytes -= messages.iter().map(Message::size).sum::<u64>();
            self.waiting.store(queue.bytes, Ordering::Release);
            messages
        };
        messages.into_iter().for_each(|message| message.write(reply));
    }

    fn move_into(&self, reply: &mut Reply, until: usize) -> bool {
        let room = until.saturating_sub(reply.pending()) as u64;
        let messages = {
            let mut queue = self.lock();
            let messages = queue.take(room);
            self.waiting.store(queue.bytes, Ordering::Release);
            messages
        };
        let any = !messages.is_empty();
        messages.into_iter().for_each(|message| message.write(reply));
        any
    }

    /// Changes something that decides which messages the client can be sent. What was made for the old
    /// state is in the inbox afterwards.
    pub fn exclusively(&self, change: impl FnOnce()) {
        let _queue = self.lock();
        change();
    }

    /// Whether messages were dropped because the client did not read.
    pub fn overflown(&self) -> bool {
        self.lock().overflown
    }
}

/// The right of one subscription to put messages into a client's inbox.
#[derive(Debug)]
pub struct Feed {
    client: Arc<ClientShared>,
    /// Read and written under the inbox's lock.
    ended: AtomicBool,
}

impl Feed {
    /// A feed into the inbox of `client`.
    pub fn new(client: Arc<ClientShared>) -> Feed {
        Feed { client, ended: AtomicBool::new(false) }
    }

    /// The client.
    pub fn client(&self) -> &ClientShared {
        &self.client
    }

    /// Number of the client.
    pub fn client_id(&self) -> u64 {
        self.client.id
    }

    /// Puts a message into the inbox; false: the subscription has ended. Closes the connection if
    /// it has not sent more than `limit` bytes then (0: no limit).
    pub fn push(&self, message: Message, limit: u64) -> bool {
        let queue = self.client.inbox.lock();
        if queue.overflown || self.ended.load(Ordering::Relaxed) {
            return false;
        }
        put(&self.client, queue, message, limit);
        true
    }

    /// Ends the subscription: nothing comes through this feed any more.
    pub fn end(&self) {
        let _queue = self.client.inbox.lock();
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Ends it, and puts a last message into the inbox, which is made under its lock; false: it had
    /// ended. `limit` as in [`Feed::push`].
    pub fn end_with(&self, limit: u64, last: impl FnOnce() -> Message) -> bool {
        let queue = self.client.inbox.lock();
        if queue.overflown || self.ended.swap(true, Ordering::Relaxed) {
            return false;
        }
        put(&self.client, queue, last(), limit);
        true
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Puts a message into a client's inbox that is no subscription's. It is made under the inbox's lock,
/// and may depend on what the client changes under it ([`Inbox::exclusively`]): none, and nothing is
/// sent. `limit` as in [`Feed::push`].
pub fn offer(client: &ClientShared, limit: u64, message: impl FnOnce() -> Option<Message>) {
    let queue = client.inbox.lock();
    if !queue.overflown
        && let Some(message) = message()
    {
        put(client, queue, message, limit);
    }
}

fn put(client: &ClientShared, mut queue: MutexGuard<'_, Queue>, message: Message, limit: u64) {
    let size = message.size();
    let unsent = queue.bytes + size + client.output.load(Ordering::Relaxed);
    if limit > 0 && unsent > limit {
        *queue = Queue { overflown: true, ..Queue::default() };
        client.inbox.waiting.store(0, Ordering::Release);
        drop(queue);
        client.kill();
        return;
    }
    // Whoever finds messages there has been signalled before and not drained the inbox since.
    let first = queue.messages.is_empty();
    queue.bytes += size;
    queue.messages.push_back(message);
    client.inbox.waiting.store(queue.bytes, Ordering::Release);
    drop(queue);
    if first {
        client.signal.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    fn client() -> Arc<ClientShared> {
        Arc::new(ClientShared::new(1, "127.0.0.1:1".into(), String::new(), 0, 0, 0))
    }

    fn line(text: &'static str) -> Message {
        Message::Line(Bytes::from_static(text.as_bytes()))
    }

    fn text(reply: &Reply) -> String {
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        reply.slices(&mut slices, usize::MAX);
        slices.iter().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect()
    }

    #[test]
    fn pushes_are_written_in_the_protocol_of_the_receiver() {
        let client = client();
        let feed = Feed::new(client.clone());
        for (proto, wanted) in
            [(Proto::Resp2, "*2\r\n$1\r\na\r\n:1\r\n"), (Proto::Resp3, ">2\r\n$1\r\na\r\n:1\r\n")]
        {
            let head = Bytes::from_static(b"$1\r\na\r\n");
            let tail = Bytes::from_static(b":1\r\n");
            assert!(feed.push(Message::Push { elements: 2, head, tail }, 0));
            let mut reply = Reply::new(proto);
            assert!(client.inbox.drain(&mut reply, usize::MAX));
            assert_eq!(text(&reply), wanted);
            assert_eq!(client.inbox.waiting(), 0);
        }
    }

    #[test]
    fn nothing_follows_the_end_and_nothing_before_it_is_lost() {
        let client = client();
        let (one, two) = (Feed::new(client.clone()), Feed::new(client.clone()));
        assert!(one.push(line("1"), 0) && two.push(line("2"), 0) && one.push(line("3"), 0));
        one.end();
        assert!(!one.push(line("4"), 0));
        assert!(two.push(line("5"), 0));
        let mut reply = Reply::new(Proto::Resp2);
        client.inbox.drain(&mut reply, usize::MAX);
        assert_eq!(text(&reply), "1235");
    }

    #[test]
    fn draining_stops_when_the_reply_is_full_and_goes_on_in_order() {
        let client = client();
        let feed = Feed::new(client.clone());
        let all: Vec<&'static str> = vec!["a", "b", "c", "d", "e", "f"];
        assert!(all.iter().all(|text| feed.push(line(text), 0)));
        let one = line("a").size();
        let mut reply = Reply::new(Proto::Resp2);
        let two = usize::try_from(2 * one).unwrap_or(0);
        assert!(client.inbox.drain(&mut reply, two));
        assert_eq!(text(&reply), "ab");
        assert_eq!(client.inbox.waiting(), 4 * one);
        assert!(!client.inbox.drain(&mut reply, 2), "there is no room");
        assert!(client.inbox.drain(&mut reply, usize::MAX));
        assert_eq!(text(&reply), "abcdef");
    }

    #[test]
    fn who_does_not_read_is_closed_at_the_limit() {
        let client = client();
        let feed = Feed::new(client.clone());
        let one = line("x").size();
        assert!(feed.push(line("x"), 2 * one) && feed.push(line("x"), 2 * one));
        assert!(!client.kill.load(Ordering::Acquire) && !client.inbox.overflown());
        assert!(feed.push(line("x"), 2 * one), "it was subscribed when the message came");
        assert!(client.kill.load(Ordering::Acquire) && client.inbox.overflown());
        assert_eq!(client.inbox.waiting(), 0, "the memory is free at once");
        assert!(!feed.push(line("x"), 0), "nothing more comes in");
    }

    #[test]
    fn replies_count_against_the_limit_too() {
        let client = client();
        let feed = Feed::new(client.clone());
        client.output.store(1000, Ordering::Relaxed);
        assert!(feed.push(line("x"), 1000 + line("x").size()));
        assert!(!client.inbox.overflown());
        assert!(feed.push(line("x"), 1000 + line("x").size()));
        assert!(client.inbox.overflown());
    }
}
