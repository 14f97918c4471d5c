//! The orderly end of the process.
//!
//! ```text
//!   SIGTERM         Draining   not ready, nobody new is let in, clients are served on
//!                      |       until drain-seconds are over, nobody is connected, or another signal
//!   SIGINT, SHUTDOWN   v
//!                   Ending     connections run what has arrived, send their replies, and part
//!                      |       from their clients (connection/parting.rs); the workers return
//!                      v
//!                   Ended      the rest is the main thread's (boot.rs)
//! ```
//!
//! SIGINT comes from somebody at a terminal, who does not want to wait; SHUTDOWN from somebody who
//! knows what he does. A signal that comes while connections end, or later, ends the process at
//! once. So does the end of `shutdown-timeout`, with a look at who has not ended.
//!
//! All this is conducted on a thread of its own, which sleeps until then: a worker that hangs must
//! not be what keeps the process from ending. It is also who talks to the supervisor.

use crate::client::{Registry, line};
use crate::runtime::Body;
use crate::runtime::pages;
use crate::runtime::phase::Phase;
use crate::server::Server;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

/// What is left of `shutdown-timeout` for the end of the connections, however long the drain is.
const FOR_THE_END: Duration = Duration::from_secs(5);
/// The longest that a node of a cluster stays after it has handed everything over.
const LINGER: Duration = Duration::from_secs(3);
/// How long who accepts may take to let in those who wait at the door.
const FOR_THE_DOORS: Duration = Duration::from_secs(1);
/// Between looks whether a count has become nothing.
const LOOK: Duration = Duration::from_millis(2);
/// Clients that are named when the time is over.
const NAMED: usize = 16;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It has not been asked for.
    Serving,
    Draining,
    Ending,
    Ended,
}

/// The end of the process, as all threads see it.
#[derive(Debug)]
pub struct Shutdown {
    stage: watch::Sender<Stage>,
    /// [`Stage::Ending`] has begun. Set (Release) before the clients are signalled; read (Acquire) by
    /// connections when they are, and by each when it begins.
    ending: AtomicBool,
    /// SHUTDOWN has come.
    command: Notify,
    /// Tasks that accept connections.
    doors: AtomicUsize,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown {
            stage: watch::Sender::new(Stage::Serving),
            ending: AtomicBool::new(false),
            command: Notify::new(),
            doors: AtomicUsize::new(0),
        }
    }
}

impl Shutdown {
    /// Asks for the end, as SHUTDOWN does.
    pub fn request(&self) {
        self.command.notify_one();
    }

    /// Whether connections are to end.
    #[inline]
    pub fn requested(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Whether the end has been asked for, be it that clients are still served.
    pub fn is_under_way(&self) -> bool {
        *self.stage.borrow() > Stage::Serving
    }

    /// Something to wait on.
    pub fn watch(&self) -> Watch {
        Watch(self.stage.subscribe())
    }

    /// Somebody accepts connections, as long as the guard is there.
    pub(super) fn open_door(&self) -> OpenDoor<'_> {
        self.doors.fetch_add(1, Ordering::AcqRel);
        OpenDoor(self)
    }

    /// The workers have returned.
    pub fn ended(&self) {
        self.stage.send_replace(Stage::Ended);
    }

    /// Nobody new is let in from here on.
    async fn close_doors(&self) {
        self.stage.send_replace(Stage::Draining);
        let closed = async {
            while self.doors.load(Ordering::Acquire) > 0 {
                sleep(LOOK).await;
            }
        };
        if timeout(FOR_THE_DOORS, closed).await.is_err() {
            warn!("not all listeners are closed");
        }
    }

    fn end(&self, clients: &Registry) {
        self.ending.store(true, Ordering::Release);
        self.stage.send_replace(Stage::Ending);
        for client in clients.all() {
            client.signal.notify();
        }
    }
}

/// See [`Shutdown::open_door`].
#[derive(Debug)]
pub(super) struct OpenDoor<'s>(&'s Shutdown);

