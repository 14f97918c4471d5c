//! What all workers share. There is one [`Server`] per process and it lives as long as the
//! process, so everything refers to it by `&'static`.

use crate::client::Registry;
use crate::config::{Config, Settings};
use crate::latency::LatencyMonitor;
use crate::monitor::Monitors;
use crate::pause::Pause;
use crate::rates::Rates;
use crate::runtime::clock::Clock;
use crate::runtime::container::{Fds, Limits};
use crate::runtime::logging::Log;
use crate::runtime::shutdown::Shutdown;
use crate::scripting::{Libraries, Runs, ScriptCache};
use crate::slowlog::Slowlog;
use crate::stats::Stats;
use crate::tls::Tls;
use dunlin_storage::{Keyspace, Millis};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The state of the process.
pub struct Server {
    /// The data.
    pub keyspace: Keyspace,
    /// Directives.
    pub config: Config,
    /// Connected clients.
    pub clients: Registry,
    /// Counters.
    pub stats: Stats,
    /// SLOWLOG.
    pub slowlog: Slowlog,
    /// LATENCY.
    pub latency: LatencyMonitor,
    /// What happens per second.
    pub rates: Rates,
    /// MONITOR.
    pub monitors: Monitors,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Scripts by their names.
    pub scripts: ScriptCache,
    /// Libraries of functions.
    pub libraries: Libraries,
    /// Scripts and functions that run.
    pub runs: Arc<Runs>,
    /// Certificates.
    pub tls: Tls,
    /// Time.
    pub clock: Clock,
    /// Orderly end of the process.
    pub shutdown: Shutdown,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Time of the start.
    pub started: Millis,
    /// Number of workers.
    pub workers: usize,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// Peak of the store's memory.
    pub peak_memory: AtomicU64,
    /// The log.
    pub log: Log,
    /// Descriptors.
    pub fds: Fds,
    draws: AtomicU64,
    hot: Hot,
}

/// Settings which every command looks at, published with relaxed stores.
#[derive(Debug, Default)]
struct Hot {
    latency_tracking: AtomicBool,
    time_each: AtomicBool,
    output_normal: AtomicU64,
    max_clients: AtomicUsize,
    query_limit: AtomicUsize,
}

/// Below this threshold of the slow log every command is timed on its own.
const TIME_EACH_BELOW_MICROS: i64 = 1_000;

impl Server {
    /// Puts the parts together.
    pub fn new(config: Config, log: Log, keyspace: Keyspace, limits: &Limits) -> Self {
        let clock = Clock::new();
        let run_id = run_id(&keyspace);
        let server = Server {
            keyspace,
            clients: Registry::default(),
            stats: Stats::new(limits.workers),
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            rates: Rates::default(),
            monitors: Monitors::default(),
            pause: Pause::default(),
            scripts: ScriptCache::default(),
            libraries: Libraries::default(),
            runs: Arc::default(),
            tls: Tls::default(),
            started: clock.now(),
            clock,
            shutdown: Shutdown::default(),
            run_id,
            workers: limits.workers,
            active_expire: AtomicBool::new(true),
            peak_memory: AtomicU64::new(0),
            log,
            fds: limits.fds,
            draws: AtomicU64::new(0),
            hot: Hot::default(),
            config,
        };
        server.apply();
        server
    }

    /// The directives in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.config.settings()
    }

    /// Publishes the directives that the hot path and the store look at. Called after CONFIG SET.
    pub fn apply(&self) {
        let settings = self.settings();
        let hot = &self.hot;
        let slow = settings.slowlog_log_slower_than;
        hot.time_each.store((0..TIME_EACH_BELOW_MICROS).contains(&slow), Ordering::Relaxed);
        hot.latency_tracking.store(settings.latency_tracking, Ordering::Relaxed);
        hot.query_limit.store(settings.client_query_buffer_limit, Ordering::Relaxed);
        hot.output_normal.store(settings.output_limits.normal.hard, Ordering::Relaxed);
        hot.max_clients
            .store(self.fds.max_clients(settings.maxclients) as usize, Ordering::Relaxed);
        self.log.set_level(settings.loglevel);
        self.slowlog.configure(slow, settings.slowlog_max_len);
        self.latency.configure(settings.latency_monitor_threshold);
        self.monitors.configure(settings.output_limits.normal.hard);
        self.keyspace.set_max_memory(settings.maxmemory);
        self.keyspace.set_policy(settings.maxmemory_policy.into());
    }

    /// Whether histograms of commands are kept.
    #[inline]
    pub fn latency_tracking(&self) -> bool {
        self.hot.latency_tracking.load(Ordering::Relaxed)
    }

    /// Whether every command is timed on its own.
    #[inline]
    pub fn time_each(&self) -> bool {
        self.hot.time_each.load(Ordering::Relaxed)
    }

    /// Hard limit of pending replies in bytes, 0 = none.
    pub fn output_limit(&self) -> u64 {
        self.hot.output_normal.load(Ordering::Relaxed)
    }

    /// Bytes of a client's input that may wait.
    pub fn query_limit(&self) -> usize {
        self.hot.query_limit.load(Ordering::Relaxed)
    }

    /// Clients served at once: the directive, as far as descriptors allow.
    pub fn max_clients(&self) -> usize {
        self.hot.max_clients.load(Ordering::Relaxed)
    }

    /// The user called `name`. The only one so far may do everything.
    pub fn user(&self, name: &[u8]) -> Option<&'static str> {
        (name == DEFAULT_USER.as_bytes()).then_some(DEFAULT_USER)
    }

    /// A random number (the store's keyed hash of a counter).
    pub fn random(&self) -> u64 {
        let count = self.draws.fetch_add(1, Ordering::Relaxed);
        self.keyspace.key(&count.to_le_bytes()).hash.0
    }
}

/// Name of the user that everybody is who does not say otherwise.
pub const DEFAULT_USER: &str = "default";

/// 40 hexadecimal digits from the store's random seed.
fn run_id(keyspace: &Keyspace) -> String {
    let word = |i: u8| keyspace.key(&[b'r', i]).hash.0;
    let digits = format!("{:016x}{:016x}{:016x}", word(0), word(1), word(2));
    digits[..40].to_owned()
}
