//! From a configuration to a running process and back to an exit code.

use crate::acl::Acl;
use crate::admin::Admin;
use crate::config::{Config, Settings, check_exposure};
use crate::runtime::accept::Acceptor;
use crate::runtime::affinity::Plan;
use crate::runtime::announce;
use crate::runtime::container::Limits;
use crate::runtime::listen::Listeners;
use crate::runtime::logging::Log;
use crate::runtime::pages;
use crate::runtime::pidfile::PidFile;
use crate::runtime::worker::{Duties, INBOX, Worker, WorkerHandle};
use crate::server::Server;
use crate::snapshot;
use dunlin_storage::Options;
use std::io;
use std::process::ExitCode;
use std::thread::JoinHandle;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// Fewest shards, and shards per worker: so many that two workers seldom meet in one.
const MIN_SHARDS: usize = 16;
const SHARDS_PER_WORKER: usize = 8;
const MAX_SHARDS: usize = 4096;

/// Runs the server as the command line and the environment say; returns when it has ended.
pub fn main() -> ExitCode {
    let config = match Config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(config) => config,
        Err(error) => {
            if error.exit_code() == 0 {
                println!("{error}");
            } else {
                eprintln!("{error}");
            }
            return ExitCode::from(error.exit_code());
        }
    };
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
    for warning in announce::warnings(&settings, &limits) {
        warn!("{warning}");
    }
    let listeners = bind(&settings)?;
    let _pidfile = PidFile::write(settings.pidfile.as_deref())?;
    let auth = !acl.default_is_open();
    let server = start(config, acl, log, &limits);
    // Before anything that may take long, and until everything else has ended.
    let _admin = Admin::start(server, &settings)?;
    server.tls.load(&settings.tls).map_err(|why| io::Error::other(format!("TLS: {why}")))?;
    info!("{}", announce::start_line(&settings, &limits, auth));
    if settings.huge_pages {
        pages::start(server)?;
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
    let saved = snapshot::at_exit(server);
    info!("bye");
    saved
}

/// The server lives as long as the process: sessions cross threads and refer to it without
/// counting references.
fn start(config: Config, acl: Acl, log: Log, limits: &Limits) -> &'static Server {
    let settings = config.settings();
    let store = Options {
        shards: shards(settings.shards, limits.workers),
        databases: settings.databases,
        max_memory: settings.maxmemory,
        policy: settings.maxmemory_policy,
        miss_memory: settings.miss_memory,
        seed: None,
    };
    Box::leak(Box::new(Server::new(config, acl, log, store, limits)))
}

fn shards(setting: u32, workers: usize) -> usize {
    let wanted = match usize::try_from(setting) {
        Ok(0) | Err(_) => (workers * SHARDS_PER_WORKER).max(MIN_SHARDS),
        Ok(set) => set,
    };
    wanted.next_power_of_two().min(MAX_SHARDS)
}

fn bind(settings: &Settings) -> io::Result<Listeners> {
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
    let mut threads = Vec::new();
    for (index, (handle, inbox)) in handles.into_iter().zip(inboxes).enumerate() {
        let (duties, plan) = (duties.take(), plan.clone());
        let body = move || {
            plan.pin(index);
            Worker::run(server, index, handle.load, inbox, duties)
        };
        threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(body)?);
    }
    Ok(threads)
}