impl Drop for OpenDoor<'_> {
    fn drop(&mut self) {
        self.0.doors.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One waiter for the end.
#[derive(Debug)]
pub struct Watch(watch::Receiver<Stage>);

impl Watch {
    /// Ready once nobody new is to be let in.
    pub async fn draining(&mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Ready once connections are to end.
    pub async fn requested(&mut self) {
        self.reached(Stage::Ending).await;
    }

    async fn reached(&mut self, stage: Stage) {
        // The sender lives as long as the process.
        let _ = self.0.wait_for(|now| *now >= stage).await;
    }
}

/// Starts the thread that conducts the end.
///
/// # Errors
/// When the system has no thread or no place for the signals.
pub fn start(server: &'static Server) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let body = move || {
        let body: Body = Box::pin(conduct(server, signals));
        runtime.block_on(body)
    };
    thread::Builder::new().name("shutdown".into()).spawn(body)?;
    Ok(())
}

/// From the first signal to the last; returns never, but the process ends.
async fn conduct(server: &'static Server, mut signals: Signals) -> io::Result<()> {
    let may_drain = tokio::select! {
        name = signals.next() => {
            info!("{name} received");
            name == SIGTERM
        }
        () = server.shutdown.command.notified() => false,
        never = report_to_supervisor(server) => match never {},
    };
    let settings = server.settings();
    let limit = Duration::from_secs(u64::from(settings.shutdown_timeout)).max(FOR_THE_END);
    let drain = Duration::from_secs(u64::from(settings.drain_seconds)).min(limit - FOR_THE_END);
    let mut ended = server.shutdown.watch();
    let orderly = async {
        server.phases.enter(Phase::Draining);
        server.supervisor.stopping();
        if may_drain {
            leave_cluster(server, limit - FOR_THE_END, &mut signals).await;
        }
        server.shutdown.close_doors().await;
        if may_drain && !drain.is_zero() {
            serve_on(server, drain, &mut signals).await;
        }
        server.phases.enter(Phase::Ending);
        server.shutdown.end(&server.clients);
        tokio::select! {
            () = ended.reached(Stage::Ended) => {}
            _ = signals.next() => end_at_once(),
        }
    };
    if timeout(limit, orderly).await.is_err() {
        error!("shutdown-timeout is over: ending at once");
        report(server);
        exit();
    }
    // What the main thread still has to do takes as long as it takes, and no longer than wanted.
    signals.next().await;
    end_at_once();
}

/// Tells the supervisor when the server is ready, and from then on that it works, as long as it does.
async fn report_to_supervisor(server: &Server) -> Infallible {
    while !server.phases.is_ready() {
        sleep(10 * LOOK).await;
    }
    server.supervisor.ready();
    let Some(interval) = server.supervisor.watchdog() else { return pending().await };
    loop {
        if server.heartbeats.hanging(server.clock.now()).is_none() {
            server.supervisor.alive();
        }
        sleep(interval).await;
    }
}

/// A node of a cluster gives its slots to others, who have nothing to miss then. Meanwhile it serves, and
/// for a while afterwards it tells whoever comes where everything is: some clients do not survive it if a
/// node which they think has slots is gone.
async fn leave_cluster(server: &Server, limit: Duration, signals: &mut Signals) {
    let operations = server.cluster.as_ref().and_then(|cluster| cluster.operations());
    let Some(operations) = operations else { return };
    info!("handing over to other nodes");
    let began = Instant::now();
    tokio::select! {
        () = operations.admin.hand_over(limit) => {}
        name = signals.next() => {
            info!("{name} received: what is not handed over is lost");
            return;
        }
        () = server.shutdown.command.notified() => return,
    }
    let linger = Duration::from_secs(server.settings().cluster.linger.into()).min(LINGER);
    serve_on(server, linger.min(limit.saturating_sub(began.elapsed())), signals).await;
}

/// Draining, until it has been long enough.
async fn serve_on(server: &Server, drain: Duration, signals: &mut Signals) {
    info!(seconds = drain.as_secs(), clients = server.clients.len(), "serving on before the end");
    let left = async {
        while !server.clients.is_empty() {
            sleep(10 * LOOK).await;
        }
    };
    tokio::select! {
        () = left => info!("nobody is connected any more"),
        () = sleep(drain) => {}
        name = signals.next() => info!("{name} received: serving on no longer"),
        () = server.shutdown.command.notified() => {}
    }
}

fn end_at_once() -> ! {
    info!("a further signal: ending at once");
    exit()
}

/// Ends the process as soon as there is no thread that must not be its last one (see [`pages`]).
fn exit() -> ! {
    let _none = pages::hold_off();
    std::process::exit(1);
}

/// Who has not ended, by worker.
fn report(server: &Server) {
    let now = server.clock.now();
    let clients = server.clients.all();
    for worker in 0..server.workers {
        let connections = clients.iter().filter(|client| client.worker() == worker).count();
        error!(worker, connections, "has not ended");
    }
    for client in clients.iter().take(NAMED) {
        let mut text = String::new();
        line::write(client, now, &mut text);
        error!("still connected: {}", text.trim_end());
    }
}

const SIGTERM: &str = "SIGTERM";

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one, and says which it is.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => SIGTERM,
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
