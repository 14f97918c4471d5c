//! Requests to one node for one purpose: a task that has the connection. It connects when there is
//! something to ask, numbers requests, gives replies to those who wait, and begins anew when the
//! connection fails. It ends with the last handle to it, or when nobody asked for a while.

use super::frame::{self, Frame, What};
use super::register::Register;
use super::{Connection, Failure, Fault, Kind, Links, RETRY, Target};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// Requests that wait for the connection at most; more are refused.
const QUEUE: usize = 256;
/// And so many bytes: those of two that are as long as can be.
const QUEUE_BYTES: usize = 2 * frame::MAX_BODY;
/// A connection that nobody uses is closed after this.
const IDLE: Duration = Duration::from_secs(60);
/// A connection on which a reply was waited for in vain this many times in a row, and for so long, is given
/// up: it may lead nowhere, as after a partition. A packet that is lost is sent again sooner than that.
const SILENT: u32 = 2;
const SILENCE: Duration = Duration::from_millis(1200);
/// A node that takes nothing for this long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

type Answer = oneshot::Sender<Result<Vec<u8>, Failure>>;

struct Call {
    body: Bytes,
    /// None: nobody waits for a reply.
    answer: Option<Answer>,
    /// The bytes that it takes until it is sent.
    _room: OwnedSemaphorePermit,
}

impl Call {
    /// Whoever asked has given up.
    fn is_over(&self) -> bool {
        self.answer.as_ref().is_some_and(Answer::is_closed)
    }

    fn fail(self, why: &str) {
        if let Some(answer) = self.answer {
            let _ = answer.send(Err(Failure::NotSent(why.to_owned())));
        }
    }
}

/// A handle to the task.
#[derive(Clone)]
pub(super) struct Caller {
    calls: mpsc::Sender<Call>,
    room: Arc<Semaphore>,
}

impl Caller {
    pub(super) fn start(links: &Arc<Links>, target: Target, kind: Kind) -> Caller {
        let (calls, queue) = mpsc::channel(QUEUE);
        let runtime = links.runtime.get().cloned().unwrap_or_else(Handle::current);
        runtime.spawn(run(Arc::downgrade(links), target, kind, queue));
        Caller { calls, room: Arc::new(Semaphore::new(QUEUE_BYTES)) }
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.calls.is_closed()
    }

    pub(super) async fn call(&self, body: Bytes, limit: Duration) -> Result<Vec<u8>, Failure> {
        let (answer, reply) = oneshot::channel();
        if !self.queue(body, Some(answer)) {
            return Err(Failure::NotSent("too many requests wait".to_owned()));
        }
        match timeout(limit, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(Failure::Lost("the connection was given up".to_owned())),
            Err(_) => Err(Failure::Lost("no reply in time".to_owned())),
        }
    }
}

impl Caller {
    pub(super) fn send(&self, body: Bytes) {
        self.queue(body, None);
    }

    /// Whether there was room for it.
    fn queue(&self, body: Bytes, answer: Option<Answer>) -> bool {
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        room.is_ok_and(|room| self.calls.try_send(Call { body, answer, _room: room }).is_ok())
    }
}

async fn run(links: Weak<Links>, target: Target, kind: Kind, mut queue: mpsc::Receiver<Call>) {
    let mut failed: Option<(Instant, String)> = None;
    while let Ok(Some(call)) = timeout(IDLE, queue.recv()).await {
        if call.is_over() {
            continue;
        }
        if let Some((at, why)) = &failed
            && at.elapsed() < RETRY
        {
            call.fail(why);
            continue;
        }
        let Some(links) = links.upgrade() else { return };
        let opened = links.open(target, kind).await;
        let register = Arc::clone(&links.register);
        drop(links);
        match opened {
            Ok(connection) => {
                failed = None;
                let _entry = register.enter(true, connection.peer.node);
                converse(connection, call, &mut queue, &register).await;
            }
            Err(why) => {
                call.fail(&why);
                failed = Some((Instant::now(), why));
            }
        }
    }
}

/// Uses a connection until it fails or nobody needs it.
async fn converse(
    connection: Connection,
    first: Call,
    queue: &mut mpsc::Receiver<Call>,
    register: &Arc<Register>,
) {
    let kind = connection.kind;
    let (mut read, mut write) = tokio::io::split(connection.stream);
    let (replies, mut heard) = mpsc::channel(1);
    let shared = Arc::clone(register);
    let reader = tokio::spawn(async move {
        loop {
            match frame::read(&mut read).await {
                Ok(Some(frame)) if frame.what == What::Reply => {
                    if replies.send(frame).await.is_err() {
                        return;
                    }
                }
                Ok(Some(_)) => return shared.faults.count(Fault::Malformed),
                Ok(None) => return,
                Err(error) => return shared.faults.count_error(&error),
            }
        }
    });
    let mut waiting: BTreeMap<u32, Answer> = BTreeMap::new();
    let mut number = 0_u32;
    let (mut silent, mut heard_at) = (0, Instant::now());
    let mut next = Some(first);
    loop {
        // Those who have given up while there was no connection say nothing about this one.
        if let Some(call) = next.take().filter(|call| !call.is_over()) {
            if waiting.is_empty() {
                heard_at = Instant::now();
            }
            // Those that gave up waiting: their replies are not to come, maybe like all others.
            let before = waiting.len();
            waiting.retain(|_, answer| !answer.is_closed());
            silent += u32::try_from(before - waiting.len()).unwrap_or(u32::MAX);
            if silent >= SILENT && heard_at.elapsed() >= SILENCE {
                call.fail("the node is silent");
                break;
            }
            number = number.wrapping_add(1);
            let frame = Frame { what: What::Request, number, body: call.body };
            if let Some(answer) = call.answer {
                waiting.insert(number, answer);
            }
            register.count(kind, true);
            let written = timeout(SEND_TIMEOUT, frame::write(&mut write, &frame)).await;
            if !matches!(written, Ok(Ok(()))) {
                break;
            }
        }
        tokio::select! {
            biased;
            reply = heard.recv() => {
                let Some(reply) = reply else { break };
                (silent, heard_at) = (0, Instant::now());
                register.count(kind, false);
                if let Some(answer) = waiting.remove(&reply.number) {
                    let _ = answer.send(Ok(reply.body));
                }
            }
            call = timeout(IDLE, queue.recv()) => match call {
                Ok(Some(call)) => next = Some(call),
                _ => break,
            },
        }
    }
    tracing::debug!(?kind, waiting = waiting.len(), "cluster bus: a connection has ended");
    reader.abort();
    // Not shut down: that may wait for a node that takes nothing any more.
    drop(write);
    for (_, answer) in waiting {
        let _ = answer.send(Err(Failure::Lost("the connection failed".to_owned())));
    }
}
