//! The admin listener: probes, metrics and the dashboard, over HTTP and apart from the clients.
//!
//! | Path | Answer |
//! |---|---|
//! | `/livez` | whether every worker comes round ([`crate::runtime::heartbeat`]) |
//! | `/readyz` | whether new clients are welcome ([`crate::runtime::phase`]) |
//! | `/metrics` | figures for Prometheus |
//! | `/` | the dashboard, one page |
//! | `/api/stats` | what the page shows |
//!
//! It has a thread and a runtime of its own: it has to answer when no worker does, and nothing that
//! somebody asks of it may run in front of a GET, so it is also *nicer* than the workers. It answers
//! before the first worker runs and after the last one has ended.
//!
//! Everything it shows is read from counters which others write for themselves. It takes no writer
//! role, and what it reads under a lock it reads in short pieces ([`crate::client::Registry::page`]),
//! because a thread of low priority that holds a lock may hold it for long.
//!
//! `listener` has the connections and their limits, `routes` says what is answered to a request,
//! `probes`, `metrics/`, `page` and `api/` are the answers. `history/` remembers the last minutes.

mod api;
mod clients;
mod history;
mod listener;
mod memory;
mod metrics;
mod page;
mod probes;
mod ranges;
mod routes;

use crate::config::Settings;
use crate::runtime::Body;
use crate::runtime::listen::Listeners;
use crate::server::Server;
use dunlin_storage::DbId;
use history::History;
use metrics::Metrics;
use page::Page;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

/// How much less of a CPU the thread gets than a worker it shares it with: about a third.
const NICE: i32 = 5;
/// Connections that the kernel queues.
const BACKLOG: u32 = 64;
/// Between two samples of the history.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What requests are answered from; never leaves the thread.
struct Site {
    server: &'static Server,
    metrics: Metrics,
    page: Page,
    history: RefCell<History>,
}

impl Site {
    fn new(server: &'static Server) -> Self {
        let (metrics, page) = (Metrics::new(server), Page::new());
        Site { server, metrics, page, history: RefCell::default() }
    }

    /// Takes samples for as long as the thread lives.
    async fn remember(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.history.borrow_mut().tick(self.server);
        }
    }
}

/// Keys of all databases.
fn keys(server: &Server) -> u64 {
    (0..server.keyspace.databases()).map(|db| server.keyspace.len(DbId(db))).sum()
}

/// The running listener; it ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    /// Nothing is ever sent: that it is gone says enough.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Listens where the settings say, if they do.
    ///
    /// # Errors
    /// An address that cannot be had, or no thread.
    pub fn start(server: &'static Server, settings: &Settings) -> io::Result<Option<Admin>> {
        if settings.admin_port == 0 {
            return Ok(None);
        }
        let mut listeners = Listeners::default();
        let open = listeners
            .open_tcp(&settings.admin_bind, settings.admin_port, BACKLOG)
            .map_err(|why| io::Error::other(format!("admin: {why}")))?;
        let sockets: Vec<TcpListener> = open.into_iter().map(|opened| opened.listener).collect();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let body = move || run(server, runtime, sockets, stopped);
        let thread = std::thread::Builder::new().name("admin".into()).spawn(body)?;
        Ok(Some(Admin { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread has been reported where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Body of the thread.
fn run(
    server: &'static Server,
    mut runtime: tokio::runtime::Builder,
    sockets: Vec<TcpListener>,
    stopped: oneshot::Receiver<Infallible>,
) {
    // A system that does not allow it still runs the thread, as equal among equals.
    let _ = rustix::process::nice(NICE);
    let runtime = runtime.enable_all().build_local(tokio::runtime::LocalOptions::default());
    let Ok(runtime) = runtime.inspect_err(|error| tracing::error!(%error, "admin: no runtime"))
    else {
        return;
    };
    let body: Body = Box::pin(async move {
        let site = Rc::new(Site::new(server));
        tokio::task::spawn_local(site.clone().remember());
        listener::start(sockets, &site);
        let _ = stopped.await;
        Ok(())
    });
    // It has no other end than being stopped.
    let _ = runtime.block_on(body);
}
