//! From a configuration to a running process and back to an exit code.

use crate::acl::Acl;
use crate::admin::Admin;
use crate::cluster::begin::Beginning;
use crate::cluster::{Cluster, slot};
use crate::config::{Config, Settings, Task, check_exposure};
use crate::runtime::accept::Acceptor;
use crate::runtime::activation;
use crate::runtime::affinity::Plan;
use crate::runtime::announce;
use crate::runtime::container::Limits;
use crate::runtime::listen::Listeners;
use crate::runtime::logging::Log;
use crate::runtime::pages;
use crate::runtime::pidfile::PidFile;
use crate::runtime::shutdown;
use crate::runtime::supervisor::Supervisor;
use crate::runtime::worker::{Duties, INBOX, Start, Worker, WorkerHandle};
use crate::server::Server;
use crate::snapshot;
use crate::tools;
use dunlin_storage::{Options, SlotOf};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// Fewest shards, and shards per worker: so many that two workers seldom meet in one. A store with a
/// small budget has fewer.
const MIN_SHARDS: usize = 16;
const SHARDS_PER_WORKER: usize = 8;
const MAX_SHARDS: usize = 4096;

/// Does what the command line and the environment say; returns when it is done, or when the server has
/// ended.
pub fn main() -> ExitCode {
    match Task::read(std::env::args_os(), std::env::vars_os()) {
        Ok(Task::Serve(config)) => run(config),
        Ok(Task::Check { config, faults }) => tools::check::run(&config, faults),
        Ok(Task::Cluster(order)) => tools::cluster::run(&order),
        Ok(Task::Ping { config, place }) => tools::ping::run(&config.settings(), place),
        Err(text) => {
            if text.exit_code() == 0 {
                // A reader that has seen enough, such as `head`, is no failure.
                let _ = writeln!(io::stdout(), "{text}");
            } else {
                eprintln!("{text}");
            }
            ExitCode::from(text.exit_code())
        }
    }
}

fn run(config: Config) -> ExitCode {
    let log = match Log::start(&config.settings()) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(config, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Binds, starts the workers and waits for the end.
fn serve(config: Config, log: Log) -> io::Result<()> {
    let settings = config.settings();
    for warning in config.warnings() {
        warn!("{warning}");
    }
    let acl = Acl::start(&config).map_err(io::Error::other)?;
    check_exposure(&settings, acl.default_is_open()).map_err(io::Error::other)?;
    let limits = Limits::detect(settings.workers, settings.maxclients);
    limits.fds.make_room(limits.maxclients);
    for warning in announce::warnings(&settings, &limits) {
        warn!("{warning}");
    }
    let listeners = bind(&settings, acl.default_is_open())?;
    let supervisor = Supervisor::find(settings.supervised).map_err(io::Error::other)?;
    let _pidfile = PidFile::write(settings.pidfile.as_deref())?;
    let auth = !acl.default_is_open();
    let beginning = settings.cluster.enabled.then(|| Beginning::open(&settings)).transpose()?;
    let cluster = beginning.as_ref().map(|beginning| Arc::clone(&beginning.cluster));
    let server = start(config, acl, log, cluster, &limits, supervisor);
    // Before anything that may take long, and until everything else has ended.
    let _admin = Admin::start(server, &settings)?;
    server.tls.load(&settings.tls).map_err(|why| io::Error::other(format!("TLS: {why}")))?;
    info!("{}", announce::start_line(&settings, &limits, auth));
    let _pages = settings.huge_pages.then(|| pages::start(server)).transpose()?;
    shutdown::start(server)?;
    // Before clients are served: the first may ask at once what the cluster looks like.
    if let Some(beginning) = beginning {
        beginning.go(server)?;
    }
    let threads = spawn_workers(server, &settings, listeners)?;
    if snapshot::load(server)? {
        info!("ready to accept connections");
    }
    for thread in threads {
        match thread.join() {
            Ok(end) => end?,
            Err(_) => return Err(io::Error::other("a worker has panicked")),
        }
    }
    // Nobody is connected and nothing changes any more.
    server.shutdown.ended();
    let saved = snapshot::at_exit(server);
    info!("bye");
    saved
}

/// The server lives as long as the process: sessions cross threads and refer to it without
/// counting references.
fn start(
    config: Config,
    acl: Acl,
    log: Log,
    cluster: Option<Arc<Cluster>>,
    limits: &Limits,
    supervisor: Supervisor,
) -> &'static Server {
    let settings = config.settings();
    let store = Options {
        shards: shards(settings.shards, limits.workers, settings.maxmemory),
        databases: settings.databases,
        max_memory: settings.maxmemory,
        policy: settings.maxmemory_policy,
        miss_memory: settings.miss_memory,
        seed: None,
        slot_of: cluster.as_ref().map(|_| slot::of as SlotOf),
        shown: cluster.as_ref().map(|cluster| Arc::clone(cluster.routes.shown())),
    };
    let mut server = Server::new(config, acl, log, store, cluster, limits);
    server.supervisor = supervisor;
    Box::leak(Box::new(server))
}

fn shards(setting: u32, workers: usize, max_memory: u64) -> usize {
    let power = |wanted: usize| wanted.next_power_of_two().min(MAX_SHARDS);
    match usize::try_from(setting) {
        Ok(0) | Err(_) => {
            let wanted = power((workers * SHARDS_PER_WORKER).max(MIN_SHARDS));
            Options::shards_within(wanted, max_memory)
        }
        Ok(set) => power(set),
    }
}

fn bind(settings: &Settings, passwordless: bool) -> io::Result<Listeners> {
    if let Some(given) = activation::take(settings).map_err(io::Error::other)? {
        for (tls, listener) in &given.inherited {
            let address = listener.local_addr()?;
            info!(%address, tls, "serving a socket of the supervisor");
            let as_if = activation::as_if(settings, *tls, address);
            check_exposure(&as_if, passwordless).map_err(io::Error::other)?;
        }
        return Ok(given);
    }
    let open = Listeners::open(settings).map_err(io::Error::other)?;
    for skipped in &open.skipped {
        warn!("{skipped}");
    }
    Ok(open)
}

fn spawn_workers(
    server: &'static Server,
    settings: &Settings,
    listeners: Listeners,
) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
    let (handles, inboxes): (Vec<_>, Vec<_>) = (0..server.workers)
        .map(|index| {
            let (inbox, receiver) = mpsc::channel(INBOX);
            let load = server.placement.load(index).clone();
            (WorkerHandle { inbox, load }, receiver)
        })
        .unzip();
    let acceptor = Acceptor { server, workers: handles.clone(), refusals: Default::default() };
    let listeners = server.doors.start(settings, listeners);
    let mut duties = Some(Duties { acceptor, listeners });
    let plan = Plan::new(server.workers, settings.worker_affinity);
    let start = Arc::new(Start::new(server.workers));
    let mut threads = Vec::new();
    for (index, (handle, inbox)) in handles.into_iter().zip(inboxes).enumerate() {
        let (duties, plan, start) = (duties.take(), plan.clone(), start.clone());
        let body = move || {
            plan.pin(index);
            Worker::run(server, index, handle.load, inbox, &start, duties)
        };
        threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(body)?);
    }
    Ok(threads)
}
